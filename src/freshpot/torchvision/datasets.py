"""MNIST and data sets of its form, as ``torch.utils.data.Dataset``.

Owned here: finding the files where torchvision puts them (``<root>/<class>/raw``) or where freshpot keeps
its own. Who calls it: users' programs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from freshpot.data.mnist import find_mnist, load_mnist
from freshpot.errors import DataError
from freshpot.formats.idx import read_idx
from freshpot.torchvision import _batched

__all__ = ["KMNIST", "MNIST", "FashionMNIST", "VisionDataset"]


class VisionDataset(Dataset[Any]):
    """A data set of pictures: what all of them share.

    Args:
        root: folder with the files.
        transforms: called with picture and target, gives both; instead of the next two.
        transform: called with each picture. target_transform: with each target.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transforms: Callable[..., Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError("give either transforms, or transform and target_transform")
        self.root = os.path.expanduser(root)
        self.transforms = transforms
        self.transform = transform
        self.target_transform = target_transform

    def _transformed(self, picture: Any, target: Any) -> tuple[Any, Any]:
        if self.transforms is not None:
            return self.transforms(picture, target)
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return picture, target

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        lines.append(f"    Root location: {self.root}")
        lines += [f"    {line}" for line in self.extra_repr().splitlines()]
        return "\n".join(lines)

    def __len__(self) -> int:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """More lines for ``repr``."""
        return ""


class MNIST(VisionDataset):
    """MNIST: (picture, class) pairs; the picture is a PIL image of mode L unless a transform changes it.

    Files are looked for in ``<root>/MNIST/raw`` and ``root``, then where freshpot keeps MNIST
    (`freshpot.data.mnist`). With ``download`` they are fetched if need be; where that fails, synthetic
    digits take their place, said on stderr. ``data`` is (N, 28, 28) uint8, ``targets`` (N,) int64.

    Raises:
        DataError (a RuntimeError): no files and no download, or files that do not fit together.
        FormatError: a broken file.
    """

    classes = [
        f"{i} - {name}"
        for i, name in enumerate(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        )
    ]

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        self.data, self.targets = self._load(download)

    @property
    def raw_folder(self) -> str:
        """Where torchvision keeps the files."""
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Number of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def _load(self, download: bool) -> tuple[Tensor, Tensor]:
        found = self._files()
        if found is None:
            found = self._elsewhere(download)
        images, labels = (torch.from_numpy(array) for array in found)
        return images, labels.long()

    def _files(self) -> tuple[Any, Any] | None:
        """The split's files below the root, read and checked; None if they are not there."""
        stem = "train" if self.train else "t10k"
        for folder in (Path(self.raw_folder), Path(self.root)):
            pair = [_file(folder, f"{stem}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
            if pair[0] is not None and pair[1] is not None:
                return _checked(pair[0], pair[1], len(self.classes))
        return None

    def _elsewhere(self, download: bool) -> tuple[Any, Any]:
        split = "train" if self.train else "test"
        if not download and find_mnist(split) is None:
            raise DataError(
                f"Dataset not found in {self.raw_folder}. You can use download=True to download it"
            )
        made = load_mnist(None, split)
        return made.images, made.labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(Image.fromarray(self.data[index].numpy()), int(self.targets[index]))

    def __getitems__(self, indices: list[int]) -> list[tuple[Any, Any]]:
        """Several pairs, as ``DataLoader`` asks for them; the same ones that ``[]`` gives, sooner.

        The tensors may share memory of the batch; no two overlap.
        """
        whole = self._batch(indices)
        if whole is None:
            return [self[index] for index in indices]
        pictures, rest, targets = whole
        if not rest and self.target_transform is None:
            return list(zip(pictures, targets, strict=True))
        pairs = []
        for picture, target in zip(pictures, targets, strict=True):
            for transform in rest:
                picture = transform(picture)
            pairs.append((picture, self.target_transform(target) if self.target_transform else target))
        return pairs

    def _batch(self, indices: list[int]) -> tuple[Any, list[Callable[[Any], Any]], list[int]] | None:
        """Pictures, the transforms that they still need, and targets; None where each must be made by itself.

        That is so where the program put something of its own in: a ``[]``, arrays, transforms that take both.
        """
        plain = (
            type(self).__getitem__ is MNIST.__getitem__
            and self.transforms is None
            and all(type(index) is int for index in indices)
            and _is(self.data, torch.uint8, 3)
            and _is(self.targets, torch.int64, 1)
        )
        if not plain or not indices:
            return None
        chosen = torch.tensor(indices)
        made = _batched.transformed(self.data[chosen], self.transform)
        if made is None:
            return None
        return made[0].unbind(), made[1], self.targets[chosen].tolist()

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Fashion-MNIST, from files below ``root``. freshpot does not fetch it."""

    classes = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]

    def _elsewhere(self, download: bool) -> tuple[Any, Any]:
        raise DataError(
            f"Dataset not found in {self.raw_folder}. Put the four files of {type(self).__name__} there"
            + (": freshpot downloads MNIST only." if download else ".")
        )


class KMNIST(FashionMNIST):
    """Kuzushiji-MNIST, from files below ``root``. freshpot does not fetch it."""

    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


def _is(value: Any, dtype: torch.dtype, rank: int) -> bool:
    return isinstance(value, Tensor) and value.dtype == dtype and value.ndim == rank


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _checked(image_path: Path, label_path: Path, classes: int) -> tuple[Any, Any]:
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.dtype != "uint8" or images.ndim != 3:
        raise DataError(
            f"{image_path}: holds {images.dtype} of shape {images.shape}, expected uint8 pictures"
        )
    if labels.dtype != "uint8" or labels.ndim != 1 or len(labels) != len(images):
        raise DataError(
            f"{label_path}: holds {labels.dtype} of shape {labels.shape}, expected {len(images)} uint8"
        )
    if len(labels) and labels.max() >= classes:
        raise DataError(f"{label_path}: labels up to {labels.max()}, expected 0 to {classes - 1}")
    return images, labels
