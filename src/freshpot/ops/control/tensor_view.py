"""A blob as the functions of Python operators see it.

Owned here: `TensorView`. Who calls it: Python operators, doors that hand blobs to programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from freshpot.errors import DTypeError
from freshpot.ops.copies import own_copy
from freshpot.ops.dtypes import describe, torch_dtype
from freshpot.ops.exposure import give_away, hand_out

if TYPE_CHECKING:
    from freshpot.engine.blob import Blob


class TensorView:
    """A blob that holds a tensor. ``data`` shares its memory; writing to it writes to the blob."""

    __slots__ = ("_blob",)

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    @property
    def data(self) -> np.ndarray:
        """The values, sharing memory with the blob (a copy if it is on a GPU). Empty blobs become float32."""
        value = self._value()
        if isinstance(value, np.ndarray):
            return value
        return hand_out(value) if value.device.type == "cpu" else value.detach().cpu().numpy()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions; (0,) if nothing was written yet."""
        return (0,) if self._blob.empty else tuple(self._value().shape)

    @property
    def _shape(self) -> list[int]:
        return list(self.shape)

    def fetch(self) -> np.ndarray:
        """A copy of the values."""
        return self.data.copy()

    def feed(self, arr: Any, device_option: Any = None) -> bool:
        """Put a copy of an array (or a number) into the blob."""
        self._blob.value = own_copy(
            self._blob.name, arr if isinstance(arr, torch.Tensor) else np.asarray(arr)
        )
        return True

    def reshape(self, shape: Sequence[int]) -> None:
        """Give the tensor this shape. The values stay if their number does; else they are not set."""
        shape = [int(n) for n in shape]
        value = self._value()
        if list(value.shape) == shape:
            return
        if np.prod(shape, dtype=np.int64) == np.prod(value.shape, dtype=np.int64):
            self._blob.value = value.reshape(shape)
        elif isinstance(value, torch.Tensor):
            self._blob.value = torch.empty(shape, dtype=value.dtype, device=value.device)
        else:
            self._blob.value = np.full(shape, b"", dtype=object)

    _reshape = reshape

    def init(self, dims: Sequence[int], caffe_type: int) -> None:
        """Make it a tensor of this shape and `TensorProto.DataType`; values are not set."""
        self._blob.value = torch.empty([int(n) for n in dims], dtype=torch_dtype(caffe_type))

    def to_torch(self) -> torch.Tensor:
        """The torch tensor in the blob, not a copy."""
        value = self._value()
        if not isinstance(value, torch.Tensor):
            raise DTypeError(f"holds {describe(value)}, not a tensor of numbers.", blob=self._blob.name)
        return give_away(value)

    def move_to(self, device: torch.device) -> None:
        """Move the tensor to a device, if there is one and it is elsewhere."""
        value = self._blob.value
        if isinstance(value, torch.Tensor) and value.device != device:
            self._blob.value = value.to(device)

    def _value(self) -> Any:
        if self._blob.empty:
            self._blob.value = torch.empty(0)
        value = self._blob.value
        if not isinstance(value, (torch.Tensor, np.ndarray)):
            raise DTypeError(
                f"blob '{self._blob.name}' holds {describe(value)}, not a tensor.", blob=self._blob.name
            )
        return value
