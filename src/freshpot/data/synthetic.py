"""Synthetic digits: freshpot's stand-in where MNIST cannot be had. Same shapes, never called MNIST.

Every image is one of many digit shapes (:mod:`freshpot.data.glyphs`: pen strokes with shaken control points,
and font outlines), turned, sheared, scaled, bent elastically, drawn with its own pen width and softness, and
placed by its centre of mass, as MNIST's are. All of it is a function of the seed: the same call gives the same
bytes, and the first n images of a larger set are the smaller set.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freshpot.data.cache import cache_folder
from freshpot.data.glyphs import CELLS, REACH, VARIANTS, font_fields, stroke_fields
from freshpot.errors import DataError, FormatError
from freshpot.formats.idx import read_idx, write_idx

__all__ = ["FULL_SIZE", "load_synthetic", "make_digits"]

Array = NDArray[np.float32]
Images = NDArray[np.uint8]

FULL_SIZE = {"train": 60_000, "test": 10_000}
SIDE = 28  # pixels
VERSION = 1  # raise it whenever the pictures change: cached files of another version are not read

_CHUNK = 5000  # images that share one set of shapes
_BLOCK = 250  # images drawn at once
_SHAPES = 24  # hand-drawn shapes of one variant of a digit in a chunk
_FONT_SHARE = 0.15
_DIGIT_PIXELS = 19.0  # of the longer side
_HALF_BOX = np.array([0.42, 0.5])  # of an unbent digit: half its width and height
_CANVAS = 36  # pixels a side, before the digit is centred and the rest cut off
_KNOTS = 6  # of the elastic displacement, a side


def load_synthetic(split: str = "train", limit: int | None = None) -> tuple[Images, Images]:
    """The default set, from the cache if it was made before: images (N, 28, 28) and labels (N,), both uint8.

    The whole set is drawn once (a few seconds) and kept as IDX files in the cache folder
    ``synthetic-digits``; a smaller ``limit`` is drawn at once and not kept.

    Raises:
        DataError: no such split, or a limit beyond the set's size.
    """
    full = _full_size(split)
    count = full if limit is None else limit
    if count > full:
        raise DataError(f"the synthetic {split} set has {full} digits, asked for {count}")
    kept = _from_cache(split)
    if kept is None and count < full:
        return make_digits(count, split=split)
    if kept is None:
        print(f"freshpot: drawing {full} synthetic digits, once", file=sys.stderr)
        kept = make_digits(full, split=split)
        _to_cache(split, kept)
    return kept[0][:count], kept[1][:count]


def make_digits(count: int, *, split: str = "train", seed: int = 0) -> tuple[Images, Images]:
    """Draw ``count`` digits: images (count, 28, 28) and labels (count,), both uint8, 255 is ink.

    Args:
        count: at least 1.
        split: "train" or "test"; their shapes and images are drawn independently.
        seed: another seed is another set.

    Raises:
        DataError: no such split, or a count below 1.
    """
    _full_size(split)
    if count < 1:
        raise DataError(f"the number of synthetic digits must be at least 1, got {count}")
    images = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    labels = np.empty(count, dtype=np.uint8)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        # Each chunk has its own generator, so that a longer set begins with the shorter one.
        rng = np.random.default_rng([seed, list(FULL_SIZE).index(split), start // _CHUNK])
        _draw_chunk(rng, images[start:stop], labels[start:stop])
    return images, labels


def _full_size(split: str) -> int:
    if split not in FULL_SIZE:
        raise DataError(f"there is no split {split!r}; choose 'train' or 'test'")
    return FULL_SIZE[split]


def _draw_chunk(rng: np.random.Generator, images: Images, labels: Images) -> None:
    """Fill up to _CHUNK images and labels, always from the same random numbers."""
    fields, ranges = _shapes(rng)
    digits = rng.integers(0, 10, _CHUNK)
    from_font = rng.random(_CHUNK) < _FONT_SHARE
    pick = rng.random(_CHUNK)
    first, size = ranges[from_font.astype(int), digits].T
    shape = first + (pick * size).astype(int)
    labels[:] = digits[: len(labels)]
    for start in range(0, len(images), _BLOCK):
        stop = min(start + _BLOCK, len(images))
        drawn = _draw_block(rng, fields, shape[start : start + _BLOCK])
        images[start:stop] = drawn[: stop - start]


def _shapes(rng: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """All shapes of a chunk (S, CELLS, CELLS), and [drawn or font][digit] -> (first, how many)."""
    parts, ranges, total = [], np.zeros((2, 10, 2), dtype=np.int64), 0
    fonts = font_fields()
    for digit in range(10):
        drawn = [stroke_fields(digit, variant, _SHAPES, rng) for variant in range(VARIANTS)]
        for kind, part in enumerate((np.concatenate(drawn), fonts[digit])):
            ranges[kind, digit] = total, len(part)
            parts.append(part)
            total += len(part)
    return np.concatenate(parts), ranges


def _draw_block(rng: np.random.Generator, fields: Array, shape: NDArray[np.int64]) -> Images:
    """Warp, ink and centre one block: (_BLOCK, 28, 28) uint8."""
    x, y = _warped_grid(rng)
    distance = _sample(fields, shape, x, y)
    width = rng.normal(0.012, 0.022, (_BLOCK, 1, 1)).astype(np.float32).clip(-0.035, 0.05)
    softness = rng.uniform(0.035, 0.085, (_BLOCK, 1, 1)).astype(np.float32)
    ink = np.clip(0.5 + (width - distance) / softness, 0, 1)
    ink *= rng.uniform(0.85, 1.1, (_BLOCK, 1, 1)).astype(np.float32)
    grain = rng.normal(1, 0.06, ink.shape).astype(np.float32)
    return (_centre(np.clip(ink * grain, 0, 1)) * 255).astype(np.uint8)


def _warped_grid(rng: np.random.Generator) -> tuple[Array, Array]:
    """Where in the digit's own coordinates each pixel of each canvas lies: x and y, (_BLOCK, 36, 36)."""
    axis = (np.arange(_CANVAS) - (_CANVAS - 1) / 2) / _DIGIT_PIXELS
    bend = rng.normal(0, 0.05, (2, _BLOCK, _KNOTS, _KNOTS))
    smooth = _smoothing()
    grids = []
    for row, knots in zip(_affine(rng).swapaxes(0, 1), bend, strict=True):
        straight = row[:, 0, None, None] * axis + row[:, 1, None, None] * axis[:, None]
        grids.append((straight + smooth @ knots @ smooth.T).astype(np.float32))
    return grids[0], grids[1]


