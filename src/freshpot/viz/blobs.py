"""Blobs as pictures: tiles of images, filters and feature maps, as numpy arrays or PNG.

Nothing here touches pyplot: a program's own figures and backend stay as they are.
"""

from __future__ import annotations

import base64
import io
import math
import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes

__all__ = [
    "as_tiles",
    "blob_grid",
    "colourise",
    "data_uri",
    "feature_grid",
    "filter_grid",
    "png_bytes",
    "tile",
    "write_png",
]

Pixels = NDArray[np.uint8]
Order = Literal["NCHW", "NHWC"]
COLOURS = ("gray", "viridis", "diverging")


def blob_grid(
    blob: NDArray[Any], order: Order = "NCHW", *, columns: int | None = None, gap: int = 1
) -> Pixels:
    """A batch of images as one picture: 3 channels in colour, every other channel count as grey tiles.

    Args:
        blob: (N, C, H, W), (N, H, W, C), (N, H, W) or (H, W); any numbers, stretched to the full range.
        order: how 4 axes are meant.
        columns: tiles in a row; default as square as it goes.
        gap: pixels between tiles.

    Returns:
        (rows, columns, 3) uint8.
    """
    return tile(colourise(as_tiles(blob, order)), columns=columns, gap=gap)


def filter_grid(weights: NDArray[Any], *, columns: int | None = None, gap: int = 1) -> Pixels:
    """Convolution filters (K, C, h, w), one tile each; blue negative, white zero, red positive.

    Filters of 3 channels are shown in colour; of others every channel is a tile of its own.
    """
    tiles = as_tiles(weights, "NCHW")
    return tile(colourise(tiles, "gray" if tiles.ndim == 4 else "diverging"), columns=columns, gap=gap)


def feature_grid(blob: NDArray[Any], index: int = 0, *, columns: int | None = None, gap: int = 1) -> Pixels:
    """The channels of one item of an (N, C, H, W) blob, or of a (C, H, W) one, each stretched by itself."""
    maps = np.asarray(blob)
    maps = maps[index] if maps.ndim == 4 else maps
    if maps.ndim != 3:
        raise DataError(f"feature maps have shape (N, C, H, W) or (C, H, W), got {np.shape(blob)}")
    low = maps.min((1, 2), keepdims=True).astype(np.float64)
    span = maps.max((1, 2), keepdims=True) - low
    return tile(
        colourise((maps - low) / np.where(span > 0, span, 1), "viridis", limits=(0, 1)),
        columns=columns,
        gap=gap,
    )


def as_tiles(blob: NDArray[Any], order: Order = "NCHW") -> NDArray[Any]:
    """Any blob of images as (N, H, W), or (N, H, W, 3) where it has 3 channels.

    Raises:
        DataError: not 2 to 4 axes, or nothing to show.
    """
    blob = np.asarray(blob)
    if not 2 <= blob.ndim <= 4 or blob.size == 0:
        raise DataError(f"a picture needs a blob of 2 to 4 axes that is not empty, got shape {blob.shape}")
    if blob.ndim < 4:
        return blob if blob.ndim == 3 else blob[None]
    last = np.moveaxis(blob, 1, -1) if order == "NCHW" else blob
    if last.shape[-1] == 3:
        return last
    return np.moveaxis(last, -1, 1).reshape(-1, *last.shape[1:3])


def colourise(
    values: NDArray[Any], colours: str = "gray", *, limits: tuple[float, float] | None = None
) -> Pixels:
    """Numbers (N, H, W) or pictures (N, H, W, 3) as RGB pixels.

    Args:
        values: numbers that are not finite are shown as 0.
        colours: "gray", "viridis", or "diverging" (zero in the middle).
        limits: the values for the two ends; default the least and the greatest.

    Raises:
        DataError: unknown colours.
    """
    if colours not in COLOURS:
        raise DataError(f"unknown colours {colours!r}; choose {', '.join(COLOURS)}")
    values = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0, neginf=0)
    if limits is None and colours == "diverging":
        most = float(np.abs(values).max())
        limits = -most, most
    low, high = limits or (float(values.min()), float(values.max()))
    unit = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    if values.ndim == 4:
        return np.rint(unit * 255).astype(np.uint8)
    if colours == "gray":
        return np.repeat(np.rint(unit * 255).astype(np.uint8)[..., None], 3, axis=-1)
    import matplotlib  # the colour tables only; no figure, no backend

    table = matplotlib.colormaps["RdBu_r" if colours == "diverging" else "viridis"]
    return np.asarray(table(unit, bytes=True))[..., :3]


def tile(pictures: Pixels, *, columns: int | None = None, gap: int = 1, background: int = 32) -> Pixels:
    """(N, H, W, 3) pictures side by side, row by row.

    Raises:
        DataError: no pictures, or fewer than one column.
    """
    count, high, wide = pictures.shape[:3]
    columns = math.ceil(math.sqrt(count)) if columns is None else min(columns, count)
    if not count or columns < 1:
        raise DataError(f"cannot tile {count} pictures in {columns} columns")
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (high + gap) - gap, columns * (wide + gap) - gap, 3), background, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (high + gap), i % columns * (wide + gap)
        canvas[top : top + high, left : left + wide] = picture
    return canvas


def png_bytes(pixels: Pixels, scale: int = 1) -> bytes:
    """(H, W, 3) or (H, W) uint8 as a PNG file; ``scale`` repeats every pixel."""
    from PIL import Image

    if scale > 1:
        pixels = pixels.repeat(scale, 0).repeat(scale, 1)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", optimize=True)
    return out.getvalue()


def write_png(path: str | os.PathLike[str], pixels: Pixels, scale: int = 1) -> None:
    """Write a picture as PNG, atomically."""
    write_bytes(path, png_bytes(pixels, scale))


def data_uri(pixels: Pixels) -> str:
    """A picture as an address that a page can carry in itself."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels)).decode()
