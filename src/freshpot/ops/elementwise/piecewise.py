"""Functions put together from pieces: straight lines, steps."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

_LISTS = ("bounds", "slopes", "intercepts")


class PiecewiseLinearTransform(Operator):
    """transforms = slope * x + intercept of the piece that x lies in; outside all, as at the nearest bound.

    Each column has pieces of its own. With ``binary`` there is one set: for the one column, or for the second
    of two, of which the first becomes 1 - the second.

    Shapes:   predictions: (N, M), with ``binary`` (N,), (N, 1) or (N, 2); bounds: M * (pieces + 1), rising;
              slopes, intercepts: M * pieces, as inputs or arguments -> as predictions
    Raises:   ArgumentError, ShapeError if the lists do not fit each other or the columns.
    Source:   caffe2/operators/piecewise_linear_transform_op.h
    """

    inputs = (Port("predictions", FLOAT), *(Port(name, FLOAT, optional=True) for name in _LISTS))
    outputs = (Port("transforms"),)
    args = (
        Arg("bounds", [float], [], "ends of the pieces, rising within a column"),
        Arg("slopes", [float], [], "slopes of the pieces"),
        Arg("intercepts", [float], [], "values of the lines at 0"),
        Arg("binary", bool, False, "1: two classes"),
    )

    def setup(self) -> None:
        given = [len(getattr(self, name)) for name in _LISTS]
        if any(given) and not all(given):
            self.refuse("arguments 'bounds', 'slopes' and 'intercepts' go together.", ArgumentError)
        wanted = 1 if any(given) else 4
        if self.num_inputs != wanted:
            self.refuse(f"takes {wanted} inputs, as the arguments are; got {self.num_inputs}.", ArityError)
        if not any(given):
            return
        lists = tuple(torch.tensor(getattr(self, name), dtype=torch.float32) for name in _LISTS)
        bounds = self._columns(*lists)[0]
        if bool((bounds.diff(dim=1) < 0).any()):
            self.refuse("argument 'bounds' must rise within each column.", ArgumentError)
        self.lists = tuple(values.to(self.device) for values in lists)

    def _columns(self, bounds: Tensor, slopes: Tensor, intercepts: Tensor) -> tuple[Tensor, ...]:
        """The lists, a row for each column."""
        count = bounds.numel() - slopes.numel()
        if (
            slopes.numel() != intercepts.numel()
            or count < 1
            or slopes.numel() < count
            or slopes.numel() % count
            or (self.binary and count != 1)
        ):
            self.refuse(
                f"{bounds.numel()} bounds, {slopes.numel()} slopes and {intercepts.numel()} intercepts do not fit: "
                "a column of n pieces has n + 1 bounds, n slopes and n intercepts."
            )
        return bounds.reshape(count, -1), slopes.reshape(count, -1), intercepts.reshape(count, -1)

    def check(self, X: Tensor, *given: Tensor) -> None:
        columns = len(self._columns(*(given or self.lists))[0])
        if self.binary:
            if X.dim() not in (1, 2) or (X.dim() == 2 and X.shape[1] not in (1, 2)):
                self.refuse(
                    f"with 'binary' predictions must be (N,), (N, 1) or (N, 2), got {tuple(X.shape)}."
                )
        elif X.dim() != 2 or X.shape[1] != columns:
            self.refuse(f"predictions must be (N, {columns}), got {tuple(X.shape)}.")

    def kernel(self, X: Tensor, *given: Tensor) -> Tensor:
        lists = self._columns(*(given or self.lists))
        if not self.binary:
            return _lines(X.t(), *lists).t().contiguous()
        positive = _lines((X if X.dim() == 1 else X[:, -1]).reshape(1, -1), *lists).reshape(-1)
        if X.dim() == 2 and X.shape[1] == 2:
            return torch.stack((1 - positive, positive), 1)
        return positive.reshape(X.shape)


def _lines(x: Tensor, bounds: Tensor, slopes: Tensor, intercepts: Tensor) -> Tensor:
    x = torch.minimum(torch.maximum(x, bounds[:, :1]), bounds[:, -1:]).contiguous()
    piece = (torch.searchsorted(bounds.contiguous(), x) - 1).clamp(0, slopes.shape[1] - 1)
    return slopes.gather(1, piece) * x + intercepts.gather(1, piece)


class StumpFunc(Operator):
    """Y = low_value where X <= threshold, else high_value.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/stump_func_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("threshold", float, 0.0, "the last number that is low"),
        Arg("low_value", float, 0.0, "for low ones"),
        Arg("high_value", float, 0.0, "for the others"),
    )
    gradient_stops = True

    def kernel(self, X: Tensor) -> Tensor:
        return torch.where(X.double() <= self.limit, self.low_value, self.high_value).float()

    def setup(self) -> None:
        self.limit = float(torch.tensor(self.threshold, dtype=torch.float32))


class StumpFuncIndex(Operator):
    """Places of the numbers <= threshold, and of the others.

    Shapes:   X: any -> Index_Low, Index_High: (how many,) int64, places in X's memory
    Source:   caffe2/operators/stump_func_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Index_Low"), Port("Index_High"))
    args = StumpFunc.args[:1]
    gradient_stops = True

    def setup(self) -> None:
        self.limit = float(torch.tensor(self.threshold, dtype=torch.float32))

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        low = X.reshape(-1).double() <= self.limit
        return low.nonzero().reshape(-1), (~low).nonzero().reshape(-1)
