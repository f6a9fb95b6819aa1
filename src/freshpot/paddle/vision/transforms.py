"""``paddle.vision.transforms``: changes of pictures, also by chance; :mod:`images` does the work.

Chance comes from Python's ``random``, areas and aspects from numpy's generator, as in the original.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from freshpot.errors import ArgumentError
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.vision import images
from freshpot.paddle.vision.base_transform import BaseTransform
from freshpot.paddle.vision.images import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    center_crop,
    crop,
    erase,
    hflip,
    normalize,
    pad,
    resize,
    rotate,
    to_grayscale,
    vflip,
)
from freshpot.paddle.vision.warps import RandomAffine, RandomPerspective, affine, perspective

to_tensor = images.to_tensor_image

__all__ = [
    "BaseTransform",
    "BrightnessTransform",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ContrastTransform",
    "Grayscale",
    "HueTransform",
    "Normalize",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "SaturationTransform",
    "ToTensor",
    "Transpose",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "center_crop",
    "crop",
    "erase",
    "hflip",
    "normalize",
    "pad",
    "perspective",
    "resize",
    "rotate",
    "to_grayscale",
    "to_tensor",
    "vflip",
]  # fmt: skip


class Compose:
    """One after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, data: Any) -> Any:
        for transform in self.transforms:
            data = transform(data)
        return data

    def __repr__(self) -> str:
        return "Compose(" + "".join(f"\n    {transform}" for transform in self.transforms) + "\n)"


class ToTensor(BaseTransform):
    """A float tensor (C, H, W); bytes become 0 to 1."""

    def __init__(self, data_format: str = "CHW", keys: Any = None) -> None:
        super().__init__(keys)
        self.data_format = data_format

    def _apply_image(self, image: Any) -> Tensor:
        return to_tensor(image, self.data_format)


