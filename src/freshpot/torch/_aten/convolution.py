"""Convolutions."""

from __future__ import annotations

from typing import Any

from freshpot.torch._graph import Call, Lowering, aten


@aten("conv1d", "conv2d", "conv3d", "convolution")
def convolution(low: Lowering, call: Call) -> str:
    if call.given.get("transposed"):
        return conv_transpose(low, call)
    padding = _padding(call)
    args = window(call, call.like(call.weight).shape[2:], call.stride, padding, call.dilation)
    return low.op("Conv", _inputs(low, call), group=call.groups, **args)


@aten("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(low: Lowering, call: Call) -> str:
    spatial = call.like().dim() - 2
    if spatial != 2:
        call.refuse(f"only 2 dimensions of space are converted, got {spatial}.")
    if set(per_axis(call.dilation, spatial)) != {1}:
        call.refuse("dilation is not converted.")
    args = window(call, call.like(call.weight).shape[2:], call.stride, call.padding, [1])
    del args["dilations"]
    adjust = per_axis(call.output_padding, spatial)
    return low.op("ConvTranspose", _inputs(low, call), group=call.groups, adjs=adjust, **args)


def _inputs(low: Lowering, call: Call) -> list[str]:
    return low.blobs([node for node in (call.given.get("input"), call.weight, call.bias) if node is not None])


def _padding(call: Call) -> Any:
    """Padding in pixels; the words ``valid`` and ``same`` are worked out for the kernel."""
    if not isinstance(call.padding, str):
        return call.padding
    kernel = call.like(call.weight).shape[2:]
    if call.padding == "valid":
        return [0] * len(kernel)
    spans = [d * (k - 1) for k, d in zip(kernel, per_axis(call.dilation, len(kernel)), strict=True)]
    if any(span % 2 for span in spans):
        call.refuse("padding 'same' of an even kernel is not converted.")
    return [span // 2 for span in spans]


def per_axis(value: Any, count: int) -> list[int]:
    """One number an axis."""
    values = [value] if isinstance(value, int) else [int(v) for v in value]
    return values * count if len(values) == 1 else values


def window(call: Call, kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> dict[str, Any]:
    """The arguments of a sliding window."""
    kernels = [int(k) for k in kernel]
    count = len(kernels)
    pads = per_axis(padding, count)
    return {
        "kernels": kernels,
        "strides": per_axis(stride, count) if stride else kernels,
        "pads": [*pads, *pads],
        "dilations": per_axis(dilation, count),
    }
