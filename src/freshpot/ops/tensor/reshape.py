"""Other shapes for the same elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import INTS, Arg, Port
from freshpot.ops._memory import contiguous, copying
from freshpot.ops._operator import Call, Operator
from freshpot.ops.tensor._clone import clone


def _reshape_rule(g: GradientMaker) -> list[Op]:
    g.copy_arguments = False
    return [g.new("Reshape", [g.GO(0), g.O(1)], [g.GI(0), f"_{g.GI(0)}_dims"])]


class Reshape(Operator):
    """reshaped = data in a new shape, in which 0 keeps a dimension and one -1 is whatever is left.

    If data has no elements, 0 and -1 are both 0.

    Shapes:   data: any; new_shape: (dimensions,), instead of the argument -> reshaped; old_shape: int64
    Raises:   ArgumentError if there is no shape, or two; ShapeError if the elements do not fit in it.
    Source:   caffe2/operators/reshape_op.h
    """

    inputs = (Port("data"), Port("new_shape", INTS, optional=True))
    outputs = (Port("reshaped"), Port("old_shape"))
    args = (Arg("shape", [int], [], "the new shape"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_reshape_rule)

    def setup(self) -> None:
        if self.has("shape") == (self.num_inputs == 2):
            self.refuse("the new shape must be given as an argument or as an input, not both.", ArgumentError)

    def _shape(self, data: Any, new_shape: tuple[Tensor, ...]) -> list[int]:
        wanted = new_shape[0].tolist() if new_shape else self.shape
        if wanted.count(-1) > 1 or any(size < -1 for size in wanted):
            self.refuse(f"new shape {wanted}: at most one dimension may be -1, none may be smaller.")
        if 0 in data.shape and 0 in wanted + [0] * (-1 in wanted):
            return [max(size, 0) for size in wanted]  # of nothing, nothing is kept and nothing is left
        if any(size == 0 and i >= len(data.shape) for i, size in enumerate(wanted)):
            self.refuse(
                f"new shape {wanted} keeps a dimension (0) that data {tuple(data.shape)} does not have."
            )
        shape = [data.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
        whole, known = math.prod(data.shape), math.prod(size for size in shape if size != -1)
        if -1 in shape and known:
            shape[shape.index(-1)] = whole // known
        if math.prod(shape) != whole:
            self.refuse(f"data {tuple(data.shape)} has {whole} elements, which do not fit in {wanted}.")
        return shape

    def _old(self, data: Any) -> Tensor:
        return torch.tensor(data.shape, dtype=torch.int64)

    def kernel(self, data: Any, *new_shape: Tensor) -> tuple[Any, Tensor]:
        return clone(data).reshape(self._shape(data, new_shape)), self._old(data)

    def kernel_inplace(self, data: Any, *new_shape: Tensor) -> tuple[Any, Tensor]:
        return data.reshape(self._shape(data, new_shape)), self._old(data)

    lasting_outputs = (1,)
    lasting_inputs = (1,)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if not contiguous(inputs[0], outputs[0]):
            return None
        outputs[1].copy_(self._old(inputs[0]))
        return [copying(inputs[0].view(outputs[0].shape), outputs[0])]


def _resize_rule(g: GradientMaker) -> list[Op]:
    return [g.new("ResizeLike", [g.GO(0), g.I(0)], [g.GI(0)])]


class Flatten(Operator):
    """Y = X as a matrix: dimensions before ``axis`` are its rows, the others its columns.

    Shapes:   X: at least ``axis`` dimensions -> Y: (rows, columns)
    Raises:   ShapeError if X has fewer dimensions.
    Source:   caffe2/operators/flatten_op.h
    """

    inputs = (Port("X"),)
    outputs = (Port("Y"),)
    args = (Arg("axis", int, 1, "first dimension of the columns"),)
    gradient_rule = staticmethod(_resize_rule)

    def check(self, X: Any) -> None:
        if not 0 <= self.axis <= len(X.shape):
            self.refuse(f"argument 'axis' is {self.axis}, but X has {len(X.shape)} dimensions.")

    def kernel(self, X: Any) -> Any:
        rows, columns = math.prod(X.shape[: self.axis]), math.prod(X.shape[self.axis :])
        return clone(X).reshape(rows, columns)


class FlattenToVec(Operator):
    """Y = X as a vector.

    Shapes:   X: at least one dimension -> Y: (elements,)
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("X", (), "* ..."),)
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_resize_rule)

    def kernel(self, X: Any) -> Any:
        return clone(X).reshape(math.prod(X.shape))


