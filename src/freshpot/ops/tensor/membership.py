"""Questions about a tensor's elements: which are among others, where, whether there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import BOOL, INTS, STRING, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import NAME, describe, name_of
from freshpot.ops.tensor._clone import clone

_DISCRETE = (*INTS, *BOOL, *STRING)


def _size(value: Any) -> int:
    return int(np.prod(value.shape)) if hasattr(value, "shape") else 0


class _Sized(Operator, abstract=True):
    def check(self, *inputs: Any) -> None:
        for value in inputs:
            if not hasattr(value, "shape"):
                self.refuse(f"the inputs must be tensors, got {describe(value)}.", DTypeError)


class IsEmpty(_Sized):
    """is_empty = whether there are no elements.

    Shapes:   tensor: any -> () bool
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("tensor"),)
    outputs = (Port("is_empty"),)

    def kernel(self, tensor: Any) -> Tensor:
        return torch.tensor(_size(tensor) == 0)


class HasElements(_Sized):
    """has_elements = whether there are any elements, in any of the inputs.

    Shapes:   tensors: any -> () bool
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("tensors", many=True),)
    outputs = (Port("has_elements"),)

    def kernel(self, *tensors: Any) -> Tensor:
        return torch.tensor(any(_size(t) for t in tensors))


class IsMemberOf(Operator):
    """Y = whether each element is one of ``value``.

    Shapes:   X: any -> Y: as X, bool
    Raises:   ArgumentError if ``value`` holds other things than X.
    Source:   caffe2/operators/elementwise_logical_ops.h
    """

    inputs = (Port("X", _DISCRETE),)
    outputs = (Port("Y"),)
    args = (
        Arg("value", [object], [], "elements to look for: numbers or texts"),
        Arg("dtype", int, 0, "X's type, as a number of TensorProto.DataType; 0: not said"),
    )

    def setup(self) -> None:
        if self.dtype and NAME.get(self.dtype) not in _DISCRETE:
            self.refuse(f"argument 'dtype' must name one of {', '.join(_DISCRETE)}.", ArgumentError)
        texts = [isinstance(v, (str, bytes)) for v in self.value]
        if any(texts) and not all(texts):
            self.refuse("argument 'value' must hold numbers or texts, not both.", ArgumentError)
        self.texts = {v.encode() if isinstance(v, str) else v for v in self.value} if any(texts) else None

    def check(self, X: Any) -> None:
        if self.value and (self.texts is not None) != (name_of(X) == "string"):
            self.refuse(f"argument 'value' holds other things than X, which is {describe(X)}.", ArgumentError)

    def kernel(self, X: Any) -> Tensor:
        if isinstance(X, Tensor):
            return torch.isin(X.long(), torch.tensor(self.value, dtype=torch.int64, device=X.device))
        found = [text in (self.texts or ()) for text in X.ravel().tolist()]
        return torch.tensor(found, dtype=torch.bool, device=self.device).reshape(X.shape)


class Find(Operator):
    """query_indices = where each query is in ``index``, the last place if there are several.

    Shapes:   index, query: any, of one type -> query_indices: as query
    Source:   caffe2/operators/find_op.h
    """

    inputs = (Port("index", INTS), Port("query", INTS))
    outputs = (Port("query_indices"),)
    args = (Arg("missing_value", int, -1, "for queries that are not there"),)

    def check(self, index: Tensor, query: Tensor) -> None:
        if index.dtype != query.dtype:
            self.refuse(f"query must be of the index's type, {index.dtype}; got {query.dtype}.", DTypeError)

    def kernel(self, index: Tensor, query: Tensor) -> Tensor:
        if not index.numel():
            return torch.full_like(query, self.missing_value)
        values, order = torch.sort(index.reshape(-1), stable=True)
        last = torch.searchsorted(values, query.contiguous(), right=True) - 1
        there = (last >= 0) & (values[last] == query)
        return torch.where(there, order[last].to(query.dtype), self.missing_value).to(query.dtype)


class FindDuplicateElements(Operator):
    """indices = places of elements that occurred before.

    Shapes:   data: (N,) -> indices: (how many,) int64
    Source:   caffe2/operators/find_duplicate_elements_op.h
    """

    inputs = (Port("data", ("int32", "int64", "float32", "float64", "bool", "string"), "N"),)
    outputs = (Port("indices"),)

    def kernel(self, data: Any) -> Tensor:
        seen: set[Any] = set()
        places = []
        for i, value in enumerate(data.tolist()):
            if value in seen:
                places.append(i)
            seen.add(value)
        return torch.tensor(places, dtype=torch.int64, device=self.device)


class Conditional(Operator):
    """DataO = rows of DataT where Condition is true, else rows of DataF.

    Shapes:   Condition: (N,) bool; DataT, DataF: (N, ...) -> as DataT
    Raises:   ShapeError if DataT and DataF differ, or have another number of rows than Condition.
    Source:   caffe2/operators/conditional_op.h
    """

    inputs = (Port("Condition", BOOL, "N"), Port("DataT"), Port("DataF"))
    outputs = (Port("DataO"),)
    gradient_stops = True

    def check(self, condition: Tensor, yes: Any, no: Any) -> None:
        if yes.shape != no.shape or name_of(yes) != name_of(no):
            self.refuse(f"DataT and DataF must be alike, got {describe(yes)} and {describe(no)}.")
        if len(yes.shape) < 1 or yes.shape[0] != condition.numel():
            self.refuse(f"the data must have one row for each of {condition.numel()} conditions.")

    def kernel(self, condition: Tensor, yes: Any, no: Any) -> Any:
        rows = condition.reshape(-1, *[1] * (len(yes.shape) - 1))
        if isinstance(yes, Tensor):
            return torch.where(rows, yes, no)
        return np.where(rows.cpu().numpy(), yes, no)


def _pass(g: GradientMaker) -> list[Op]:
    grad = g.output_grads[0]
    if isinstance(grad, str):
        g.set_dense(0, grad)
    elif grad is not None:
        g.set_sparse(0, grad.indices, grad.values)
    return []


class EnsureDense(Operator):
    """output = input, whose gradient must be dense.

    Shapes:   input: any -> output: as input
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("input"),)
    outputs = (Port("output"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_pass)

    def check(self, X: Any) -> None:
        if clone(X) is None:
            self.refuse(f"the input must be a tensor, got {describe(X)}.", DTypeError)

    def kernel(self, X: Any) -> Any:
        return clone(X)

    def kernel_inplace(self, X: Any) -> Any:
        return X
