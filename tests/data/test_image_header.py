"""What image files say of their size, and that it is not believed."""

from __future__ import annotations

import io
import re
import resource
import struct
from collections.abc import Callable
from typing import Any

import pytest

from freshpot.data import images
from freshpot.data.image_header import claimed_size
from freshpot.errors import FormatError

#: how width and height stand in a file
PACKED: dict[str, Callable[[int, int], bytes]] = {
    "PNG": lambda wide, high: struct.pack(">II", wide, high),
    "JPEG": lambda wide, high: struct.pack(">HH", high, wide),
    "BMP": lambda wide, high: struct.pack("<ii", wide, high),
    "GIF": lambda wide, high: struct.pack("<HH", wide, high),
    "PPM": lambda wide, high: f"{wide} {high}".encode(),
}


def claims(kind: str, wide: int, high: int, size: tuple[int, int] = (5, 7), rest: bytes = b"") -> bytes:
    """A small file of a kind that says it has other sizes than it has."""
    data = as_file(kind, size)
    says, said = (PACKED[kind](*sizes) for sizes in ((wide, high), size))
    assert said in data
    return data.replace(said, says, 1) + rest


def as_file(kind: str, size: tuple[int, int], mode: str = "RGB", **options: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(5, 7), (300, 1), (1, 1000), (513, 258)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"exif": b"Exif\0\0" + b"\xff\xc0" * 9}),
        ("JPEG", {"comment": "\xff\xc0\x00\x0b"}), ("GIF", {"mode": "P"}), ("BMP", {}), ("PPM", {}),
        ("PPM", {"mode": "1"}), ("WebP", {}), ("WebP", {"lossless": True}), ("WebP", {"exif": b"Exif\0\0"}),
    ],
)  # fmt: skip
def test_sizes_in_headers(kind: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    data = as_file(kind, size, **options)
    said = "PNM" if kind == "PPM" else kind
    assert claimed_size(data) == (said, *size)
    for cut in range(len(data)):
        assert claimed_size(data[:cut]) in (None, (said, *size))


def test_a_pnm_with_comments_and_an_old_bmp() -> None:
    assert claimed_size(b"P5\n# made by hand\n 70\n#\n900 255\n...") == ("PNM", 70, 900)
    old = struct.pack("<2sIHHI", b"BM", 26, 0, 0, 26) + struct.pack("<IHHHH", 12, 70, 900, 1, 24)
    assert claimed_size(old) == ("BMP", 70, 900)
    assert claimed_size(b"hello") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (claims("PNG", 2**31 - 1, 2**31 - 1), "a PNG that says it has 2147483647 x 2147483647 pixels; at"),
        (claims("PNG", 16384, 16384), "a PNG that says it has 16384 x 16384 pixels; its 7"),
        (claims("JPEG", 65500, 65500), "a JPEG that says it has 65500 x 65500 pixels; at most"),
        (claims("JPEG", 16000, 16000, rest=bytes(100_000)), "16000 x 16000 pixels; its 100"),
        (claims("BMP", 1 << 20, 1 << 20), "a BMP that says it has 1048576 x 1048576 pixels"),
        (claims("GIF", 65535, 65535), "a GIF that says it has 65535 x 65535 pixels"),
        (claims("PPM", 10**9, 10**9), "a PNM that says it has 1000000000 x 1000000000 pixels"),
    ],
)  # fmt: skip
def test_sizes_that_are_claimed_are_not_believed(data: bytes, message: str) -> None:
    """Said before a decoder takes memory for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=re.escape(message)):
        images.decode_image(data, where="record 3")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_what_is_large_and_true_is_read() -> None:
    """The densest files there are: one colour."""
    for kind, mode in (("PNG", "1"), ("JPEG", "L")):
        data = as_file(kind, (4200, 4000), mode)
        assert images.decode_image(data, False).shape == (1, 4000, 4200)
