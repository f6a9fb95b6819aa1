"""Image files to float arrays, as scikit-image reads them, without needing it (Pillow decodes).

Owned here: which pixels a file means. Who calls it: `caffe.io.load_image`. The data layers read images by
OpenCV instead (`freshpot.data.images`), as the originals did.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["read_picture"]

FloatArray = NDArray[np.float32]

#: weights of red, green and blue in the brightness (ITU-R BT.709, as scikit-image rounds them)
_BRIGHTNESS = np.array([0.2125, 0.7154, 0.0721])


def read_picture(path: str | os.PathLike[str], color: bool = True) -> FloatArray:
    """An image file as float32, 0 to 1: (H, W, 3) in RGB, or (H, W, 1) with ``color=False``.

    Transparency is dropped.

    Raises:
        OSError: the file cannot be read.
        FormatError: it is no image that Pillow knows, or one that is broken or too large.
    """
    from PIL import Image  # imported late: `import caffe` needs none of it

    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            pixels = _pixels(Image.open(file))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
            reason = str(error).split(" <")[0]  # Pillow shows the file object
            raise FormatError(f"not an image that can be read: {reason}", path=path) from error
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3 if color else 1, axis=2).astype(np.float32)
    made = pixels[:, :, :3] if color else (pixels[:, :, :3] @ _BRIGHTNESS)[:, :, None]
    return made.astype(np.float32)


def _pixels(image: Image.Image) -> NDArray[np.float64]:
    """(H, W) or (H, W, 3 or 4), 0 to 1."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.float64) / 65535
    if image.mode in ("F", "I"):
        return np.asarray(image.convert("F")).astype(np.float64) / (65535 if image.mode == "I" else 1)
    plain = {"1": "L", "L": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA"}
    return np.asarray(image.convert(plain.get(image.mode, "RGB"))).astype(np.float64) / 255
