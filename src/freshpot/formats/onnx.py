"""ONNX files: tensors, attributes, models.

Owned here: how values are stored in ONNX messages. Who calls it: `freshpot.convert.onnx`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from freshpot.errors import DTypeError, FormatError
from freshpot.formats import protobuf
from freshpot.formats.atomic import write_bytes

__all__ = ["MESSAGES", "attribute", "tensor", "value_info", "write_model"]

MESSAGES = protobuf.load("onnx")
#: the most that a protobuf message may hold, bytes
_LIMIT = 2**31 - 1
#: numpy type -> ONNX's number
_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6,
    "int64": 7, "bool": 9, "float16": 10, "float64": 11, "uint32": 12, "uint64": 13,
}  # fmt: skip


def number_of(dtype: str) -> int:
    """ONNX's number of an element type.

    Raises:
        DTypeError: ONNX tensors have no such type here.
    """
    if dtype not in _TYPES:
        raise DTypeError(f"{dtype} is no element type of ONNX; known: {', '.join(_TYPES)}.")
    return _TYPES[dtype]


def tensor(name: str, value: np.ndarray) -> Any:
    """A TensorProto, its numbers as raw little-endian bytes."""
    data = np.ascontiguousarray(value)
    little = data.astype(data.dtype.newbyteorder("<"), copy=False)
    return MESSAGES.TensorProto(
        name=name, dims=list(value.shape), data_type=number_of(str(value.dtype)), raw_data=little.tobytes()
    )


def attribute(name: str, value: Any) -> Any:
    """An AttributeProto of an int, float, text, tensor, graph, or a list of ints, floats or texts."""
    made = MESSAGES.AttributeProto(name=name)
    kinds = MESSAGES.AttributeProto
    if isinstance(value, (bool, int)):
        made.type, made.i = kinds.INT, int(value)
    elif isinstance(value, float):
        made.type, made.f = kinds.FLOAT, value
    elif isinstance(value, str):
        made.type, made.s = kinds.STRING, value.encode()
    elif isinstance(value, MESSAGES.GraphProto):
        made.type = kinds.GRAPH
        made.g.CopyFrom(value)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
        made.type = kinds.STRINGS
        made.strings.extend(item.encode() for item in value)
    elif isinstance(value, np.ndarray):
        made.type = kinds.TENSOR
        made.t.CopyFrom(tensor("", value))
    elif all(isinstance(item, int) for item in value):
        made.type = kinds.INTS
        made.ints.extend(value)
    else:
        made.type = kinds.FLOATS
        made.floats.extend(value)
    return made


def value_info(name: str, dtype: str, shape: Sequence[int | str]) -> Any:
    """A ValueInfoProto; sizes that are text are open."""
    made = MESSAGES.ValueInfoProto(name=name)
    made.type.tensor_type.elem_type = number_of(dtype)
    made.type.tensor_type.shape.SetInParent()
    for size in shape:
        dim = made.type.tensor_type.shape.dim.add()
        if isinstance(size, str):
            dim.dim_param = size
        else:
            dim.dim_value = size
    return made


def write_model(path: str | os.PathLike[str], model: Any) -> None:
    """Write a ModelProto, atomically.

    Raises:
        FormatError: it is larger than a protobuf file can be (2 GiB).
        OSError: the folder is missing or not writable.
    """
    if model.ByteSize() > _LIMIT:
        raise FormatError(f"{model.ByteSize()} bytes are more than an ONNX file can hold.", path=path)
    write_bytes(path, model.SerializeToString())
