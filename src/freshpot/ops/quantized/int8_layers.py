"""Layers on 8 bit tensors: convolution, full connection, pooling, resizing. Images are (N, H, W, C).

Sums are exact; the result is rounded once, as the original's is.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from freshpot.errors import ArgumentError, DTypeError
from freshpot.net.schema import Arg, Port
from freshpot.ops._window import WINDOW_ARGS, Windowed, fitted
from freshpot.ops.dtypes import describe
from freshpot.ops.quantized.int8 import SCALE, ZERO, Quantized, centred
from freshpot.ops.quantized_tensor import QuantizedTensor

_LAYER = (Port("X"), Port("filter"), Port("bias", optional=True))


class _Layer(Windowed, Quantized, abstract=True):
    """A window over 8 bit images."""

    args = (*WINDOW_ARGS, SCALE, ZERO)
    outputs = (Port("Y"),)
    relu: ClassVar[bool] = False

    def setup(self) -> None:
        Quantized.setup(self)
        Windowed.setup(self)
        if not self.nhwc:
            self.refuse("argument 'order' must be NHWC.", ArgumentError)

    @property
    def floor(self) -> int:
        """The least byte of the output."""
        return int(self.Y_zero_point) if self.relu else 0

    def windows(self, X: Tensor, value: float) -> tuple[Tensor, Tensor]:
        """X (N, C, H, W) padded, and its windows (N, C, H', W', h, w)."""
        layout = self.layout(tuple(X.shape[2:]))
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernels, strict=True)]
        whole = fitted(X, layout, spans, self.strides, value)
        parts = whole
        for i, (span, stride, dilation) in enumerate(zip(spans, self.strides, self.dilations, strict=True)):
            parts = parts.unfold(i + 2, span, stride)[..., ::dilation]
        return whole, parts


def _check_filter(operator: Any, X: Any, W: Any, bias: tuple[Any, ...]) -> None:
    for b in bias:
        if not isinstance(b, QuantizedTensor) or b.values.dtype != torch.int32 or b.values.dim() != 1:
            operator.refuse(f"bias must be a vector of int32 with a scale, got {describe(b)}.", DTypeError)
        if b.zero_point != 0 or abs(b.scale - X.scale * W.scale) > 1e-4 * b.scale:
            operator.refuse(
                f"bias must have zero point 0 and the scale of X times that of the filter, {X.scale * W.scale:g}; "
                f"got {b.zero_point} and {b.scale:g}.",
                ArgumentError,
            )


class _Conv(_Layer, abstract=True):
    inputs = _LAYER
    args = (*WINDOW_ARGS, SCALE, ZERO, Arg("group", int, 1, "groups of channels"))
    quantized_inputs = 2

    def check(self, X: Any, W: Any, *bias: Any) -> None:
        Quantized.check(self, X, W)
        if X.values.dim() != 4 or W.values.dim() != 4 or list(W.shape[1:3]) != self.kernels:
            self.refuse(
                f"X must be (N, H, W, C), and the filter (M, {self.kernels[0]}, {self.kernels[1]}, C / group)."
            )
        if self.group < 1 or W.shape[3] * self.group != X.shape[3] or W.shape[0] % self.group:
            self.refuse(f"X {tuple(X.shape)}, filter {tuple(W.shape)} and {self.group} groups do not fit.")
        _check_filter(self, X, W, bias)
        if bias and bias[0].values.numel() != W.shape[0]:
            self.refuse(f"bias must have {W.shape[0]} elements, got {bias[0].values.numel()}.")

    def kernel(self, X: QuantizedTensor, W: QuantizedTensor, *bias: QuantizedTensor) -> Any:
        whole, _ = self.windows(centred(X).movedim(-1, 1), 0.0)
        b = bias[0].values.double() if bias else None
        weights = centred(W).movedim(-1, 1)
        total = conv2d(whole, weights, b, self.strides, 0, self.dilations, self.group)
        return self.store(total.movedim(1, -1).contiguous() * (X.scale * W.scale / self.Y_scale), self.floor)


class _FC(Quantized, abstract=True):
    inputs = (Port("X"), Port("W"), Port("b"), Port("Qparam", optional=True))
    outputs = (Port("Y"), *(Port(f"unused_{i}", optional=True) for i in range(3)))
    args = (
        SCALE,
        ZERO,
        Arg("axis", int, 1, "first dimension of X's columns"),
        Arg("axis_w", int, 1, "of W's columns"),
    )
    quantized_inputs = 2

    def setup(self) -> None:
        super().setup()
        if self.num_inputs > 3 or self.num_outputs > 1:
            self.refuse("takes X, W and b alone, and makes Y alone.", ArgumentError)

    def check(self, X: Any, W: Any, *bias: Any) -> None:
        super().check(X, W)
        columns, wanted = X.shape[self.axis :].numel(), W.shape[self.axis_w :].numel()
        if columns != wanted:
            self.refuse(f"rows of X have {columns} elements, those of W {wanted}.")
        _check_filter(self, X, W, bias)

    def kernel(self, X: QuantizedTensor, W: QuantizedTensor, b: QuantizedTensor) -> Any:
        rows = centred(X).reshape(X.shape[: self.axis].numel(), -1)
        weights = centred(W).reshape(W.shape[: self.axis_w].numel(), -1)
        total = rows @ weights.t() + b.values.double()
        made = total.reshape(*X.shape[: self.axis], len(weights)) * (X.scale * W.scale / self.Y_scale)
        return self.store(made)


class _MaxPool(_Layer, abstract=True):
    inputs = (Port("X"),)
    args = (*WINDOW_ARGS, SCALE, ZERO, Arg("global_pooling", bool, False, "1: one window, the whole image"))
    needs_kernel = False
    keeps = True

    def check(self, X: Any) -> None:
        Quantized.check(self, X)
        if X.values.dim() != 4:
            self.refuse(f"X must be (N, H, W, C), got {tuple(X.shape)}.")
        if not self.global_pooling and not all(self.kernels):
            self.refuse("the kernel must be given.", ArgumentError)

    def parts(self, X: QuantizedTensor, value: float) -> Tensor:
        """What each window sees, (N, C, H', W', elements), in steps from the zero point."""
        images = centred(X).movedim(-1, 1)
        if self.global_pooling:
            return images.reshape(*images.shape[:2], 1, 1, -1)
        return self.windows(images, value)[1].flatten(-2)

    def kernel(self, X: QuantizedTensor) -> Any:
        best = self.parts(X, -torch.inf).amax(-1).movedim(1, -1).contiguous()
        return self.store(best, self.floor)


class _AveragePool(_MaxPool, abstract=True):
    keeps = False

    def kernel(self, X: QuantizedTensor) -> Any:
        mean = self.parts(X, 0.0).mean(-1).movedim(1, -1).contiguous()
        return self.store(mean * (X.scale / self.Y_scale), self.floor)


def _define(name: str, base: type, says: str, relu: bool) -> None:
    type(
        name,
        (base,),
        {
            "__doc__": f"{says}{', then max(Y, 0)' * relu}.\n\nRaises:   ShapeError, ArgumentError if the inputs do "
            "not fit each other.\nSource:   caffe2/operators/quantized/int8_conv_op.h, int8_fc_op.h, "
            "int8_max_pool_op.h, int8_average_pool_op.h",
            "__module__": __name__,
            "relu": relu,
        },
    )


_define("Int8Conv", _Conv, "Y = convolution of X with the filter, plus bias", False)
_define("Int8ConvRelu", _Conv, "Y = convolution of X with the filter, plus bias", True)
_define("Int8FC", _FC, "Y = X * W^T + b", False)
_define("Int8MaxPool", _MaxPool, "Y = greatest element of each window", False)
_define("Int8MaxPoolRelu", _MaxPool, "Y = greatest element of each window", True)
_define("Int8AveragePool", _AveragePool, "Y = mean of each window, padding counted as 0", False)
_define("Int8AveragePoolRelu", _AveragePool, "Y = mean of each window, padding counted as 0", True)


class Int8ResizeNearest(Quantized):
    """Y[y, x] = X[y / height_scale, x / width_scale], rounded down.

    Shapes:   X: (N, H, W, C) -> Y: (N, H * height_scale, W * width_scale, C)
    Source:   caffe2/operators/quantized/int8_resize_nearest_op.h
    """

    inputs = (Port("X"),)
    outputs = (Port("Y"),)
    args = (
        SCALE,
        ZERO,
        Arg("width_scale", float, 1.0, "growth of the width"),
        Arg("height_scale", float, 1.0, "growth of the height"),
        Arg("output_size", [int], [], "height and width, instead of the scales"),
        Arg("order", str, "NHWC", "must be NHWC", choices=("NHWC",)),
    )
    keeps = True

    def kernel(self, X: QuantizedTensor) -> Any:
        if X.values.dim() != 4:
            self.refuse(f"X must be (N, H, W, C), got {tuple(X.shape)}.")
        sizes = X.shape[1:3]
        made = self.output_size or [
            int(n * s) for n, s in zip(sizes, (self.height_scale, self.width_scale), strict=True)
        ]
        if len(made) != 2 or min(made) < 1:
            self.refuse(f"the output would be {made} pixels.")
        rows, columns = (
            (torch.arange(new) * (old / new)).long().clamp(max=old - 1)
            for old, new in zip(sizes, made, strict=True)
        )
        return self.moved(X.values[:, rows][:, :, columns])
