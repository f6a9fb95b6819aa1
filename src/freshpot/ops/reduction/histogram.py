"""How many elements lie in which interval, and where a share of them ends."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, FLOATS, Arg, Port
from freshpot.ops._operator import Operator


class _OfAll(Operator, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOATS, many=True),)

    def check(self, *inputs: Tensor) -> None:
        if len({t.dtype for t in inputs}) > 1:
            self.refuse("all inputs must be of one type.")

    def infer(self, *_: Tensor) -> Any:
        return None


class Histogram(_OfAll):
    """histogram[i] = how many elements of all inputs lie in [bin_edges[i], bin_edges[i + 1]).

    Shapes:   X: any -> (edges - 1,) int64
    Raises:   ArgumentError for fewer than two edges, or edges that do not rise.
    Source:   caffe2/operators/histogram_op.h
    """

    outputs = (Port("histogram"),)
    args = (Arg("bin_edges", [float], doc="ends of the intervals, rising"),)

    def setup(self) -> None:
        edges = self.bin_edges
        if len(edges) < 2 or any(a >= b for a, b in pairwise(edges)):
            self.refuse("argument 'bin_edges' must have two or more numbers that rise.", ArgumentError)

    def kernel(self, *inputs: Tensor) -> Tensor:
        flat = torch.cat([t.reshape(-1) for t in inputs])
        edges = torch.tensor(self.bin_edges, dtype=torch.float32, device=flat.device).to(flat.dtype)
        place = torch.searchsorted(edges, flat, right=True)
        return torch.bincount(place, minlength=len(edges) + 1)[1 : len(edges)].clone()


class SelfBinningHistogram(_OfAll):
    """Edges of intervals between the least and the greatest element, and how many lie in each; the last has none.

    Shapes:   X: any -> histogram_values: (num_bins + 1,); histogram_counts: (num_bins + 1,) int64
    Raises:   ArgumentError if there are no bins, or their spacing is unknown.
    Source:   caffe2/operators/self_binning_histogram_op.h
    """

    outputs = (Port("histogram_values"), Port("histogram_counts"))
    args = (
        Arg("num_bins", int, 0, "intervals, >= 1"),
        Arg("bin_spacing", str, "linear", "equal differences or ratios", choices=("linear", "logarithmic")),
        Arg("logspace_start", float, 1e-24, "least edge of logarithmic ones, > 0"),
        Arg("abs", bool, False, "1: of absolute values"),
    )

    def setup(self) -> None:
        if self.num_bins < 1 or self.logspace_start <= 0:
            self.refuse("arguments 'num_bins' and 'logspace_start' must be positive.", ArgumentError)

    def kernel(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        flat = torch.cat([t.reshape(-1) for t in inputs])
        flat = flat.abs() if self.abs else flat
        counts = torch.zeros(self.num_bins + 1, dtype=torch.int64, device=flat.device)
        if not len(flat):
            return flat.new_zeros(self.num_bins + 1), counts
        edges, end = self._edges(*torch.aminmax(flat))
        if edges[-1] <= flat.max():
            edges[-1] = end
            counts[0] = len(flat)
            return edges, counts
        place = torch.searchsorted(edges, flat, right=True)
        found = torch.bincount(place, minlength=len(edges) + 1)
        counts[:-1] = found[1:-1]
        counts[0] += found[0]
        return edges, counts

    def _edges(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The edges, and where the last should be: a little above the greatest element."""
        share = torch.arange(self.num_bins + 1, device=low.device, dtype=low.dtype) / self.num_bins
        if self.bin_spacing == "linear":
            end = low + (high - low) * 1.0001
            return low + share * (end - low), end
        low, high = low.clamp(min=self.logspace_start), high.clamp(min=self.logspace_start)
        end = low + (high - low) * 1.0001
        return low * torch.exp((end.log() - low.log()) * share), end


class Quantile(_OfAll):
    """A number that the share ``quantile`` of all elements does not exceed, found by bisection.

    Shapes:   X: any -> (1,)
    Raises:   ArgumentError for a share outside 0 .. 1; ShapeError if there are no elements.
    Source:   caffe2/operators/quantile_op.h
    """

    outputs = (Port("quantile_value"),)
    args = (
        Arg("quantile", float, -1.0, "the share, 0 to 1"),
        Arg("abs", bool, True, "1: of absolute values"),
        Arg("tol", float, 1e-3, "relative width at which the search ends, > 0"),
    )

    def setup(self) -> None:
        if not 0 <= self.quantile <= 1 or self.tol <= 0:
            self.refuse("argument 'quantile' must be from 0 to 1, and 'tol' positive.", ArgumentError)

    def kernel(self, *inputs: Tensor) -> Tensor:
        flat = torch.cat([t.reshape(-1) for t in inputs])
        if not len(flat):
            self.refuse("the inputs have no elements.")
        flat = (flat.abs() if self.abs else flat).sort().values
        low, high = flat[0], flat[-1]
        wanted = math.ceil(len(flat) * float(torch.tensor(self.quantile, dtype=torch.float32)))
        if wanted == 0 or (wanted < len(flat) and int((flat <= low).sum()) >= wanted):
            return low.reshape(1).clone()
        while wanted < len(flat) and bool((high - low).abs() > self.tol * (high.abs() + low.abs())):
            middle = low + (high - low) / 2
            count = int(torch.searchsorted(flat, middle, right=True))
            if count == wanted:
                return middle.reshape(1).clone()
            if middle in (low, high):
                break
            low, high = (low, middle) if count > wanted else (middle, high)
        return high.reshape(1).clone()


class AccumulateHistogram(Operator):
    """Elements in ``num_buckets`` equal intervals, and below and above: of this run, and of all runs so far.

    Shapes:   X: any -> CurHist, AccHist: (num_buckets + 2,) int64
    Raises:   ArgumentError if there are no intervals, or they do not rise.
    Source:   caffe2/operators/histogram_op.h
    """

    remembers = True
    inputs = (Port("X", FLOAT),)
    outputs = (Port("CurHist"), Port("AccHist"))
    args = (
        Arg("lower_bound", float, 0.0, "beginning of the first interval"),
        Arg("upper_bound", float, 1.0, "end of the last one"),
        Arg("num_buckets", int, 1, "intervals, >= 1"),
    )

    def setup(self) -> None:
        if self.num_buckets < 1 or self.lower_bound >= self.upper_bound:
            self.refuse(
                "'num_buckets' must be positive, and 'lower_bound' below 'upper_bound'.", ArgumentError
            )
        self.total = torch.zeros(self.num_buckets + 2, dtype=torch.int64, device=self.device)

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        width = (self.upper_bound - self.lower_bound) / self.num_buckets
        place = torch.floor((X.reshape(-1) - self.lower_bound) / width).long().clamp(-1, self.num_buckets) + 1
        found = torch.bincount(place, minlength=self.num_buckets + 2)
        self.total += found
        return found, self.total.clone()

    def infer(self, X: Tensor) -> tuple[Tensor, ...]:
        made = X.new_empty(self.num_buckets + 2, dtype=torch.int64)
        return made, made.clone()
