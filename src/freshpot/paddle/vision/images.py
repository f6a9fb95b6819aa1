"""Changes of one picture: PIL's, an array (H, W) or (H, W, C), or a tensor (C, H, W); it comes back as it came.

``paddle.vision.transforms`` has these functions; its classes call them. PIL does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from freshpot.errors import ArgumentError, DTypeError
from freshpot.paddle._tensor import Tensor, to_tensor

__all__ = [
    "adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "center_crop", "crop", "erase",
    "hflip", "normalize", "pad", "resize", "rotate", "to_grayscale", "to_tensor_image", "vflip",
]  # fmt: skip

Change = Callable[[Image.Image], Image.Image]


def through(image: Any, change: Change) -> Any:
    """A change of PIL's pictures made to a picture of any kind.

    Raises:
        DTypeError: an array of elements that pictures do not have.
    """
    if isinstance(image, Image.Image):
        return change(image)
    if isinstance(image, Tensor):
        made = through(np.moveaxis(image.numpy(), 0, -1), change)
        return to_tensor(
            np.ascontiguousarray(np.moveaxis(made if made.ndim == 3 else made[..., None], -1, 0))
        )
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.dtype not in (np.uint8, np.float32, np.float64):
        raise DTypeError(
            f"a picture must be PIL's, or an array (H, W) or (H, W, C) of uint8 or float32; "
            f"got {array.dtype} {array.shape}"
        )
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2] == 3):
        return np.asarray(change(Image.fromarray(array)))
    layers = [array] if array.ndim == 2 else [array[..., i] for i in range(array.shape[2])]
    kept = np.uint8 if array.dtype == np.uint8 else np.float32
    made = [np.asarray(change(Image.fromarray(np.ascontiguousarray(layer.astype(kept))))) for layer in layers]
    return (made[0] if array.ndim == 2 else np.stack(made, -1)).astype(array.dtype)


def size_of(image: Any) -> tuple[int, int]:
    """Height and width."""
    if isinstance(image, Image.Image):
        return image.height, image.width
    shape = image.shape
    return (int(shape[-2]), int(shape[-1])) if isinstance(image, Tensor) else (int(shape[0]), int(shape[1]))


def pair(size: Any) -> tuple[int, int]:
    """(height, width) from one integer or two."""
    if isinstance(size, (int, float)):
        return int(size), int(size)
    if len(size) != 2:
        raise ArgumentError(f"a size must be one integer or (height, width), got {size}")
    return int(size[0]), int(size[1])


def _method(name: str) -> Any:
    try:
        return Image.Resampling[name.upper()]
    except KeyError:
        known = ", ".join(m.name.lower() for m in Image.Resampling)
        raise ArgumentError(f"interpolation {name!r}; known are {known}") from None


def to_tensor_image(pic: Any, data_format: str = "CHW") -> Tensor:
    """A float32 tensor (C, H, W) or (H, W, C); bytes become 0 to 1."""
    array = np.asarray(pic)
    array = array[:, :, None] if array.ndim == 2 else array
    values = (
        array.astype(np.float32) / np.float32(255.0) if array.dtype == np.uint8 else array.astype(np.float32)
    )
    return to_tensor(
        np.ascontiguousarray(values.transpose(2, 0, 1) if data_format.upper() == "CHW" else values)
    )


def resize(img: Any, size: Any, interpolation: str = "bilinear") -> Any:
    """To (height, width); one integer is the shorter side's size."""
    method = _method(interpolation)

    def change(image: Image.Image) -> Image.Image:
        wide, high = image.size
        if not isinstance(size, int):
            high, wide = pair(size)
        elif min(wide, high) == size:
            return image
        elif wide < high:
            wide, high = size, int(size * high / wide)
        else:
            wide, high = int(size * wide / high), size
        return image.resize((wide, high), method)

    return through(img, change)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part."""
    return through(img, lambda image: image.crop((left, top, left + width, top + height)))


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle."""
    high, wide = pair(output_size)
    height, width = size_of(img)
    return crop(img, round((height - high) / 2.0), round((width - wide) / 2.0), high, wide)


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """A border: one size, (left and right, top and bottom), or (left, top, right, bottom).

    Raises:
        ArgumentError: another number of sizes, or another mode.
    """
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ArgumentError(f"padding_mode {padding_mode!r}: choose constant, edge, reflect or symmetric")
    sizes = [int(padding)] if isinstance(padding, (int, float)) else [int(size) for size in padding]
    if len(sizes) not in (1, 2, 4):
        raise ArgumentError(f"padding must be 1, 2 or 4 integers, got {sizes}")
    left, top, right, bottom = sizes * (4 // len(sizes))

    def change(image: Image.Image) -> Image.Image:
        if padding_mode == "constant":
            return ImageOps.expand(image, (left, top, right, bottom), fill)
        array = np.asarray(image)
        border = [(top, bottom), (left, right), (0, 0)][: array.ndim]
        return Image.fromarray(np.pad(array, border, padding_mode))  # type: ignore[call-overload]

    return through(img, change)


def hflip(img: Any) -> Any:
    """Mirrored."""
    return through(img, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def vflip(img: Any) -> Any:
    """Upside down."""
    return through(img, lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM))


def rotate(
    img: Any,
    angle: float,
    interpolation: str = "nearest",
    expand: bool = False,
    center: Any = None,
    fill: Any = 0,
) -> Any:
    """Turned against the clock by degrees."""
    method = _method(interpolation)

    def change(image: Image.Image) -> Image.Image:
        colour = (fill,) * len(image.getbands()) if isinstance(fill, int) else fill
        return image.rotate(
            angle, method, expand, center, fillcolor=colour[0] if len(colour) == 1 else colour
        )

    return through(img, change)


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """0: black, 1: as it is."""
    return through(img, lambda image: ImageEnhance.Brightness(image).enhance(brightness_factor))


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """0: grey, 1: as it is."""
    return through(img, lambda image: ImageEnhance.Contrast(image).enhance(contrast_factor))


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """0: black and white, 1: as it is."""
    return through(img, lambda image: ImageEnhance.Color(image).enhance(saturation_factor))


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Colours turned round the circle, from -0.5 to 0.5.

    Raises:
        ArgumentError: a factor beyond.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ArgumentError(f"hue_factor must be from -0.5 to 0.5, got {hue_factor}")

    def change(image: Image.Image) -> Image.Image:
        if image.mode in ("L", "1", "I", "F"):
            return image
        hue, saturation, value = image.convert("HSV").split()
        turned = (np.asarray(hue).astype(np.int16) + int(hue_factor * 255)) % 256
        parts = (Image.fromarray(turned.astype(np.uint8)), saturation, value)
        return Image.merge("HSV", parts).convert(image.mode)

    return through(img, change)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Grey, in 1 or 3 channels.

    Raises:
        ArgumentError: another number of channels.
    """
    if num_output_channels not in (1, 3):
        raise ArgumentError(f"num_output_channels must be 1 or 3, got {num_output_channels}")
    grey = through(img, lambda image: image.convert("L"))
    if num_output_channels == 1:
        return grey
    if isinstance(grey, Image.Image):
        return Image.merge("RGB", (grey,) * 3)
    return np.stack([grey] * 3, -1)


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """A rectangle overwritten: rows from ``i`` on, columns from ``j`` on."""
    if isinstance(img, Tensor):
        made = img if inplace else img.clone()
        made[:, i : i + h, j : j + w] = v
        return made
    array = np.array(img, copy=not inplace or isinstance(img, Image.Image) or None)
    array[i : i + h, j : j + w] = v
    return Image.fromarray(array) if isinstance(img, Image.Image) else array


def normalize(img: Any, mean: Any, std: Any, data_format: str = "CHW", to_rgb: bool = False) -> Any:
    """(x - mean) / std, a channel; ``to_rgb`` turns the channels' order round first.

    Raises:
        ArgumentError: a deviation of 0.
    """
    first = data_format.upper() == "CHW"
    shape = (-1, 1, 1) if first else (1, 1, -1)
    centre, spread = (np.array(value, np.float32).reshape(shape) for value in (mean, std))
    if not spread.all():
        raise ArgumentError(f"normalize: std must not be 0, got {std}")
    array = img.numpy() if isinstance(img, Tensor) else np.asarray(img).astype(np.float32)
    if array.ndim == 2:
        array = array[None] if first else array[:, :, None]
    if to_rgb:
        array = array[::-1] if first else array[..., ::-1]
    made = (array - centre) / spread
    return to_tensor(made) if isinstance(img, Tensor) else made
