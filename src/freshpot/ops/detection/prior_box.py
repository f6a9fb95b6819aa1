"""The boxes that a detector starts from, at every pixel of a feature map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

_SAME = 1e-6


def aspect_ratios(given: list[float], flip: bool) -> list[float]:
    """Ratios of width to height without repetition: 1, then those given, each (if flip) with its inverse behind it."""
    ratios = [1.0]
    for ratio in given:
        if all(abs(ratio - known) >= _SAME for known in ratios):
            ratios += [ratio, 1.0 / ratio] if flip else [ratio]
    return ratios


class PriorBox(Operator):
    """Boxes (x1, y1, x2, y2, as shares of the image) about the centre of every pixel, and their variances.

    For each of min_sizes: a square of that size, one of sqrt(min_size * max_size) if there are max_sizes, and one of
    that area for each aspect ratio but 1.

    Shapes:   X: (N, C, H, W), image: (N, C, H', W') -> boxes: (1, 2, H * W * boxes * 4), the second row their variances
    Raises:   ArgumentError for sizes, ratios, steps or variances that are not greater than 0, a max_size not greater
              than its min_size, or other numbers of max_sizes than min_sizes or variances than 1 or 4.
    Source:   Liu et al., SSD, 2016: the layer PriorBox. Sizes lose their fraction there, and so they do here.
    """

    inputs = (Port("X", FLOAT, "* * * *"), Port("image", FLOAT, "* * * *"))
    outputs = (Port("boxes"),)
    args = (
        Arg("min_sizes", [float], doc="pixels of the image"),
        Arg("max_sizes", [float], [], "pixels of the image, one for each of min_sizes"),
        Arg("aspect_ratios", [float], [], "width / height"),
        Arg("flip", int, 1, "1: also the inverse ratios"),
        Arg("clip", int, 0, "1: cut the boxes to the image"),
        Arg("variances", [float], [0.1], "one, or one for each coordinate"),
        Arg("image_size", [int], [], "height and width of the image, pixels, if not those of the input"),
        Arg("steps", [float], [], "pixels of the image down and across for one of X; else image / X"),
        Arg("offset", float, 0.5, "where in a pixel of X the centre is"),
    )
    gradient_stops = True
    same_every_run = True

    def setup(self) -> None:
        positive = [*self.min_sizes, *self.aspect_ratios, *self.variances, *self.image_size, *self.steps]
        if not self.min_sizes or min(positive) <= 0:
            self.refuse(
                "min_sizes must be given, and these, aspect_ratios, variances, image_size and steps be greater than 0.",
                ArgumentError,
            )
        if self.max_sizes and (
            len(self.max_sizes) != len(self.min_sizes)
            or any(most <= least for least, most in zip(self.min_sizes, self.max_sizes, strict=True))
        ):
            self.refuse(
                f"max_sizes must be one for each of min_sizes {self.min_sizes}, and greater; got {self.max_sizes}.",
                ArgumentError,
            )
        if len(self.variances) not in (1, 4):
            self.refuse(f"variances must be 1 or 4, got {self.variances}.", ArgumentError)

    def _shapes(self) -> np.ndarray:
        """Widths and heights of the boxes at one pixel, (boxes, 2), pixels of the image."""
        made = []
        ratios = aspect_ratios(self.aspect_ratios, bool(self.flip))
        for i, size in enumerate(int(s) for s in self.min_sizes):
            made.append((size, size))
            if self.max_sizes:
                made.append((np.sqrt(np.float64(size * int(self.max_sizes[i]))),) * 2)
            for ratio in (np.float32(r) for r in ratios if abs(r - 1) >= _SAME):
                made.append((size * np.sqrt(ratio), size / np.sqrt(ratio)))
        return np.array(made, np.float32)

    def infer(self, X: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        return (X.new_empty(1, 2, X.shape[2] * X.shape[3] * len(self._shapes()) * 4),)

    def kernel(self, X: Tensor, image: Tensor) -> Tensor:
        image_size = np.array(self.image_size or image.shape[2:], np.float64)
        size = X.shape[2:]
        steps = np.array(self.steps or image_size / np.array(size), np.float32)
        offset = np.float32(self.offset)
        down, across = (
            (np.arange(n, dtype=np.float32) + offset) * s for n, s in zip(size, steps, strict=True)
        )
        shapes = self._shapes().astype(np.float64)
        centres = np.stack(np.broadcast_arrays(across[None, :, None], down[:, None, None]), -1).astype(
            np.float64
        )
        scale = image_size[::-1]
        boxes = np.concatenate(((centres - shapes / 2) / scale, (centres + shapes / 2) / scale), -1)
        boxes = boxes.astype(np.float32).reshape(-1, 4)
        if self.clip:
            boxes = boxes.clip(0, 1)
        variances = np.broadcast_to(np.array(self.variances, np.float32), boxes.shape)
        return torch.from_numpy(np.stack((boxes.ravel(), variances.ravel()))[None]).to(X.device)
