"""A choice for each element."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import DTypeError
from freshpot.net.schema import BOOL, NUMERIC, STRING, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import name_of

_TYPES = (*NUMERIC, *BOOL, *STRING)


class Where(Operator):
    """Z = X where C, else Y.

    Shapes:   C, X, Y: alike; with ``broadcast_on_rows`` C: (rows,) -> Z: as X
    Raises:   ShapeError, DTypeError if they do not fit.
    Source:   caffe2/operators/elementwise_ops.h
    """

    inputs = (Port("C", BOOL), Port("X", _TYPES), Port("Y", _TYPES))
    outputs = (Port("Z"),)
    args = (Arg("broadcast_on_rows", bool, False, "1: C chooses whole rows"),)

    def check(self, C: Tensor, X: Any, Y: Any) -> None:
        if name_of(X) != name_of(Y):
            self.refuse(f"X and Y must have one type, got {name_of(X)} and {name_of(Y)}.", DTypeError)
        wanted = X.shape[:1] if self.broadcast_on_rows else X.shape
        if tuple(X.shape) != tuple(Y.shape) or tuple(C.shape) != tuple(wanted):
            self.refuse(
                f"C {tuple(C.shape)}, X {tuple(X.shape)} and Y {tuple(Y.shape)} do not fit each other."
            )

    def kernel(self, C: Tensor, X: Any, Y: Any) -> Any:
        if self.broadcast_on_rows:
            C = C.reshape(-1, *(1,) * (len(X.shape) - 1))
        return np.where(C.cpu().numpy(), X, Y) if isinstance(X, np.ndarray) else torch.where(C, X, Y)
