"""Rows collected over runs, and samples."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.state.datasets import Records

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class LastNWindowCollector(Operator):
    """The last rows of all runs, in a ring; next = where the next row goes.

    Shapes:   last_n: (up to num_to_collect, ...); next: () int32; data: (n, ...); a mutex; num_visited: () int64 ->
              last_n, next, num_visited (rows so far)
    Raises:   ArgumentError if ``num_to_collect`` is not positive; ShapeError if rows or next do not fit.
    Source:   caffe2/operators/last_n_window_collector.cc
    """

    inputs = (
        Port("last_n"),
        Port("next", INT),
        Port("DATA"),
        Port("MUTEX", optional=True),
        Port("NUM_VISITED", optional=True),
    )
    outputs = (Port("last_n"), Port("next"), Port("NUM_VISITED", optional=True))
    args = (Arg("num_to_collect", int, -1, "rows to keep, > 0"),)
    inplace = ANY_PAIR
    must_inplace = ((0, 0), (1, 1), (4, 2))
    may_be_empty = (0,)

    def setup(self) -> None:
        if self.num_to_collect < 1:
            self.refuse(
                f"argument 'num_to_collect' must be positive, got {self.num_to_collect}.", ArgumentError
            )
        if (self.num_outputs == 3) != (self.num_inputs == 5):
            self.refuse("the third output goes with the fifth input.", ArityError)

    def check(self, ring: Any, place: Tensor, data: Any, *_: Any) -> None:
        packed = isinstance(data, Records)
        if place.numel() != 1 or any(isinstance(rows, Tensor) and rows.dim() < 1 for rows in (ring, data)):
            self.refuse("the collected rows and the data must have rows, and next be one number.")
        if packed != isinstance(ring, Records):
            if len(ring):
                self.refuse(
                    "the collected rows and the data must both be records of PackRecords, or neither."
                )
        elif not packed and len(ring) and (ring.shape[1:] != data.shape[1:] or ring.dtype != data.dtype):
            self.refuse(f"rows {tuple(data.shape)} do not go with {tuple(ring.shape)}.")

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        data = inputs[2].value
        if not isinstance(inputs[0].value, Tensor) and isinstance(data, Tensor) and data.dim():
            inputs[0].value = data.new_zeros(0, *data.shape[1:])
        ring, place, data, *rest = values = [blob.value for blob in inputs]
        self.check_inputs(values)
        with rest[0] if rest else contextlib.nullcontext():
            made: list[Any] = [*self._collect(ring, int(place), data)]
            if len(rest) == 2:
                made.append(rest[1] + len(data))
            for blob, value in zip(outputs, made, strict=True):
                blob.value = value

    def _collect(self, ring: Any, at: int, data: Any) -> tuple[Any, Tensor]:
        most = self.num_to_collect
        if isinstance(data, Records):
            rows = list(range(len(data.rows)))  # their numbers, with those in the ring behind them
            old = torch.arange(len(data), len(data) + len(ring))
            numbers, place = self._collect(old, at, torch.tensor(rows, dtype=torch.int64))
            both = [*data.rows, *(ring.rows if isinstance(ring, Records) else [])]
            return Records([both[i] for i in numbers.tolist()]), place
        if len(data) > most:
            return data[-most:].clone(), torch.tensor(0, dtype=torch.int32)
        size = max(len(ring), min(at + len(data), most))
        if not 0 <= at <= len(ring) or size > most:
            self.refuse(f"next is {at}, but {len(ring)} rows of {most} are collected.")
        made = data.new_zeros(size, *data.shape[1:])
        if len(ring):  # an empty one may have rows of any shape
            made[: len(ring)] = ring
        made[(at + torch.arange(len(data), device=data.device)) % most] = data
        return made, torch.tensor((at + len(data)) % most, dtype=torch.int32)

    def infer(self, ring: Any, place: Any, data: Tensor, *rest: Any) -> tuple[Any, ...]:
        """As many rows as are collected in the end."""
        return (data.new_empty(self.num_to_collect, *data.shape[1:]), place, *rest[1:])


class SparseDropoutWithReplacement(Operator):
    """Y = X, but each list becomes the one element ``replacement_value`` with probability ``ratio``.

    Shapes:   X: (sum of lengths,) int64; Lengths: (N,) -> Y; OutputLengths: (N,)
    Raises:   ArgumentError for a ratio outside 0 .. 1; ShapeError if lengths do not add up to X.
    Source:   caffe2/operators/sparse_dropout_with_replacement_op.h
    """

    inputs = (Port("X", ("int64",), "M"), Port("Lengths", INT, "N"))
    outputs = (Port("Y_and_OutputLengths", many=True, at_least=0),)
    args = (
        Arg("ratio", float, 0.0, "probability, 0 to 1"),
        Arg("replacement_value", int, 0, "what replaces a list"),
    )

    def setup(self) -> None:
        if not 0 <= self.ratio <= 1:
            self.refuse(f"argument 'ratio' must be from 0 to 1, got {self.ratio}.", ArgumentError)
        if self.num_outputs != 2:
            self.refuse(f"makes Y and OutputLengths, got {self.num_outputs} outputs.", ArityError)

    def kernel(self, X: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if int(lengths.sum()) != len(X):
            self.refuse(f"lengths add up to {int(lengths.sum())}, but X has {len(X)} elements.")
        dropped = torch.rand(len(lengths), generator=self.generator, device=X.device) < self.ratio
        made = torch.where(dropped, 1, lengths).int()
        kept = torch.repeat_interleave(~dropped, lengths.long())
        Y = torch.full((int(made.sum()),), self.replacement_value, dtype=X.dtype, device=X.device)
        Y[torch.repeat_interleave(~dropped, made.long())] = X[kept]
        return Y, made

    def infer(self, *_: Any) -> None:
        return None


class WeightedSample(Operator):
    """For each row, one place at random, as likely as its weight says; and the value there.

    Shapes:   sampling_weights, sampling_values: (N, C) -> sampled_indexes: (N, 1) int32; sampled_values: (N, 1)
    Raises:   ArityError if values and their output do not go together; ShapeError for weights < 0, or none positive.
    Source:   caffe2/operators/weighted_sample_op.h
    """

    inputs = (Port("sampling_weights", FLOAT, "N C"), Port("sampling_values", FLOAT, "N C", optional=True))
    outputs = (Port("sampled_indexes"), Port("sampled_values", optional=True))

    def setup(self) -> None:
        if self.num_inputs != self.num_outputs:
            self.refuse("values and the output for them go together.", ArityError)

    def kernel(self, weights: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        if weights.numel() and (float(weights.min()) < 0 or float(weights.sum(1).min()) <= 0):
            self.refuse("weights must be >= 0, with a positive one in each row.")
        if not weights.numel():
            return tuple(weights.new_zeros(0, dtype=kind) for kind in (torch.int32, weights.dtype))
        chosen = torch.multinomial(weights, 1, generator=self.generator)
        return chosen.int(), *(v.gather(1, chosen) for v in values)

    def infer(self, *_: Any) -> None:
        return None
