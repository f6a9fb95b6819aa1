"""Resizing images as scikit-image and SciPy do it, without needing them.

Owned here: interpolation by B-splines, with the blur that goes before shrinking. Who calls it: `caffe.io`.
Both axes are linear maps, so each is one small matrix; a resize is two matrix products.

Source: M. Unser, "Splines: a perfect fit for signal and image processing", 1999. Borders, sample places and
blur widths are those of scipy.ndimage.zoom and skimage.transform.resize.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import ArgumentError, ShapeError

__all__ = ["axis_weights", "resize"]

FloatArray = NDArray[np.float64]

#: pixels of border that a spline of order > 1 is fitted with
_MARGIN = 12


def resize(
    image: NDArray[np.generic], size: Sequence[int], order: int = 1, *, corners: bool = False
) -> FloatArray:
    """An image (H, W, K) brought to ``size`` = (H', W'): (H', W', K) float64.

    Args:
        order: of the spline: 0 nearest, 1 linear, 3 cubic … 5.
        corners: False: pixels are squares, outside the image is 0, and shrinking blurs first (skimage).
            True: the centres of the corner pixels stay where they are, and nothing is blurred (zoom).

    Raises:
        ShapeError: not three axes, an empty image, or a size below 1.
        ArgumentError: the order is not one of 0 … 5.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ShapeError(f"an image to resize has shape (height, width, channels), got {image.shape}.")
    height, width = (int(n) for n in size)
    if min(height, width) < 1:
        raise ShapeError(f"an image cannot be resized to {height} x {width} pixels.")
    rows = axis_weights(image.shape[0], height, order, corners=corners)
    columns = axis_weights(image.shape[1], width, order, corners=corners)
    flat = image.astype(np.float64).reshape(image.shape[0], -1)
    tall: FloatArray = (rows @ flat).reshape(height, *image.shape[1:])
    return np.matmul(columns, tall)


def axis_weights(old: int, new: int, order: int = 1, *, corners: bool = False) -> FloatArray:
    """The matrix (new, old) that takes a line of ``old`` pixels to one of ``new``; see :func:`resize`."""
    if order not in range(6):
        raise ArgumentError(f"interpolation is of order 0 to 5, got {order}.")
    if corners:
        places = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
        return _fitted(_mirrored(places, old, order), old, order)
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    margin = _MARGIN if order > 1 else 0
    whole = old + 2 * margin
    weights = _fitted(_sampled(places + margin, whole, order), whole, order)
    return weights[:, margin : margin + old] @ _blur(old, max(0.0, (old / new - 1) / 2))


def _sampled(places: NDArray[Any], count: int, order: int, first: int = 0) -> FloatArray:
    """Weights of grid points ``first`` … ``first + count - 1`` at each place; points beyond them count as 0."""
    grid = np.arange(first, first + count)
    if order == 0:
        return (np.floor(places + 0.5)[:, None] == grid).astype(np.float64)
    return _spline(places[:, None] - grid, order)


def _mirrored(places: NDArray[Any], count: int, order: int) -> FloatArray:
    """As `_sampled`, with the line reflected at its end points."""
    wide = _sampled(places, count + 2 * order, order, -order)
    period = max(2 * count - 2, 1)
    index = np.arange(-order, count + order) % period
    folded = np.minimum(index, period - index) if count > 1 else np.zeros_like(index)
    return wide @ (folded[:, None] == np.arange(count)).astype(np.float64)


def _fitted(weights: FloatArray, count: int, order: int) -> FloatArray:
    """Weights on pixels instead of on spline coefficients: the spline goes through the pixels."""
    if order < 2:
        return weights
    through = _mirrored(np.arange(count, dtype=np.float64), count, order)
    return np.linalg.solve(through.T, weights.T).T


def _spline(x: FloatArray, order: int) -> FloatArray:
    """The centred B-spline of that order, from truncated powers."""
    half = (order + 1) / 2
    terms = np.arange(order + 2)
    signs = np.array([(-1) ** k * math.comb(order + 1, k) for k in terms]) / math.factorial(order)
    return np.maximum(np.clip(x, -half, half)[..., None] + half - terms, 0) ** order @ signs


def _blur(count: int, sigma: float) -> FloatArray:
    """A Gaussian, cut at four widths and normed, over a line with zeros outside."""
    if sigma == 0:
        return np.eye(count)
    radius = int(4 * sigma + 0.5)
    distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.where(distance <= radius, np.exp(-0.5 * (distance / sigma) ** 2), 0.0) / kernel.sum()
