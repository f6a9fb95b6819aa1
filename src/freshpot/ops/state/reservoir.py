"""A sample of all rows seen, of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.state.datasets import Records
from freshpot.ops.state.index import Map

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class ReservoirSampling(Operator):
    """Keep ``num_to_collect`` rows, each row ever seen with the same chance; with OBJECT_ID each object once.

    Shapes:   RESERVOIR: (up to num_to_collect, ...); NUM_VISITED: one int64; DATA: (N, ...); a mutex;
              OBJECT_ID: (N,) int64, a map from int64 to int32, POS_TO_OBJECT: int64 -> the first two, the map,
              POS_TO_OBJECT
    Raises:   ArgumentError if ``num_to_collect`` is not positive; ArityError for another number of blobs;
              ShapeError if rows do not fit.
    Source:   caffe2/operators/reservoir_sampling.cc; Vitter, 1985
    """

    inputs = (
        Port("RESERVOIR"),
        Port("NUM_VISITED", ("int64",)),
        Port("DATA"),
        Port("MUTEX"),
        Port("OBJECT_ID", ("int64",), optional=True),
        Port("OBJECT_TO_POS_MAP_IN", optional=True),
        Port("POS_TO_OBJECT_IN", ("int64",), optional=True),
    )
    outputs = (
        Port("RESERVOIR"),
        Port("NUM_VISITED"),
        Port("OBJECT_TO_POS_MAP", optional=True),
        Port("POS_TO_OBJECT", optional=True),
    )
    args = (Arg("num_to_collect", int, -1, "rows to keep, > 0"),)
    inplace = ANY_PAIR
    must_inplace = ((0, 0), (1, 1), (5, 2), (6, 3))
    remembers = True
    no_gradient = "samples have none"

    def setup(self) -> None:
        if self.num_to_collect < 1:
            self.refuse(
                f"argument 'num_to_collect' must be positive, got {self.num_to_collect}.", ArgumentError
            )
        if (self.num_inputs, self.num_outputs) not in ((4, 2), (7, 4)):
            self.refuse("takes 4 inputs for 2 outputs, or 7 for 4.", ArityError)

    def check(self, kept: Any, visited: Tensor, data: Any, _: Any, *ids: Any) -> None:
        packed = isinstance(data, Records)
        if not (packed or data.dim() > 0) or visited.numel() != 1:
            self.refuse("DATA must have rows, and NUM_VISITED be one number.")
        if packed != isinstance(kept, Records):
            if len(kept):
                self.refuse("what is kept and DATA must both be records of PackRecords, or neither.")
        elif not packed and kept.numel() and (kept.shape[1:] != data.shape[1:] or kept.dtype != data.dtype):
            self.refuse(f"rows {tuple(data.shape)} do not go with {tuple(kept.shape)}.")
        if ids and (ids[0].shape != (len(data),) or not isinstance(ids[1], Map)):
            self.refuse("OBJECT_ID must name each row's object, and the input after it be a map.")

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        with inputs[3].value:  # what other threads collect is read and written under the same mutex
            kept, visited, data, _, *ids = (blob.value for blob in inputs)
            for blob, value in zip(outputs, self._collect(kept, visited, data, ids), strict=True):
                blob.value = value

    def _collect(self, kept: Any, visited: Tensor, data: Any, ids: list[Any]) -> tuple[Any, ...]:
        given = data.rows if isinstance(data, Records) else data
        started = len(kept) > 0
        rows: list[Any] = list(kept.rows if isinstance(kept, Records) else kept) if started else []
        count = int(visited) if started else 0
        if not ids:
            for row in given:
                self._put(rows, row, self._place(count))
                count += 1
            return self._stacked(rows, data), torch.full_like(visited, count)
        places = Map(ids[1].key, ids[1].value)
        places.update(ids[1] if started else {})
        objects = ids[2].tolist() if started else []
        for row, name in zip(given, ids[0].tolist(), strict=True):
            if name in places:
                continue
            at = self._place(count)
            count += 1
            if at is None:
                continue
            if at < len(objects):
                places.pop(objects[at], None)
            self._put(objects, name, at)
            self._put(rows, row, at)
            places[name] = at
        made = torch.tensor(objects, dtype=torch.int64, device=visited.device)
        return self._stacked(rows, data), torch.full_like(visited, count), places, made

    def _place(self, count: int) -> int | None:
        """Where the next row goes, after ``count`` of them; None: nowhere."""
        if count < self.num_to_collect:
            return count
        at = int(torch.randint(count + 1, (), generator=self.generator))
        return at if at < self.num_to_collect else None

    @staticmethod
    def _put(items: list[Any], item: Any, at: int | None) -> None:
        if at is not None:
            items[at : at + 1] = [item]

    @staticmethod
    def _stacked(rows: list[Any], data: Any) -> Any:
        if isinstance(data, Records):
            return Records(rows)
        return torch.stack(rows) if rows else data[:0].clone()
