"""``paddle.dataset.mnist``: pictures of digits as readers of (784 floats from -1 to 1, label)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from freshpot.data.mnist import load_mnist

__all__ = ["test", "train"]


def _reader(split: str) -> Callable[[], Iterator[tuple[Any, int]]]:
    def read() -> Iterator[tuple[Any, int]]:
        found = load_mnist(split=split)
        for image, label in zip(found.images, found.labels, strict=True):
            yield image.astype(np.float32).reshape(-1) / 255.0 * 2.0 - 1.0, int(label)

    return read


def train() -> Callable[[], Iterator[tuple[Any, int]]]:
    """A reader of the training pictures."""
    return _reader("train")


def test() -> Callable[[], Iterator[tuple[Any, int]]]:
    """A reader of the test pictures."""
    return _reader("test")
