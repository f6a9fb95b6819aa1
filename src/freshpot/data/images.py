"""Compressed images to arrays, as OpenCV decodes and resizes them; OpenCV is the extra ``images``.

Called by the data layers of the Caffe door and by the tools that make image databases. Arrays are
(C, H, W) uint8 with channels in OpenCV's order: blue, green, red.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.data.image_header import MOST_PIXELS, check_size
from freshpot.errors import DataError, FormatError, NotSupportedError

__all__ = ["decode_image", "encode_image", "read_image", "resize_image"]

Image = NDArray[np.uint8]

#: what a PNG begins with
_PNG = b"\x89PNG\r\n\x1a\n"


def decode_image(
    data: bytes, color: bool | None = True, *, path: object = None, where: str | None = None
) -> Image:
    """An image (C, H, W) from the bytes of a JPEG, PNG or other file that OpenCV knows.

    Args:
        color: True = 3 channels, False = 1, None = as stored.
        path, where: file and place in it, for the error.

    Raises:
        FormatError: the bytes are no image, one with other than 8-bit channels, one that says it is larger than
            its bytes or than `image_header.MOST_PIXELS`, or a PNG that is cut off.
        NotSupportedError: OpenCV is not installed.
    """
    cv2 = opencv()
    check_size(data, path=path, where=where)
    if data.startswith(_PNG):
        _check_chunks(data, path, where)
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    try:
        made = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error as error:
        raise FormatError(f"cannot be decoded: {_short(error)}", path=path, where=where) from error
    if made is None:
        raise FormatError(f"{len(data)} bytes are no image that OpenCV knows", path=path, where=where)
    if made.dtype != np.uint8:
        raise FormatError(
            f"an image of {made.dtype} channels; expected 8 bits a channel", path=path, where=where
        )
    return _planes(made)


def _check_chunks(data: bytes, path: object, where: str | None) -> None:
    """Raise unless a PNG's chunks lie in it: OpenCV takes as much memory as a chunk's length says, then reads."""
    at = len(_PNG)
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        left = len(data) - at - 12  # after its length and kind, and the checksum behind it
        if size > left:
            raise FormatError(
                f"a PNG whose chunk at byte {at} is said to have {size} bytes, {max(left, 0)} are left",
                path=path,
                where=where,
            )
        if kind == b"IEND":
            return
        at += 12 + size


def read_image(
    path: str | os.PathLike[str], *, height: int = 0, width: int = 0, color: bool | None = True
) -> Image:
    """An image (C, H, W) from a file, resized to ``height`` x ``width`` pixels unless they are 0.

    Raises:
        DataError: the file cannot be read.
        FormatError: it is no image.
        NotSupportedError: OpenCV is not installed.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
    made = decode_image(data, color, path=path)
    return resize_image(made, height, width) if height > 0 and width > 0 else made


def resize_image(image: Image, height: int, width: int) -> Image:
    """An image (C, H, W) brought to ``height`` x ``width`` pixels, bilinear as OpenCV does it.

    Raises:
        FormatError: an empty image, or too many pixels.
    """
    cv2 = opencv()
    if height * width > MOST_PIXELS:
        raise FormatError(f"an image of {height} x {width} pixels; at most {MOST_PIXELS} pixels are possible")
    try:
        made = cv2.resize(image.transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_LINEAR)
    except cv2.error as error:
        raise FormatError(
            f"an image of shape {image.shape} cannot be resized to {height} x {width}: {_short(error)}"
        ) from error
    return _planes(made)


def encode_image(image: Image, kind: str) -> bytes:
    """The bytes of an image (C, H, W) as a file of a kind ("jpg", "png" …).

    Raises:
        DataError: OpenCV does not write that kind, or not with that number of channels.
    """
    cv2 = opencv()
    try:
        done, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image.transpose(1, 2, 0)))
    except cv2.error as error:
        raise DataError(
            f"an image of shape {image.shape} cannot be written as '{kind}': {_short(error)}"
        ) from error
    if not done:
        raise DataError(f"an image of shape {image.shape} cannot be written as '{kind}'")
    return bytes(data.tobytes())


@functools.cache
def opencv() -> Any:
    """The module cv2.

    Raises:
        NotSupportedError: it is not installed; says how to get it.
    """
    try:
        import cv2
    except ImportError as error:
        raise NotSupportedError(
            f"compressed images need OpenCV ({error}): pip install 'freshpot[images]'"
        ) from error
    return cv2


def _planes(image: NDArray[Any]) -> Image:
    """(H, W) or (H, W, C) to (C, H, W)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)) if image.ndim == 3 else image[None]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())
