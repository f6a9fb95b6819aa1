"""``paddle.jit``: networks written to files for use, and read.

Files of the original (Paddle 1.0 to 2.6) are read; those written here hold a net of freshpot's, which the original
does not read.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NoReturn

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._missing import missing
from freshpot.paddle._module import AsModule
from freshpot.paddle._state import current_device, to_dtype
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.jit._function import StaticFunction, enable_to_static, not_to_static, to_static
from freshpot.paddle.jit._translated import TranslatedLayer
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "ProgramTranslator", "StaticFunction", "TracedLayer", "TranslatedLayer", "enable_to_static", "ignore_module",
    "load", "not_to_static", "save", "set_code_level", "set_verbosity", "to_static",
]  # fmt: skip


def specifications(layer: Any, input_spec: Any, who: str) -> list[Any]:
    """What is said of the inputs, here or when the layer was marked.

    Raises:
        ArgumentError: nothing is known of them.
    """
    function: Any = layer.forward if isinstance(layer, Layer) else layer
    marked = isinstance(function, StaticFunction)
    spec = input_spec if input_spec is not None else (function.input_spec if marked else None)
    if spec is None:
        raise ArgumentError(
            f"{who}: what goes in is not known: give input_spec=[InputSpec(shape, dtype)], or run the layer first"
        )
    return list(spec)


def captured(layer: Any, input_spec: Any = None, who: str = "jit.save") -> Any:
    """A layer (as it is in use) or a function as a net.

    Raises:
        ArgumentError: nothing is known of the inputs.
        NotSupportedError: a size other than the first is open, or operations have no counterpart in nets.
    """
    from freshpot.torch import capture

    function: Any = layer.forward if isinstance(layer, Layer) else layer
    spec = specifications(layer, input_spec, who)
    inner = function.function if isinstance(function, StaticFunction) else function
    owner = layer if isinstance(layer, Layer) else getattr(inner, "__self__", None)
    examples = [_example(one, who) for one in spec]
    if not isinstance(owner, Layer):
        return capture(AsModule(inner, {}).eval(), examples, getattr(inner, "__name__", "function"))
    modes = [(part, part.training) for part in owner.sublayers(include_self=True)]
    owner.eval()
    try:
        run = owner if isinstance(layer, Layer) else inner
        return capture(AsModule(run, owner.state_dict()).eval(), examples, type(owner).__name__)
    finally:
        for part, mode in modes:
            part.training = mode


def _example(spec: Any, who: str) -> torch.Tensor:
    """Zeros as a specification says; an open batch is of 2."""
    shape = [-1 if size is None else int(size) for size in spec.shape]
    if any(size < 0 for size in shape[1:]):
        raise NotSupportedError(
            f"{who}: input sizes {shape}: only the first, the batch's, can be open; say the others"
        )
    shape = [2 if size < 0 else size for size in shape]
    return torch.zeros(shape, dtype=to_dtype(spec.dtype), device=current_device())


def save(layer: Any, path: str, input_spec: Any = None, **configs: Any) -> None:
    """Write a layer, as it is in use, to ``<path>.pdmodel`` and ``<path>.pdiparams``.

    Args:
        layer: a layer, or a function that :func:`to_static` marked.
        input_spec: an :class:`InputSpec` or tensor for each input; not needed where ``to_static`` was told, or where
            the layer was marked and has run.

    Raises:
        ArgumentError: nothing is known of the inputs.
        NotSupportedError: ``output_spec``; operations that have no counterpart in nets; an open size but the batch's.
    """
    from freshpot.paddle.jit._files import write_network

    if configs.get("output_spec") is not None:
        raise NotSupportedError(
            "jit.save: output_spec is not done here; save a layer that returns what you want"
        )
    write_network(str(path), captured(layer, input_spec, configs.get("who", "jit.save")))


def load(path: str, **configs: Any) -> TranslatedLayer:
    """A network from files: ``<path>.pdmodel`` and ``<path>.pdiparams``, or a folder with ``__model__``.

    Args:
        configs: ``model_filename`` and ``params_filename``, names of files in the folder ``path``.

    Raises:
        FormatError: corrupt, or files that do not belong together. OSError: one is missing.
        NotSupportedError: a program of Paddle 3, or operators that are not done here.
    """
    from freshpot.paddle.jit._files import read_network

    return TranslatedLayer(*read_network(*_located(str(path), **configs)))


def _located(path: str, model_filename: str | None = None, params_filename: str | None = None) -> Any:
    """The file of what is computed, and that (or the folder) of the parameters."""
    base = Path(path.removesuffix(".pdmodel"))
    if base.is_dir():
        parameters = base / params_filename if params_filename else base
        return base / (model_filename or "__model__"), parameters
    model, parameters = Path(f"{base}.pdmodel"), Path(f"{base}.pdiparams")
    json_model = Path(f"{base}.json")
    if not model.exists() and json_model.exists():
        raise NotSupportedError(f"{json_model}: a program of Paddle 3; .pdmodel of Paddle 1.0 to 2.6 is read")
    return model, parameters if parameters.exists() else None


class TracedLayer:
    """A layer with the inputs it was run on, as in 2.0: ``outputs, traced = TracedLayer.trace(layer, inputs)``."""

    def __init__(self, layer: Layer, inputs: list[Tensor]) -> None:
        self._layer, self._inputs = layer, inputs

    @staticmethod
    def trace(layer: Layer, inputs: Any) -> tuple[Any, TracedLayer]:
        """Run the layer; what it gave, and itself."""
        given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        return layer(*given), TracedLayer(layer, given)

    def __call__(self, inputs: Any) -> list[Any]:
        found = self._layer(*([inputs] if isinstance(inputs, Tensor) else inputs))
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def set_strategy(self, build_strategy: Any = None, exec_strategy: Any = None) -> None:
        """Nothing: strategies change no results."""

    def save_inference_model(self, path: str, feed: Any = None, fetch: Any = None, **kwargs: Any) -> None:
        """As :func:`save` does.

        Raises:
            NotSupportedError: a choice of inputs or outputs.
        """
        if feed is not None or fetch is not None:
            raise NotSupportedError("TracedLayer.save_inference_model: feed and fetch are not done here")
        save(self._layer, path, [_spec(x) for x in self._inputs])


def _spec(tensor: Tensor) -> Any:
    from freshpot.paddle.static.spec import InputSpec

    return InputSpec([-1, *tensor.shape[1:]], tensor.dtype.name, tensor.name)


class ProgramTranslator:
    """The switch of :func:`to_static`, as in 2.0; one for the whole process."""

    @staticmethod
    @functools.cache
    def get_instance() -> ProgramTranslator:
        """The one."""
        return ProgramTranslator()

    def enable(self, enable_to_static: bool) -> None:
        """Whether :func:`to_static` marks anything."""
        globals()["enable_to_static"](enable_to_static)


def ignore_module(modules: list[Any]) -> None:
    """Nothing: no function is translated here."""


def set_code_level(level: int = 100, also_to_stdout: bool = False) -> None:
    """Nothing: no code is made here that could be shown."""


def set_verbosity(level: int = 0, also_to_stdout: bool = False) -> None:
    """Nothing: no code is made here that could be talked about."""


def __getattr__(name: str) -> NoReturn:
    raise missing("jit", name, __all__)
