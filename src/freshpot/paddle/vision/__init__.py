"""``paddle.vision``: data sets, changes of pictures, networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from freshpot.paddle._missing import missing
from freshpot.paddle.vision import datasets, models, transforms
from freshpot.paddle.vision.backend import chosen_backend, get_image_backend, set_image_backend
from freshpot.paddle.vision.models import LeNet

__all__ = [
    "LeNet",
    "datasets",
    "get_image_backend",
    "image_load",
    "models",
    "set_image_backend",
    "transforms",
]


def image_load(path: Any, backend: str | None = None) -> Any:
    """A picture from a file: PIL's, or with backend "cv2" an array (H, W, 3), blue first."""
    kind = chosen_backend("image_load", backend)
    with Image.open(path) as image:
        image.load()
        return image if kind == "pil" else np.asarray(image.convert("RGB"))[:, :, ::-1]


def __getattr__(name: str) -> Any:
    """Data sets, transforms and networks are names of this module's too, as in 2.0."""
    for part in (datasets, transforms, models):
        if name in part.__all__:
            return getattr(part, name)
    raise missing("vision", name, __all__)
