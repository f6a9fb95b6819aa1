"""Packed float and double fields of messages read and written in one piece, not number by number.

Called by the readers and writers of tensors and of Caffe's blobs. Python's protobuf gives repeated fields as
sequences of Python numbers; through the wire format they are bytes, as in memory.
"""

from __future__ import annotations

from typing import Any

from freshpot.formats import wire


def get_packed(message: Any, field: str) -> bytes:
    """The little-endian elements of a packed field."""
    alone = type(message)()
    getattr(alone, field).MergeFrom(getattr(message, field))
    data = alone.SerializePartialToString()
    return data[next(wire.scan_fields(data)).begin :] if data else b""


def put_packed(message: Any, field: str, elements: bytes) -> None:
    """Append little-endian elements to a packed field."""
    if elements:
        tag = wire.encode_varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire.BYTES)
        message.MergeFromString(b"".join((tag, wire.encode_varint(len(elements)), elements)))
