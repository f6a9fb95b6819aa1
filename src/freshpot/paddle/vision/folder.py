"""Data sets of picture files in folders, and CIFAR's archives; from files on this machine."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from freshpot.errors import ArgumentError, DataError, FormatError
from freshpot.paddle._archives import choice, find_archive, reading
from freshpot.paddle._pickle_reader import read_pickle
from freshpot.paddle.io.dataset import Dataset
from freshpot.paddle.vision.backend import chosen_backend

__all__ = ["Cifar10", "Cifar100", "DatasetFolder", "ImageFolder"]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def default_loader(path: str) -> Image.Image:
    """A picture in three channels.

    Raises:
        FormatError: not a picture.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise FormatError(f"no picture that can be read: {error}", path=path) from error


def _files(
    folder: str, extensions: Sequence[str] | None, is_valid_file: Callable[[str], bool] | None
) -> list[str]:
    """Files below a folder, in order, that count."""
    if extensions is not None and is_valid_file is not None:
        raise ArgumentError("give extensions or is_valid_file, not both")
    ends = tuple(end.lower() for end in (IMG_EXTENSIONS if extensions is None else extensions))
    counts = is_valid_file or (lambda path: path.lower().endswith(ends))
    found = [os.path.join(root, name) for root, _, names in sorted(os.walk(folder)) for name in sorted(names)]
    return [path for path in found if counts(path)]


class DatasetFolder(Dataset):
    """Pictures in a folder for each class: ``root/cat/1.png``; a sample is (picture, number of the class).

    Attributes:
        classes, class_to_idx, samples, targets: names; numbers by name; (path, number); numbers.

    Raises:
        DataError: no files.
    """

    def __init__(
        self,
        root: str,
        loader: Callable[[str], Any] | None = None,
        extensions: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
    ) -> None:
        self.root, self.transform, self.loader = root, transform, loader or default_loader
        self.extensions = extensions
        self.classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples = [
            (path, number)
            for name, number in self.class_to_idx.items()
            for path in _files(os.path.join(root, name), extensions, is_valid_file)
        ]
        if not self.samples:
            raise DataError(
                f"{root}: no files in folders of classes; looked for {extensions or IMG_EXTENSIONS}"
            )
        self.targets = [number for _, number in self.samples]

    def __getitem__(self, idx: int) -> tuple[Any, int]:
        path, number = self.samples[idx]
        image = self.loader(path)
        return (image if self.transform is None else self.transform(image)), number

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(Dataset):
    """Pictures anywhere below a folder; a sample is a list of one picture.

    Raises:
        DataError: no files.
    """

    def __init__(
        self,
        root: str,
        loader: Callable[[str], Any] | None = None,
        extensions: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
    ) -> None:
        self.root, self.transform, self.loader = root, transform, loader or default_loader
        self.samples = _files(root, extensions, is_valid_file)
        if not self.samples:
            raise DataError(f"{root}: no files; looked for {extensions or IMG_EXTENSIONS}")

    def __getitem__(self, idx: int) -> list[Any]:
        image = self.loader(self.samples[idx])
        return [image if self.transform is None else self.transform(image)]

    def __len__(self) -> int:
        return len(self.samples)


class Cifar10(Dataset):
    """Pictures of ten kinds of things and their labels, from the archive ``cifar-10-python.tar.gz``.

    A picture is PIL's, or with backend "cv2" float32 (32, 32, 3) from 0 to 255.

    Args:
        data_file: the archive; None: where :mod:`freshpot.paddle._archives` looks.

    Raises:
        ArgumentError: another mode or backend.
        DataError: the archive is missing, or holds no such batches.
        FormatError: it is broken.
    """

    archive, flags, labels = "cifar-10-python.tar.gz", {"train": "data_batch", "test": "test_batch"}, "labels"

    def __init__(
        self,
        data_file: str | None = None,
        mode: str = "train",
        transform: Callable[[Any], Any] | None = None,
        download: bool = True,
        backend: str | None = None,
    ) -> None:
        self.mode = choice(type(self).__name__, "mode", mode, ("train", "test"))
        self.backend = chosen_backend(type(self).__name__, backend)
        self.transform = transform
        path = find_archive(type(self).__name__, data_file, "cifar", self.archive, download)
        self.images, self.targets = self._read(path)

    def _read(self, path: Path) -> tuple[Any, Any]:
        parts: dict[str, Any] = {}
        with reading(path), tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and self.flags[self.mode] in Path(member.name).name:
                    file = archive.extractfile(member)
                    parts[member.name] = read_pickle(b"" if file is None else file.read(), path)
        if not parts:
            raise DataError(f"{path}: no {self.flags[self.mode]} in it")
        images, labels = [], []
        for name, batch in sorted(parts.items()):
            data = batch.get("data") if isinstance(batch, dict) else None
            numbers = batch.get(self.labels) if isinstance(batch, dict) else None
            if not isinstance(data, np.ndarray) or data.shape[1:] != (3072,) or not isinstance(numbers, list):
                raise FormatError(f"{name}: expected data (N, 3072) and a list of {self.labels}", path=path)
            if len(numbers) != len(data):
                raise FormatError(f"{name}: {len(data)} pictures, {len(numbers)} labels", path=path)
            images.append(data)
            labels += numbers
        pixels = np.concatenate(images).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(pixels), np.array(labels, np.int64)

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        image: Any = self.images[idx]
        image = Image.fromarray(image) if self.backend == "pil" else image.astype(np.float32)
        return (image if self.transform is None else self.transform(image)), np.array(self.targets[idx])

    def __len__(self) -> int:
        return len(self.targets)


class Cifar100(Cifar10):
    """Pictures of a hundred kinds of things, from the archive ``cifar-100-python.tar.gz``."""

    archive, flags, labels = "cifar-100-python.tar.gz", {"train": "train", "test": "test"}, "fine_labels"
