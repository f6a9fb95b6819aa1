"""Transforms of pictures, as functions. Pictures are PIL images or tensors (…, C, H, W)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from freshpot.errors import NotSupportedError

Size = int | Sequence[int]


class InterpolationMode(enum.Enum):
    """How pixels between pixels are made."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


_PIL = {
    InterpolationMode.NEAREST: Image.Resampling.NEAREST,
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
}
#: element types of PIL's modes that are not bytes
_WIDE = {"I": np.int32, "F": np.float32, "I;16": np.uint16}


def pair(size: Size) -> tuple[int, int]:
    """(height, width) from either form.

    Raises:
        ValueError: neither one number nor two.
    """
    sides = (size,) if isinstance(size, int) else tuple(size)
    if len(sides) not in (1, 2):
        raise ValueError(f"a size is one number, or height and width; got {size}")
    return int(sides[0]), int(sides[-1])


def get_image_size(img: Any) -> list[int]:
    """[width, height] in pixels."""
    return [img.shape[-1], img.shape[-2]] if isinstance(img, Tensor) else list(img.size)


# ---- between PIL images, arrays and tensors -----------------------------------------------------------
def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a (C, H, W) tensor of its own element type.

    Raises:
        TypeError: it is no PIL image.
    """
    if not isinstance(pic, Image.Image):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, dtype=_WIDE.get(pic.mode, np.uint8))
    return (
        torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array)
        .reshape(*array.shape[:2], -1)
        .permute(2, 0, 1)
        .contiguous()
    )


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or (H, W[, C]) array as a (C, H, W) tensor; bytes become floats from 0 to 1.

    Raises:
        TypeError, ValueError: it is neither, or of another rank.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        made = torch.from_numpy(np.ascontiguousarray(pic.reshape(*pic.shape[:2], -1).transpose(2, 0, 1)))
    elif isinstance(pic, Image.Image):
        made = pil_to_tensor(pic)
        if pic.mode == "1":
            made = made * 255
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    return made.to(torch.get_default_dtype()).div(255) if made.dtype == torch.uint8 else made


def to_pil_image(pic: Any, mode: str | None = None) -> Image.Image:
    """A (C, H, W) or (H, W) tensor, or an (H, W[, C]) array, as a PIL image; floats are 0 to 1.

    Raises:
        TypeError, ValueError: it is neither, or has another number of channels than 1 to 4.
    """
    if isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        if pic.is_floating_point() and mode != "F":
            pic = pic.mul(255).byte()
        pic = (pic if pic.ndim == 3 else pic[None]).cpu().numpy().transpose(1, 2, 0)
    elif not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    channels = pic.shape[2] if pic.ndim == 3 else 1
    if channels not in (1, 2, 3, 4):
        raise ValueError(f"pic should have 1 to 4 channels. Got {channels} channels.")
    made = Image.fromarray(np.ascontiguousarray(pic[:, :, 0] if pic.ndim == 3 and channels == 1 else pic))
    return made.convert(mode) if mode and made.mode != mode else made


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, by channel; tensor: (…, C, H, W).

    Raises:
        TypeError, ValueError: no tensor of floats, or a standard deviation of 0.
    """
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise TypeError(f"Normalize wants a tensor of floats. Got {getattr(tensor, 'dtype', type(tensor))}.")
    if tensor.ndim < 3:
        raise ValueError(f"Normalize wants (..., C, H, W). Got tensor.size() = {tuple(tensor.shape)}")
    means, stds = (
        torch.as_tensor(v, dtype=tensor.dtype, device=tensor.device).view(-1, 1, 1) for v in (mean, std)
    )
    if bool((stds == 0).any()):
        raise ValueError(f"a standard deviation of 0 leads to division by zero: {list(std)}")
    return (tensor if inplace else tensor.clone()).sub_(means).div_(stds)


# ---- geometry ------------------------------------------------------------------------------------------
def resize(
    img: Any,
    size: Size,
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """To (height, width), or so that the shorter side has that length, pixels."""
    width, height = get_image_size(img)
    new_height, new_width = _target(height, width, size, max_size)
    mode = interpolation if isinstance(interpolation, InterpolationMode) else _mode(interpolation)
    if not isinstance(img, Tensor):
        return img.resize((new_width, new_height), _PIL[mode])
    smooth = mode is not InterpolationMode.NEAREST
    made = torch.nn.functional.interpolate(
        img.reshape(-1, *img.shape[-3:]).float(),
        (new_height, new_width),
        mode=mode.value,
        align_corners=False if smooth else None,
        antialias=bool(antialias) and smooth,
    ).reshape(*img.shape[:-2], new_height, new_width)
    return made if img.is_floating_point() else made.round().clamp(0, 255).to(img.dtype)


def _target(height: int, width: int, size: Size, max_size: int | None) -> tuple[int, int]:
    if not isinstance(size, int) and len(size) == 2:
        return pair(size)
    short = pair(size)[0]
    long = int(short * max(height, width) / min(height, width))
    if max_size is not None and long > max_size:
        short, long = int(max_size * short / long), max_size
    return (short, long) if height <= width else (long, short)


def _mode(number: int) -> InterpolationMode:
    """From PIL's numbers, as older programs give them."""
    for mode, pil in _PIL.items():
        if int(pil) == int(number):
            return mode
    raise NotSupportedError(
        f"interpolation {number} is not done: give nearest (0), bilinear (2) or bicubic (3)."
    )


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A window; what lies outside the picture is 0."""
    if not isinstance(img, Tensor):
        return img.crop((left, top, left + width, top + height))
    w, h = get_image_size(img)
    margins = [max(-left, 0), max(left + width - w, 0), max(-top, 0), max(top + height - h, 0)]
    if any(margins):
        img = torch.nn.functional.pad(img, margins)
    top, left = max(top, 0), max(left, 0)
    return img[..., top : top + height, left : left + width]


def center_crop(img: Any, output_size: Size) -> Any:
    """The middle of a picture."""
    height, width = pair(output_size)
    w, h = get_image_size(img)
    return crop(img, round((h - height) / 2), round((w - width) / 2), height, width)


def pad(img: Any, padding: Size, fill: float = 0) -> Any:
    """A margin of one value; see `transforms.Pad`."""
    sides = (padding,) if isinstance(padding, int) else tuple(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"a padding is 1, 2 or 4 numbers; got {padding}")
    left, top, right, bottom = (sides * 4)[:4] if len(sides) < 4 else sides
    if isinstance(img, Tensor):
        return torch.nn.functional.pad(img, [left, right, top, bottom], value=fill)
    w, h = img.size
    made = Image.new(img.mode, (w + left + right, h + top + bottom), int(fill))
    made.paste(img, (left, top))
    return made


def hflip(img: Any) -> Any:
    """Left and right change places."""
    return img.flip(-1) if isinstance(img, Tensor) else img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(img: Any) -> Any:
    """Top and bottom change places."""
    return img.flip(-2) if isinstance(img, Tensor) else img.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def rotate(img: Any, angle: float, fill: float = 0) -> Any:
    """A PIL image turned by an angle, degrees counter-clockwise."""
    if isinstance(img, Tensor):
        raise NotSupportedError("rotate takes PIL images: put it before ToTensor.")
    return img.rotate(angle, fillcolor=int(fill))


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A PIL image in grey, with one channel or three equal ones."""
    if isinstance(img, Tensor):
        raise NotSupportedError("to_grayscale takes PIL images: put it before ToTensor.")
    grey = img.convert("L")
    return grey if num_output_channels == 1 else Image.merge("RGB", [grey] * 3)
