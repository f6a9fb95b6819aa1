"""Windows cut out of images, some on objects and some on background, as R-CNN is fine-tuned with.

Owned here: the window file, drawing windows, cutting and warping them. Who calls it: the WindowData layer, in
a thread of its own. Source: BVLC/caffe src/caffe/layers/window_data_layer.cpp @ 9b89154.
"""

from __future__ import annotations

import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.data.datum_batches import Batch
from freshpot.data.image_list import read_lines
from freshpot.data.images import decode_image, resize_image
from freshpot.errors import ArgumentError, DataError, FormatError

__all__ = ["Cutter", "Window", "WindowBatches", "WindowFile", "read_window_file"]

Image = NDArray[np.uint8]


class Window(NamedTuple):
    """A box in an image, corners included, and its class (0 = background)."""

    image: int
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(slots=True)
class WindowFile:
    """What a window file says."""

    images: list[str] = field(default_factory=list)
    channels: int = 0
    objects: list[Window] = field(default_factory=list)
    background: list[Window] = field(default_factory=list)

    def counts(self) -> dict[int, int]:
        """Number of windows by class, background (0) included."""
        found = Counter(window.label for window in self.objects)
        return {0: len(self.background)} | dict(sorted(found.items()))


def read_window_file(
    path: str | os.PathLike[str], object_overlap: float, background_overlap: float
) -> WindowFile:
    """Read a window file: for each image ``# number``, its file name, channels, height, width, number of windows,
    then for each window class, overlap, x1, y1, x2, y2; all parted by white space.

    A window is an object from ``object_overlap`` on, background below ``background_overlap``, else left out.

    Raises:
        DataError: the file cannot be read, is empty, or has no object or no background.
        FormatError: it says something else; names the word.
    """
    words = _Words(path)
    made = WindowFile()
    while not words.at_end:
        words.expect("#")
        number = words.integer("the number of an image")
        if number != len(made.images):
            raise words.wrong(f"image {number}; images are numbered from 0 on, {len(made.images)} is next")
        made.images.append(words.take("a file name"))
        made.channels = words.integer("the number of channels")
        words.integer("a height"), words.integer("a width")
        for _ in range(words.integer("the number of windows")):
            _add_window(made, words, number, object_overlap, background_overlap)
    if not made.images:
        raise DataError(f"{os.fspath(path)}: the window file is empty")
    for what, windows in (("object", made.objects), ("background", made.background)):
        if not windows:
            raise DataError(f"{os.fspath(path)}: no window is {what}; check the overlap thresholds")
    return made


def _add_window(
    made: WindowFile, words: _Words, image: int, object_overlap: float, background_overlap: float
) -> None:
    label, overlap = words.integer("a class"), words.number("an overlap")
    box = [words.integer(name) for name in ("x1", "y1", "x2", "y2")]
    if overlap >= object_overlap:
        if label < 1:
            raise words.wrong(f"an object of class {label}; classes of objects are 1 or more")
        made.objects.append(Window(image, label, *box))
    elif overlap < background_overlap:
        made.background.append(Window(image, 0, *box))


class _Words:
    """The words of a text file, one after the other."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._words = [(line, word) for line, text in enumerate(read_lines(path), 1) for word in text.split()]
        self._next = 0

    @property
    def at_end(self) -> bool:
        return self._next == len(self._words)

    def wrong(self, message: str) -> FormatError:
        line = self._words[self._next - 1][0] if self._next else 1
        return FormatError(message, path=self._path, where=f"line {line}")

    def take(self, what: str) -> str:
        if self.at_end:
            raise FormatError(f"ends where {what} should follow", path=self._path)
        self._next += 1
        return self._words[self._next - 1][1]

    def expect(self, wanted: str) -> None:
        found = self.take(f"'{wanted}'")
        if found != wanted:
            raise self.wrong(f"expected '{wanted}', found '{found[:40]}'")

    def number(self, what: str) -> float:
        found = self.take(what)
        try:
            return float(found)
        except ValueError:
            raise self.wrong(f"expected {what}, found '{found[:40]}'") from None

    def integer(self, what: str) -> int:
        found = self.number(what)
        if not found.is_integer() or abs(found) >= 2**31:
            raise self.wrong(f"expected {what}, found {found:g}")
        return int(found)


class Cutter:
    """Cuts a window out of an image and warps it to a square.

    Args:
        size: of the square, pixels.
        context: pixels of the square that lie outside the window on each side; what lies outside the image is 0.
        square: take the smallest square around the window instead of the window.

    Raises:
        ArgumentError: a context that leaves nothing of the square.
    """

    def __init__(self, size: int, context: int = 0, square: bool = False) -> None:
        if size - 2 * context < 1 or context < 0:
            raise ArgumentError(f"context_pad {context} on each side leaves nothing of crop_size {size}.")
        self._size, self._square = size, square
        self._widens = context > 0 or square
        self._scale = np.float32(size) / np.float32(size - 2 * context)

    def __call__(self, image: Image, window: Window, mirror: bool) -> tuple[Image, int, int]:
        """The warped part (C, h, w) of the image, and its top row and left column in the square.

        Raises:
            FormatError: the window lies outside the image.
        """
        height, width = image.shape[1:]
        x1, y1, x2, y2 = self._widened(window) if self._widens else window[2:]
        across = _Span.of(x1, x2, width, self._size) if self._widens else _Span(x1, x2, 0, 0, self._size)
        down = _Span.of(y1, y2, height, self._size) if self._widens else _Span(y1, y2, 0, 0, self._size)
        if not (0 <= across.first <= across.last < width and 0 <= down.first <= down.last < height):
            raise FormatError(
                f"window {tuple(window[2:])} lies outside its image of {width} x {height} pixels"
            )
        left = across.after if mirror else across.before
        part = image[:, down.first : down.last + 1, across.first : across.last + 1]
        part = resize_image(
            part, min(down.size, self._size - down.before), min(across.size, self._size - left)
        )
        return (part[:, :, ::-1] if mirror else part), down.before, left

    def _widened(self, window: Window) -> tuple[int, int, int, int]:
        """The box with its context, in float32 as the original computes it."""
        half_height = np.float32(window.y2 - window.y1 + 1) / np.float32(2)
        half_width = np.float32(window.x2 - window.x1 + 1) / np.float32(2)
        x, y = np.float32(window.x1) + half_width, np.float32(window.y1) + half_height
        if self._square:
            half_height = half_width = max(half_height, half_width)
        wide, high = half_width * self._scale, half_height * self._scale
        return _round(x - wide), _round(y - high), _round(x + wide), _round(y + high)


class _Span(NamedTuple):
    """One axis of a window: its pixels within the image, and pixels of the square before, after and on it."""

    first: int
    last: int
    before: int
    after: int
    size: int

    @staticmethod
    def of(first: int, last: int, length: int, square: int) -> _Span:
        """Clip to an image of ``length`` pixels; what is cut off stays empty in the square."""
        scale = np.float32(square) / np.float32(max(1, last - first + 1))
        before, after = max(0, -first), max(0, last - length + 1)
        first, last = first + before, last - after
        size = _round(np.float32(last - first + 1) * scale)
        return _Span(first, last, _round(np.float32(before) * scale), _round(np.float32(after) * scale), size)


def _round(value: float | np.floating) -> int:
    """To the nearest integer, halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), float(value)))


