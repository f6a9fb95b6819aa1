"""Which interval each number falls into, and one-hot rows."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, FLOATS, INT, INTS, Arg, Port
from freshpot.ops._operator import Operator


class Bucketize(Operator):
    """output = how many boundaries are less than each number.

    Shapes:   data: any -> output: as data, int32
    Raises:   ArgumentError if the boundaries do not rise.
    Source:   caffe2/operators/bucketize_op.h
    """

    inputs = (Port("data", FLOAT),)
    outputs = (Port("output"),)
    args = (Arg("boundaries", [float], [], "ends of the intervals, rising"),)

    def setup(self) -> None:
        if self.boundaries != sorted(self.boundaries):
            self.refuse("argument 'boundaries' must rise.", ArgumentError)
        self.ends = torch.tensor(self.boundaries, dtype=torch.float32, device=self.device)

    def kernel(self, data: Tensor) -> Tensor:
        return torch.searchsorted(self.ends, data.contiguous(), out_int32=True)


class _PerFeature(Operator, abstract=True):
    """Each column (feature) has its own part of a list, as long as ``lengths`` says."""

    def parts(self, lengths: Tensor, given: Tensor, columns: int, what: str) -> list[int]:
        """Lengths of the parts, checked against the list and the number of columns."""
        sizes: list[int] = lengths.tolist()
        if len(sizes) != columns or sum(sizes) != given.numel() or min(sizes, default=0) < 0:
            self.refuse(
                f"lengths must have one number for each of {columns} columns and add up to the "
                f"{given.numel()} {what}; got {len(sizes)} that add up to {sum(sizes)}."
            )
        return sizes


class BatchOneHot(_PerFeature):
    """output[i, j] = 1 where data[i, column of value j] equals values[j], else 0.

    Shapes:   data: (N, D); lengths: (D,); values: (V,) -> (N, V), of data's type
    Raises:   ShapeError if lengths do not add up to the values.
    Source:   caffe2/operators/one_hot_ops.h
    """

    inputs = (Port("data", INTS, "N D"), Port("lengths", INT, "D"), Port("values", INTS, "V"))
    outputs = (Port("output"),)
    gradient_stops = True

    def check(self, data: Tensor, lengths: Tensor, values: Tensor) -> None:
        if values.dtype != data.dtype:
            self.refuse(f"values must be of data's type, {data.dtype}; got {values.dtype}.")

    def kernel(self, data: Tensor, lengths: Tensor, values: Tensor) -> Tensor:
        self.parts(lengths, values, data.shape[1], "values")
        spread = torch.repeat_interleave(data, lengths.long(), dim=1)
        return (spread == values).to(data.dtype)

    def infer(self, data: Tensor, lengths: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        return (data.new_empty(data.shape[0], values.numel()),)


def _middle(values: Tensor, ends: Tensor) -> Tensor:
    """Number of each value's bucket; where ends are equal, the middle one of the buckets between them."""
    values = values.contiguous()
    low = torch.searchsorted(ends, values)
    return (low + torch.searchsorted(ends, values, right=True)) // 2


class BatchBucketOneHot(_PerFeature):
    """One-hot rows of the bucket that each number falls into; ``boundaries`` of a column make one bucket more.

    Shapes:   data: (N, D); lengths: (D,); boundaries: (B,) -> (N, B + D) float32
    Raises:   ShapeError if lengths do not add up to the boundaries.
    Source:   caffe2/operators/one_hot_ops.h
    """

    inputs = (Port("data", FLOAT, "N D"), Port("lengths", INT, "D"), Port("boundaries", FLOAT, "B"))
    outputs = (Port("output"),)

    def kernel(self, data: Tensor, lengths: Tensor, boundaries: Tensor) -> Tensor:
        sizes = self.parts(lengths, boundaries, data.shape[1], "boundaries")
        made = data.new_zeros(data.shape[0], boundaries.numel() + len(sizes))
        start = 0
        for d, ends in enumerate(boundaries.contiguous().split(sizes)):
            made.scatter_(1, _middle(data[:, d], ends).reshape(-1, 1) + start, 1.0)
            start += len(ends) + 1
        return made

    def infer(self, data: Tensor, lengths: Tensor, boundaries: Tensor) -> tuple[Tensor, ...]:
        return (data.new_empty(data.shape[0], boundaries.numel() + lengths.numel()),)


