"""Layout: what a Tensor says of how it lies in memory and what kind it is."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["Layout"]


class Layout:
    """The part of :class:`Tensor` that asks the ``torch.Tensor`` beneath about its memory."""

    data_: torch.Tensor
    clone: Any

    @property
    def data(self) -> Any:
        """Itself; what is assigned to it becomes its values, without history."""
        return self

    @data.setter
    def data(self, value: Any) -> None:
        self.data_ = value.data_.detach().requires_grad_(self.data_.requires_grad)

    @property
    def strides(self) -> list[int]:
        """How many elements apart neighbours along each axis are."""
        return list(self.data_.stride())

    @property
    def offset(self) -> int:
        """Where its first element lies in its memory, in bytes."""
        return int(self.data_.storage_offset()) * self.data_.element_size()

    @property
    def inplace_version(self) -> int:
        """How often it was changed in place."""
        return int(self.data_._version)

    @property
    def grad_fn(self) -> Any:
        """What it was computed by; None for leaves."""
        return self.data_.grad_fn

    grad_ = property(lambda self: self.grad)
    type = "VarType.LOD_TENSOR"
    layout = "NCHW"

    def get_strides(self) -> list[int]:
        """How many elements apart neighbours along each axis are."""
        return list(self.data_.stride())

    def get_tensor(self) -> Any:
        """Itself."""
        return self

    def ndimension(self) -> int:
        """How many axes."""
        return self.data_.dim()

    def data_ptr(self) -> int:
        """The address of its first element."""
        return self.data_.data_ptr()

    def is_same_shape(self, other: Any) -> bool:
        """Whether another tensor has the same sizes."""
        return self.data_.shape == other.data_.shape

    def is_tensor(self) -> bool:
        """True."""
        return True

    def is_dense(self) -> bool:
        """True: sparse tensors are not done here."""
        return True

    def is_sparse(self) -> bool:
        """False: sparse tensors are not done here."""
        return False

    is_sparse_coo = is_sparse_csr = is_selected_rows = is_dist = is_sparse

    def detach_(self) -> Any:
        """Forget its history."""
        self.data_ = self.data_.detach()
        return self

    def pin_memory(self, blocking: bool = True) -> Any:
        """A copy; pages are not pinned here."""
        return self.clone()
