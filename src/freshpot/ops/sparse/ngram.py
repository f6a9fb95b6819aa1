"""Numbers of combinations of categories."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class NGramFromCategorical(Operator):
    """Y = the number of each row's combination of categories; the first column counts by ones.

    Shapes:   floats: (N, D) -> Y: (N,) int64
    Raises:   ArgumentError if the lists do not go together; ShapeError if a column is not there.
    Source:   caffe2/operators/ngram_ops.h
    """

    inputs = (Port("floats", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("col_ids", [int], [], "columns to look at"),
        Arg("categorical_limits", [int], [], "how many categories each of them has"),
        Arg("vals", [int], [], "the categories, column by column; others count as a column's first"),
    )
    no_gradient = "numbers of categories have none"

    def setup(self) -> None:
        limits = self.categorical_limits
        if (
            not self.col_ids
            or len(self.col_ids) != len(limits)
            or min(*limits, *self.col_ids, 1) < 0
            or not all(limits)
        ):
            self.refuse("each of 'col_ids' (>= 0) needs one of 'categorical_limits' (> 0).", ArgumentError)
        if sum(limits) != len(self.vals):
            self.refuse(
                f"'categorical_limits' add up to {sum(limits)}, but there are {len(self.vals)} 'vals'.",
                ArgumentError,
            )

    def check(self, X: Tensor) -> None:
        if X.dim() < 1 or (len(X) and X[0].numel() <= max(self.col_ids)):
            self.refuse(f"X {tuple(X.shape)} has no column {max(self.col_ids)}.")

    def kernel(self, X: Tensor) -> Tensor:
        rows = X.reshape(len(X), -1)
        # as C's round: halves go away from 0
        whole = torch.where(rows < 0, (rows - 0.5).ceil(), (rows + 0.5).floor()).long()
        made = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        first, base = 0, 1
        for column, limit in zip(self.col_ids, self.categorical_limits, strict=True):
            for place, value in enumerate(self.vals[first : first + limit]):
                again = value in self.vals[first + place + 1 : first + limit]
                if place and not again:
                    made += (whole[:, column] == value) * (place * base)
            first += limit
            base *= limit
        return made
