"""Convolutions."""

from __future__ import annotations

from typing import Any

from freshpot.torch._graph import Call, Lowering, aten


@aten("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
def convolution(low: Lowering, call: Call) -> str:
    if call.given.get("transposed"):
        return conv_transpose(low, call)
    args = window(call, call.like(call.weight).shape[2:], call.stride, 0, call.dilation)
    args["pads"] = _padding(call)
    return low.op("Conv", _inputs(low, call), group=call.groups, **args)


@aten("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(low: Lowering, call: Call) -> str:
    spatial = call.like().dim() - 2
    args = window(call, call.like(call.weight).shape[2:], call.stride, call.padding, call.dilation)
    adjust = per_axis(call.output_padding, spatial)
    if spatial == 2 and set(args["dilations"]) == {1}:
        del args["dilations"]
        return low.op("ConvTranspose", _inputs(low, call), group=call.groups, adjs=adjust, **args)
    if any(adjust):
        call.refuse("output_padding is converted for 2 dimensions of space without dilation alone.")
    return low.op("Deconvolution", _inputs(low, call), group=call.groups, **args)


@aten("convolution_backward")
def convolution_backward(low: Lowering, call: Call) -> list[str | None]:
    """The gradient of the input alone, which is how transposed convolutions are computed."""
    read = {user.args[1] for user in call.node.users if user.users}
    kernel = [int(k) for k in call.like(call.weight).shape[2:]]
    if read != {0} or call.transposed or len(kernel) != 2 or set(call.dilation) != {1}:
        call.refuse("only the gradient of a 2-dimensional convolution's input is converted.")
    args = window(call, kernel, call.stride, call.padding, call.dilation)
    del args["dilations"]
    old, new = call.like(call.grad_output).shape[2:], call.like(call.input).shape[2:]
    rows = zip(new, old, args["strides"], kernel, args["pads"], strict=False)
    adjust = [int(n) - ((int(o) - 1) * s + k - 2 * p) for n, o, s, k, p in rows]
    inputs = low.blobs([call.grad_output, call.weight])
    return [low.op("ConvTranspose", inputs, group=call.groups, adjs=adjust, **args), None, None]


def _inputs(low: Lowering, call: Call) -> list[str]:
    return low.blobs([node for node in (call.given.get("input"), call.weight, call.bias) if node is not None])


def _padding(call: Call) -> list[int]:
    """Padding in pixels, heads then tails; the words ``valid`` and ``same`` are worked out for the kernel."""
    kernel = [int(k) for k in call.like(call.weight).shape[2:]]
    if not isinstance(call.padding, str):
        return per_axis(call.padding, len(kernel)) * 2
    spans = [d * (k - 1) for k, d in zip(kernel, per_axis(call.dilation, len(kernel)), strict=True)]
    if call.padding == "valid":
        spans = [0] * len(kernel)
    return [span // 2 for span in spans] + [span - span // 2 for span in spans]


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
