"""InputSpec: what is said of an input."""

from __future__ import annotations

from typing import Any

from freshpot.paddle._state import _BY_TORCH, to_dtype
from freshpot.paddle._tensor import Tensor

__all__ = ["InputSpec"]


class InputSpec:
    """The shape (None or -1: any size), element type and name of an input."""

    def __init__(
        self, shape: Any, dtype: Any = "float32", name: str | None = None, stop_gradient: bool = False
    ) -> None:
        to_dtype(dtype)
        self.shape = tuple(-1 if size is None else int(size) for size in shape)
        self.dtype, self.name, self.stop_gradient = _BY_TORCH[to_dtype(dtype)], name, stop_gradient

    @classmethod
    def from_tensor(cls, tensor: Tensor, name: str | None = None) -> InputSpec:
        """As a tensor is."""
        return cls(tensor.shape, tensor.dtype.name, name or tensor.name)

    @classmethod
    def from_numpy(cls, ndarray: Any, name: str | None = None) -> InputSpec:
        """As an array is."""
        return cls(ndarray.shape, ndarray.dtype.name, name)

    def __repr__(self) -> str:
        return (
            f"InputSpec(shape={self.shape}, dtype={self.dtype}, name={self.name}, "
            f"stop_gradient={self.stop_gradient})"
        )
