"""Pictures turned, moved, scaled and sheared, or seen from the side; by given amounts and by random ones.

``paddle.vision.transforms`` has these names. PIL does the work.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.vision.base_transform import BaseTransform
from freshpot.paddle.vision.images import _method, through

__all__ = ["RandomAffine", "RandomPerspective", "affine", "perspective"]


def _colour(image: Image.Image, fill: Any) -> Any:
    bands = len(image.getbands())
    if isinstance(fill, (int, float)):
        return int(fill) if bands == 1 else (int(fill),) * bands
    return tuple(fill)


def _backwards(
    center: Sequence[float], angle: float, move: Sequence[float], scale: float, shear: Sequence[float]
) -> list[float]:
    """The six numbers that lead from a place in the new picture to its place in the old one."""
    turn, sx, sy = (math.radians(value) for value in (angle, shear[0], shear[1]))
    a = math.cos(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    rows = [[d / scale, -b / scale], [-c / scale, a / scale]]
    made = []
    for row, middle in zip(rows, center, strict=True):
        made += [*row, middle - row[0] * (center[0] + move[0]) - row[1] * (center[1] + move[1])]
    return made


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Any,
    interpolation: str = "nearest",
    fill: Any = 0,
    center: Any = None,
) -> Any:
    """Turned by degrees (with the clock), moved (right, down), scaled, and sheared by degrees (along x, along y).

    Raises:
        ArgumentError: a scale that is not positive, or other than two distances.
    """
    if scale <= 0:
        raise ArgumentError(f"affine: scale must be greater than 0, got {scale}")
    if len(translate) != 2:
        raise ArgumentError(f"affine: translate must be two distances, got {list(translate)}")
    slant = [float(shear), 0.0] if isinstance(shear, (int, float)) else [*map(float, shear), 0.0][:2]
    method = _method(interpolation)

    def change(image: Image.Image) -> Image.Image:
        middle = [image.width * 0.5, image.height * 0.5] if center is None else list(center)
        numbers = _backwards(middle, angle, translate, scale, slant)
        return image.transform(
            image.size, Image.Transform.AFFINE, numbers, method, fillcolor=_colour(image, fill)
        )

    return through(img, change)


def perspective(
    img: Any, startpoints: Any, endpoints: Any, interpolation: str = "nearest", fill: Any = 0
) -> Any:
    """Four corners (x, y) brought to four others."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    numbers = np.linalg.lstsq(np.array(rows, np.float64), np.array(wanted, np.float64), rcond=None)[
        0
    ].tolist()
    method = _method(interpolation)

    def change(image: Image.Image) -> Image.Image:
        return image.transform(
            image.size, Image.Transform.PERSPECTIVE, numbers, method, fillcolor=_colour(image, fill)
        )

    return through(img, change)


def _size(image: Any) -> tuple[int, int]:
    """Width and height."""
    if isinstance(image, Image.Image):
        return image.size
    height, width = image.shape[-2:] if isinstance(image, Tensor) else np.asarray(image).shape[:2]
    return int(width), int(height)


class RandomAffine(BaseTransform):
    """:func:`affine` by amounts drawn between bounds.

    Args:
        degrees: the largest angle, or two.
        translate: the largest distances as shares of width and height.
        scale: two factors.
        shear: the largest angle along x; two, between which it lies; or four, two for each axis.

    Raises:
        ArgumentError: shares beyond 0 and 1, or factors that are not positive.
    """

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: str = "nearest",
        fill: Any = 0,
        center: Any = None,
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        self.degrees = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        if translate is not None and not all(0.0 <= share <= 1.0 for share in translate):
            raise ArgumentError(f"RandomAffine: translate must be shares from 0 to 1, got {list(translate)}")
        if scale is not None and not all(factor > 0 for factor in scale):
            raise ArgumentError(f"RandomAffine: scale must be greater than 0, got {list(scale)}")
        if isinstance(shear, (int, float)):
            shear = (-shear, shear)
        self.translate, self.scale, self.shear = translate, scale, shear
        self._options = (interpolation, fill, center)

    def _drawn(self, size: tuple[int, int]) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        angle = random.uniform(*self.degrees)
        move, factor, slant = (0, 0), 1.0, (0.0, 0.0)
        if self.translate is not None:
            most = [share * length for share, length in zip(self.translate, size, strict=True)]
            move = (round(random.uniform(-most[0], most[0])), round(random.uniform(-most[1], most[1])))
        if self.scale is not None:
            factor = random.uniform(*self.scale)
        if self.shear is not None:
            along_y = random.uniform(*self.shear[2:]) if len(self.shear) == 4 else 0.0
            slant = (random.uniform(*self.shear[:2]), along_y)
        return angle, move, factor, slant

    def _apply_image(self, image: Any) -> Any:
        return affine(image, *self._drawn(_size(image)), *self._options)


class RandomPerspective(BaseTransform):
    """:func:`perspective` with probability ``prob``: corners move inwards by up to half of ``distortion_scale``.

    Raises:
        ArgumentError: a probability or a share beyond 0 and 1.
    """

    def __init__(
        self,
        prob: float = 0.5,
        distortion_scale: float = 0.5,
        interpolation: str = "nearest",
        fill: Any = 0,
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        if not (0 <= prob <= 1 and 0 <= distortion_scale <= 1):
            raise ArgumentError(
                f"RandomPerspective: prob {prob} and distortion_scale {distortion_scale} from 0 to 1"
            )
        self.prob, self.distortion_scale = prob, distortion_scale
        self._options = (interpolation, fill)

    def get_params(self, width: int, height: int, distortion_scale: float) -> tuple[list[Any], list[Any]]:
        """Corners, and where they go."""
        across, down = int(distortion_scale * (width // 2)) + 1, int(distortion_scale * (height // 2)) + 1
        start = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]
        end = []
        for x, y in start:
            dx, dy = random.randrange(across), random.randrange(down)
            end.append((x + dx if x == 0 else x - dx, y + dy if y == 0 else y - dy))
        return start, end

    def _apply_image(self, image: Any) -> Any:
        if random.random() >= self.prob:
            return image
        return perspective(image, *self.get_params(*_size(image), self.distortion_scale), *self._options)
