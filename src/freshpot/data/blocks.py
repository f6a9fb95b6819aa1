"""Records read together, as bytes: what a cursor gives at once, and what decoders cut numbers from.

Owned here: one class. Who uses it: `reader` and the stores make blocks, `rounds` keeps them, `records` decodes
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "Record"]

Record: TypeAlias = tuple[bytes, bytes]  # key, value
Rows: TypeAlias = NDArray[np.uint8]


class Block:
    """Records, keys and values apart; where all of them are of one length, as rows of bytes.

    Args:
        keys, values: one for each record, in order: (N, length) uint8, or a list of bytes.
        error: why no more records could be read, if that was not foreseen.

    ``origin``: the block that this one is a part of, and which of its records; None: it is whole.
    ``prepared``: what a decoder found out about the whole block, for its parts.
    """

    __slots__ = ("error", "keys", "origin", "prepared", "values")

    def __init__(
        self, keys: Rows | list[bytes], values: Rows | list[bytes], error: Exception | None = None
    ) -> None:
        self.keys = keys
        self.values = values
        self.error = error
        self.origin: tuple[Block, slice] | None = None
        self.prepared: object = None

    @classmethod
    def of(cls, records: Iterable[Record], error: Exception | None = None) -> Block:
        """A block of these records."""
        records = list(records)
        return cls(_rows([key for key, _ in records]), _rows([value for _, value in records]), error)

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """One block of all records, in order."""
        if len(blocks) == 1:
            return blocks[0]
        return cls(_joined([block.keys for block in blocks]), _joined([block.values for block in blocks]))

    def __len__(self) -> int:
        return len(self.values)

    def part(self, begin: int, end: int, step: int = 1) -> Block:
        """The records from ``begin`` to before ``end``, every ``step``-th; shares memory. All: the block itself."""
        if begin == 0 and step == 1 and end == len(self):
            return self
        which = slice(begin, end, step)
        made = Block(self.keys[which], self.values[which])
        if self.origin is None:
            made.origin = self, which
        return made

    def copy(self) -> Block:
        """The same records in memory of their own."""
        return Block(self.keys.copy(), self.values.copy(), self.error)

    def key(self, index: int) -> bytes:
        """The key of one record."""
        return bytes(self.keys[index])

    def value(self, index: int) -> bytes:
        """The value of one record."""
        return bytes(self.values[index])

    def records(self) -> list[Record]:
        """Keys and values in pairs."""
        return list(zip(_listed(self.keys), _listed(self.values), strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes that keys and values take."""
        return _size(self.keys) + _size(self.values)


def _rows(items: list[bytes]) -> Rows | list[bytes]:
    """As rows, if they are of one length."""
    if len({len(item) for item in items}) != 1 or not items[0]:
        return items
    return np.frombuffer(b"".join(items), np.uint8).reshape(len(items), -1)


def _listed(items: Rows | list[bytes]) -> list[bytes]:
    return items if isinstance(items, list) else [row.tobytes() for row in items]


def _joined(parts: Sequence[Rows | list[bytes]]) -> Rows | list[bytes]:
    rows = [part for part in parts if not isinstance(part, list)]
    if len(rows) == len(parts) and len({part.shape[1] for part in rows}) == 1:
        return np.concatenate(rows)
    return [item for part in parts for item in _listed(part)]


def _size(items: Rows | list[bytes]) -> int:
    return sum(map(len, items)) if isinstance(items, list) else items.nbytes
