"""Parts of matrices replaced by one number."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator

_SQUARES = ("upper", "lower", "upperdiag", "lowerdiag")


def _rule(g: GradientMaker) -> list[Op]:
    args = {**g.op.args, "grad": 1}
    return [g.new("SequenceMask", [g.GO(0), *g.op.inputs[1:]], [g.GI(0)], args)]


class SequenceMask(Operator):
    """The input as rows from dimension ``axis`` on, with ``fill_val`` where the mode says so.

    sequence: columns from sequence_lengths[row] on; window: columns more than ``radius`` away from the second
    input's [row]; upper, lower, upperdiag, lowerdiag: columns > row, < row, >= row, <= row.

    Shapes:   input: any; sequence_lengths: (rows,) for sequence and window -> masked_tensor: as input
    Raises:   ArgumentError for an unknown mode, or dimensions that are not there or in order.
    Source:   caffe2/operators/boolean_mask_ops.cc
    """

    inputs = (Port("input", FLOAT), Port("sequence_lengths", INT, optional=True))
    outputs = (Port("masked_tensor"),)
    args = (
        Arg("mode", str, "", "which part", choices=("sequence", "window", *_SQUARES)),
        Arg("axis", int, 1, "first dimension of the columns"),
        Arg("grad", bool, False, "1: the input is a gradient, and the rest becomes 0"),
        Arg("fill_val", float, float("-inf"), "the number"),
        Arg("radius", int, 10, "of the window"),
        Arg("batch", int, 0, "rows are counted anew after this dimension"),
        Arg(
            "repeat_from_axis", int, -1, "columns are counted up to this dimension, the same for all after it"
        ),
    )
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        if "mode" not in self.op.args:
            self.refuse("argument 'mode' is required.", ArgumentError)
        if (self.num_inputs == 2) != (self.mode not in _SQUARES):
            self.refuse(f"mode '{self.mode}' takes {1 + (self.mode not in _SQUARES)} inputs.", ArgumentError)
        if self.has("repeat_from_axis") and (self.mode != "sequence" or self.has("batch")):
            self.refuse(
                "'repeat_from_axis' goes with mode 'sequence' only, and not with 'batch'.", ArgumentError
            )
        if self.radius < 0:
            self.refuse(f"argument 'radius' must be >= 0, got {self.radius}.", ArgumentError)

    def _place(self, name: str, ndim: int) -> int:
        value: int = getattr(self, name)
        if not -ndim <= value < ndim:
            self.refuse(f"argument '{name}' is {value}, but the input has {ndim} dimensions.", ArgumentError)
        return value % ndim

    def check(self, X: Tensor, *lengths: Tensor) -> None:
        rows = self._view(X)[0].shape[1]
        if lengths and lengths[0].numel() < rows:
            self.refuse(f"the second input must have {rows} elements, one a row; got {lengths[0].numel()}.")

    def _view(self, X: Tensor) -> tuple[Tensor, int]:
        """(batches, rows, columns, what a column repeats)."""
        axis = self._place("axis", X.dim())
        if self.has("repeat_from_axis"):
            last = self._place("repeat_from_axis", X.dim())
            if last < axis:
                self.refuse("'repeat_from_axis' must not be before 'axis'.", ArgumentError)
            repeats = X.shape[last:].numel()
            return X.reshape(1, X.shape[:axis].numel(), X.shape[axis:last].numel(), repeats), repeats
        first = 0
        if self.has("batch"):
            first = self._place("batch", X.dim()) + 1
            if first > axis:
                self.refuse("'batch' must be before 'axis'.", ArgumentError)
        shape = (X.shape[:first].numel(), X.shape[first:axis].numel(), X.shape[axis:].numel(), 1)
        return X.reshape(shape), 1

    def kernel(self, X: Tensor, *lengths: Tensor) -> Tensor:
        view, _ = self._view(X)
        row = torch.arange(view.shape[1], device=X.device)[:, None]
        column = torch.arange(view.shape[2], device=X.device)
        gone = self._gone(row, column, *(t.reshape(-1)[: view.shape[1], None] for t in lengths))
        fill = 0.0 if self.grad else self.fill_val
        return torch.where(gone[None, :, :, None], fill, view).reshape(X.shape)

    def _gone(self, row: Tensor, column: Tensor, *given: Tensor) -> Tensor:
        if self.mode == "sequence":
            return column >= given[0]
        if self.mode == "window":
            return (column - given[0]).abs() > self.radius
        step = column - row
        return {"upper": step > 0, "lower": step < 0, "upperdiag": step >= 0, "lowerdiag": step <= 0}[
            self.mode
        ]
