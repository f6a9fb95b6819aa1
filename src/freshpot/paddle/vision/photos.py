"""Flowers and VOC2012: photographs in archives, with their kinds or with the kind of each pixel."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from freshpot.errors import FormatError, NotSupportedError
from freshpot.paddle import _state
from freshpot.paddle._archives import choice, find_archive, member, reading
from freshpot.paddle.io.dataset import Dataset
from freshpot.paddle.vision.backend import chosen_backend

__all__ = ["VOC2012", "Flowers"]

_MODES = ("train", "valid", "test")


def _opened(data: bytes, path: Path) -> Image.Image:
    try:
        made = Image.open(io.BytesIO(data))
        made.load()
    except OSError as error:
        raise FormatError(f"a picture in it cannot be read: {error}", path=path) from error
    return made


class Flowers(Dataset):
    """Flowers of 102 kinds: a picture, and its kind (from 1) as an array of one int64. As in the original, "train" is
    what the data's authors set apart for tests.

    Args:
        data_file, label_file, setid_file: ``102flowers.tgz``, ``imagelabels.mat``, ``setid.mat``; None: where
            :mod:`freshpot.paddle._archives` looks.
        backend: "pil": PIL's pictures; "cv2": float32 (H, W, 3) from 0 to 255.

    Raises:
        ArgumentError: another mode or backend. DataError: a file is missing. FormatError: one is broken.
        NotSupportedError: scipy, which reads ``.mat`` files, is not installed.
    """

    def __init__(
        self,
        data_file: str | None = None,
        label_file: str | None = None,
        setid_file: str | None = None,
        mode: str = "train",
        transform: Callable[[Any], Any] | None = None,
        download: bool = True,
        backend: str | None = None,
    ) -> None:
        self.mode, self.backend = choice("Flowers", "mode", mode, _MODES), chosen_backend("Flowers", backend)
        self.transform = transform
        part = {"train": "tstid", "test": "trnid", "valid": "valid"}[self.mode]
        self._path, labels, sets = (
            find_archive("Flowers", named, "flowers", name, download)
            for named, name in (
                (data_file, "102flowers.tgz"),
                (label_file, "imagelabels.mat"),
                (setid_file, "setid.mat"),
            )
        )
        self.labels, self.indexes = _row(labels, "labels"), _row(sets, part)
        wanted = {int(number) for number in self.indexes}
        self._files: dict[int, bytes] = {}
        with reading(self._path), tarfile.open(self._path) as archive:
            for entry in archive:
                hit = re.search(r"image_(\d+)\.jpg$", entry.name)
                file = archive.extractfile(entry) if hit and int(hit[1]) in wanted else None
                if hit and file is not None:
                    self._files[int(hit[1])] = file.read()
            if lost := wanted - self._files.keys():
                raise KeyError(f"no jpg/image_{min(lost):05d}.jpg in it")
        if wanted and not 1 <= min(wanted) <= max(wanted) <= len(self.labels):
            raise FormatError(
                f"{len(self.labels)} labels, but picture {max(wanted)} is asked for", path=labels
            )

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        number = int(self.indexes[idx])
        image: Any = _opened(self._files[number], self._path)
        image = image if self.backend == "pil" else np.array(image)
        image = image if self.transform is None else self.transform(image)
        if self.backend == "cv2":
            image = image.astype(_state.get_default_dtype())
        return image, np.array([self.labels[number - 1]], np.int64)

    def __len__(self) -> int:
        return len(self.indexes)


def _row(path: Path, name: str) -> Any:
    """A row of numbers from a MATLAB file."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise NotSupportedError("Flowers: its .mat files are read with scipy; pip install scipy") from error
    try:
        return loadmat(str(path))[name].reshape(-1).astype(np.int64)
    except Exception as error:  # loadmat has no error of its own
        raise FormatError(f"no MATLAB file with {name}: {error}", path=path) from error


class VOC2012(Dataset):
    """Photographs, and a picture of the kind of each pixel. As in the original, "train" is trainval, "test" is train.

    Args:
        data_file: ``VOCtrainval_11-May-2012.tar``; None: where :mod:`freshpot.paddle._archives` looks.
        transform: changes the photograph alone.
        backend: "pil": PIL's pictures; "cv2": float32 arrays.

    Raises:
        ArgumentError: another mode or backend. DataError: the archive is missing. FormatError: it is broken.
    """

    def __init__(
        self,
        data_file: str | None = None,
        mode: str = "train",
        transform: Callable[[Any], Any] | None = None,
        download: bool = True,
        backend: str | None = None,
    ) -> None:
        self.backend, self.transform = chosen_backend("VOC2012", backend), transform
        self.flag = {"train": "trainval", "test": "train", "valid": "val"}[
            choice("VOC2012", "mode", mode, _MODES)
        ]
        self._path = find_archive("VOC2012", data_file, "voc2012", "VOCtrainval_11-May-2012.tar", download)
        self.data_file, base = str(self._path), "VOCdevkit/VOC2012"
        with reading(self._path), tarfile.open(self._path, "r:") as archive:
            where = {entry.name.removeprefix("./"): (entry.offset_data, entry.size) for entry in archive}
            names = member(archive, f"{base}/ImageSets/Segmentation/{self.flag}.txt").decode().split()
            self._places = [
                (where[f"{base}/JPEGImages/{name}.jpg"], where[f"{base}/SegmentationClass/{name}.png"])
                for name in names
            ]

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        with (
            reading(self._path),
            open(self._path, "rb") as file,
        ):  # anew: worker processes share no position in it
            found = []
            for offset, size in self._places[idx]:
                file.seek(offset)
                found.append(file.read(size))
        data, label = (_opened(bytes_, self._path) for bytes_ in found)
        image: Any = data if self.backend == "pil" else np.array(data)
        image = image if self.transform is None else self.transform(image)
        if self.backend == "pil":
            return image, label
        return image.astype(_state.get_default_dtype()), np.array(label).astype(_state.get_default_dtype())

    def __len__(self) -> int:
        return len(self._places)
