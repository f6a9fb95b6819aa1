"""IDX: the file format MNIST is published in, plain or gzip-compressed.

Layout (all integers big-endian)::

    offset 0   0x00 0x00            always
    offset 2   element type         0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64
    offset 3   number of axes D
    offset 4   D times uint32       the shape
    then       the elements, last axis fastest, nothing after them

A file is believed only as far as its size allows: what the header promises is compared with the file's
size before a byte is allocated. A compressed file is held to deflate's greatest ratio, and never unpacked
beyond the promised size.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError
from freshpot.formats.atomic import atomic_write

__all__ = ["parse_idx", "read_idx", "write_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _DTYPES.items()}
_MAX_AXES = 32  # numpy < 2 knows no more
_MAX_DEFLATE_RATIO = 1032  # the format cannot do better: 258 bytes from 2 bits
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, plain or gzip-compressed (told by its first bytes, not by its name).

    Args:
        path: the file.

    Returns:
        The array, in this machine's byte order, writable.

    Raises:
        FormatError: wrong magic, a shape that the file's size contradicts, cut off, trailing or corrupt data.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return _read_stream(file, size, path)


def parse_idx(data: bytes, *, path: object = None) -> NDArray[Any]:
    """The same for bytes that are in memory already; ``path`` is only for messages."""
    return _read_stream(io.BytesIO(data), len(data), path)


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write an array as IDX, atomically; a name that ends in ``.gz`` is compressed.

    The same array always gives the same bytes (no time stamp, no file name inside).

    Raises:
        FormatError: an element type or a number of axes that IDX does not have.
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise FormatError(
            f"IDX has no element type {array.dtype}, only {known}; convert the array", path=path
        )
    if not 1 <= array.ndim <= _MAX_AXES:
        raise FormatError(f"IDX holds 1 to {_MAX_AXES} axes, the array has {array.ndim}", path=path)
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    body = np.ascontiguousarray(array, dtype=_DTYPES[code]).tobytes()
    with atomic_write(path) as file:
        if Path(path).suffix != ".gz":
            file.write(header + body)
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
            packed.write(header + body)


def _read_stream(file: BinaryIO, size: int, path: object) -> NDArray[Any]:
    """Read from ``file``, which holds ``size`` bytes, compressed or not."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not packed:
        return _read_array(file, size, path, packed=False)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            return _read_array(cast(BinaryIO, stream), size * _MAX_DEFLATE_RATIO, path, packed=True)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"broken gzip data ({error}); get the file again", path=path) from error


def _read_array(file: BinaryIO, most: int, path: object, *, packed: bool) -> NDArray[Any]:
    """Header, then elements. ``most``: bytes that can be there (exact for a plain file)."""
    dtype, shape, start = _read_header(file, path)
    wanted = math.prod(shape) * dtype.itemsize
    if (wanted > most - start) if packed else (wanted != most - start):
        have = f"at most {max(most - start, 0)}" if packed else str(most - start)
        raise FormatError(
            f"shape {shape} of {dtype.newbyteorder('=')} needs {wanted} bytes of data, the file has {have}",
            path=path,
            where=f"offset {start}",
        )
    raw = np.empty(wanted, dtype=np.uint8)
    _fill(file, raw, start, path)
    if file.read(1):
        raise FormatError(
            f"data goes on after the {wanted} bytes of shape {shape}",
            path=path,
            where=f"offset {start + wanted}",
        )
    try:
        values = raw.view(dtype).reshape(shape)
    except ValueError as error:  # no elements, and other axes beyond what numpy can count
        raise FormatError(f"no array can have the shape {shape}", path=path, where="offset 4") from error
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: BinaryIO, path: object) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Element type, shape, and the offset where elements begin."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_AXES:
        raise FormatError(
            f"not an IDX file: it begins with {magic.hex(' ') or 'nothing'}, expected 00 00, an element type "
            f"(08 09 0b 0c 0d 0e) and 1 to {_MAX_AXES} axes",
            path=path,
            where="offset 0",
        )
    axes = file.read(4 * magic[3])
    if len(axes) < 4 * magic[3]:
        raise FormatError(
            f"ends within the shape of {magic[3]} axes", path=path, where=f"offset {4 + len(axes)}"
        )
    return np.dtype(_DTYPES[magic[2]]), struct.unpack(f">{magic[3]}I", axes), 4 + len(axes)


def _fill(file: BinaryIO, raw: NDArray[np.uint8], start: int, path: object) -> None:
    """Fill ``raw`` from ``file``, or say where the data ended."""
    done = 0
    while done < raw.size:
        chunk = file.read(min(_CHUNK, raw.size - done))
        if not chunk:
            raise FormatError(
                f"ends after {done} of {raw.size} bytes of data; get the file again",
                path=path,
                where=f"offset {start + done}",
            )
        raw[done : done + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        done += len(chunk)