class ResizeLike(Operator):
    """Y = data in the shape of ``shape_tensor``.

    Shapes:   data: any; shape_tensor: any, with as many elements -> Y: as shape_tensor
    Raises:   ShapeError if the number of elements differs.
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("data"), Port("shape_tensor"))
    outputs = (Port("output"),)

    def check(self, data: Any, shape_tensor: Any) -> None:
        if math.prod(data.shape) != math.prod(shape_tensor.shape):
            self.refuse(f"data {tuple(data.shape)} does not fit in {tuple(shape_tensor.shape)}.")

    def kernel(self, data: Any, shape_tensor: Any) -> Any:
        return clone(data).reshape(shape_tensor.shape)


class _Dims(Operator, abstract=True):
    args = (Arg("dims", [int], doc="the dimensions, counted in the tensor that has them"),)
    inplace = ((0, 0),)

    def setup(self) -> None:
        self.places = sorted(set(self.dims))
        if not self.places or self.places[0] < 0:
            self.refuse(f"argument 'dims' must name dimensions from 0 on, got {self.dims}.", ArgumentError)

    def shape_for(self, X: Any) -> list[int]:
        """The new shape."""
        raise NotImplementedError

    def kernel(self, X: Any) -> Any:
        return clone(X).reshape(self.shape_for(X))

    def kernel_inplace(self, X: Any) -> Any:
        return X.reshape(self.shape_for(X))


def _expand_rule(g: GradientMaker) -> list[Op]:
    return [g.new("ExpandDims", [g.GO(0)], [g.GI(0)])]


def _squeeze_rule(g: GradientMaker) -> list[Op]:
    return [g.new("Squeeze", [g.GO(0)], [g.GI(0)])]


class Squeeze(_Dims):
    """Y = X without the dimensions ``dims``, which must be 1.

    Shapes:   data: 1 in ``dims`` -> squeezed: the other dimensions
    Raises:   ShapeError if one of them is not 1 or not there; ArgumentError if none is named.
    Source:   caffe2/operators/expand_squeeze_dims_op.h
    """

    inputs = (Port("data"),)
    outputs = (Port("squeezed"),)
    gradient_rule = staticmethod(_expand_rule)

    def check(self, X: Any) -> None:
        if self.places[-1] >= len(X.shape) or any(X.shape[d] != 1 for d in self.places):
            self.refuse(f"data {tuple(X.shape)} is not 1 in all of the dimensions {self.places}.")

    def shape_for(self, X: Any) -> list[int]:
        return [size for i, size in enumerate(X.shape) if i not in self.places]


class ExpandDims(_Dims):
    """Y = X with dimensions of 1 put in, so that they are at ``dims``.

    Shapes:   data: any -> expanded: 1 in ``dims``
    Raises:   ShapeError if Y would not have that many dimensions; ArgumentError if none is named.
    Source:   caffe2/operators/expand_squeeze_dims_op.h
    """

    inputs = (Port("data"),)
    outputs = (Port("expanded"),)
    gradient_rule = staticmethod(_squeeze_rule)

    def check(self, X: Any) -> None:
        if self.places[-1] >= len(X.shape) + len(self.places):
            self.refuse(
                f"data {tuple(X.shape)} with {len(self.places)} more dimensions has no dimension {self.places[-1]}."
            )

    def shape_for(self, X: Any) -> list[int]:
        shape = list(X.shape)
        for d in self.places:
            shape.insert(d, 1)
        return shape


class Shape(Operator):
    """shape = the sizes of X's dimensions, or of those in ``axes``.

    Shapes:   X: any -> shape: (dimensions,) int64
    Raises:   ShapeError if one of ``axes`` is not there.
    Source:   caffe2/operators/shape_op.h
    """

    inputs = (Port("X"),)
    outputs = (Port("shape"),)
    args = (Arg("axes", [int], [], "only these dimensions"),)

    def check(self, X: Any) -> None:
        if any(not 0 <= axis < len(X.shape) for axis in self.axes):
            self.refuse(
                f"argument 'axes' {self.axes} names a dimension that X {tuple(X.shape)} does not have."
            )

    def kernel(self, X: Any) -> Tensor:
        sizes = [X.shape[axis] for axis in self.axes] if self.axes else list(X.shape)
        return torch.tensor(sizes, dtype=torch.int64, device=self.device)


class Size(Operator):
    """size = how many elements X has.

    Shapes:   X: any -> size: () int64
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("X"),)
    outputs = (Port("size"),)
    gradient_stops = True

    def kernel(self, X: Any) -> Tensor:
        return torch.tensor(math.prod(X.shape), dtype=torch.int64, device=self.device)
