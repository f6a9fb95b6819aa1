"""Images in blocks of channels: where they lie in memory, with which border, and the way from and to tensors.

Owned here: `Memory`, `Image`. Who calls it: the modules beside this one. The layout is that of `native.blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from freshpot.native.machine import lanes


class Border(NamedTuple):
    """Rows and columns of zeros around an image."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def with_(self, other: Border) -> Border:
        """A border as wide as either."""
        return Border(*map(max, self, other))


NO_BORDER = Border()


class Size(NamedTuple):
    """Of a batch of images."""

    N: int
    C: int
    H: int
    W: int


class Memory:
    """Memory for a batch of images: zeros at first; kernels never write to the border.

    ``planar``: (N, C, rows, columns) instead of blocks of channels.
    """

    def __init__(self, size: Size, border: Border, planar: bool = False) -> None:
        self.size, self.border, self.planar = size, border, planar
        self.rows = size.H + border.top + border.bottom
        self.columns = size.W + border.left + border.right
        #: floats of a pixel of one block (or plane)
        self.pixel = 1 if planar else lanes()
        self.blocks = size.C if planar else -(-size.C // lanes())
        self.tensor = torch.zeros(size.N, self.blocks, self.rows, self.columns, self.pixel)

    @property
    def block(self) -> int:
        """Floats from one block of channels to the next."""
        return self.rows * self.columns * self.pixel


@dataclass(frozen=True)
class Image:
    """A batch of images in memory: of some channels, from block ``first`` on."""

    memory: Memory
    first: int
    C: int

    @property
    def size(self) -> Size:
        """Its size."""
        return self.memory.size._replace(C=self.C)

    @property
    def blocks(self) -> int:
        """How many blocks of channels it has."""
        return self.C if self.memory.planar else -(-self.C // lanes())

    def base(self, block: int = 0) -> Tensor:
        """Memory from the corner (of the border) of one of its blocks on."""
        return self.memory.tensor.view(-1)[(self.first + block) * self.memory.block :]

    def places(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Where pixels start, (N * rows * columns,), for all these rows and columns; those of the border are below 0 or
        beyond the image."""
        m = self.memory
        batch = torch.arange(m.size.N) * (m.blocks * m.block)
        lines = (rows + m.border.top) * (m.columns * m.pixel)
        inside = (columns + m.border.left) * m.pixel
        return (batch[:, None, None] + lines[:, None] + inside).reshape(-1)

    def all_places(self) -> Tensor:
        """Where its pixels start."""
        return self.places(torch.arange(self.memory.size.H), torch.arange(self.memory.size.W))

    def _view(self) -> Tensor:
        """(N, blocks, H, W, channels of a block)."""
        (_, _, H, W), border = self.memory.size, self.memory.border
        blocks = self.memory.tensor[:, self.first : self.first + self.blocks]
        return blocks[:, :, border.top : border.top + H, border.left : border.left + W]

    def put(self, X: Tensor) -> None:
        """Take over the numbers of a tensor (N, C, H, W)."""
        view, lane = self._view(), self.memory.pixel
        whole, rest = divmod(self.C, lane)
        if whole:
            parts = X[:, : whole * lane].unflatten(1, (whole, lane)).permute(0, 1, 3, 4, 2)
            view[:, :whole].copy_(parts)
        if rest:
            view[:, whole, :, :, :rest].copy_(X[:, whole * lane :].permute(0, 2, 3, 1))

    def seen(self) -> Tensor | None:
        """Its memory as a tensor (N, C, 1, 1), if it has one pixel."""
        m = self.memory
        if m.rows * m.columns > 1:
            return None
        channels = m.tensor.view(m.size.N, -1)[:, self.first * m.pixel :][:, : self.C]
        return channels[..., None, None]

    def taken(self) -> Tensor:
        """A new tensor (N, C, H, W) of its numbers."""
        N, _, H, W = self.size
        found = self._view().permute(0, 1, 4, 2, 3)
        whole = torch.empty(found.shape).copy_(found).view(N, -1, H, W)
        return whole if whole.shape[1] == self.C else whole[:, : self.C].contiguous()


def take(image: Image) -> tuple[Tensor]:
    """`Image.taken`, for `Deferred`."""
    return (image.taken(),)
