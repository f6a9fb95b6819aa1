"""Operators on 8 bit tensors: to and from floats, elementwise, and what only moves elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError, NotSupportedError
from freshpot.net.schema import FLOAT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe
from freshpot.ops.quantized_tensor import QuantizedTensor

SCALE = Arg("Y_scale", float, 1.0, "what one step of the output is worth, > 0")
ZERO = Arg("Y_zero_point", int, 0, "the output's number for 0")


class Quantized(Operator, abstract=True):
    """Base of operators that make an 8 bit tensor with the scale and zero point of their arguments."""

    args: ClassVar[tuple[Arg, ...]] = (SCALE, ZERO)
    #: how many of the inputs, from the first on, are 8 bit tensors
    quantized_inputs: ClassVar[int] = 1
    #: whether the output has the input's scale and zero point, and no arguments for them are needed
    keeps: ClassVar[bool] = False

    def setup(self) -> None:
        if self.Y_scale <= 0:
            self.refuse(f"argument 'Y_scale' must be positive, got {self.Y_scale}.", ArgumentError)

    def check(self, *inputs: Any) -> None:
        for port, value in zip(range(self.quantized_inputs), inputs, strict=False):
            if not isinstance(value, QuantizedTensor):
                self.refuse(
                    f"input {port} must be an 8 bit tensor, got {describe(value)}; use Int8Quantize.",
                    DTypeError,
                )
        if self.keeps and (self.Y_scale, self.Y_zero_point) != (inputs[0].scale, inputs[0].zero_point):
            self._check_kept(inputs[0])

    def _check_kept(self, X: QuantizedTensor) -> None:
        if abs(self.Y_scale - X.scale) > 1e-6 * X.scale or self.Y_zero_point != X.zero_point:
            self.refuse(
                f"the output's scale and zero point ({self.Y_scale}, {self.Y_zero_point}) must be those of the input "
                f"({X.scale}, {X.zero_point}).",
                ArgumentError,
            )

    def infer(self, *_: Any) -> Sequence[Any] | None:
        return None

    def store(self, steps: Tensor, floor: int = 0) -> QuantizedTensor:
        """From numbers of output steps (0 is the zero point), rounded to even and cut to 8 bits."""
        values = (torch.round(steps) + self.Y_zero_point).clamp(max(floor, 0), 255)
        return QuantizedTensor(values.to(torch.uint8), self.Y_scale, self.Y_zero_point)

    def moved(self, values: Tensor) -> QuantizedTensor:
        """The output, from bytes that are already in its scale."""
        return QuantizedTensor(values.contiguous().clone(), self.Y_scale, self.Y_zero_point)


def centred(X: QuantizedTensor) -> Tensor:
    """Steps from the zero point, exact in float64."""
    return X.values.double() - X.zero_point


_X = (Port("X"),)
_Y = (Port("Y"),)


class Int8Quantize(Quantized):
    """Y = round(X / Y_scale) + Y_zero_point, cut to 0..255.

    Shapes:   X: any float -> Y: as X, 8 bit
    Source:   caffe2/operators/quantized/int8_quantize_op.h
    """

    inputs = (Port("X", FLOAT), Port("Qparam", optional=True))
    outputs = _Y
    quantized_inputs = 0

    def setup(self) -> None:
        super().setup()
        if self.num_inputs > 1:
            raise NotSupportedError(
                f"{self.op}: scale and zero point as an input are not done; give them as arguments."
            )

    def kernel(self, X: Tensor) -> Any:
        return self.store(X.double() / self.Y_scale)


class Int8Dequantize(Operator):
    """Y = scale * (qX - zero_point).

    Shapes:   qX: any, 8 bit -> Y: as qX, float32
    Source:   caffe2/operators/quantized/int8_dequantize_op.h
    """

    inputs = (Port("qX"),)
    outputs = _Y

    def check(self, X: Any) -> None:
        if not isinstance(X, QuantizedTensor):
            self.refuse(f"the input must be an 8 bit tensor, got {describe(X)}.", DTypeError)

    def kernel(self, X: QuantizedTensor) -> Tensor:
        return (X.values.int() - X.zero_point).float() * X.scale

    def infer(self, *_: Any) -> None:
        return None


class Int8GivenTensorFill(Quantized):
    """Bytes from an argument.

    Raises:   ArgumentError if there are not as many bytes as the shape says.
    Source:   caffe2/operators/quantized/int8_given_tensor_fill_op.h
    """

    outputs: ClassVar[tuple[Port, ...]] = (Port("Tensor"),)
    args = (SCALE, ZERO, Arg("shape", [int], doc="the shape"), Arg("values", bytes, doc="the bytes"))
    quantized_inputs = 0

    def setup(self) -> None:
        super().setup()
        given = self.values
        count = torch.Size(self.shape).numel()
        if len(given) != count:
            self.refuse(f"argument 'values' has {len(given)} elements for a shape of {count}.", ArgumentError)
        self.filling = self.fill(given).reshape(self.shape)

    def fill(self, given: Any) -> Tensor:
        """The elements, in a row."""
        return torch.tensor(list(given), dtype=torch.uint8, device=self.device)

    def kernel(self) -> Any:
        return self.moved(self.filling)


class Int8GivenIntTensorFill(Int8GivenTensorFill):
    """Numbers (int32) from an argument, as for the bias of Int8Conv.

    Raises:   ArgumentError if there are not as many numbers as the shape says.
    Source:   caffe2/operators/quantized/int8_given_tensor_fill_op.h
    """

    args = (SCALE, ZERO, Arg("shape", [int], doc="the shape"), Arg("values", [int], doc="the numbers"))

    def fill(self, given: Any) -> Tensor:
        return torch.tensor(given, dtype=torch.int32, device=self.device)


class Int8Relu(Quantized):
    """Y = max(X, 0).

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/quantized/int8_relu_op.h
    """

    inputs = _X
    outputs = _Y
    inplace = ((0, 0),)
    keeps = True

    def kernel(self, X: QuantizedTensor) -> Any:
        return self.moved(X.values.clamp(min=X.zero_point))


class Int8LeakyRelu(Quantized):
    """Y = X where X > 0, else alpha * X.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/quantized/int8_leaky_relu_op.h
    """

    inputs = _X
    outputs = _Y
    args = (SCALE, ZERO, Arg("alpha", float, 0.01, "scale of the negative side, between 0 and 1"))
    inplace = ((0, 0),)

    def kernel(self, X: QuantizedTensor) -> Any:
        x = centred(X).float()  # in single precision, as the original: halves are common, and rounded to even
        return self.store(torch.where(x > 0, x, x * self.alpha) * (X.scale / self.Y_scale))


class _Exact(Quantized, abstract=True):
    """An output whose scale is 1/256 and zero point 0."""

    inputs: ClassVar[tuple[Port, ...]] = _X
    outputs = _Y

    def setup(self) -> None:
        super().setup()
        if (self.Y_scale, self.Y_zero_point) != (1 / 256, 0):
            self.refuse("the output's scale must be 1/256 and its zero point 0.", ArgumentError)


class Int8Sigmoid(_Exact):
    """Y = 1 / (1 + exp(-X)).

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError unless Y_scale is 1/256 and Y_zero_point 0.
    Source:   caffe2/operators/quantized/int8_sigmoid_op.h
    """

    def kernel(self, X: QuantizedTensor) -> Any:
        return self.store(torch.sigmoid(centred(X) * X.scale) / self.Y_scale)


class Int8Softmax(_Exact):
    """Y = exp(X) / sum of exp(X), along all dimensions from ``axis`` on.

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError unless Y_scale is 1/256 and Y_zero_point 0, or if the dimension is not there.
    Source:   caffe2/operators/quantized/int8_softmax_op.h
    """

    args = (SCALE, ZERO, Arg("axis", int, 1, "first dimension of what sums to 1"))

    def kernel(self, X: QuantizedTensor) -> Any:
        if not -X.values.dim() <= self.axis < X.values.dim():
            self.refuse(
                f"argument 'axis' is {self.axis}, but X has {X.values.dim()} dimensions.", ArgumentError
            )
        x = centred(X) * X.scale
        flat = x.reshape(x.shape[: self.axis % x.dim()].numel(), -1)
        return self.store(torch.softmax(flat, 1).reshape(x.shape) / self.Y_scale)


class _Add(Quantized, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("A"), Port("B"))
    outputs = (Port("C"),)
    inplace = ((0, 0), (1, 0))
    quantized_inputs = 2
    relu: ClassVar[bool] = False

    def check(self, *inputs: Any) -> None:
        super().check(*inputs)
        if len(inputs) != 2 or inputs[0].shape != inputs[1].shape:
            self.refuse(
                f"takes two tensors of one shape, got {', '.join(str(tuple(x.shape)) for x in inputs)}."
            )

    def kernel(self, A: QuantizedTensor, B: QuantizedTensor) -> Any:
        total = centred(A) * (A.scale / self.Y_scale) + centred(B) * (B.scale / self.Y_scale)
        return self.store(total, self.Y_zero_point if self.relu else 0)


for _name, _relu in (("Int8Add", False), ("Int8AddRelu", True), ("Int8Sum", False), ("Int8SumRelu", True)):
    type(
        _name,
        (_Add,),
        {
            "__doc__": f"C = {'max(A + B, 0)' if _relu else 'A + B'}.\n\nShapes:   A, B: any -> C: as A\n"
            "Source:   caffe2/operators/quantized/int8_add_op.h",
            "__module__": __name__,
            "relu": _relu,
            **({"inputs": (Port("A", many=True),)} if "Sum" in _name else {}),
        },
    )


class Int8ChannelShuffle(Quantized):
    """Channel c of group g becomes channel g of group c.

    Shapes:   X: (N, H, W, C) -> Y: as X
    Raises:   ShapeError if C is not a multiple of ``group``.
    Source:   caffe2/operators/quantized/int8_channel_shuffle_op.h
    """

    inputs = _X
    outputs = _Y
    args = (SCALE, ZERO, Arg("group", int, 1, "groups"), Arg("order", str, "NCHW", "must be NHWC"))
    keeps = True

    def setup(self) -> None:
        super().setup()
        if self.order != "NHWC":
            self.refuse("argument 'order' must be NHWC.", ArgumentError)

    def kernel(self, X: QuantizedTensor) -> Any:
        C = X.shape[-1]
        if self.group < 1 or C % self.group:
            self.refuse(f"{C} channels are not a multiple of {self.group} groups.")
        grouped = X.values.unflatten(-1, (self.group, C // self.group))
        return self.moved(grouped.transpose(-1, -2).reshape(X.shape))


class Int8Flatten(Quantized):
    """All dimensions before ``axis`` become one, and all from it on.

    Shapes:   input: any -> output: (before, after)
    Source:   caffe2/operators/quantized/int8_flatten_op.h
    """

    inputs = (Port("input"),)
    outputs = (Port("output"),)
    args = (SCALE, ZERO, Arg("axis", int, 1, "first dimension of the second"))
    keeps = True

    def kernel(self, X: QuantizedTensor) -> Any:
        if not 0 <= self.axis <= X.values.dim():
            self.refuse(
                f"argument 'axis' is {self.axis}, but the input has {X.values.dim()} dimensions.",
                ArgumentError,
            )
        return self.moved(X.values.reshape(X.shape[: self.axis].numel(), X.shape[self.axis :].numel()))


class Int8Reshape(Quantized):
    """The same elements in another shape; 0: as before, -1: what remains.

    Shapes:   data: any; new_shape: if the argument is not given -> reshaped; old_shape: (dimensions,) int64
    Raises:   ShapeError if the elements do not fit.
    Source:   caffe2/operators/quantized/int8_reshape_op.h
    """

    inputs = (Port("data"), Port("new_shape", INTS, optional=True))
    outputs = (Port("reshaped"), Port("old_shape"))
    args = (SCALE, ZERO, Arg("shape", [int], [], "the new shape"))
    inplace = ((0, 0),)
    keeps = True

    def kernel(self, X: QuantizedTensor, *given: Tensor) -> tuple[Any, ...]:
        wanted = given[0].tolist() if given else self.shape
        if any(n == 0 and i >= X.values.dim() for i, n in enumerate(wanted)):
            self.refuse(f"{wanted} keeps a dimension that {tuple(X.shape)} does not have.")
        wanted = [X.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
        try:
            made = X.values.reshape(wanted)
        except RuntimeError:
            self.refuse(f"{tuple(X.shape)} does not fit into {wanted}.")
        return self.moved(made), torch.tensor(list(X.shape), dtype=torch.int64)


class Int8Transpose(Quantized):
    """Y's dimension i is X's dimension axes[i]; without axes, in reverse.

    Shapes:   X: any -> Y
    Raises:   ArgumentError if axes are not all dimensions, once each.
    Source:   caffe2/operators/quantized/int8_transpose_op.h
    """

    inputs = _X
    outputs = _Y
    args = (SCALE, ZERO, Arg("axes", [int], [], "dimensions of X, in the new order"))
    keeps = True

    def kernel(self, X: QuantizedTensor) -> Any:
        axes = self.axes or list(range(X.values.dim()))[::-1]
        if sorted(axes) != list(range(X.values.dim())):
            self.refuse(
                f"argument 'axes' must be the {X.values.dim()} dimensions in some order.", ArgumentError
            )
        return self.moved(X.values.permute(axes))


class Int8Slice(Quantized):
    """X from ``starts`` up to ``ends`` in each dimension; a negative end -k stands for size + 1 - k.

    Shapes:   data: any; starts, ends: (dimensions,), instead of the arguments -> output
    Raises:   ShapeError if the ranges do not fit the dimensions.
    Source:   caffe2/operators/quantized/int8_slice_op.h
    """

    inputs = (Port("data"), Port("starts", INTS, optional=True), Port("ends", INTS, optional=True))
    outputs = (Port("output"),)
    args = (
        SCALE,
        ZERO,
        Arg("starts", [int], [], "first elements"),
        Arg("ends", [int], [], "elements after the last ones"),
        Arg("dim", int, -1, "slice this dimension alone"),
        Arg("start_idx", int, 0, "first element of ``dim``"),
        Arg("end_idx", int, -1, "element after the last of ``dim``"),
    )
    keeps = True

    def kernel(self, X: QuantizedTensor, *given: Tensor) -> Any:
        count = X.values.dim()
        starts, ends = (t.tolist() for t in given) if len(given) == 2 else (self.starts, self.ends)
        if self.dim >= 0:
            starts, ends = [0] * count, [-1] * count
            starts[self.dim : self.dim + 1], ends[self.dim : self.dim + 1] = [self.start_idx], [self.end_idx]
        if len(starts) > count or len(starts) != len(ends):
            self.refuse(f"there are {len(starts)} starts and {len(ends)} ends for {count} dimensions.")
        made = X.values
        for d, (start, end) in enumerate(zip(starts, ends, strict=True)):
            size = made.shape[d]
            first, last = (k + size + 1 if k < 0 else min(k, size) for k in (start, end))
            if not 0 <= first <= last <= size:
                self.refuse(f"dimension {d} of {size} elements has no range from {start} to {end}.")
            made = made.narrow(d, first, last - first)
        return self.moved(made)


class Int8Concat(Quantized):
    """The inputs one after another along a dimension.

    Shapes:   inputs: alike but for that dimension -> output; split_info: (inputs,) int32, sizes along it
    Raises:   ArgumentError if an input has another scale or zero point than the output.
    Source:   caffe2/operators/quantized/int8_concat_op.h
    """

    inputs = (Port("inputs", many=True),)
    outputs = (Port("concat_result"), Port("split_info", optional=True))
    args = (
        SCALE,
        ZERO,
        Arg("axis", int, -1, "the dimension; if not given, the channels'"),
        Arg("order", str, "NCHW", "if ``axis`` is not given, must be NHWC"),
        Arg("add_axis", bool, False, "must be 0"),
    )
    quantized_inputs = 1 << 16

    def setup(self) -> None:
        super().setup()
        if self.add_axis or not (self.has("axis") or self.order == "NHWC"):
            self.refuse(
                "argument 'axis' must be given, or 'order' be NHWC; 'add_axis' must be 0.", ArgumentError
            )
        self.place = self.axis if self.has("axis") else 3

    def check(self, *inputs: Any) -> None:
        super().check(*inputs)
        for X in inputs:
            self._check_kept(X)

    def kernel(self, *inputs: QuantizedTensor) -> tuple[Any, ...]:
        sizes = [X.shape[self.place] for X in inputs]
        made = torch.cat([X.values for X in inputs], self.place)
        return self.moved(made), torch.tensor(sizes, dtype=torch.int32)
