"""Grids of pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from freshpot.formats.atomic import atomic_write

__all__ = ["make_grid", "save_image"]


@torch.no_grad()
def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Pictures side by side: (N, C, H, W), (C, H, W), (H, W) or a list -> (C, H', W').

    Grey pictures get three channels. A single picture stays as it is.

    Args:
        nrow: pictures in a row. padding: pixels around each.
        normalize: map ``value_range`` (the least and greatest value by default) to 0 … 1; ``scale_each``:
            for each picture by itself.

    Raises:
        TypeError: neither a tensor nor a list of tensors.
    """
    pictures = _batch(tensor)
    if normalize:
        parts = pictures.split(1) if scale_each else (pictures,)
        pictures = torch.cat([_normalized(part, value_range) for part in parts])
    if len(pictures) == 1:
        return pictures[0]
    count, channels, height, width = pictures.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    grid = pictures.new_full((channels, rows * height + padding, columns * width + padding), pad_value)
    for i, picture in enumerate(pictures):
        top, left = i // columns * height + padding, i % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = picture
    return grid


def _batch(tensor: Any) -> Tensor:
    """(N, C, H, W) with three channels or more."""
    if not isinstance(tensor, Tensor):
        if not isinstance(tensor, (list, tuple)) or not all(isinstance(t, Tensor) for t in tensor):
            raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
        tensor = torch.stack(list(tensor))
    pictures = tensor
    if pictures.dim() == 2:
        pictures = pictures[None]
    if pictures.dim() == 3:
        pictures = pictures[None]
    return pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures


def _normalized(pictures: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    low, high = value_range or (float(pictures.min()), float(pictures.max()))
    return pictures.clamp(low, high).sub_(low).div_(max(high - low, 1e-5))


def save_image(
    tensor: Tensor | Sequence[Tensor], fp: str | os.PathLike[str], format: str | None = None, **grid: Any
) -> None:
    """Write a grid (see `make_grid`) as a picture file, whose kind its name's end tells.

    Raises:
        ValueError: no such kind of picture file.
    """
    pixels = (
        make_grid(tensor, **grid).mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to("cpu", torch.uint8)
    )
    kind = format or Image.registered_extensions().get(os.path.splitext(fp)[1].lower())
    if kind is None:
        raise ValueError(f"unknown file extension: {fp}")
    with atomic_write(fp) as file:
        Image.fromarray(pixels.numpy()).save(file, format=kind)
