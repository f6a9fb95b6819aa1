"""What Caffe does to images before a net sees them: crop, subtract the mean, scale, mirror.

Owned here: the arithmetic over a batch and its random draws. Who calls it: the data layers of the Caffe door.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from freshpot.errors import ArgumentError, ShapeError

__all__ = ["ImageTransform"]

FloatArray = NDArray[np.float32]
Shape = tuple[int, ...]

#: elements of an image from which on a batch is worked off image by image
_LARGE = 1 << 14


class ImageTransform:
    """``(pixel - mean) * scale`` in float32 over a batch, of a crop of each image, mirrored by chance.

    Shapes: (N, C, H, W) uint8 or float32 -> (N, C, h, w) float32; h = w = crop_size, or H and W without a crop.

    Args:
        scale: factor, applied last.
        mean: mean image (C, H, W), of the size that images have before the crop; excludes ``mean_values``.
        mean_values: one for all channels, or one for each.
        mirror: flip each image left to right with probability 1/2 (while testing too, as the original does).
        crop_size: pixels, 0 = no crop. The place is random while training and the middle otherwise.
        train: whether the crop is random.
        seed: of the random draws; the stream is this object's own.

    Raises:
        ArgumentError: both kinds of mean, or a negative crop_size.

    Source: BVLC/caffe src/caffe/data_transformer.cpp @ 9b89154.
    """

    def __init__(
        self,
        *,
        scale: float = 1.0,
        mean: FloatArray | None = None,
        mean_values: Sequence[float] = (),
        mirror: bool = False,
        crop_size: int = 0,
        train: bool = False,
        seed: int = 0,
    ) -> None:
        if mean is not None and len(mean_values):
            raise ArgumentError("mean_file and mean_value exclude each other; give one of them.")
        if crop_size < 0:
            raise ArgumentError(f"crop_size must be at least 0, got {crop_size}.")
        self._scale = np.float32(scale)
        self._mean = mean
        self._mean_values = np.asarray(mean_values, np.float32)
        self._mirror = mirror
        self._crop = crop_size
        self._train = train
        self._random = np.random.default_rng(seed)

    @property
    def any_size(self) -> bool:
        """Whether images of several sizes may share a batch: the crop makes them equal."""
        return self._crop > 0

    @property
    def draws(self) -> bool:
        """Whether batches are transformed by chance."""
        return self._mirror or (self._crop > 0 and self._train)

    def shape(self, image: Shape) -> Shape:
        """The shape (C, h, w) that an image of shape (C, H, W) comes out with.

        Raises:
            ShapeError: the image is smaller than the crop.
        """
        channels, height, width = image
        if min(image) < 1:
            raise ShapeError(f"an image of shape {tuple(image)} is empty.")
        if not self._crop:
            return channels, height, width
        if min(height, width) < self._crop:
            raise ShapeError(
                f"crop_size {self._crop} is larger than an image of {height} x {width} pixels; make crop_size "
                "smaller or the images larger."
            )
        return channels, self._crop, self._crop

    def __call__(self, images: NDArray[Any]) -> FloatArray:
        """Transform a batch.

        Raises:
            ShapeError: images smaller than the crop, or unlike the mean.
            ArgumentError: another number of mean values than of channels.
        """
        shape = self.shape(images.shape[1:])
        self._check_mean(images.shape[1:])
        if not self._crop and not self._mirror and images[0].size <= _LARGE:
            return self._scaled(images, self._mean)
        count = len(images)
        flips = self._random.integers(0, 2, count) > 0 if self._mirror else np.zeros(count, bool)
        rows, columns = self._places(images.shape)
        if images[0].size > _LARGE:
            return self._one_by_one(images, shape, rows, columns, flips)
        mean = self._mean
        if self._crop:
            images = _cut(images, rows, columns, self._crop)
            if mean is not None:
                mean = _cut(np.broadcast_to(mean, (count, *mean.shape)), rows, columns, self._crop)
        made = self._scaled(images, mean)
        if flips.any():
            made[flips] = made[flips, :, :, ::-1]
        return made

    def _scaled(self, images: NDArray[Any], mean: FloatArray | None) -> FloatArray:
        """Less their mean, times the scale; in memory of their own."""
        if mean is None and not len(self._mean_values):
            return np.multiply(images, self._scale, dtype=np.float32)
        made = self._subtract(images, mean)
        if self._scale != 1:
            made *= self._scale
        return made

    def _one_by_one(
        self,
        images: NDArray[Any],
        shape: Shape,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        flips: NDArray[np.bool_],
    ) -> FloatArray:
        """The same for images that are large enough to fill a cache each."""
        made = np.empty((len(images), *shape), np.float32)
        _, height, width = shape
        for image, out, row, column, flip in zip(images, made, rows, columns, flips, strict=True):
            place = np.s_[:, row : row + height, column : column + width]
            turn = np.s_[:, :, :: -1 if flip else 1]
            mean = self._mean[place][turn] if self._mean is not None else None
            self._subtract(image[place][turn], mean, out)
            if self._scale != 1:
                out *= self._scale
        return made

    def _subtract(
        self, images: NDArray[Any], mean: FloatArray | None, out: FloatArray | None = None
    ) -> FloatArray:
        """Images (…, C, H, W) less their mean, in float32."""
        if mean is None and not len(self._mean_values):
            return np.positive(images, out=out, dtype=np.float32)
        shift = self._mean_values.reshape(-1, 1, 1) if mean is None else mean
        return np.subtract(images, shift, out=out, dtype=np.float32)

    def _places(self, shape: Shape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Top row and left column of each image's crop."""
        count, _, height, width = shape
        down, right = (height - self._crop, width - self._crop) if self._crop else (0, 0)
        if self._train and self._crop:
            return self._random.integers(0, down + 1, count), self._random.integers(0, right + 1, count)
        return np.full(count, down // 2), np.full(count, right // 2)

    def _check_mean(self, image: Shape) -> None:
        if self._mean is not None and self._mean.shape != image:
            raise ShapeError(
                f"the mean image has shape {self._mean.shape}, the images {tuple(image)}: they must be equal "
                "before the crop."
            )
        count = len(self._mean_values)
        if count not in (0, 1, image[0]):
            raise ArgumentError(
                f"{count} mean_value for images of {image[0]} channels: give one, or one a channel."
            )


def _cut(
    images: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], size: int
) -> NDArray[Any]:
    """A square of each image: (N, C, size, size)."""
    if (rows == rows[:1]).all() and (columns == columns[:1]).all():
        row, column = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
        return images[:, :, row : row + size, column : column + size]
    windows = sliding_window_view(images, (size, size), axis=(2, 3))
    found: NDArray[Any] = windows[np.arange(len(images)), :, rows, columns]
    return found