class WindowBatches:
    """Iterates for ever over batches of windows drawn at random: background first, then objects.

    Args:
        windows: the window file.
        folder: put before each file name as it is.
        batch_size: windows in a batch.
        object_fraction: part of the batch that is objects.
        cutter: cuts the windows.
        size: of the square, pixels.
        convert: (values (C, h, w), top row, left column) -> float32; subtracts a mean and scales.
        mirror: flip windows by chance.
        cache: read every image file once, at the start.
        seed: of the draws.

    Raises:
        DataError: an image file cannot be read.
        FormatError: it is no image, or a window lies outside it.
    """

    def __init__(
        self,
        windows: WindowFile,
        folder: str,
        batch_size: int,
        object_fraction: float,
        cutter: Cutter,
        size: int,
        convert: Callable[[Image, int, int], NDArray[np.float32]],
        *,
        mirror: bool = False,
        cache: bool = False,
        seed: int = 0,
    ) -> None:
        self._windows, self._cutter, self._size = windows, cutter, size
        self._paths = [folder + name for name in windows.images]
        objects = int(np.float32(batch_size) * np.float32(object_fraction))
        self._draws = [(windows.background, batch_size - objects), (windows.objects, objects)]
        self._shape = (batch_size, windows.channels, size, size)
        self._convert, self._mirror = convert, mirror
        self._random = np.random.default_rng(seed)
        self._files = [_read_file(path) for path in self._paths] if cache else None

    def __iter__(self) -> Iterator[Batch]:
        while True:
            images = np.zeros(self._shape, np.float32)
            chosen = [
                windows[int(row)]
                for windows, count in self._draws
                for row in self._random.integers(0, len(windows), count)
            ]
            for image, window in zip(images, chosen, strict=True):
                self._fill(image, window)
            yield Batch(images, np.array([window.label for window in chosen], np.float32))

    def _fill(self, square: NDArray[np.float32], window: Window) -> None:
        mirror = self._mirror and bool(self._random.integers(0, 2))
        path = self._paths[window.image]
        data = self._files[window.image] if self._files is not None else _read_file(path)
        try:
            part, top, left = self._cutter(decode_image(data, True, path=path), window, mirror)
        except FormatError as error:
            raise error if error.path else FormatError(str(error), path=path) from error
        square[:, top : top + part.shape[1], left : left + part.shape[2]] = self._convert(part, top, left)


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def window_values(
    scale: float, mean: NDArray[np.float32] | None, mean_values: NDArray[np.float32], size: int
) -> Callable[[Image, int, int], NDArray[np.float32]]:
    """``(pixel - mean) * scale`` for a part of the square; the middle of the mean image goes with the square."""
    return functools.partial(_values, np.float32(scale), mean, mean_values, size)


def _values(
    scale: np.float32,
    mean: NDArray[np.float32] | None,
    mean_values: NDArray[np.float32],
    size: int,
    part: Image,
    top: int,
    left: int,
) -> NDArray[np.float32]:
    if mean is not None:
        begin = (mean.shape[2] - size) // 2
        top, left = begin + top, begin + left
        shift = mean[:, top : top + part.shape[1], left : left + part.shape[2]]
    else:
        shift = mean_values.reshape(-1, 1, 1) if len(mean_values) else np.zeros((1, 1, 1), np.float32)
    made: NDArray[np.float32] = np.subtract(part, shift, dtype=np.float32) * scale
    return made
