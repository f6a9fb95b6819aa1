"""Blobs to and from BlobProto messages: chunks, text and quantised tensors, as Caffe2 saves them.

Called by the operators that save and load blobs and by the workspace when a blob is serialised.

A *value* here is what a blob holds: an array (``numpy.ndarray``; text tensors are object arrays of
``bytes``), a single ``bytes``, or an :class:`Int8Tensor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError
from freshpot.formats import protobuf
from freshpot.formats.tensor_proto import (
    TYPE_OF,
    as_tensor_array,
    elements_of,
    integers,
    put_elements,
    shape_of,
    shaped,
    tensor_from_proto,
)

__all__ = [
    "CHUNK_SIZE",
    "OBJECT_TYPES",
    "Int8Tensor",
    "SavedObject",
    "blob_from_protos",
    "blob_to_protos",
    "blobs_from_records",
    "deserialize_blob",
    "serialize_blob",
    "split_key",
]

_PB = protobuf.load("caffe2")
_T = _PB.TensorProto

#: Elements in one record of a saved tensor, unless the writer says otherwise.
CHUNK_SIZE = 1_000_000
#: Between a blob's name and the number of the chunk, in the keys of a database.
CHUNK_SEPARATOR = "#%"


#: kinds of blobs, as files name them, that are read and written as `SavedObject`
OBJECT_TYPES = frozenset(
    {
        "std::unique_ptr<Counter<int64_t>>",
        "std::unique_ptr<TreeCursor>",
        "std::unique_ptr<caffe2::IndexBase>",
        "std::unique_ptr<std::mutex>",
        *(f"(std::unordered_map<{k}, {v}>)" for k in ("int64_t", "int32_t") for v in ("int64_t", "int32_t")),
    }
)


class Int8Tensor(NamedTuple):
    """An 8-bit quantised tensor: real = scale * (data - zero_point)."""

    data: NDArray[Any]  # uint8, or int32 (biases)
    scale: float
    zero_point: int


class SavedObject(NamedTuple):
    """A blob that is neither tensor nor text, as files have it: a counter, a map …"""

    type: str
    content: bytes | None = None
    tensor: NDArray[Any] | None = None


def blob_to_protos(name: str, value: Any, chunk_size: int = CHUNK_SIZE) -> Iterator[tuple[str, Any]]:
    """The records that save a blob: (key, BlobProto), one for each ``chunk_size`` elements of a tensor.

    Args:
        name: the blob's name.
        value: array, number, bytes, str, :class:`Int8Tensor` or :class:`SavedObject`.
        chunk_size: elements in a record, > 0; 0: never split; -1: :data:`CHUNK_SIZE`.

    Raises:
        FormatError: an element type that has no serialised form.
    """
    if isinstance(value, (bytes, str)):
        content = value.encode() if isinstance(value, str) else value
        yield name, _PB.BlobProto(name=name, type="std::string", content=content)
        return
    if isinstance(value, Int8Tensor):
        yield name, _int8_to_proto(name, value)
        return
    if isinstance(value, SavedObject):
        yield name, _object_to_proto(name, value)
        return
    array = as_tensor_array(value, name)
    flat = array.ravel()
    step = (CHUNK_SIZE if chunk_size < 0 else chunk_size) or array.size + 1
    for chunk, begin in enumerate(range(0, max(array.size, 1), step)):
        piece = flat[begin : begin + step]
        yield f"{name}{CHUNK_SEPARATOR}{chunk}", _chunk_to_proto(name, array, piece, begin)


def serialize_blob(name: str, value: Any) -> bytes:
    """A blob as one serialised BlobProto, never split. Raises FormatError as :func:`blob_to_protos` does."""
    ((_, proto),) = blob_to_protos(name, value, chunk_size=0)
    return proto.SerializeToString()


def deserialize_blob(data: bytes, *, path: object = None) -> tuple[str, Any]:
    """(name, value) of one serialised BlobProto; a blob that is neither tensor nor text stays a BlobProto.

    Raises:
        FormatError: not a BlobProto, or not a whole blob.
    """
    proto = protobuf.parse_message(_PB.BlobProto, data, path=path)
    return proto.name, blob_from_protos([proto], path=path)


def split_key(key: str) -> tuple[str, int]:
    """Name and chunk number in a key: ``"fc_w#%2"`` gives ``("fc_w", 2)``, ``"fc_w"`` gives ``("fc_w", 0)``."""
    name, separator, chunk = key.rpartition(CHUNK_SEPARATOR)
    return (name, int(chunk)) if separator and chunk.isdecimal() else (key, 0)


def blobs_from_records(records: Iterable[tuple[bytes, bytes]], *, path: object = None) -> dict[str, Any]:
    """Every blob of a database of saved blobs, by name, whatever the order of its chunks.

    Args:
        records: (key, value) pairs.
        path: the database, for errors.

    Raises:
        FormatError: a value is no BlobProto, or chunks are missing or overlap.
    """
    chunks: dict[str, list[Any]] = {}
    for key, value in records:
        text = key.decode("utf-8", "backslashreplace")
        proto = protobuf.parse_message(_PB.BlobProto, value, path=path, where=f"record {text!r}")
        chunks.setdefault(split_key(text)[0], []).append(proto)
    return {
        name: blob_from_protos(found, path=path, where=f"blob {name!r}") for name, found in chunks.items()
    }


def blob_from_protos(protos: Iterable[Any], *, path: object = None, where: str | None = None) -> Any:
    """The value that some BlobProtos, the chunks of one blob in any order, hold together.

    A blob that is neither tensor, quantised tensor nor text (a database reader, say) is returned as
    its BlobProto.

    Raises:
        FormatError: chunks are missing, overlap or disagree.
    """
    chunks = list(protos)
    if not chunks:
        raise FormatError("no record of this blob", path=path, where=where)
    first = chunks[0]
    where = where or (f"blob {first.name!r}" if first.name else None)
    if len(chunks) == 1 and first.type in OBJECT_TYPES:
        tensor = tensor_from_proto(first.tensor) if first.HasField("tensor") else None
        return SavedObject(first.type, first.content if first.HasField("content") else None, tensor)
    if first.HasField("tensor"):
        return _join_tensor([chunk.tensor for chunk in chunks], path, where)
    if first.type == "std::string":
        return _join_content(chunks, path, where)
    if len(chunks) > 1:
        raise FormatError(
            f"{len(chunks)} records for one blob of type {first.type!r}", path=path, where=where
        )
    if first.HasField("qtensor") and first.type.startswith("Int8Tensor"):
        return _int8_from_proto(first.qtensor, path, where)
    return first


def _object_to_proto(name: str, value: SavedObject) -> Any:
    proto = _PB.BlobProto(name=name, type=value.type)
    if value.tensor is not None:
        array = as_tensor_array(value.tensor, name)
        proto.tensor.CopyFrom(_chunk_to_proto(name, array, array.ravel(), 0).tensor)
    if value.content is not None:
        proto.content = value.content
    return proto


def _chunk_to_proto(name: str, array: NDArray[Any], piece: NDArray[Any], begin: int) -> Any:
    proto = _PB.BlobProto(name=name, type="Tensor")
    tensor = proto.tensor
    tensor.dims.extend(array.shape)
    tensor.data_type = TYPE_OF[array.dtype]
    tensor.name = name
    tensor.device_detail.device_type = 0
    tensor.segment.begin, tensor.segment.end = begin, begin + piece.size
    put_elements(tensor, piece)
    return proto


def _join_tensor(tensors: list[Any], path: object, where: str | None) -> NDArray[Any]:
    first = tensors[0]
    if len(tensors) == 1 and not first.HasField("segment"):
        return tensor_from_proto(first, path=path, where=where)
    shape = shape_of(first.dims, path, where)
    pieces, reached = [], 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.segment.begin):
        begin, end = tensor.segment.begin, tensor.segment.end
        if begin != reached or tensor.dims != first.dims or tensor.data_type != first.data_type:
            raise FormatError(
                f"a chunk of shape {tuple(tensor.dims)} starts at element {begin}, "
                f"expected one of shape {shape} at {reached}",
                path=path,
                where=where,
            )
        piece = elements_of(tensor, path, where)
        if piece.size != end - begin:
            raise FormatError(
                f"the chunk of elements {begin} to {end} holds {piece.size}", path=path, where=where
            )
        pieces.append(piece)
        reached = end
    return shaped(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), shape, path, where)


def _join_content(chunks: list[Any], path: object, where: str | None) -> bytes:
    wanted = max(chunks[0].content_num_chunks, 1)
    chunks = sorted(chunks, key=lambda chunk: chunk.content_chunk_id)
    if [chunk.content_chunk_id for chunk in chunks] != list(range(wanted)):
        raise FormatError(f"{len(chunks)} of {wanted} chunks of text", path=path, where=where)
    return b"".join(chunk.content for chunk in chunks)


def _int8_to_proto(name: str, value: Int8Tensor) -> Any:
    data = np.asarray(value.data)
    if data.dtype not in (np.uint8, np.int32):
        raise FormatError(f"blob {name!r}: a quantised tensor holds uint8 or int32, not {data.dtype}")
    proto = _PB.BlobProto(name=name, type="Int8TensorCPU")
    quantised = proto.qtensor
    quantised.dims.extend(data.shape)
    quantised.precision = 8
    quantised.scale = float(np.float32(value.scale))
    quantised.bias = value.zero_point
    quantised.is_signed = False
    quantised.name = name
    quantised.data_type = TYPE_OF[data.dtype]
    quantised.data.extend(data.ravel().tolist())
    return proto


def _int8_from_proto(proto: Any, path: object, where: str | None) -> Int8Tensor:
    dtype = {_T.UINT8: np.uint8, _T.INT32: np.int32}.get(proto.data_type)
    if dtype is None:
        kind = _T.DataType.Name(proto.data_type)
        raise FormatError(f"a quantised tensor of {kind}, expected UINT8 or INT32", path=path, where=where)
    elements = integers(proto.data).astype(dtype)
    data = shaped(elements, shape_of(proto.dims, path, where), path, where)
    return Int8Tensor(data, proto.scale, int(proto.bias))