class Normalize(BaseTransform):
    """(x - mean) / std, a channel."""

    def __init__(
        self,
        mean: Any = 0.0,
        std: Any = 1.0,
        data_format: str = "CHW",
        to_rgb: bool = False,
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        self.mean, self.std, self.data_format, self.to_rgb = mean, std, data_format, to_rgb

    def _apply_image(self, image: Any) -> Any:
        return normalize(image, self.mean, self.std, self.data_format, self.to_rgb)


class Transpose(BaseTransform):
    """Axes in another order: (C, H, W) by default."""

    def __init__(self, order: Sequence[int] = (2, 0, 1), keys: Any = None) -> None:
        super().__init__(keys)
        self.order = order

    def _apply_image(self, image: Any) -> Any:
        array = image.numpy() if isinstance(image, Tensor) else np.asarray(image)
        return (array[:, :, None] if array.ndim == 2 else array).transpose(self.order)


class Resize(BaseTransform):
    """To (height, width); one integer is the shorter side's size."""

    def __init__(self, size: Any, interpolation: str = "bilinear", keys: Any = None) -> None:
        super().__init__(keys)
        self.size, self.interpolation = size, interpolation

    def _apply_image(self, image: Any) -> Any:
        return resize(image, self.size, self.interpolation)


class CenterCrop(BaseTransform):
    """The middle."""

    def __init__(self, size: Any, keys: Any = None) -> None:
        super().__init__(keys)
        self.size = images.pair(size)

    def _apply_image(self, image: Any) -> Any:
        return center_crop(image, self.size)


class RandomCrop(BaseTransform):
    """A part somewhere, with a border around the picture; ``pad_if_needed`` enlarges what is too small.

    Raises:
        ArgumentError: when the picture is smaller than the part.
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        self.size, self.padding, self.pad_if_needed = images.pair(size), padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    def _apply_image(self, image: Any) -> Any:
        if self.padding is not None:
            image = pad(image, self.padding, self.fill, self.padding_mode)
        wanted = self.size
        high, wide = images.size_of(image)
        if self.pad_if_needed and wide < wanted[1]:
            image = pad(image, (wanted[1] - wide, 0), self.fill, self.padding_mode)
        if self.pad_if_needed and high < wanted[0]:
            image = pad(image, (0, wanted[0] - high), self.fill, self.padding_mode)
        high, wide = images.size_of(image)
        if high < wanted[0] or wide < wanted[1]:
            raise ArgumentError(
                f"RandomCrop: no part of {wanted} in a picture of {(high, wide)}; see pad_if_needed"
            )
        if (high, wide) == wanted:
            return image
        return crop(image, random.randint(0, high - wanted[0]), random.randint(0, wide - wanted[1]), *wanted)


class RandomResizedCrop(BaseTransform):
    """A part of an area and an aspect by chance, brought to a size."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4, 4.0 / 3),
        interpolation: str = "bilinear",
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        self.size, self.scale, self.ratio, self.interpolation = images.pair(size), scale, ratio, interpolation

    def _part(self, image: Any) -> tuple[int, int, int, int]:
        high, wide = images.size_of(image)
        for _ in range(10):
            area = np.random.uniform(self.scale[0], self.scale[1]) * high * wide
            aspect = math.exp(np.random.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= wide and 0 < h <= high:
                return random.randint(0, high - h), random.randint(0, wide - w), h, w
        aspect = min(max(wide / high, self.ratio[0]), self.ratio[1])
        w, h = min(wide, round(high * aspect)), min(high, round(wide / aspect))
        return (high - h) // 2, (wide - w) // 2, h, w

    def _apply_image(self, image: Any) -> Any:
        return resize(crop(image, *self._part(image)), self.size, self.interpolation)


class Pad(BaseTransform):
    """A border: one size, (left and right, top and bottom), or (left, top, right, bottom)."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant", keys: Any = None) -> None:
        super().__init__(keys)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def _apply_image(self, image: Any) -> Any:
        return pad(image, self.padding, self.fill, self.padding_mode)


class RandomHorizontalFlip(BaseTransform):
    """Mirrored with a probability."""

    def __init__(self, prob: float = 0.5, keys: Any = None) -> None:
        super().__init__(keys)
        self.prob = prob

    def _apply_image(self, image: Any) -> Any:
        return hflip(image) if random.random() < self.prob else image


class RandomVerticalFlip(RandomHorizontalFlip):
    """Turned upside down with a probability."""

    def _apply_image(self, image: Any) -> Any:
        return vflip(image) if random.random() < self.prob else image


class RandomRotation(BaseTransform):
    """Turned by an angle between two, or between -degrees and degrees."""

    def __init__(
        self,
        degrees: Any,
        interpolation: str = "nearest",
        expand: bool = False,
        center: Any = None,
        fill: Any = 0,
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        self.degrees = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        self._options = (interpolation, expand, center, fill)

    def _apply_image(self, image: Any) -> Any:
        return rotate(image, random.uniform(*self.degrees), *self._options)


class Grayscale(BaseTransform):
    """Grey, in 1 or 3 channels."""

    def __init__(self, num_output_channels: int = 1, keys: Any = None) -> None:
        super().__init__(keys)
        self.num_output_channels = num_output_channels

    def _apply_image(self, image: Any) -> Any:
        return to_grayscale(image, self.num_output_channels)


class _Adjust(BaseTransform):
    """A factor drawn from 1 - value to 1 + value, or between two; nothing is changed for 0."""

    change: Callable[[Any, float], Any]
    centre, least = 1.0, 0.0

    def __init__(self, value: Any, keys: Any = None) -> None:
        super().__init__(keys)
        if isinstance(value, (int, float)):
            if value < 0:
                raise ArgumentError(f"{type(self).__name__}: the value must not be negative, got {value}")
            low = self.centre - value
            value = (max(low, 0.0) if self.centre else low, self.centre + value)
        low, high = (float(part) for part in value)
        if not (self.least <= low <= high and (self.centre or high <= 0.5)):
            raise ArgumentError(f"{type(self).__name__}: values from {low} to {high} are beyond its bounds")
        self.value = None if low == high == self.centre else (low, high)

    def _apply_image(self, image: Any) -> Any:
        return image if self.value is None else type(self).change(image, random.uniform(*self.value))


class BrightnessTransform(_Adjust):
    """Brighter or darker by chance."""

    change = staticmethod(adjust_brightness)


class ContrastTransform(_Adjust):
    """More or less contrast by chance."""

    change = staticmethod(adjust_contrast)


class SaturationTransform(_Adjust):
    """More or less colour by chance."""

    change = staticmethod(adjust_saturation)


class HueTransform(_Adjust):
    """Colours turned round the circle by chance, by 0.5 at most."""

    change = staticmethod(adjust_hue)
    centre, least = 0.0, -0.5


class ColorJitter(BaseTransform):
    """Brightness, contrast, saturation and hue changed by chance, in an order by chance."""

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0, keys: Any = None
    ) -> None:
        super().__init__(keys)
        kinds = (BrightnessTransform, ContrastTransform, SaturationTransform, HueTransform)
        values = (brightness, contrast, saturation, hue)
        self._changes = [kind(value) for kind, value in zip(kinds, values, strict=True)]

    def _apply_image(self, image: Any) -> Any:
        for change in random.sample(self._changes, len(self._changes)):
            image = change(image)
        return image


class RandomErasing(BaseTransform):
    """A rectangle overwritten, with a probability: by one value, one a channel, or ("random") noise."""

    def __init__(
        self,
        prob: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
        keys: Any = None,
    ) -> None:
        super().__init__(keys)
        if isinstance(value, str) and value != "random":
            raise ArgumentError(f"RandomErasing: value {value!r}; give numbers or 'random'")
        self.prob, self.scale, self.ratio, self.value, self.inplace = prob, scale, ratio, value, inplace

    def _apply_image(self, image: Any) -> Any:
        if random.random() >= self.prob:
            return image
        high, wide = images.size_of(image)
        for _ in range(10):
            area = np.random.uniform(self.scale[0], self.scale[1]) * high * wide
            aspect = math.exp(np.random.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < high and w < wide:
                top, left = np.random.randint(0, high - h + 1), np.random.randint(0, wide - w + 1)
                return erase(image, top, left, h, w, self._value(image, h, w), self.inplace)
        return image

    def _value(self, image: Any, h: int, w: int) -> Any:
        if self.value != "random":
            one = not isinstance(self.value, (list, tuple))
            values = np.asarray(self.value, np.float32)
            return (
                self.value if one else values.reshape((-1, 1, 1) if isinstance(image, Tensor) else (1, 1, -1))
            )
        shape = (h, w) if isinstance(image, Image.Image) and image.mode == "L" else (h, w, 3)
        shape = (image.shape[0], h, w) if isinstance(image, Tensor) else shape
        return np.random.normal(size=shape if not isinstance(image, np.ndarray) else (h, w, *image.shape[2:]))


#: modules of the original whose names are this module's
ALIASES = ("functional", "transforms")


def __getattr__(name: str) -> Any:
    if name in ALIASES:
        return sys.modules[__name__]
    raise missing("vision.transforms", name, __all__)
