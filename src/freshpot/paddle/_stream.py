"""Tensors one after the other in a file, as Paddle writes ``.pdiparams`` and the files of its inference models.

Each: version 0 (uint32), no levels (uint64), version 0 (uint32), the length of a description (int32), the description
(element type, sizes), the elements. Files come from anywhere: sizes are checked before memory is taken.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats.protobuf import load, parse_message

__all__ = ["ELEMENTS", "read_tensor", "write_tensors"]

#: VarType.Type -> numpy's type; bfloat16 has none and is read by its bits
ELEMENTS: dict[int, Any] = {
    0: np.bool_, 1: np.int16, 2: np.int32, 3: np.int64, 4: np.float16, 5: np.float32, 6: np.float64,
    20: np.uint8, 21: np.int8, 23: np.complex64, 24: np.complex128,
}  # fmt: skip
_BFLOAT16 = 22
_LONGEST = 4096  # of a description, in bytes


def write_tensors(arrays: Iterable[np.ndarray[Any, Any]]) -> bytes:
    """The bytes of tensors one after the other.

    Raises:
        NotSupportedError: an element type that Paddle does not have.
    """
    kinds = {np.dtype(kind): number for number, kind in ELEMENTS.items()}
    parts = []
    for array in arrays:
        if array.dtype not in kinds:
            raise NotSupportedError(f"elements {array.dtype} have no form in Paddle's files")
        desc = load("paddle").VarType.TensorDesc(data_type=kinds[array.dtype], dims=array.shape)
        text = desc.SerializeToString()
        parts += [struct.pack("<IQIi", 0, 0, 0, len(text)), text, np.ascontiguousarray(array).tobytes()]
    return b"".join(parts)


def read_tensor(data: bytes, at: int, path: object) -> tuple[np.ndarray[Any, Any], int]:
    """The tensor that begins at a byte, and where the next one begins.

    Raises:
        FormatError: cut off, another version, a size that the file does not hold, or an unknown element type.
    """

    def take(count: int, what: str) -> bytes:
        nonlocal at
        if count < 0 or at + count > len(data):
            raise FormatError(
                f"cut off: {what} takes {count} bytes, {len(data) - at} are left",
                path=path,
                where=f"byte {at}",
            )
        at += count
        return data[at - count : at]

    start = at
    version, levels = struct.unpack("<IQ", take(12, "a tensor's head"))
    if version:
        raise FormatError(f"a tensor of version {version}; 0 is known", path=path, where=f"byte {start}")
    for _ in range(min(levels, 64)):
        take(struct.unpack("<Q", take(8, "a level's length"))[0], "a level")
    if levels > 64:
        raise FormatError(f"{levels} levels in a tensor", path=path, where=f"byte {start}")
    inner, length = struct.unpack("<Ii", take(8, "a tensor's head"))
    if inner or length > _LONGEST:
        raise FormatError(
            f"no tensor: version {inner}, a description of {length} bytes", path=path, where=f"byte {start}"
        )
    desc = parse_message(
        load("paddle").VarType.TensorDesc, take(length, "a description"), path=path, where=f"byte {start}"
    )
    kind = np.uint16 if desc.data_type == _BFLOAT16 else ELEMENTS.get(desc.data_type)
    if kind is None or any(size < 0 for size in desc.dims):
        raise FormatError(
            f"a tensor of type {desc.data_type}, sizes {list(desc.dims)}", path=path, where=f"byte {start}"
        )
    body = take(math.prod(desc.dims) * np.dtype(kind).itemsize, f"a tensor of {list(desc.dims)}")
    array = np.frombuffer(body, kind).reshape(list(desc.dims))
    if desc.data_type == _BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy(), at
