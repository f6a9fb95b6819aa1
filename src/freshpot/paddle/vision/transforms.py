"""Changes of pictures: PIL's, or arrays (H, W, C)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from freshpot.paddle._tensor import Tensor, to_tensor

__all__ = [
    "BaseTransform", "CenterCrop", "Compose", "Grayscale", "Normalize", "Pad", "RandomCrop", "RandomHorizontalFlip",
    "RandomVerticalFlip", "Resize", "ToTensor", "Transpose",
]  # fmt: skip


class BaseTransform:
    """Base class: a subclass defines ``_apply_image``."""

    def __init__(self, keys: Any = None) -> None:
        self.keys = keys

    def __call__(self, inputs: Any) -> Any:
        if isinstance(inputs, tuple):
            return (self._apply_image(inputs[0]), *inputs[1:])
        return self._apply_image(inputs)

    def _apply_image(self, image: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _apply_image()")


class Compose:
    """One after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, data: Any) -> Any:
        for transform in self.transforms:
            data = transform(data)
        return data


def _hwc(image: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


class ToTensor(BaseTransform):
    """A float tensor (C, H, W); bytes become 0 to 1."""

    def __init__(self, data_format: str = "CHW", keys: Any = None) -> None:
        super().__init__(keys)
        self.data_format = data_format

    def _apply_image(self, image: Any) -> Tensor:
        array = _hwc(image)
        values = array.astype(np.float32) / 255.0 if array.dtype == np.uint8 else array.astype(np.float32)
        return to_tensor(values.transpose(2, 0, 1) if self.data_format == "CHW" else values)


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
        shape = (-1, 1, 1) if data_format == "CHW" else (1, 1, -1)
        self.mean = np.array(mean, np.float32).reshape(shape)
        self.std = np.array(std, np.float32).reshape(shape)
        self.data_format = data_format

    def _apply_image(self, image: Any) -> Any:
        if isinstance(image, Tensor):
            return to_tensor((image.numpy() - self.mean) / self.std)
        array = np.asarray(image).astype(np.float32)
        if array.ndim == 2:
            array = array[None] if self.data_format == "CHW" else array[:, :, None]
        return (array - self.mean) / self.std


class Transpose(BaseTransform):
    """Axes in another order: (C, H, W) by default."""

    def __init__(self, order: Sequence[int] = (2, 0, 1), keys: Any = None) -> None:
        super().__init__(keys)
        self.order = order

    def _apply_image(self, image: Any) -> Any:
        return _hwc(image).transpose(self.order)


class _Pillow(BaseTransform):
    """A change made by PIL; arrays come back as arrays."""

    def _apply_image(self, image: Any) -> Any:
        if isinstance(image, Image.Image):
            return self.change(image)
        array = np.asarray(image)
        flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
        made = np.asarray(self.change(Image.fromarray(flat)))
        return made[:, :, None] if array.ndim == 3 and made.ndim == 2 else made

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        raise NotImplementedError(f"{type(self).__name__} must define change()")


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


class Resize(_Pillow):
    """To (height, width); one integer is the shorter side's size."""

    def __init__(self, size: Any, interpolation: str = "bilinear", keys: Any = None) -> None:
        super().__init__(keys)
        self.size = size
        self.method = getattr(Image.Resampling, interpolation.upper())

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        if isinstance(self.size, int):
            factor = self.size / min(image.size)
            wide, high = (int(side * factor) if side != min(image.size) else self.size for side in image.size)
        else:
            high, wide = _pair(self.size)
        return image.resize((wide, high), self.method)


class CenterCrop(_Pillow):
    """The middle."""

    def __init__(self, size: Any, keys: Any = None) -> None:
        super().__init__(keys)
        self.size = _pair(size)

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        high, wide = self.size
        left, top = round((image.width - wide) / 2), round((image.height - high) / 2)
        return image.crop((left, top, left + wide, top + high))


class RandomCrop(CenterCrop):
    """A part somewhere, with a border of zeros around the picture."""

    def __init__(self, size: Any, padding: int = 0, keys: Any = None) -> None:
        super().__init__(size, keys)
        self.padding = padding

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        image = Pad(self.padding).change(image) if self.padding else image
        high, wide = self.size
        left, top = random.randint(0, image.width - wide), random.randint(0, image.height - high)
        return image.crop((left, top, left + wide, top + high))


class Pad(_Pillow):
    """A border."""

    def __init__(self, padding: int, fill: Any = 0, keys: Any = None) -> None:
        super().__init__(keys)
        self.padding, self.fill = padding, fill

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        made = Image.new(
            image.mode, (image.width + 2 * self.padding, image.height + 2 * self.padding), self.fill
        )
        made.paste(image, (self.padding, self.padding))
        return made


class RandomHorizontalFlip(_Pillow):
    """Mirrored with a probability."""

    def __init__(self, prob: float = 0.5, keys: Any = None) -> None:
        super().__init__(keys)
        self.prob = prob

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < self.prob else image


class RandomVerticalFlip(RandomHorizontalFlip):
    """Turned upside down with a probability."""

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if random.random() < self.prob else image


class Grayscale(_Pillow):
    """Grey, in 1 or 3 channels."""

    def __init__(self, num_output_channels: int = 1, keys: Any = None) -> None:
        super().__init__(keys)
        self.channels = num_output_channels

    def change(self, image: Image.Image) -> Image.Image:
        """The change."""
        return image.convert("L") if self.channels == 1 else image.convert("L").convert("RGB")
