"""What a compressed image says of its size, read from its first bytes, before anything is decoded.

Owned here: the sizes in the headers of the formats that data sets hold, and how large an image may be. Who calls
it: `freshpot.data.images`. A few bytes may claim any size, and a decoder takes memory for what is claimed.
"""

from __future__ import annotations

import re
import struct

from freshpot.errors import FormatError

__all__ = ["MOST_PIXELS", "check_size", "claimed_size"]

#: in one image (as three channels of 8 bits: 768 MiB)
MOST_PIXELS = 1 << 28

#: images of fewer pixels than this are decoded whatever they claim
_SMALL = 1 << 24
#: pixels that a byte of a file can stand for at the most: a JPEG has a bit or more for each 8 x 8 pixels; deflate
#: packs 1032 bytes in one, and a byte of a PNG holds up to 8 pixels
_DENSEST = {"JPEG": 512, "PNG": 8 * 1032}

_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})\s")
#: frame headers of a JPEG: C0 to CF without the tables (C4), reserved (C8) and arithmetic conditions (CC)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: markers that no length follows
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))


def check_size(data: bytes, *, path: object = None, where: str | None = None) -> None:
    """Refuse an image that says it is larger than what is decoded, or than what its bytes can hold.

    Args:
        data: the whole file.
        path, where: file and place in it, for the error.

    Raises:
        FormatError: it claims more than `MOST_PIXELS` pixels, or far more than its bytes can stand for.
    """
    claimed = claimed_size(data)
    if claimed is None:
        return
    kind, width, height = claimed
    pixels = width * height
    if pixels > MOST_PIXELS:
        why = f"at most {MOST_PIXELS} pixels are read"
    elif pixels > _SMALL and pixels > len(data) * _DENSEST.get(kind, pixels):
        why = f"its {len(data)} bytes cannot hold as many"
    else:
        return
    raise FormatError(f"a {kind} that says it has {width} x {height} pixels; {why}", path=path, where=where)


def claimed_size(data: bytes) -> tuple[str, int, int] | None:
    """(format, width, height) as a file's header says; None if it is of another format, or cut off before that."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return ("PNG", *struct.unpack(">II", data[16:24]))
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return ("GIF", *struct.unpack("<HH", data[6:10]))
        if data.startswith(b"BM"):
            return _bmp(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except struct.error:
        return None
    found = _PNM.match(data)
    return ("PNM", int(found[1]), int(found[2])) if found else None


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return "JPEG", width, height
        if marker in (0xDA, 0xD9):  # the pixels begin, or the file ends, and there was no frame
            return None
        if marker in (0x00, 0xFF):  # filling
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            at += 2 + max(struct.unpack(">H", data[at + 2 : at + 4])[0], 2)
    return None


def _bmp(data: bytes) -> tuple[str, int, int]:
    if struct.unpack("<I", data[14:18])[0] == 12:  # OS/2
        return ("BMP", *struct.unpack("<HH", data[18:22]))
    width, height = struct.unpack("<ii", data[18:26])
    return "BMP", abs(width), abs(height)  # negative: rows from the top


def _webp(data: bytes) -> tuple[str, int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return "WebP", width, height
    if kind == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return "WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return "WebP", width & 0x3FFF, height & 0x3FFF
    return None
