"""ONNX messages of either kind, the package's and freshpot's own.

Owned here: going from one to the other. Who calls it: `backend`, `frontend`.
"""

from __future__ import annotations

import os
from typing import Any

from freshpot.errors import FormatError
from freshpot.formats import protobuf
from freshpot.formats.onnx import MESSAGES
from freshpot.formats.onnx_file import read_model


def as_own(message: Any, kind: str = "ModelProto") -> Any:
    """A message of freshpot's own: from the package's, from bytes, or, a model, from a file's path.

    Raises:
        FormatError: it is something else. OSError: the file is not readable.
    """
    own = getattr(MESSAGES, kind)
    if isinstance(message, own):
        return message
    if hasattr(message, "SerializeToString"):
        message = message.SerializeToString()
    if isinstance(message, (bytes, bytearray, memoryview)):
        return protobuf.parse_message(own, bytes(message))
    if isinstance(message, (str, os.PathLike)) and kind == "ModelProto":
        return read_model(message)
    raise FormatError(f"an ONNX {kind} is wanted, got {type(message).__name__}.")


def as_users(message: Any) -> Any:
    """The package's message, if the package is installed, so that its functions take it."""
    try:
        import onnx
    except ImportError:
        return message
    return getattr(onnx, type(message).__name__).FromString(message.SerializeToString())