def _affine(rng: np.random.Generator) -> NDArray[np.float64]:
    """Matrices (_BLOCK, 2, 2) from canvas to digit: turn, slant, stretch, and a size about the same for all."""
    turn = rng.normal(0, 0.16, _BLOCK).clip(-0.45, 0.45)  # radians
    slant = rng.normal(0.1, 0.22, _BLOCK).clip(-0.4, 0.6)  # writing leans to the right
    wide, high = rng.normal(1, 0.11, (2, _BLOCK)).clip(0.75, 1.3)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.stack([cos / wide, sin / wide + slant * cos, -sin / high, cos / high], 1).reshape(-1, 2, 2)
    # As MNIST's digits were fitted to a box of 20 pixels, the longer side decides the size.
    reach = (np.abs(np.linalg.inv(matrix)) @ _HALF_BOX).max(1)
    size = rng.normal(1, 0.06, _BLOCK).clip(0.8, 1.1)
    return matrix * (reach / (_HALF_BOX.max() * size))[:, None, None]


def _smoothing() -> NDArray[np.float64]:
    """Interpolation from knots to pixels, (_CANVAS, _KNOTS), by normalised Gaussian weights."""
    pixels = np.linspace(0, _KNOTS - 1, _CANVAS)[:, None]
    weight = np.exp(-0.5 * ((pixels - np.arange(_KNOTS)) / 0.7) ** 2)
    return weight / weight.sum(1, keepdims=True)


def _sample(fields: Array, shape: NDArray[np.int64], x: Array, y: Array) -> Array:
    """Bilinear look-up of each image's field at (x, y)."""
    scale = np.float32((CELLS - 1) / (2 * REACH))
    column = np.clip((x + np.float32(REACH)) * scale, 0, CELLS - 1.001)
    row = np.clip((y + np.float32(REACH)) * scale, 0, CELLS - 1.001)
    left, top = column.astype(np.int32), row.astype(np.int32)
    fx, fy = column - left, row - top
    flat = fields.ravel()
    at = (shape[:, None, None] * CELLS + top) * CELLS + left
    upper = flat[at] * (1 - fx) + flat[at + 1] * fx
    lower = flat[at + CELLS] * (1 - fx) + flat[at + CELLS + 1] * fx
    return upper * (1 - fy) + lower * fy


def _centre(ink: Array) -> Array:
    """Cut 28 x 28 pixels out of each canvas so that the centre of mass is in the middle."""
    axis = np.arange(_CANVAS)
    mass = np.maximum(ink.sum((1, 2)), 1e-6)
    most = _CANVAS - SIDE
    top = np.rint((ink.sum(2) @ axis) / mass - (SIDE - 1) / 2).astype(int).clip(0, most)
    left = np.rint((ink.sum(1) @ axis) / mass - (SIDE - 1) / 2).astype(int).clip(0, most)
    rows = (top[:, None] + np.arange(SIDE))[:, :, None]
    columns = (left[:, None] + np.arange(SIDE))[:, None, :]
    return ink[np.arange(len(ink))[:, None, None], rows, columns]


def _cached(split: str) -> tuple[Path, Path]:
    folder = cache_folder("synthetic-digits")
    return folder / f"v{VERSION}-{split}-images-idx3-ubyte", folder / f"v{VERSION}-{split}-labels-idx1-ubyte"


def _from_cache(split: str) -> tuple[Images, Images] | None:
    """The kept set; None when it was not made yet or is damaged (it is then made again)."""
    images, labels = _cached(split)
    if not (images.is_file() and labels.is_file()):
        return None
    try:
        kept = read_idx(images), read_idx(labels)
    except FormatError:
        return None
    right = kept[0].shape == (FULL_SIZE[split], SIDE, SIDE) and kept[1].shape == (FULL_SIZE[split],)
    return kept if right else None


def _to_cache(split: str, digits: tuple[Images, Images]) -> None:
    """Keep the set; a cache that cannot be written is no reason to fail, only slower next time."""
    try:
        for path, array in zip(_cached(split), digits, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_idx(path, array)
    except OSError as error:
        print(f"freshpot: the synthetic digits could not be kept for next time: {error}", file=sys.stderr)
