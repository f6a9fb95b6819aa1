"""Reductions of the first or the last dimensions, over all of them or a given length."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net import registry
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class _FrontBack(Operator, abstract=True):
    """X is seen as a matrix; ``front`` reduces its rows away, else its columns."""

    inputs = (Port("X", FLOAT), Port("lengths", INT, optional=True))
    outputs = (Port("Y"),)
    args = (
        Arg("num_reduce_dim", int, 1, "how many dimensions"),
        Arg("num_reduce_dims", int, 1, "accepted and not used, as in the original"),
    )
    front: bool

    def split(self, X: Tensor) -> tuple[torch.Size, torch.Size]:
        """X's dimensions: those before and those after the cut."""
        cut = self.num_reduce_dim if self.front else X.dim() - self.num_reduce_dim
        return X.shape[:cut], X.shape[cut:]

    def kept(self, X: Tensor) -> torch.Size:
        """The shape of the result."""
        return self.split(X)[1 if self.front else 0]

    def columns(self, X: Tensor) -> Tensor:
        """X as a matrix whose second dimension is reduced."""
        before, after = self.split(X)
        matrix = X.reshape(before.numel(), after.numel())
        return matrix.t() if self.front else matrix

    def back(self, columns: Tensor, X: Tensor) -> Tensor:
        """The inverse of `columns`."""
        return (columns.t() if self.front else columns).reshape(X.shape).contiguous()

    def check(self, X: Tensor, *lengths: Tensor) -> None:
        if not 0 <= self.num_reduce_dim <= X.dim():
            self.refuse(
                f"X {tuple(X.shape)} has no {self.num_reduce_dim} dimensions to reduce.", ArgumentError
            )
        wanted = self.kept(X).numel()
        if lengths and lengths[0].numel() != wanted:
            self.refuse(f"lengths must have {wanted} elements, got {lengths[0].numel()}.")

    def inside(self, columns: Tensor, lengths: tuple[Tensor, ...]) -> Tensor | None:
        """Which elements count, if lengths are given."""
        if not lengths:
            return None
        places = torch.arange(columns.shape[1], device=columns.device)
        return places < lengths[0].reshape(-1, 1)


class _Sum(_FrontBack, abstract=True):
    mean = False

    def _counts(self, columns: Tensor, lengths: tuple[Tensor, ...]) -> Tensor | int:
        return lengths[0].reshape(-1).clamp(min=1) if lengths else max(columns.shape[1], 1)

    def kernel(self, X: Tensor, *lengths: Tensor) -> Tensor:
        columns = self.columns(X)
        inside = self.inside(columns, lengths)
        total = (columns if inside is None else torch.where(inside, columns, 0.0)).sum(1)
        return (total / self._counts(columns, lengths) if self.mean else total).reshape(self.kept(X))

    @gradient("dY X lengths -> dX")
    def backward(self, dY: Tensor, X: Tensor, *lengths: Tensor) -> Tensor:
        if X.dtype == torch.int64 and X.dim() == 1:
            X = dY.new_empty(X.tolist())  # only X's shape is given
        columns = self.columns(X)
        inside = self.inside(columns, lengths)
        share = dY.reshape(-1) / self._counts(columns, lengths) if self.mean else dY.reshape(-1)
        wide = share.unsqueeze(1).expand(columns.shape)
        return self.back(wide if inside is None else torch.where(inside, wide, 0.0), X).clone()


class _Max(_FrontBack, abstract=True):
    def kernel(self, X: Tensor, *lengths: Tensor) -> Tensor:
        columns = self.columns(X)
        inside = self.inside(columns, lengths)
        if inside is not None:
            columns = torch.where(inside, columns, -torch.inf)
        if not columns.shape[1]:
            return X.new_zeros(self.kept(X))  # as the original: nothing has the largest element 0
        return columns.amax(1).reshape(self.kept(X))

    @gradient("dY X Y lengths -> dX")
    def backward(self, dY: Tensor, X: Tensor, Y: Tensor, *lengths: Tensor) -> Tensor:
        columns = self.columns(X)
        inside = self.inside(columns, lengths)
        largest = columns == Y.reshape(-1, 1)
        if inside is not None:
            largest = largest & inside
        return self.back(torch.where(largest, dY.reshape(-1, 1), 0.0), X)


class ReduceFrontSum(_Sum):
    """Y = sum over the first dimensions; with lengths over the first lengths[j] of each column.

    Shapes:   X: any; lengths: as Y -> Y: X without its first ``num_reduce_dim`` dimensions
    Raises:   ArgumentError, ShapeError if X has too few dimensions or lengths another size.
    Source:   caffe2/operators/reduce_front_back_sum_mean_ops.h
    """

    front = True


