"""Tensors as pictures in the caller's pyplot figure: patches, filters, feature maps.

The functions draw with ``pyplot.imshow`` into the current axes; they do not open a figure.

Source: pytorch/pytorch caffe2/python/visualize.py (behaviour).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

__all__ = ["NCHW", "NHWC", "ChannelFirst", "ChannelLast", "PatchVisualizer"]

Array = NDArray[Any]
GRAY = "gray"


def ChannelFirst(arr: Array) -> Array:
    """The last axis, the channels, before the two of an image: (..., H, W, C) -> (..., C, H, W)."""
    return arr if arr.ndim == 2 else np.moveaxis(arr, -1, -3)


def ChannelLast(arr: Array) -> Array:
    """The way back: (..., C, H, W) -> (..., H, W, C)."""
    return arr if arr.ndim == 2 else np.moveaxis(arr, -3, -1)


class PatchVisualizer:
    """Shows patches; several at once are tiled, with ``gap`` pixels between them.

    Every method draws with pyplot and returns the array that it showed.
    """

    def __init__(self, gap: int = 1) -> None:
        self.gap = gap

    def ShowSingle(self, patch: Array, cmap: Any = None) -> Array:
        """One patch: (H, W), (H, W, 3), or flat with a square's number of elements (grey or 3 channels).

        Raises:
            ValueError: a third axis that is not 3 channels, or a flat patch that is no square.
        """
        if patch.ndim == 1:
            patch = patch.reshape(self.get_patch_shape(patch))
        elif patch.ndim > 2 and patch.shape[2] != 3:
            raise ValueError(
                f"The input patch shape isn't correct: expected (H, W) or (H, W, 3), got {patch.shape}"
            )
        if patch.ndim == 2 and cmap is None:
            cmap = GRAY
        pyplot.imshow(patch, cmap=cmap)
        return patch

    def ShowMultiple(
        self,
        patches: Array,
        ncols: int | None = None,
        cmap: Any = None,
        bg_func: Callable[[Array], Any] = np.mean,
    ) -> Array:
        """Many patches as tiles, row by row.

        Args:
            patches: (N, H, W), (N, H, W, 1), (N, H, W, 3), or (N, H * W [* 3]) of squares.
            ncols: tiles in a row; default as square as it goes.
            cmap: matplotlib colour map; default grey for patches of one channel.
            bg_func: from the patches to the colour between them.

        Returns:
            The picture, (rows, columns) or (rows, columns, 3), float64.

        Raises:
            ValueError: another number of channels, or flat patches that are no squares.
        """
        count = patches.shape[0]
        columns = math.ceil(math.sqrt(count)) if ncols is None else ncols
        rows = math.ceil(count / columns)
        if patches.ndim == 2:
            patches = patches.reshape((count, *self.get_patch_shape(patches[0])))
        if patches.ndim == 4 and patches.shape[3] not in (1, 3):
            raise ValueError(
                f"The input patch shape isn't expected: 1 or 3 channels last, got {patches.shape[3]} in {patches.shape}"
            )
        if patches.ndim == 4 and patches.shape[3] == 1:
            patches = patches.reshape(patches.shape[:-1])
        if patches.ndim == 3 and cmap is None:
            cmap = GRAY
        image = self._tiled(patches, rows, columns, bg_func(patches))
        pyplot.imshow(image, cmap=cmap, interpolation="nearest")
        pyplot.axis("off")
        return image

    def ShowImages(self, patches: Array, *args: Any, **kwargs: Any) -> Array:
        """:meth:`ShowMultiple` of the patches stretched to the range 0 to 1."""
        shifted = patches - np.min(patches)
        return self.ShowMultiple(shifted / (np.max(shifted) + np.finfo(np.float64).eps), *args, **kwargs)

    def ShowChannels(
        self, patch: Array, cmap: Any = None, bg_func: Callable[[Array], Any] = np.mean
    ) -> Array:
        """The channels of one (H, W, C) patch, each as a grey tile.

        Raises:
            ValueError: not three axes.
        """
        if patch.ndim != 3:
            raise ValueError(f"The input patch shape isn't correct: expected (H, W, C), got {patch.shape}")
        return self.ShowMultiple(np.moveaxis(patch, -1, 0), cmap=cmap, bg_func=bg_func)

    def get_patch_shape(self, patch: Array) -> tuple[int, ...]:
        """(side, side) of a flat square patch, or (side, side, 3) of one in colour.

        Raises:
            ValueError: neither fits.
        """
        for channels in ((), (3,)):
            pixels = patch.size / math.prod(channels)
            side = math.isqrt(int(pixels))
            if side * side == pixels:
                return (side, side, *channels)
        raise ValueError(
            f"I can't figure out the patch shape: {patch.size} elements are no square, in grey or in 3 channels"
        )

    def _tiled(self, patches: Array, rows: int, columns: int, background: Any) -> Array:
        high, wide = patches.shape[1] + self.gap, patches.shape[2] + self.gap
        size = (rows * high - self.gap, columns * wide - self.gap, *patches.shape[3:])
        image = np.ones(size) * background
        for index, patch in enumerate(patches):
            top, left = index // columns * high, index % columns * wide
            image[top : top + patches.shape[1], left : left + patches.shape[2]] = patch
        return image


_shared = PatchVisualizer()


class NHWC:
    """The methods of a :class:`PatchVisualizer` for channels last. They return nothing, as the original's."""

    @staticmethod
    def ShowSingle(*args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowSingle`."""
        _shared.ShowSingle(*args, **kwargs)

    @staticmethod
    def ShowMultiple(*args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowMultiple`."""
        _shared.ShowMultiple(*args, **kwargs)

    @staticmethod
    def ShowImages(*args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowImages`."""
        _shared.ShowImages(*args, **kwargs)

    @staticmethod
    def ShowChannels(*args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowChannels`."""
        _shared.ShowChannels(*args, **kwargs)


class NCHW:
    """The same for blobs as nets have them, channels first."""

    @staticmethod
    def ShowSingle(patch: Array, *args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowSingle`; ``patch`` is (C, H, W)."""
        _shared.ShowSingle(ChannelLast(patch), *args, **kwargs)

    @staticmethod
    def ShowMultiple(patch: Array, *args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowMultiple`; ``patch`` is (N, C, H, W)."""
        _shared.ShowMultiple(ChannelLast(patch), *args, **kwargs)

    @staticmethod
    def ShowImages(patch: Array, *args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowImages`; ``patch`` is (N, C, H, W)."""
        _shared.ShowImages(ChannelLast(patch), *args, **kwargs)

    @staticmethod
    def ShowChannels(patch: Array, *args: Any, **kwargs: Any) -> None:
        """See :meth:`PatchVisualizer.ShowChannels`; ``patch`` is (C, H, W)."""
        _shared.ShowChannels(ChannelLast(patch), *args, **kwargs)
