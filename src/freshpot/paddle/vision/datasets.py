"""``paddle.vision.datasets``; MNIST and Fashion-MNIST from files on this machine (MNIST also as freshpot finds it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from freshpot.data.mnist import load_mnist
from freshpot.errors import ArgumentError, DataError
from freshpot.formats.idx import read_idx
from freshpot.paddle._archives import choice, find_archive
from freshpot.paddle._missing import missing
from freshpot.paddle.io.dataset import Dataset
from freshpot.paddle.vision.backend import chosen_backend
from freshpot.paddle.vision.folder import Cifar10, Cifar100, DatasetFolder, ImageFolder
from freshpot.paddle.vision.photos import VOC2012, Flowers

__all__ = [
    "MNIST", "VOC2012", "Cifar10", "Cifar100", "DatasetFolder", "FashionMNIST", "Flowers", "ImageFolder",
]  # fmt: skip


class MNIST(Dataset):
    """Pictures of digits and their labels, an array of one int64.

    Without ``backend`` and ``transform`` a picture is as in 2.0-beta: float32 (1, 28, 28) from -1 to 1
    (``chw_format=False``: (784,)). ``backend`` "pil" (the default for transforms) gives PIL's pictures, "cv2"
    float32 (28, 28) from 0 to 255, as in 2.0 and later.

    Raises:
        ArgumentError: another mode or backend.
        DataError: files are missing or do not fit together.
        FormatError: a file is broken.
    """

    def __init__(
        self,
        image_path: str | None = None,
        label_path: str | None = None,
        mode: str = "train",
        transform: Callable[[Any], Any] | None = None,
        download: bool = True,
        backend: str | None = None,
        chw_format: bool = True,
    ) -> None:
        self.mode = choice(type(self).__name__, "mode", mode, ("train", "test"))
        chosen_backend(type(self).__name__, backend)
        if (image_path is None) != (label_path is None):
            raise ArgumentError(f"{type(self).__name__}: give image_path and label_path, or neither")
        if image_path is None and not download:
            raise ArgumentError(f"{type(self).__name__}: download=False wants image_path and label_path")
        self.transform, self.chw_format = transform, chw_format
        self.backend = backend or ("pil" if transform is not None else None)
        pixels, labels = self._read(image_path, label_path)
        self.images, self.labels = pixels, labels.astype(np.int64).reshape(-1, 1)

    def _read(self, images: str | None, labels: str | None) -> tuple[Any, Any]:
        if images is None or labels is None:
            return self._find()
        pixels, numbers = read_idx(images), read_idx(labels)
        if pixels.ndim != 3 or numbers.ndim != 1 or len(pixels) != len(numbers):
            raise DataError(
                f"{images} and {labels}: shapes {pixels.shape} and {numbers.shape} do not fit together"
            )
        return pixels, numbers

    def _find(self) -> tuple[Any, Any]:
        found = load_mnist(split=self.mode)
        return found.images, found.labels

    def __getitem__(self, idx: int) -> tuple[Any, np.ndarray[Any, Any]]:
        image, label = self.images[idx], self.labels[idx]
        if self.backend is None:
            return self._scaled(image), label
        made: Any = Image.fromarray(image) if self.backend == "pil" else image.astype(np.float32)
        return (made if self.transform is None else self.transform(made)), label

    def _scaled(self, images: Any) -> np.ndarray[Any, Any]:
        shape = (*images.shape[:-2], 1, *images.shape[-2:]) if self.chw_format else (*images.shape[:-2], -1)
        values: np.ndarray[Any, Any] = images.astype(np.float32).reshape(shape)
        return values / np.float32(255.0) * np.float32(2.0) - np.float32(1.0)

    @property
    def read_batch(self) -> Callable[[Sequence[int]], list[Any]] | None:
        """Whole batches at once, where no change of each picture is asked for; used by DataLoader."""
        plain = self.backend is None and type(self).__getitem__ is MNIST.__getitem__
        return (lambda rows: [self._scaled(self.images[rows]), self.labels[rows]]) if plain else None

    def __len__(self) -> int:
        return len(self.labels)


class FashionMNIST(MNIST):
    """Pictures of clothes, from files named by ``image_path`` and ``label_path``, or in the original's cache.

    Raises:
        DataError: the files are not on this machine; nothing is downloaded.
    """

    def _find(self) -> tuple[Any, Any]:
        stem = "train" if self.mode == "train" else "t10k"
        images, labels = (
            find_archive("FashionMNIST", None, "fashion-mnist", f"{stem}-{kind}-ubyte.gz")
            for kind in ("images-idx3", "labels-idx1")
        )
        return self._read(str(images), str(labels))


def __getattr__(name: str) -> Any:
    raise missing("vision.datasets", name, __all__)
