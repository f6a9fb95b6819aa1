"""How rows are told into segments, and sums over them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from freshpot.ops._operator import Operator


class Segments(NamedTuple):
    """For each row the segment it belongs to, and how many segments there are."""

    ids: Tensor
    total: int

    def sizes(self) -> Tensor:
        """Rows in each segment."""
        return torch.bincount(self.ids, minlength=self.total)


def from_lengths(operator: Operator, lengths: Tensor, rows: int) -> Segments:
    """Segments of so many rows each, one after another."""
    total = int(lengths.sum())
    if total != rows or (lengths.numel() and int(lengths.min()) < 0):
        operator.refuse(f"lengths must be >= 0 and add up to the {rows} rows; they add up to {total}.")
    numbers = torch.arange(lengths.numel(), device=lengths.device)
    return Segments(torch.repeat_interleave(numbers, lengths.long()), lengths.numel())


def from_sorted_ids(operator: Operator, ids: Tensor, rows: int) -> Segments:
    """Segments numbered 0, 1, 2 … in the order of the rows, without gaps."""
    _need_rows(operator, ids, rows)
    ids = ids.long()
    if not rows:
        return Segments(ids, 0)
    steps = ids.diff()
    if int(ids[0]) != 0 or bool(((steps != 0) & (steps != 1)).any()):
        operator.refuse("segment ids must start at 0 and go up in steps of 0 or 1.")
    return Segments(ids, int(ids[-1]) + 1)


def from_ids(operator: Operator, ids: Tensor, rows: int, count: int) -> Segments:
    """Segments numbered anyhow; ``count`` of them, or (-1) as many as the greatest number says."""
    _need_rows(operator, ids, rows)
    ids = ids.long()
    low, high = (int(x) for x in torch.aminmax(ids)) if rows else (0, -1)
    if low < 0 or (0 <= count <= high):
        operator.refuse(
            f"segment ids must be from 0 to num_segments - 1 ({count - 1}); found {low} to {high}."
        )
    return Segments(ids, count if count >= 0 else high + 1)


def _need_rows(operator: Operator, ids: Tensor, rows: int) -> None:
    if ids.numel() != rows:
        operator.refuse(f"there must be one segment id for each of {rows} rows; got {ids.numel()}.")


def spread(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a row, shaped to multiply the rows of ``like``."""
    return numbers.view(-1, *[1] * (like.dim() - 1))


def sums(rows: Tensor, segments: Segments) -> Tensor:
    """Sum of each segment's rows."""
    return rows.new_zeros(segments.total, *rows.shape[1:]).index_add_(0, segments.ids, rows)


def maxima(rows: Tensor, segments: Segments, empty: float = 0.0) -> Tensor:
    """Greatest elements of each segment's rows; ``empty`` where there are no rows."""
    made = rows.new_full((segments.total, *rows.shape[1:]), empty)
    index = spread(segments.ids, rows).expand_as(rows)
    return made.scatter_reduce_(0, index, rows, "amax", include_self=False)


def take_rows(operator: Operator, data: Tensor, indices: Tensor) -> Tensor:
    """The rows of a table that indices name.

    Raises:
        ShapeError: a row is named that there is not.
    """
    if indices.numel():
        low, high = (int(x) for x in torch.aminmax(indices))
        if low < 0 or high >= data.shape[0]:
            operator.refuse(f"indices must be from 0 to {data.shape[0] - 1}; found {low} to {high}.")
    return data.index_select(0, indices.reshape(-1).long())