class ReduceFrontMean(_Sum):
    """Y = mean over the first dimensions; with lengths over the first lengths[j] of each column.

    Shapes:   X: any; lengths: as Y -> Y: X without its first ``num_reduce_dim`` dimensions
    Raises:   ArgumentError, ShapeError if X has too few dimensions or lengths another size.
    Source:   caffe2/operators/reduce_front_back_sum_mean_ops.h
    """

    front, mean = True, True


class ReduceFrontMax(_Max):
    """Y = largest over the first dimensions; with lengths over the first lengths[j] of each column.

    Shapes:   X: any; lengths: as Y -> Y: X without its first ``num_reduce_dim`` dimensions
    Raises:   ArgumentError, ShapeError if X has too few dimensions or lengths another size.
    Source:   caffe2/operators/reduce_front_back_max_ops.h
    """

    front = True


class ReduceBackSum(_Sum):
    """Y = sum over the last dimensions; with lengths over the first lengths[i] of each row.

    Shapes:   X: any; lengths: as Y -> Y: X without its last ``num_reduce_dim`` dimensions
    Raises:   ArgumentError, ShapeError if X has too few dimensions or lengths another size.
    Source:   caffe2/operators/reduce_front_back_sum_mean_ops.h
    """

    front = False


class ReduceBackMean(_Sum):
    """Y = mean over the last dimensions; with lengths over the first lengths[i] of each row.

    Shapes:   X: any; lengths: as Y -> Y: X without its last ``num_reduce_dim`` dimensions
    Raises:   ArgumentError, ShapeError if X has too few dimensions or lengths another size.
    Source:   caffe2/operators/reduce_front_back_sum_mean_ops.h
    """

    front, mean = False, True


class ReduceBackMax(_Max):
    """Y = largest over the last dimensions; with lengths over the first lengths[i] of each row.

    Shapes:   X: any; lengths: as Y -> Y: X without its last ``num_reduce_dim`` dimensions
    Raises:   ArgumentError, ShapeError if X has too few dimensions or lengths another size.
    Source:   caffe2/operators/reduce_front_back_max_ops.h
    """

    front = False


def _weighted_rule(g: GradientMaker) -> list[Op]:
    dims = f"_{g.O(0)}_dims"
    return [
        g.new("Shape", [g.I(0)], [dims]),
        g.new("ReduceFrontWeightedSumGradient", [g.I(1), g.GO(0), dims], [g.GI(0)]),
    ]


class ReduceFrontWeightedSum(Operator):
    """OUTPUT = sum_i SCALARS[i] * DATA[i].

    Shapes:   DATA: (N, …); SCALARS: (N,) -> OUTPUT: DATA without its first dimension
    Raises:   ShapeError if SCALARS has another length.
    Source:   caffe2/operators/segment_reduction_op.h
    """

    inputs = (Port("DATA", FLOAT, "N ..."), Port("SCALARS", FLOAT, "N"))
    outputs = (Port("OUTPUT"),)
    args = (Arg("grad_on_weights", bool, False, "accepted and not used: the weights get no gradient"),)
    gradient_rule = staticmethod(_weighted_rule)

    def kernel(self, DATA: Tensor, SCALARS: Tensor) -> Tensor:
        return torch.tensordot(SCALARS, DATA, 1)


class ReduceFrontWeightedSumGradient(Operator):
    """dDATA[i] = SCALARS[i] * dOUTPUT.

    Shapes:   SCALARS: (N,); dOUTPUT: as OUTPUT; dims: DATA's shape -> dDATA: as DATA
    Source:   caffe2/operators/segment_reduction_op.h
    """

    inputs = (Port("SCALARS", FLOAT), Port("dOUTPUT", FLOAT), Port("dims", ("int64",)))
    outputs = (Port("dDATA"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, SCALARS: Tensor, dOUTPUT: Tensor, dims: Tensor) -> Tensor:
        return torch.tensordot(SCALARS, dOUTPUT, 0)


for _name in ("ReduceFrontSum", "ReduceFrontMean", "ReduceBackSum", "ReduceBackMean"):
    # in X's place there may be its shape
    _definition = registry.get(f"{_name}Gradient")
    _definition.inputs = tuple(
        Port(p.name, (*FLOAT, "int64"), optional=p.optional) if p.name == "X" else p
        for p in _definition.inputs
    )
