"""Batches of images named in a text file, a file name and a label a line, round and round.

Owned here: the list, its order, reading a batch. Who calls it: the ImageData layer, in a thread of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.data.datum_batches import THREADS, Batch
from freshpot.data.images import read_image
from freshpot.data.memory import Kept
from freshpot.data.transforms import ImageTransform
from freshpot.errors import DataError, FormatError

__all__ = ["ImageLine", "ImageListBatches", "read_image_list", "read_lines"]

_NUMBER = re.compile(r"\s*([+-]?\d+)")


class ImageLine(NamedTuple):
    """One line of the list."""

    name: str
    label: int


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file.

    Raises:
        DataError: it cannot be read.
        FormatError: it is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FormatError("not a text file", path=path, where=f"offset {error.start}") from None


def read_image_list(path: str | os.PathLike[str]) -> list[ImageLine]:
    """The lines ``<file name> <label>``; the last space parts the two, and a label that is no number is 0.

    Raises:
        DataError: the file cannot be read, or is empty.
        FormatError: it is no text, or a line is blank or has a label beyond 32 bits.
    """
    made = []
    for number, line in enumerate(read_lines(path), 1):
        name, _, label = line.rpartition(" ")
        found = _NUMBER.match(label)
        value = int(found.group(1)) if found and len(found.group(1)) < 20 else 0
        if not line.strip() or not -(2**31) <= value < 2**31:
            raise FormatError("expected '<file name> <label>'", path=path, where=f"line {number}")
        made.append(ImageLine(name or label, value))
    if not made:
        raise DataError(f"{os.fspath(path)}: the list of images is empty")
    return made


class ImageListBatches:
    """Iterates for ever over batches of the images of a list.

    Args:
        lines: the list.
        folder: put before each file name as it is, so it ends in a slash or is empty.
        batch_size: images in a batch.
        transform: applied to the images.
        height, width: to resize to, pixels; 0 = as they are.
        color: 3 channels, or 1.
        shuffle: a new order each time round, the first included.
        first: where in the list to begin.
        seed: of the shuffling.

    Raises:
        DataError: an image file cannot be read.
        FormatError: it is no image, or images of one batch differ in shape (a crop makes them equal).
    """

    def __init__(
        self,
        lines: Sequence[ImageLine],
        folder: str,
        batch_size: int,
        transform: ImageTransform,
        *,
        height: int = 0,
        width: int = 0,
        color: bool = True,
        shuffle: bool = False,
        first: int = 0,
        seed: int = 0,
    ) -> None:
        self._lines = list(lines)
        self._folder = folder
        self._batch_size = batch_size
        self._transform = transform
        self._height, self._width, self._color = height, width, color
        self._random = np.random.default_rng(seed) if shuffle else None
        self._order = self._new_order()
        self._next = first
        self._kept: Kept[int] = Kept(f"the list of {len(self._lines)} images")

    def first_shape(self) -> tuple[int, ...]:
        """The shape (C, h, w) of the first image, transformed. Raises as iterating does."""
        return self._transform.shape(self._read(int(self._order[self._next])).shape)

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="freshpot-images") as pool:
            while True:
                rows = self._take()
                images = self._images(rows, pool)
                labels = np.array([self._lines[row].label for row in rows], np.float32)
                yield Batch(self._together(images), labels)

    def _together(self, images: list[NDArray[Any]]) -> NDArray[np.float32]:
        shapes = {image.shape for image in images}
        if len(shapes) == 1:
            return self._transform(np.stack(images))
        if not self._transform.any_size or len({shape[0] for shape in shapes}) > 1:
            found = ", ".join(map(str, sorted(shapes)))
            raise FormatError(
                f"images of shapes {found} in one batch: give new_height and new_width, or a crop_size"
            )
        return np.concatenate([self._transform(image[None]) for image in images])

    def _images(self, rows: list[int], pool: Executor) -> list[NDArray[Any]]:
        def decode(places: list[int]) -> list[list[NDArray[Any]]]:
            return [[image] for image in pool.map(self._read, [rows[place] for place in places])]

        return [image for (image,) in self._kept.get(rows, decode)]

    def _read(self, row: int) -> NDArray[Any]:
        path = self._folder + self._lines[row].name
        return read_image(path, height=self._height, width=self._width, color=self._color)

    def _take(self) -> list[int]:
        rows: list[int] = []
        while len(rows) < self._batch_size:
            part = self._order[self._next : self._next + self._batch_size - len(rows)]
            rows += part.tolist()
            self._next += len(part)
            if self._next == len(self._order):
                self._order, self._next = self._new_order(), 0
        return rows

    def _new_order(self) -> NDArray[np.int64]:
        count = len(self._lines)
        return self._random.permutation(count) if self._random is not None else np.arange(count)
