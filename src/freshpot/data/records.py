"""Many serialised records to arrays at once; ``tensor_protos`` and ``datum`` say where the numbers stand.

Records of one data set nearly always have the same layout: equal bytes all over, but for the pixels and the
label. So the first record of each length is parsed with protobuf, the places of its numbers are kept, and
the others are cut out of one block of bytes, after checking that all bytes outside those places are equal.
Records that differ are parsed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.data.blocks import Block, Record
from freshpot.errors import FormatError
from freshpot.formats import wire
from freshpot.formats.tensor_proto import from_numbers

__all__ = ["Record", "RecordDecoder", "Slot"]

#: Layouts kept; data sets with more lengths than that (text, compressed images) are not uniform.
_MAX_LAYOUTS = 64


class Slot(NamedTuple):
    """Where the numbers of one output stand in a record."""

    begin: int
    end: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    varint: bool  # packed integers of variable length; otherwise the elements as they are in memory

    def prepare(self, rows: NDArray[np.uint8]) -> NDArray[Any] | None:
        """What :meth:`finish` needs of these rows; None if one row holds another count of numbers."""
        raw = rows[:, self.begin : self.end]
        if not self.varint:
            return raw
        shape = (len(rows), *self.shape)
        is_last = raw < 0x80
        counts = is_last.sum(axis=1)
        if not is_last[:, -1].all() or (counts != int(np.prod(self.shape))).any():
            return None
        return from_numbers(wire.decode_varints(raw.tobytes()), self.dtype).reshape(shape)

    def finish(self, prepared: NDArray[Any]) -> NDArray[Any]:
        """The numbers, (records, *shape), in memory of their own."""
        if self.varint:
            return prepared.copy()
        return np.array(prepared, order="C").view(self.dtype).reshape(len(prepared), *self.shape)


class _Layout:
    """The slots of a record, and the bytes around them."""

    def __init__(self, record: bytes, slots: Sequence[Slot]) -> None:
        self.slots = slots
        around = np.ones(len(record), bool)
        for slot in slots:
            around[slot.begin : slot.end] = False
        self._around = np.flatnonzero(around)
        self._bytes = np.frombuffer(record, np.uint8)[self._around]

    def cut(self, rows: NDArray[np.uint8]) -> list[NDArray[Any]] | None:
        """All outputs of all rows, or None if one row has another layout."""
        prepared = self._prepare(rows)
        return None if prepared is None else self._finish(prepared)

    def cut_block(self, block: Block) -> list[NDArray[Any]] | None:
        """The same for a block, or a part of one; the whole of it is looked at only once."""
        whole, which = block.origin or (block, slice(None))
        if isinstance(whole.values, list):
            return None
        if whole.prepared is None or whole.prepared[0] is not self:  # type: ignore[index]
            whole.prepared = self, self._prepare(whole.values)
        prepared: list[NDArray[Any]] | None = whole.prepared[1]  # type: ignore[index]
        if prepared is not None:
            return self._finish([part[which] for part in prepared])
        return None if isinstance(block.values, list) else self.cut(block.values)

    def _prepare(self, rows: NDArray[np.uint8]) -> list[NDArray[Any]] | None:
        if (rows[:, self._around] != self._bytes).any():
            return None
        prepared = []
        for slot in self.slots:
            part = slot.prepare(rows)
            if part is None:
                return None
            prepared.append(part)
        return prepared

    def _finish(self, prepared: list[NDArray[Any]]) -> list[NDArray[Any]]:
        return [slot.finish(part) for slot, part in zip(self.slots, prepared, strict=True)]


class RecordDecoder:
    """Turns batches of records into arrays; keeps the layouts it has seen.

    Args:
        parse: (value, where) -> the arrays of one record, by protobuf; raises FormatError.
        find_slots: value -> its slots, or None if its numbers do not stand in one piece each.
    """

    def __init__(
        self,
        parse: Callable[[bytes, str], list[NDArray[Any]]],
        find_slots: Callable[[bytes], list[Slot] | None],
    ) -> None:
        self._parse = parse
        self._find_slots = find_slots
        self._layouts: dict[int, _Layout | None] = {}

    def decode(self, records: Sequence[Record] | Block) -> list[NDArray[Any]]:
        """One array for each tensor in a record: (records, *its shape).

        Raises:
            FormatError: a record is damaged, or differs from the first in number, shape or type of tensors.
        """
        if isinstance(records, Block):
            if not isinstance(records.values, list) and len(records):
                layout = self._layout_of(records)
                cut = None if layout is None else layout.cut_block(records)
                if cut is not None:
                    return cut
                return self._decode_singly(records.records())
            records = records.records()
        groups: dict[int, list[int]] = {}
        for index, (_, value) in enumerate(records):
            groups.setdefault(len(value), []).append(index)
        if len(groups) == 1:
            return self._decode_group(records)
        outputs: list[NDArray[Any]] = []
        for members in groups.values():
            part = self._decode_group([records[index] for index in members])
            outputs = outputs or [np.empty((len(records), *one.shape[1:]), one.dtype) for one in part]
            _check_same(outputs, part, records[members[0]][0], records[0][0])
            for output, one in zip(outputs, part, strict=True):
                output[members] = one
        return outputs

    def _decode_group(self, records: Sequence[Record]) -> list[NDArray[Any]]:
        """Records of one length."""
        layout = self._layout(records[0])
        if layout is not None:
            block = np.frombuffer(b"".join(value for _, value in records), np.uint8)
            outputs = layout.cut(block.reshape(len(records), -1))
            if outputs is not None:
                return outputs
        return self._decode_singly(records)

    def _decode_singly(self, records: Sequence[Record]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = []
        for index, (key, value) in enumerate(records):
            arrays = self._parse(value, _where(key))
            outputs = outputs or [np.empty((len(records), *one.shape), one.dtype) for one in arrays]
            _check_same(outputs, [one[None] for one in arrays], key, records[0][0])
            for output, one in zip(outputs, arrays, strict=True):
                output[index] = one
        return outputs

    def knows(self, block: Block) -> bool:
        """Whether records of this length were seen to have a layout, so that numbers can be cut out of them."""
        return not isinstance(block.values, list) and self._layouts.get(block.values.shape[1]) is not None

    def _layout_of(self, block: Block) -> _Layout | None:
        if self.knows(block):
            return self._layouts[block.values.shape[1]]  # type: ignore[union-attr]
        return self._layout((block.key(0), block.value(0)))

    def _layout(self, record: Record) -> _Layout | None:
        key, value = record
        if len(value) not in self._layouts:
            if len(self._layouts) >= _MAX_LAYOUTS:
                return None
            self._layouts[len(value)] = self._learn(key, value)
        return self._layouts[len(value)]

    def _learn(self, key: bytes, value: bytes) -> _Layout | None:
        """The layout of a record, if cutting it gives what protobuf reads."""
        wanted = self._parse(value, _where(key))
        slots = self._find_slots(value)
        if slots is None:
            return None
        layout = _Layout(value, slots)
        found = layout.cut(np.frombuffer(value, np.uint8)[None])
        same = found is not None and [_exact(one[0]) for one in found] == [_exact(one) for one in wanted]
        return layout if same else None


def _exact(array: NDArray[Any]) -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


def _where(key: bytes) -> str:
    return f"record {key.decode('utf-8', 'backslashreplace')!r}"


def _check_same(outputs: list[NDArray[Any]], part: list[NDArray[Any]], key: bytes, first: bytes) -> None:
    """Raise unless ``part``, made from record ``key``, goes into ``outputs``."""
    wanted = [(one.shape[1:], one.dtype) for one in outputs]
    found = [(one.shape[1:], one.dtype) for one in part]
    if found != wanted:
        raise FormatError(
            f"tensors {_listed(found)}; {_where(first)} has {_listed(wanted)}: one batch must be of one kind",
            where=_where(key),
        )


def _listed(kinds: list[tuple[Any, Any]]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for shape, dtype in kinds) or "(none)"
