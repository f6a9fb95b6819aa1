"""``paddle.dataset.cifar``: small photographs as readers of (3072 floats from 0 to 1, label)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from freshpot.paddle.vision.datasets import Cifar10, Cifar100

__all__ = ["test10", "test100", "train10", "train100"]


def _reader(kind: type[Cifar10], mode: str, cycle: bool) -> Callable[[], Iterator[tuple[Any, int]]]:
    data = kind(mode=mode)

    def read() -> Iterator[tuple[Any, int]]:
        while True:
            for image, label in zip(data.images, data.targets, strict=True):
                yield image.transpose(2, 0, 1).reshape(-1).astype(np.float32) / np.float32(255), int(label)
            if not cycle:
                return

    return read


def train10(cycle: bool = False) -> Callable[[], Iterator[tuple[Any, int]]]:
    """A reader of the 50,000 training pictures of ten kinds; with ``cycle``, for ever."""
    return _reader(Cifar10, "train", cycle)


def test10(cycle: bool = False) -> Callable[[], Iterator[tuple[Any, int]]]:  # noqa: PT028 - a reader, no test
    """A reader of the 10,000 test pictures of ten kinds."""
    return _reader(Cifar10, "test", cycle)


def train100() -> Callable[[], Iterator[tuple[Any, int]]]:
    """A reader of the 50,000 training pictures of a hundred kinds."""
    return _reader(Cifar100, "train", False)


def test100() -> Callable[[], Iterator[tuple[Any, int]]]:
    """A reader of the 10,000 test pictures of a hundred kinds."""
    return _reader(Cifar100, "test", False)
