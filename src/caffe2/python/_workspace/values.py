"""What blobs hold, as programs give and get it.

Owned here: feeding, fetching, saving and restoring one blob. Who calls it: `workspace`, `cpp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from caffe2.proto import caffe2_pb2
from freshpot.convert.netdef import device_from_proto
from freshpot.data.pinned import to_device
from freshpot.engine import Blob, Workspace
from freshpot.engine.device import torch_device
from freshpot.engine.kept import copied
from freshpot.errors import DTypeError, MissingBlobError, near_matches
from freshpot.formats.blob_proto import Int8Tensor, deserialize_blob, serialize_blob
from freshpot.formats.tensor_proto import tensor_from_proto
from freshpot.ops.copies import own_copy
from freshpot.ops.io._serde import from_plain, to_plain
from freshpot.ops.quantized_tensor import QuantizedTensor


def find(ws: Workspace, name: str) -> Blob:
    """The blob of that name. Raises MissingBlobError if there is none."""
    blob = ws.find(name)
    if blob is None:
        raise MissingBlobError(
            f"there is no blob '{name}' in the workspace.{near_matches(name, ws.names())}", blob=name
        )
    return blob


def feed(ws: Workspace, name: str, value: Any, device_option: Any = None) -> bool:
    """Put a numpy array, torch tensor, TensorProto or text into a blob.

    Raises:
        DTypeError: something else, or an array of a type that tensors do not have.
    """
    if isinstance(value, caffe2_pb2.TensorProto):
        value = tensor_from_proto(value)
    if isinstance(value, np.ndarray):
        value = _tensor(name, value, device_option)
    elif isinstance(value, str):
        value = value.encode("utf-8")
    elif not isinstance(value, (bytes, torch.Tensor, QuantizedTensor)):
        raise DTypeError(
            f"blob '{name}' is fed with a numpy array or text, got {type(value).__name__}. Use numpy.array().",
            blob=name,
        )
    ws.feed(name, value)
    return True


def _tensor(name: str, array: np.ndarray, device_option: Any) -> Any:
    if device_option is None or not device_option.device_type or array.dtype.kind in "OSU":
        return array
    return to_device(own_copy(name, array), torch_device(device_from_proto(device_option)))


def fetch(blob: Blob) -> Any:
    """A copy of what a blob holds: an array, bytes, an `Int8Tensor`; of other things a description."""
    array = copied(blob)
    if array is not None:
        return array
    value = blob.value
    if isinstance(value, torch.Tensor):
        return value.numpy(force=True).copy()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, bytes):
        return value
    if isinstance(value, QuantizedTensor):
        return Int8Tensor(value.values.cpu().numpy().copy(), value.scale, value.zero_point)
    return f"{blob.name}, a C++ native class of type {_type_name(blob)}.".encode()


def _type_name(blob: Blob) -> str:
    """What the original calls the type: a class says it in ``original_type``."""
    if blob.empty:
        return "nullptr (uninitialized)"
    return getattr(blob.value, "original_type", type(blob.value).__name__)


def size_in_bytes(blob: Blob) -> int:
    """Bytes of memory that a tensor or text takes; 0 for other things."""
    value = blob.value
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, QuantizedTensor):
        return value.values.nbytes
    if isinstance(value, np.ndarray):
        return sum(len(text) for text in value.ravel())
    return len(value) if isinstance(value, bytes) else 0


def serialize(blob: Blob) -> bytes:
    """A blob as a serialised BlobProto.

    Raises:
        NotSupportedError: it holds something that has no serialised form.
    """
    value = fetch(blob)
    if isinstance(value, bytes) and not isinstance(blob.value, bytes):
        value = to_plain(blob.name, blob.value)
    return serialize_blob(blob.name, value)


def deserialize(ws: Workspace, name: str, data: bytes) -> None:
    """Put what a serialised BlobProto holds into a blob.

    Raises:
        FormatError: not a BlobProto.
        NotSupportedError: it holds something that cannot be restored.
    """
    _, value = deserialize_blob(data)
    if isinstance(value, (np.ndarray, bytes)):
        ws.feed(name, value)
        return
    ws.feed(name, from_plain(name, value, torch.device("cpu")))


def spec(value: Any) -> tuple[tuple[int, ...], torch.dtype] | None:
    """Shape and type of a tensor; None for other things."""
    return (tuple(value.shape), value.dtype) if isinstance(value, torch.Tensor) else None
