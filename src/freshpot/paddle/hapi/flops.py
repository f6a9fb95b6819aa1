"""flops: how many operations a network takes, by the original's counting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle import nn as _nn
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.nn import activations
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.tensor.creation import randn

__all__ = ["flops"]

nn: Any = _nn


def _conv(layer: Any, x: Tensor, y: Tensor) -> int:
    bias = 1 if layer.bias is not None else 0
    groups = getattr(layer, "_groups", None) or layer._options["groups"]
    return int(y.size * (x.shape[1] / groups * math.prod(layer.weight.shape[2:]) + bias))


def _adaptive(layer: Any, x: Tensor, y: Tensor) -> int:
    windows = [a // b for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
    return (math.prod(windows) + 1) * y.size


#: kinds of layers -> operations, from layer, input and output; kinds that are not there count as nothing
_COUNTS: dict[tuple[Any, ...], Callable[[Any, Tensor, Tensor], int]] = {
    (nn.Conv1D, nn.Conv2D, nn.Conv3D, nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose): _conv,
    (nn.BatchNorm2D, nn.BatchNorm): lambda layer, x, y: 2 * x.size,
    (nn.ReLU, nn.ReLU6, nn.Dropout): lambda layer, x, y: 0,
    (nn.LeakyReLU,): lambda layer, x, y: x.size,
    (nn.Linear,): lambda layer, x, y: layer.weight.shape[0] * y.size,
    (nn.AvgPool1D, nn.AvgPool2D, nn.AvgPool3D): lambda layer, x, y: y.size,
    (nn.AdaptiveAvgPool1D, nn.AdaptiveAvgPool2D, nn.AdaptiveAvgPool3D): _adaptive,
}


def flops(net: Layer, input_size: Any, custom_ops: Any = None, print_detail: bool = False) -> int:
    """Multiplications (with additions) of one pass, printed and returned.

    Args:
        input_size: the input's shape.
        custom_ops: kinds of layers -> functions of layer, inputs and output that add to ``layer.total_ops``.

    Raises:
        ArgumentError: not a layer.
    """
    if not isinstance(net, Layer):
        raise ArgumentError(f"flops: net must be a layer, got {type(net).__name__}")
    rows: list[tuple[Layer, Any, Any, int]] = []
    told: set[Any] = set()
    hooks = []
    for layer in net.sublayers(include_self=True):
        if not layer.sublayers():
            count = _chosen(type(layer), custom_ops or {}, told)
            hooks.append(layer.register_forward_post_hook(_noting(rows, count)))
    modes = [(layer, layer.training) for layer in net.sublayers(include_self=True)]
    net.eval()
    try:
        with torch.no_grad():
            net(randn(input_size))
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes:
            layer.training = mode
    total = sum(row[3] for row in rows)
    parameters = sum(p.size for layer in net.sublayers(include_self=True) for p in layer.parameters(False))
    if print_detail:
        _print(rows)
    print(f"Total Flops: {total}     Total Params: {parameters}")
    return total


def _chosen(kind: Any, custom: dict[Any, Any], told: set[Any]) -> Callable[[Any, Any, Any], int]:
    """What counts a kind of layer; said once."""
    found: Any = None
    if kind in custom:
        found, said = _custom(custom[kind]), f"Customize Function has been applied to {kind}"
    else:
        found = next((count for kinds, count in _COUNTS.items() if kind in kinds), None)
        plain = f"<class 'paddle.nn.layer.{_place(kind)}.{kind.__name__}'>" if _place(kind) else str(kind)
        said = f"{plain}'s flops has been counted"
        if found is None:
            said = f"Cannot find suitable count function for {plain}. Treat it as zero FLOPs."
    if kind not in told:
        told.add(kind)
        print(said)
    return found or (lambda layer, x, y: 0)


def _place(kind: Any) -> str:
    """The module of the original that a layer of ours is in; "" for layers of others."""
    if not kind.__module__.startswith("freshpot.paddle.nn."):
        return ""
    if kind.__name__ in activations.__all__:
        return "activation"
    words = {"Conv": "conv", "Pool": "pooling", "Norm": "norm", "Loss": "loss", "RNN": "rnn"}
    return next((place for word, place in words.items() if word in kind.__name__), "common")


def _custom(function: Any) -> Callable[[Any, Any, Any], int]:
    def count(layer: Any, x: Any, y: Any) -> int:
        layer.total_ops = 0
        function(layer, (x,), y)
        made = int(layer.total_ops)
        del layer.total_ops
        return made

    return count


def _noting(rows: list[Any], count: Callable[[Any, Any, Any], int]) -> Callable[..., None]:
    def hook(layer: Layer, inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, (list, tuple)) else output
        rows.append((layer, inputs[0].shape, first.shape, abs(int(count(layer, inputs[0], first)))))

    return hook


def _print(rows: list[Any]) -> None:
    cells = [("Layer Name", "Input Shape", "Output Shape", "Params", "Flops")]
    for layer, into, out, count in rows:
        own = sum(p.size for p in layer.parameters(False))
        cells.append((layer.full_name(), str(into), str(out), str(own), str(count)))
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    line = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    print(line)
    for place, row in enumerate(cells):
        print("|" + "|".join(f" {_centred(text, w)} " for text, w in zip(row, widths, strict=True)) + "|")
        if place == 0:
            print(line)
    print(line)


def _centred(text: str, width: int) -> str:
    """In the middle; of an odd rest the larger half is on the right of texts of odd length, else on the left."""
    rest = width - len(text)
    left = rest // 2 + (rest % 2 and len(text) % 2 == 0)
    return " " * left + text + " " * (rest - left)
