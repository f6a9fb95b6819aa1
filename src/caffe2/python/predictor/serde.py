"""Protobuf messages to and from bytes."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from freshpot.errors import FormatError


def serialize_protobuf_struct(protobuf_struct: Any) -> bytes:
    """The message's bytes."""
    return protobuf_struct.SerializeToString()


def deserialize_protobuf_struct(serialized_protobuf: bytes, struct_type: Any) -> Any:
    """A message of type ``struct_type`` from its bytes.

    Raises:
        FormatError: the bytes are no such message.
    """
    message = struct_type()
    try:
        message.ParseFromString(serialized_protobuf)
    except DecodeError as error:
        raise FormatError(
            f"{len(serialized_protobuf)} bytes are not a {struct_type.DESCRIPTOR.full_name} message: {error}."
        ) from error
    return message
