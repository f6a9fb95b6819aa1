"""``helpers`` of the Caffe2 tutorials: a picture file as a batch, an answer in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshpot.legacy import scikit_image

__all__ = ["loadToNCHW", "parseResults"]


def loadToNCHW(img: Any, mean: Any, input_size: int) -> np.ndarray:
    """A picture file, scaled and cropped to a square, as (1, 3, input_size, input_size) float32 in BGR.

    Args:
        img: the file.
        mean: what is taken off pixels of 0 to 255; a number, or one for each channel.
        input_size: the square's side.
    """
    image = scikit_image.img_as_float(scikit_image.imread(img))[..., :3]
    height, width = image.shape[:2]
    scale = input_size / min(height, width)
    shape = (max(input_size, round(height * scale)), max(input_size, round(width * scale)))
    image = scikit_image.resize(image, shape)
    top, left = (shape[0] - input_size) // 2, (shape[1] - input_size) // 2
    square = image[top : top + input_size, left : left + input_size, ::-1]
    pixels = square.transpose(2, 0, 1) * 255 - np.reshape(mean, (-1, 1, 1))
    return np.ascontiguousarray(pixels[None], np.float32)


def parseResults(results: Any) -> str:
    """The most likely class of a classifier's answer, in a sentence."""
    scores = np.asarray(results).ravel()
    best = int(scores.argmax())
    return f"The answer is class {best} with {100 * float(scores[best]):.4f}% certainty"
