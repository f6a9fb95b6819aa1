"""Layers and functions as nets of the engine, for files of every kind.

Called by :mod:`freshpot.paddle.jit`, :mod:`freshpot.paddle.static`, :mod:`freshpot.paddle.onnx` and
:func:`freshpot.torch.capture`.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._module import AsModule
from freshpot.paddle._state import current_device, to_dtype
from freshpot.paddle.jit._function import StaticFunction
from freshpot.paddle.jit._translated import TranslatedLayer
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static.spec import InputSpec

__all__ = ["captured", "example", "specifications"]


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
    return list(spec) if isinstance(spec, (list, tuple)) else [spec]


def captured(layer: Any, input_spec: Any = None, who: str = "jit.save") -> Any:
    """A layer (as it is in use) or a function as a net.

    Raises:
        ArgumentError: nothing is known of the inputs.
        NotSupportedError: a size other than the first is open, or operations have no counterpart in nets.
    """
    if isinstance(layer, TranslatedLayer) and layer.module is not None:
        return _known_net(layer, input_spec)
    function: Any = layer.forward if isinstance(layer, Layer) else layer
    spec = specifications(layer, input_spec, who)
    inner = function.function if isinstance(function, StaticFunction) else function
    owner = layer if isinstance(layer, Layer) else getattr(inner, "__self__", None)
    examples = [example(one, who) for one in spec]
    if not isinstance(owner, Layer):
        return _net(AsModule(inner, {}).eval(), examples, getattr(inner, "__name__", "function"), spec)
    modes = [(part, part.training) for part in owner.sublayers(include_self=True)]
    owner.eval()
    try:
        run = owner if isinstance(layer, Layer) else inner
        return _net(AsModule(run, owner.state_dict()).eval(), examples, type(owner).__name__, spec)
    finally:
        for part, mode in modes:
            part.training = mode


def _known_net(layer: TranslatedLayer, input_spec: Any) -> Any:
    """The net that a layer was made of, with its present parameters."""
    from freshpot.torch import capture

    module: Any = layer.module
    made = capture(module.eval())
    return made if input_spec is None else _said(made, specifications(layer, input_spec, ""))


def _net(module: AsModule, examples: list[torch.Tensor], name: str, specs: list[Any]) -> Any:
    """The module as a net whose inputs have the names and sizes of their specifications."""
    from freshpot.torch import FixedBatchWarning, capture

    with warnings.catch_warnings():
        if all(spec.shape and (spec.shape[0] or -1) > 0 for spec in specs):  # fixed is what was asked for
            warnings.simplefilter("ignore", FixedBatchWarning)
        made = capture(module, examples, name)
    return _said(made, specs)


def _said(made: Any, specs: list[Any]) -> Any:
    """Inputs with the names and sizes of their specifications."""
    for blob, spec in zip(made.inputs, specs, strict=True):
        sizes = [None if size is None or size < 0 else int(size) for size in spec.shape]
        made.shapes[blob] = sizes, to_dtype(spec.dtype)
    said = [spec.name if isinstance(spec, InputSpec) else None for spec in specs]
    made.rename({blob: name for blob, name in zip(made.inputs, said, strict=True) if name})
    return made


def example(spec: Any, who: str) -> torch.Tensor:
    """Zeros as a specification says; an open batch is of 2."""
    shape = [-1 if size is None else int(size) for size in spec.shape]
    if any(size < 0 for size in shape[1:]):
        raise NotSupportedError(
            f"{who}: input sizes {shape}: only the first, the batch's, can be open; say the others"
        )
    shape = [2 if size < 0 else size for size in shape]
    return torch.zeros(shape, dtype=to_dtype(spec.dtype), device=current_device())
