"""The protobuf wire format, as far as whole arrays need it: fields found and numbers packed in bulk.

Called where going through message objects, one Python number at a time, would be too slow:
``tensor_proto`` (weights) and ``data.tensor_protos`` (records).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError

__all__ = ["Field", "bytes_field", "decode_varints", "encode_varint", "scan_fields"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10  # bytes


class Indexed(Protocol):
    """Bytes, or what gives them one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> int: ...


class Field(NamedTuple):
    """One field of a serialised message: its number, wire type, and where its value begins and ends."""

    number: int
    wire_type: int
    begin: int
    end: int


def scan_fields(data: Indexed, begin: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message that is ``data[begin:end]``, in their order there.

    Raises:
        FormatError: a field that does not end inside the message, or of a kind that proto2 dropped.
    """
    end = len(data) if end is None else end
    while begin < end:
        tag, value = _read_varint(data, begin, end)
        wire_type = tag & 7
        if wire_type == VARINT:
            _, stop = _read_varint(data, value, end)
        elif wire_type == BYTES:
            size, value = _read_varint(data, value, end)
            stop = value + size
        elif wire_type in (FIXED32, FIXED64):
            stop = value + (4 if wire_type == FIXED32 else 8)
        else:
            raise FormatError(f"field of wire type {wire_type}", where=f"offset {begin}")
        if stop > end or tag >> 3 == 0:
            raise FormatError(
                f"field {tag >> 3} ends at byte {stop} of a message of {end}", where=f"offset {begin}"
            )
        yield Field(tag >> 3, wire_type, value, stop)
        begin = stop


def _read_varint(data: Indexed, begin: int, end: int) -> tuple[int, int]:
    """The number at ``begin`` and where it ends."""
    value = 0
    for count, position in enumerate(range(begin, min(end, begin + _MAX_VARINT))):
        byte = data[position]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + 1
    raise FormatError("a number has no end", where=f"offset {begin}")


def encode_varint(value: int) -> bytes:
    """One number, 0 <= value < 2**64, in the wire's variable length."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of bytes, a text or a message, as it stands in a message."""
    return b"".join((encode_varint(number << 3 | BYTES), encode_varint(len(content)), content))


def decode_varints(packed: bytes) -> NDArray[np.int64]:
    """Every number of a packed field: (count,) int64; bits beyond the 64th are dropped.

    Raises:
        FormatError: the last number has no end, or one is longer than ten bytes.
    """
    raw = np.frombuffer(packed, np.uint8)
    is_last = raw < 0x80
    if is_last.all():
        return raw.astype(np.int64)
    ends = np.flatnonzero(is_last)
    if not is_last[-1]:
        raise FormatError("the last number of a packed field has no end")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_VARINT:
        raise FormatError(f"a number of {lengths.max()} bytes in a packed field, {_MAX_VARINT} at most")
    shifts = (np.arange(raw.size) - np.repeat(starts, lengths)) * 7
    parts = (raw & 0x7F).astype(np.uint64) << shifts.astype(np.uint64)
    return np.bitwise_or.reduceat(parts, starts).view(np.int64)
