"""ONNX files as they come from anywhere: reading, with every size checked before memory is taken.

Owned here: bytes -> ModelProto, TensorProto -> numpy, data that lies beside the file, AttributeProto -> Python.
Who calls it: `freshpot.convert.from_onnx`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats import protobuf
from freshpot.formats.onnx import MESSAGES
from freshpot.formats.packed import get_packed
from freshpot.formats.tensor_proto import shape_of, shaped

__all__ = ["TYPES", "attribute_value", "read_model", "tensor_value"]

#: ONNX's number of an element type -> numpy type, and the field its elements are in where they are not raw
TYPES: dict[int, tuple[np.dtype[Any], str]] = {
    1: (np.dtype("<f4"), "float_data"),
    2: (np.dtype("u1"), "int32_data"),
    3: (np.dtype("i1"), "int32_data"),
    4: (np.dtype("<u2"), "int32_data"),
    5: (np.dtype("<i2"), "int32_data"),
    6: (np.dtype("<i4"), "int32_data"),
    7: (np.dtype("<i8"), "int64_data"),
    9: (np.dtype(bool), "int32_data"),
    10: (np.dtype("<f2"), "int32_data"),
    11: (np.dtype("<f8"), "double_data"),
    12: (np.dtype("<u4"), "uint64_data"),
    13: (np.dtype("<u8"), "uint64_data"),
    16: (np.dtype("<u2"), "int32_data"),  # bfloat16: the upper half of a float32
}
_BFLOAT16 = 16
_EXTERNAL = 1
#: the most that a protobuf message may hold, bytes
_LIMIT = 2**31 - 1


def read_model(path: str | os.PathLike[str]) -> Any:
    """The ModelProto in a file.

    Raises:
        FormatError: the file is larger than a message can be, or holds no ONNX model.
        OSError: it is not there, or not readable.
    """
    size = os.stat(path).st_size
    if size > _LIMIT:
        raise FormatError(f"{size} bytes are more than an ONNX file can hold.", path=path)
    model = protobuf.parse_message(MESSAGES.ModelProto, Path(path).read_bytes(), path=path)
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise FormatError("no ONNX model: it holds no graph.", path=path)
    return model


def tensor_value(proto: Any, *, folder: Path | None = None, path: object = None) -> NDArray[Any]:
    """The array in a TensorProto, new and writable.

    Args:
        proto: the message.
        folder: where data that is kept beside the model lies; None if there can be none.
        path: the model's file, for errors.

    Raises:
        FormatError: shape and elements disagree, or data beside the model is not within ``folder`` or too short.
        NotSupportedError: an element type that nets do not have.
    """
    where = f"tensor '{proto.name}'" if proto.name else "a tensor"
    if proto.data_type not in TYPES:
        raise NotSupportedError(
            f"{path or 'model'}: {where} has element type {proto.data_type}, which no net has."
        )
    dtype, field = TYPES[proto.data_type]
    shape = shape_of(proto.dims, path, where)
    if proto.data_location == _EXTERNAL:
        data = _beside(proto, math.prod(shape) * dtype.itemsize, folder, path, where)
        elements = np.frombuffer(data, dtype)
    elif proto.HasField("raw_data"):
        if len(proto.raw_data) % dtype.itemsize:
            raise FormatError(f"{len(proto.raw_data)} bytes of {dtype} elements.", path=path, where=where)
        elements = np.frombuffer(proto.raw_data, dtype)
    else:
        elements = _typed(proto, dtype, field)
    if proto.data_type == _BFLOAT16:
        elements = (elements.astype(np.uint32) << 16).view(np.float32)
    return shaped(elements, shape, path, where)


def _typed(proto: Any, dtype: np.dtype[Any], field: str) -> NDArray[Any]:
    if field in ("float_data", "double_data"):
        return np.frombuffer(get_packed(proto, field), dtype)
    numbers: NDArray[Any] = np.array(
        list(getattr(proto, field)), np.uint64 if field == "uint64_data" else np.int64
    )
    return numbers.astype(np.uint16).view(dtype) if dtype == np.float16 else numbers.astype(dtype)


def _beside(proto: Any, size: int, folder: Path | None, path: object, where: str) -> bytes:
    """Data in a file beside the model, of which only the model's own folder is read."""
    said = {entry.key: entry.value for entry in proto.external_data}
    name = said.get("location", "")
    if folder is None:
        raise FormatError(
            f"its data is in a file '{name}', and the model came from no folder.", path=path, where=where
        )
    root = folder.resolve()
    try:
        place = (root / name).resolve()
        inside = (
            bool(name) and not Path(name).is_absolute() and place.is_relative_to(root) and place.is_file()
        )
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links that go round
        inside = False
    if not inside:
        raise FormatError(
            f"its data is said to be in '{name}', which is no file within {root}.", path=path, where=where
        )
    try:
        offset = int(said.get("offset", "0") or 0)
        length = int(said.get("length", "") or size)
    except ValueError:
        raise FormatError(
            f"offset and length of its data in '{name}' are no numbers.", path=path, where=where
        ) from None
    there = place.stat().st_size
    if offset < 0 or length != size or offset + length > there:
        raise FormatError(
            f"its {size} bytes are said to be {length} at {offset} of '{name}', which has {there}.",
            path=path,
            where=where,
        )
    with open(place, "rb") as file:
        file.seek(offset)
        return file.read(length)


def attribute_value(proto: Any, *, folder: Path | None = None, path: object = None) -> Any:
    """The value of an AttributeProto: a number, text, an array, a GraphProto, or a list of these.

    Raises:
        FormatError: it says no type, or text is not UTF-8. NotSupportedError: it refers to a function's attribute.
    """
    if proto.ref_attr_name:
        raise NotSupportedError(
            f"{path or 'model'}: attribute '{proto.name}' is that of a function, which is not read."
        )
    kinds = MESSAGES.AttributeProto
    try:
        return {
            kinds.FLOAT: lambda: float(proto.f),
            kinds.INT: lambda: int(proto.i),
            kinds.STRING: lambda: proto.s.decode("utf-8"),
            kinds.TENSOR: lambda: tensor_value(proto.t, folder=folder, path=path),
            kinds.GRAPH: lambda: proto.g,
            kinds.FLOATS: lambda: [float(v) for v in proto.floats],
            kinds.INTS: lambda: [int(v) for v in proto.ints],
            kinds.STRINGS: lambda: [s.decode("utf-8") for s in proto.strings],
        }[proto.type]()
    except KeyError:
        raise FormatError(
            f"attribute '{proto.name}' has no type that is read ({proto.type}).", path=path
        ) from None
    except UnicodeDecodeError as error:
        raise FormatError(
            f"attribute '{proto.name}' holds bytes that are not UTF-8 text.", path=path
        ) from error
