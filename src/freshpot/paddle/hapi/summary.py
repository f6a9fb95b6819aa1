"""summary: a table of layers, shapes and numbers of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._state import current_device, default_float, to_dtype
from freshpot.paddle._tensor import Tensor, wrap
from freshpot.paddle.nn.container import LayerList, Sequential
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.nn.rnn import _Stack

__all__ = ["summary"]


@dataclass
class _Row:
    name: str
    inputs: Any
    outputs: Any
    parameters: int
    learning: int


def summary(net: Layer, input_size: Any = None, dtypes: Any = None, input: Any = None) -> dict[str, int]:
    """Run the network on random numbers and print its layers; ``total_params`` and ``trainable_params``.

    Args:
        input_size: a shape, an ``InputSpec``, or a list of them; unknown sizes count as 1.
        dtypes: the inputs' element type, or a list of them.
        input: a tensor to run instead.

    Raises:
        ArgumentError: neither a size nor an input.
    """
    inputs = (
        _inputs(input_size, dtypes)
        if input is None
        else list(input)
        if isinstance(input, (list, tuple))
        else [input]
    )
    rows: dict[str, _Row] = {}
    hooks = [layer.register_forward_post_hook(_noting(rows)) for layer in _shown(net)]
    modes = [(layer, layer.training) for layer in net.sublayers(include_self=True)]
    net.eval()
    try:
        with torch.no_grad():
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes:
            layer.training = mode
    total = sum(row.parameters for row in rows.values())
    learning = sum(row.learning for row in rows.values())
    _print(list(rows.values()), total, learning, sum(x.size for x in inputs))
    return {"total_params": total, "trainable_params": learning}


def _shown(net: Layer) -> list[Layer]:
    """Every layer but those that only hold others; of a network without parts, itself."""
    parts = net.sublayers()
    alone = [] if parts else [net]
    return alone + [p for p in parts if isinstance(p, _Stack) or not isinstance(p, (Sequential, LayerList))]


def _inputs(input_size: Any, dtypes: Any) -> list[Tensor]:
    if input_size is None:
        raise ArgumentError("summary: give input_size, for instance (1, 1, 28, 28)")
    if isinstance(input_size, dict):
        raise ArgumentError("summary: input_size must be a shape or a list of shapes")
    sizes = [input_size] if hasattr(input_size, "shape") or not _nested(input_size) else list(input_size)
    kinds = list(dtypes) if isinstance(dtypes, (list, tuple)) else [dtypes] * len(sizes)
    if len(kinds) != len(sizes):
        raise ArgumentError(f"summary: {len(sizes)} inputs, {len(kinds)} element types")
    made = []
    for size, kind in zip(sizes, kinds, strict=True):
        spec = getattr(size, "dtype", None)
        shape = [1 if part is None or part < 0 else int(part) for part in getattr(size, "shape", size)]
        dtype = (
            default_float() if kind is None and spec is None else to_dtype(kind if kind is not None else spec)
        )
        made.append(wrap(torch.rand(shape, device=current_device()).to(dtype)))
    return made


def _nested(size: Any) -> bool:
    return any(isinstance(part, (list, tuple)) or hasattr(part, "shape") for part in size)


def _noting(rows: dict[str, _Row]) -> Callable[..., None]:
    def hook(layer: Layer, inputs: Any, output: Any) -> None:
        number = layer.full_name().rpartition("_")[2]
        name = f"{type(layer).__name__}-{int(number) + 1 if number.isdigit() else len(rows) + 1}"
        own = layer.parameters(include_sublayers=False)
        learning = sum(p.size for p in own if not p.stop_gradient)
        rows[name] = _Row(name, _shapes(list(inputs)), _shapes(output), sum(p.size for p in own), learning)

    return hook


def _shapes(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_shapes(part) for part in value]
    return getattr(value, "shape", [])


def _count(shapes: Any) -> int:
    if shapes and isinstance(shapes[0], list):
        return sum(map(_count, shapes))
    return math.prod(shapes)


def _print(rows: list[_Row], total: int, learning: int, inputs: int) -> None:
    heads = ("Layer (type)", "Input Shape", "Output Shape", "Param #")
    cells = [(row.name, str(row.inputs), str(row.outputs), f"{row.parameters:,}") for row in rows]
    least = (15, 20, 20, 15)
    widths = [max([low, *(len(cell[i]) for cell in cells)]) for i, low in enumerate(least)]
    wide = max(75, sum(widths) + 5)
    thin, thick = "-" * wide, "=" * wide
    print(thin)
    for line in (heads, *cells):
        print(" ".join(f"{text:^{width}}" for text, width in zip(line, widths, strict=True)))
        if line is heads:
            print(thick)
    mega = 4.0 / 1024**2
    passes = 2 * mega * sum(_count(row.outputs) for row in rows)
    print(
        f"{thick}\nTotal params: {total:,}\nTrainable params: {learning:,}\n"
        f"Non-trainable params: {total - learning:,}\n{thin}\n"
        f"Input size (MB): {inputs * mega:.2f}\nForward/backward pass size (MB): {passes:.2f}\n"
        f"Params size (MB): {total * mega:.2f}\n"
        f"Estimated Total Size (MB): {(inputs + total) * mega + passes:.2f}\n{thin}\n"
    )
