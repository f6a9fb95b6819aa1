"""Arrays to and from TensorProto messages, byte for byte as Caffe2 writes them.

Called by ``blob_proto``, by the readers of exported nets, and by operators with tensors as arguments.
Text tensors are object arrays of ``bytes``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats import protobuf
from freshpot.formats.packed import get_packed, put_packed

__all__ = ["tensor_from_proto", "tensor_to_proto"]

_T = protobuf.load("caffe2").TensorProto

#: data_type -> (numpy type, the field its elements are in)
STORED: dict[int, tuple[np.dtype[Any], str]] = {
    _T.FLOAT: (np.dtype("<f4"), "float_data"),
    _T.INT32: (np.dtype("<i4"), "int32_data"),
    _T.BYTE: (np.dtype("u1"), "byte_data"),
    _T.STRING: (np.dtype(object), "string_data"),
    _T.BOOL: (np.dtype(bool), "int32_data"),
    _T.UINT8: (np.dtype("u1"), "int32_data"),
    _T.INT8: (np.dtype("i1"), "int32_data"),
    _T.UINT16: (np.dtype("<u2"), "int32_data"),
    _T.INT16: (np.dtype("<i2"), "int32_data"),
    _T.INT64: (np.dtype("<i8"), "int64_data"),
    _T.FLOAT16: (np.dtype("<f2"), "int32_data"),
    _T.DOUBLE: (np.dtype("<f8"), "double_data"),
}
TYPE_OF = {dtype: code for code, (dtype, _) in STORED.items() if code != _T.BYTE}
_AS_IN_MEMORY = ("float_data", "double_data")
_MAX_AXES = 64  # of a NumPy array
#: data_types whose elements may stand in byte_data instead
MAY_BE_BYTES = {_T.BYTE, _T.UINT8, _T.INT8, _T.BOOL, _T.FLOAT16}


def tensor_to_proto(array: Any, name: str = "") -> Any:
    """A TensorProto with the type, shape and elements of an array.

    Args:
        array: any array or number of a type that TensorProto knows; text becomes bytes (UTF-8).
        name: the tensor's name; left out if empty.

    Raises:
        FormatError: an element type that TensorProto has not.
    """
    array = as_tensor_array(array, name)
    proto = _T(dims=array.shape, data_type=TYPE_OF[array.dtype])
    if name:
        proto.name = name
    put_elements(proto, array)
    return proto


def tensor_from_proto(proto: Any, *, path: object = None, where: str | None = None) -> NDArray[Any]:
    """The array in a TensorProto that holds a whole tensor: a new array of its shape.

    Raises:
        FormatError: elements and shape disagree, or it is one chunk of a tensor.
        NotSupportedError: the elements are outside the message or are blobs themselves.
    """
    where = _place(where, proto)
    return shaped(elements_of(proto, path, where), shape_of(proto.dims, path, where), path, where)


def as_tensor_array(value: Any, name: str) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind in "SUO":
        return _as_bytes_array(array, name)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in TYPE_OF:
        known = ", ".join(str(dtype) for dtype in TYPE_OF)
        raise FormatError(f"tensor {name!r}: TensorProto has no element type {array.dtype}, only {known}")
    return array


def _as_bytes_array(array: NDArray[Any], name: str) -> NDArray[Any]:
    out = np.empty(array.shape, object)
    for index, item in enumerate(array.ravel().tolist()):
        if not isinstance(item, (str, bytes)):
            raise FormatError(
                f"tensor {name!r}: an array of objects must hold text, element {index} is {type(item).__name__}"
            )
        out.flat[index] = item.encode() if isinstance(item, str) else item
    return out


def put_elements(proto: Any, array: NDArray[Any]) -> None:
    """Set the elements of a TensorProto whose data_type is set already."""
    field = STORED[proto.data_type][1]
    if field in _AS_IN_MEMORY:
        put_packed(proto, field, array.tobytes())
    else:
        stored_as = {"float16": np.uint16, "bool": np.uint8}.get(array.dtype.name, array.dtype)
        getattr(proto, field).extend(array.view(stored_as).ravel().tolist())


def integers(field: Any) -> NDArray[np.int64]:
    """The elements of a repeated integer field."""
    return np.fromiter(field, np.int64, len(field))


def elements_of(proto: Any, path: object, where: str | None) -> NDArray[Any]:
    """Everything a TensorProto holds, flat."""
    _check_kind(proto, path, where)
    dtype, field = STORED[proto.data_type]
    if proto.data_type in MAY_BE_BYTES and proto.HasField("byte_data"):
        if len(proto.byte_data) % dtype.itemsize:
            raise FormatError(
                f"byte_data of {len(proto.byte_data)} bytes for {dtype}", path=path, where=where
            )
        return np.frombuffer(proto.byte_data, dtype)
    if field == "string_data":
        out = np.empty(len(proto.string_data), object)
        out[:] = list(proto.string_data)
        return out
    if field == "byte_data":
        return np.empty(0, dtype)
    if field in _AS_IN_MEMORY:
        return np.frombuffer(get_packed(proto, field), dtype)
    return from_numbers(integers(getattr(proto, field)), dtype)


def from_numbers(numbers: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Elements from the integers they are stored as; half floats are stored as their bits."""
    return numbers.astype(np.uint16).view(dtype) if dtype == np.float16 else numbers.astype(dtype)


def _check_kind(proto: Any, path: object, where: str | None) -> None:
    if proto.storage_type not in (_T.TYPED,):
        kind = _T.StorageType.Name(proto.storage_type)
        raise NotSupportedError(f"{_at(path, where)}storage_type {kind}: only TYPED tensors are read")
    if proto.data_type not in STORED:
        kind = _T.DataType.Name(proto.data_type)
        raise NotSupportedError(f"{_at(path, where)}data_type {kind}: only numbers and text are read")


def shape_of(dims: Iterable[int], path: object, where: str | None) -> tuple[int, ...]:
    shape = tuple(dims)
    if len(shape) > _MAX_AXES:
        raise FormatError(f"a shape of {len(shape)} axes, {_MAX_AXES} at most", path=path, where=where)
    if any(size < 0 for size in shape):
        raise FormatError(f"negative size in shape {shape}", path=path, where=where)
    return shape


def shaped(elements: NDArray[Any], shape: tuple[int, ...], path: object, where: str | None) -> NDArray[Any]:
    """A writable array of that shape; the elements are counted before anything is allocated."""
    if math.prod(shape) != elements.size:
        raise FormatError(
            f"shape {shape} has {math.prod(shape)} elements, the message holds {elements.size}",
            path=path,
            where=where,
        )
    try:
        elements = elements.reshape(shape)
    except ValueError as error:  # longer axes, or more of them, than this NumPy takes
        raise FormatError(f"shape {shape}: {error}", path=path, where=where) from error
    return elements if elements.flags.writeable else elements.copy()


def _place(where: str | None, proto: Any) -> str | None:
    return where or (f"tensor {proto.name!r}" if proto.name else None)


def _at(path: object, where: str | None) -> str:
    return "".join(f"{part}: " for part in (path, where) if part is not None)