class BatchBucketize(_PerFeature):
    """output[i, k] = which bucket float_features[i, indices[k]] falls into.

    Shapes:   float_features: (N, D); indices, lengths: (K,); boundaries: (B,) -> (N, K) int32
    Raises:   ShapeError if an index is not a column, or lengths do not add up to the boundaries.
    Source:   caffe2/operators/batch_bucketize_op.h
    """

    inputs = (
        Port("float_features", FLOAT, "N D"),
        Port("indices", INT, "K"),
        Port("boundaries", FLOAT, "B"),
        Port("lengths", INT, "K"),
    )
    outputs = (Port("bucketized_feat"),)
    gradient_stops = True

    def kernel(self, features: Tensor, indices: Tensor, boundaries: Tensor, lengths: Tensor) -> Tensor:
        sizes = self.parts(lengths, boundaries, indices.numel(), "boundaries")
        made = features.new_empty(features.shape[0], len(sizes), dtype=torch.int32)
        parts = boundaries.contiguous().split(sizes)
        for k, (column, ends) in enumerate(zip(indices.tolist(), parts, strict=True)):
            if not 0 <= column < features.shape[1]:
                self.refuse(f"index {column} is not one of the {features.shape[1]} columns.")
            made[:, k] = _middle(features[:, column], ends)
        return made

    def infer(self, features: Tensor, indices: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (features.new_empty(features.shape[0], indices.numel(), dtype=torch.int32),)


class Percentile(_PerFeature):
    """Percentile of each number, by straight lines between the (value, percentile) pairs of its column.

    Below the least value it is 0, above the greatest 1.

    Shapes:   original_values: (N, D); value_to_pct: (P, 2), rising; lengths: (D,) -> (N, D)
    Raises:   ShapeError if lengths do not add up to the pairs.
    Source:   caffe2/operators/percentile_op.h
    """

    inputs = (
        Port("original_values", FLOAT, "N D"),
        Port("value_to_pct", FLOAT, "P 2"),
        Port("lengths", INT, "D"),
    )
    outputs = (Port("percentile_values"),)
    gradient_stops = True

    def kernel(self, X: Tensor, pairs: Tensor, lengths: Tensor) -> Tensor:
        sizes = self.parts(lengths, pairs[:, 0], X.shape[1], "pairs")
        if min(sizes, default=1) < 1:
            self.refuse("each column needs at least one pair.")
        columns = [
            _on_lines(X[:, d].contiguous(), part[:, 0].contiguous(), part[:, 1])
            for d, part in enumerate(pairs.split(sizes))
        ]
        return torch.stack(columns, 1) if columns else torch.zeros_like(X)

    def infer(self, X: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)


def _on_lines(x: Tensor, values: Tensor, percentiles: Tensor) -> Tensor:
    k = torch.searchsorted(values, x).clamp(max=len(values) - 1)
    before = (k - 1).clamp(min=0)
    slope = (percentiles[k] - percentiles[before]) / (values[k] - values[before])
    line = percentiles[before] + (x - values[before]) * slope
    made = torch.where(values[k] == x, percentiles[k], line)
    made = torch.where(x < values[0], 0.0, made)
    return torch.where(x > values[-1], 1.0, made)


class BisectPercentile(Operator):
    """Percentile of each number: a value's own ``percentile_mapping``; between two values on the line from the upper
    bound of the one to the lower bound of the next. Below the first value it is 0, above the last 1.

    Shapes:   raw_values: (N, D) -> (N, D)
    Raises:   ArgumentError if the lists are not equally long, or lengths do not add up.
    Source:   caffe2/operators/bisect_percentile_op.h
    """

    inputs = (Port("raw_values", FLOAT, "N D"),)
    outputs = (Port("percentile"),)
    args = (
        Arg("percentile_raw", [float], [], "values of all columns, rising within each"),
        Arg("percentile_mapping", [float], [], "their percentiles"),
        Arg("percentile_lower", [float], [], "their lower bounds"),
        Arg("percentile_upper", [float], [], "their upper bounds"),
        Arg("lengths", [int], [], "values of each column"),
    )
    gradient_stops = True

    def setup(self) -> None:
        lists = (self.percentile_raw, self.percentile_mapping, self.percentile_lower, self.percentile_upper)
        if len({*map(len, lists), sum(self.lengths)}) != 1 or min(self.lengths, default=1) < 1:
            self.refuse(
                "the four lists must be equally long, and 'lengths', each at least 1, add up to that; got "
                f"{', '.join(str(len(x)) for x in lists)} and {sum(self.lengths)}.",
                ArgumentError,
            )
        table = torch.tensor(lists, dtype=torch.float32, device=self.device).reshape(4, -1)
        self.tables = table.split(self.lengths, 1)

    def check(self, raw: Tensor) -> None:
        if raw.shape[1] != len(self.lengths):
            self.refuse(
                f"there are lengths for {len(self.lengths)} columns, but the input has {raw.shape[1]}."
            )

    def kernel(self, raw: Tensor) -> Tensor:
        columns = [self._column(raw[:, d].contiguous(), *t) for d, t in enumerate(self.tables)]
        return torch.stack(columns, 1) if columns else torch.zeros_like(raw)

    @staticmethod
    def _column(x: Tensor, values: Tensor, own: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        values = values.contiguous()
        k = (torch.searchsorted(values, x, right=True) - 1).clamp(0, len(values) - 1)
        after = (k + 1).clamp(max=len(values) - 1)
        w = (x - values[k]) / (values[after] - values[k] + 1e-10)
        made = torch.where(values[k] == x, own[k], (1 - w) * upper[k] + w * lower[after])
        made = torch.where(x < values[0], 0.0, made)
        return torch.where(x > values[-1], 1.0, made)


class BatchBoxCox(Operator):
    """output = (max(x + lambda2, 1e-6) ** lambda1 - 1) / lambda1, or its limit, the logarithm, where lambda1 is 0.

    Shapes:   data: (N, ...); lambda1, lambda2: one for each element of a row -> as data
    Raises:   ShapeError if there are not as many lambdas as a row has elements.
    Source:   caffe2/operators/batch_box_cox_op.h
    """

    inputs = (Port("data", FLOATS), Port("lambda1", FLOATS), Port("lambda2", FLOATS))
    outputs = (Port("output"),)
    args = (Arg("min_block_size", int, 256, "of no effect; how the original divides its work"),)
    inplace = ((0, 0),)
    no_gradient = "the original has none"

    def check(self, data: Tensor, lambda1: Tensor, lambda2: Tensor) -> None:
        size = data.shape[1:].numel()
        if data.dim() < 1 or lambda1.numel() != size or lambda2.numel() != size:
            self.refuse(f"lambda1 and lambda2 must have {size} elements, as a row of data has.")
        if not data.dtype == lambda1.dtype == lambda2.dtype:
            self.refuse("data, lambda1 and lambda2 must be of one type.")

    def kernel(self, data: Tensor, lambda1: Tensor, lambda2: Tensor) -> Tensor:
        row = data.shape[1:]
        power, shift = lambda1.reshape(row), lambda2.reshape(row)
        base = (data + shift).clamp(min=1e-6)
        log = power == 0
        return torch.where(log, base.log(), (base.pow(power) - 1) / torch.where(log, 1.0, power))
