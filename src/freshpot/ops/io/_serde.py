"""Blob values as saved files have them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import NotSupportedError
from freshpot.formats.blob_proto import Int8Tensor, SavedObject
from freshpot.ops.dtypes import describe
from freshpot.ops.io import _objects
from freshpot.ops.quantized_tensor import QuantizedTensor


def to_plain(name: str, value: Any) -> Any:
    """What ``blob_to_protos`` takes, from what a blob holds.

    Raises:
        NotSupportedError: the blob holds something that has no saved form here.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().numpy()
    if isinstance(value, QuantizedTensor):
        return Int8Tensor(value.values.cpu().numpy(), value.scale, value.zero_point)
    if isinstance(value, (np.ndarray, bytes, str)):
        return value
    saved = _objects.save(value)
    if saved is None:
        raise NotSupportedError(f"blob '{name}' holds {describe(value)}, which has no saved form.")
    return saved


def from_plain(name: str, value: Any, device: torch.device) -> Any:
    """What a blob holds, from what ``blobs_from_records`` gives.

    Raises:
        NotSupportedError: the file holds a blob of another kind (a reader, a queue …).
    """
    if isinstance(value, Int8Tensor):
        return QuantizedTensor(torch.from_numpy(np.array(value.data)), value.scale, value.zero_point)
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return value
        return torch.from_numpy(value if value.flags.writeable else value.copy()).to(device)
    if isinstance(value, bytes):
        return value
    if isinstance(value, SavedObject):
        return _objects.load(name, value)
    raise NotSupportedError(
        f"blob '{name}' in the file is of type {getattr(value, 'type', type(value).__name__)}: "
        "blobs of this type cannot be loaded."
    )
