"""The few functions of scikit-image that the tutorials use, where it is not installed: on Pillow and PyTorch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from freshpot.errors import NotSupportedError

__all__ = ["modules"]


def img_as_float(image: Any, force_copy: bool = False) -> np.ndarray:
    """Pixels as floats: whole numbers of n bits are divided by 2**n - 1; floats stay."""
    image = np.array(image, copy=True) if force_copy else np.asarray(image)
    if image.dtype.kind == "f":
        return image
    top = 1 if image.dtype == bool else np.iinfo(image.dtype).max
    return image.astype(np.float64) / top


def img_as_ubyte(image: Any, force_copy: bool = False) -> np.ndarray:
    """Pixels as bytes: floats of 0 to 1 become 0 to 255."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image.copy() if force_copy else image
    return np.rint(np.clip(img_as_float(image), 0, 1) * 255).astype(np.uint8)


def imread(name: Any, as_gray: bool = False, **ignored: Any) -> np.ndarray:
    """A picture file as (H, W), (H, W, 3) or (H, W, 4) uint8; grey ones as floats of 0 to 1 if so asked."""
    from PIL import Image

    with open(name, "rb") as file, Image.open(file) as picture:
        if picture.mode in ("P", "CMYK", "YCbCr", "1"):
            picture = picture.convert("RGB")
        image = np.array(picture)
    return rgb2gray(image) if as_gray and image.ndim == 3 else image


def imsave(name: Any, image: Any, **ignored: Any) -> None:
    """Write a picture file."""
    from PIL import Image

    Image.fromarray(img_as_ubyte(image)).save(name)


def imshow(image: Any, **keywords: Any) -> Any:
    """Draw on pyplot's axes."""
    from matplotlib import pyplot

    return pyplot.imshow(image, **keywords)


def rgb2gray(image: Any) -> np.ndarray:
    """Luminance, by the weights of Rec. 709."""
    return img_as_float(image)[..., :3] @ np.array([0.2125, 0.7154, 0.0721])


def resize(
    image: Any,
    output_shape: Any,
    order: int = 1,
    preserve_range: bool = False,
    anti_aliasing: bool = False,
    **ignored: Any,
) -> np.ndarray:
    """Bilinear (order 1) or nearest (order 0) resize of (H, W) or (H, W, C); without smoothing, as of old."""
    import torch

    values = np.asarray(image, np.float64) if preserve_range else img_as_float(image)
    if order not in (0, 1):
        raise NotSupportedError(f"skimage.transform.resize: order {order}; this stand-in has 0 and 1.")
    height, width = int(output_shape[0]), int(output_shape[1])
    planes = values[..., None] if values.ndim == 2 else values
    tensor = torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1))[None])
    if order == 0:
        new = torch.nn.functional.interpolate(tensor, (height, width), mode="nearest-exact")
    else:
        new = torch.nn.functional.interpolate(
            tensor, (height, width), mode="bilinear", align_corners=False, antialias=anti_aliasing
        )
    result = new[0].numpy().transpose(1, 2, 0)
    return result[..., 0] if values.ndim == 2 else result


def modules() -> dict[str, ModuleType]:
    """skimage and its modules io, transform, color."""
    contents: dict[str, list[Any]] = {
        "skimage.io": [imread, imsave, imshow],
        "skimage.transform": [resize],
        "skimage.color": [rgb2gray],
    }
    package = ModuleType("skimage")
    package.__path__ = []
    vars(package).update(
        img_as_float=img_as_float, img_as_ubyte=img_as_ubyte, __version__="0 (freshpot's stand-in)"
    )
    made = {"skimage": package}
    for name, functions in contents.items():
        made[name] = ModuleType(name)
        vars(made[name]).update({function.__name__: function for function in functions})
        setattr(package, name.rpartition(".")[2], made[name])
    return made
