"""``paddle.jit``: networks written to files for use, and read.

Files of the original (Paddle 1.0 to 2.6) are read; those written here hold a net of freshpot's, which the original
does not read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.jit._captured import captured
from freshpot.paddle.jit._function import StaticFunction, enable_to_static, not_to_static, to_static
from freshpot.paddle.jit._program import Program
from freshpot.paddle.jit._translated import TranslatedLayer
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "ProgramTranslator", "StaticFunction", "TracedLayer", "TranslatedLayer", "enable_to_static", "ignore_module",
    "load", "not_to_static", "save", "set_code_level", "set_verbosity", "to_static",
]  # fmt: skip


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
    names = (
        {key: tensor.name for key, tensor in layer.state_dict().items()} if isinstance(layer, Layer) else {}
    )
    write_network(str(path), captured(layer, input_spec, configs.get("who", "jit.save")), names)


def load(path: str, **configs: Any) -> TranslatedLayer:
    """A network from files: ``<path>.pdmodel`` and ``<path>.pdiparams``, or a folder with ``__model__``.

    Args:
        configs: ``model_filename`` and ``params_filename``, names of files in the folder ``path``.

    Raises:
        FormatError: corrupt, or files that do not belong together. OSError: one is missing.
        NotSupportedError: a program of Paddle 3, or operators that are not done here.
    """
    from freshpot.paddle.jit._files import read_network

    return TranslatedLayer(*read_network(*located(str(path), **configs)))


def captured_file(path: Path, parameters: Path | None, shapes: Mapping[str, Sequence[int]]) -> Any:
    """The network in a file, ours or the original's, as a net.

    Args:
        parameters: the file (or folder) of its parameters; None: where they lie beside it.
        shapes: sizes of inputs that the file leaves open, by name.

    Raises:
        ArgumentError: an open size, other than the first, is not given.
        FormatError, NotSupportedError: as of :func:`load`.
    """
    from freshpot.paddle.jit._files import read_network

    model, beside = located(str(path)) if path.suffix == ".pdmodel" else (path, path.parent)
    network, values = read_network(model, parameters or beside)
    if not isinstance(network, Program):
        for name, sizes in shapes.items():
            network.shapes[name] = list(sizes), network.shapes.get(name, ((), torch.float32))[1]
        return network
    layer = TranslatedLayer(network, values)
    specs = layer._input_spec()
    for spec in specs:
        spec.shape = tuple(shapes.get(str(spec.name), spec.shape))
        if any(size < 0 for size in spec.shape[1:]):
            said = ",".join("N" if size < 0 else str(size) for size in spec.shape)
            raise ArgumentError(
                f"{path}: input '{spec.name}' leaves sizes open that a net must know: give --shape {spec.name}={said}"
            )
    made = captured(layer, specs, str(path))
    made.net.name = path.parent.name if path.stem == "__model__" else path.stem
    made.rename(dict(zip(made.outputs, layer.output_names, strict=True)))
    return made


def located(path: str, model_filename: str | None = None, params_filename: str | None = None) -> Any:
    """The file of what is computed, and that (or the folder) of the parameters."""
    base = Path(path.removesuffix(".pdmodel"))
    if base.is_dir():
        together = params_filename or ("__params__" if (base / "__params__").is_file() else None)
        parameters = base / together if together else base
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


def __getattr__(name: str) -> Any:
    raise missing("jit", name, __all__)
