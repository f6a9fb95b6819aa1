"""InputSpec: what is said of an input."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError
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

    def batch(self, batch_size: Any) -> InputSpec:
        """Itself, with this size in front of its shape.

        Raises:
            ArgumentError: no whole number.
        """
        if isinstance(batch_size, (list, tuple)) and len(batch_size) == 1:
            batch_size = batch_size[0]
        if not isinstance(batch_size, int):
            raise ArgumentError(f"InputSpec.batch: {batch_size!r} is no whole number")
        self.shape = (batch_size, *self.shape)
        return self

    def unbatch(self) -> InputSpec:
        """Itself, without the first size.

        Raises:
            ArgumentError: it has none.
        """
        if not self.shape:
            raise ArgumentError("InputSpec.unbatch: its shape is empty")
        self.shape = self.shape[1:]
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.name, self.stop_gradient

    def __repr__(self) -> str:
        return (
            f"InputSpec(shape={self.shape}, dtype={self.dtype}, name={self.name}, "
            f"stop_gradient={self.stop_gradient})"
        )
