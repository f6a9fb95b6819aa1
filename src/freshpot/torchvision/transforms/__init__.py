"""Transforms of pictures: classes over the functions in `functional`.

Random ones draw from torch's generator, so ``torch.manual_seed`` makes them repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.torchvision.transforms import functional
from freshpot.torchvision.transforms.functional import InterpolationMode

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "functional",
]


class _Transform:
    """A transform: called with a picture. ``repr`` shows the constructor's call."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({shown})"


class Compose:
    """Transforms one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return "Compose(\n" + "".join(f"    {t}\n" for t in self.transforms) + ")"


class ToTensor(_Transform):
    """PIL image or (H, W[, C]) array -> (C, H, W) tensor; bytes become floats from 0 to 1."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.to_tensor(pic)


class PILToTensor(_Transform):
    """PIL image -> (C, H, W) tensor of its own element type."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.pil_to_tensor(pic)


class ToPILImage(_Transform):
    """(C, H, W) tensor or (H, W[, C]) array -> PIL image."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return functional.to_pil_image(pic, self.mode)


class Normalize(_Transform):
    """(tensor - mean) / std, by channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean, self.std, self._inplace = mean, std, inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        return functional.normalize(tensor, self.mean, self.std, self._inplace)


class Resize(_Transform):
    """To a size: (height, width), or the length of the shorter side, pixels."""

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        self.size, self.interpolation, self.max_size, self.antialias = (
            size,
            interpolation,
            max_size,
            antialias,
        )

    def __call__(self, img: Any) -> Any:
        return functional.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(_Transform):
    """The middle: (height, width) or the side of a square, pixels; smaller pictures are padded with 0."""

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = functional.pair(size)

    def __call__(self, img: Any) -> Any:
        return functional.center_crop(img, self.size)


class Pad(_Transform):
    """A margin of one value: one number, (sides, top and bottom) or (left, top, right, bottom), pixels."""

    def __init__(self, padding: int | Sequence[int], fill: float = 0) -> None:
        self.padding, self.fill = padding, fill

    def __call__(self, img: Any) -> Any:
        return functional.pad(img, self.padding, self.fill)


class RandomCrop(_Transform):
    """A window of that size, anywhere, after padding.

    Raises:
        ValueError: the picture is smaller than the window.
    """

    def __init__(
        self, size: int | Sequence[int], padding: int | Sequence[int] | None = None, fill: float = 0
    ) -> None:
        self.size, self.padding, self._fill = functional.pair(size), padding, fill

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = functional.pad(img, self.padding, self._fill)
        height, width = functional.get_image_size(img)[::-1]
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(f"a window of {self.size} does not fit into a picture of {(height, width)}")
        top = int(torch.randint(0, height - self.size[0] + 1, ()))
        left = int(torch.randint(0, width - self.size[1] + 1, ()))
        return functional.crop(img, top, left, *self.size)


class RandomHorizontalFlip(_Transform):
    """Left and right change places with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, img: Any) -> Any:
        return functional.hflip(img) if float(torch.rand(())) < self.p else img


class RandomVerticalFlip(_Transform):
    """Top and bottom change places with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, img: Any) -> Any:
        return functional.vflip(img) if float(torch.rand(())) < self.p else img


class RandomRotation(_Transform):
    """A PIL image turned by an angle from (-degrees, degrees), or from the range given."""

    def __init__(self, degrees: float | Sequence[float], fill: float = 0) -> None:
        low_high = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        self.degrees, self.fill = low_high, fill

    def __call__(self, img: Any) -> Any:
        low, high = self.degrees
        return functional.rotate(img, float(torch.empty(()).uniform_(low, high)), fill=self.fill)


class Grayscale(_Transform):
    """A PIL image in grey, with one channel or three equal ones."""

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return functional.to_grayscale(img, self.num_output_channels)


class Lambda(_Transform):
    """Any function."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda wants a function, got {type(lambd).__name__}")
        self._lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self._lambd(img)
