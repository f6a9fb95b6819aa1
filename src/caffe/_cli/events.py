"""TensorBoard's event files: scalars as length-prefixed, checksummed records.

Owned here: the few bytes of the format that scalars need. Who calls it: `curves`.
"""

from __future__ import annotations

import os
import platform
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from freshpot.formats.atomic import write_bytes
from freshpot.formats.wire import BYTES, FIXED32, FIXED64, VARINT, encode_varint

Points = Sequence[tuple[int, float]]


def write_events(folder: Path, curves: Mapping[str, Points]) -> Path:
    """Write curves of (step, value) as one event file in ``folder``, made if missing; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    events = [_event(now, 0, _field(3, BYTES, b"brain.Event:2"))]
    for name, points in curves.items():
        tag = _field(1, BYTES, name.replace(" ", "_").encode())
        for step, value in points:
            scalar = _field(1, BYTES, tag + _field(2, FIXED32, struct.pack("<f", value)))
            events.append(_event(now, step, _field(5, BYTES, scalar)))
    path = folder / f"events.out.tfevents.{int(now)}.{platform.node() or 'host'}.{os.getpid()}"
    write_bytes(path, b"".join(map(_record, events)))
    return path


def _event(wall_time: float, step: int, what: bytes) -> bytes:
    return _field(1, FIXED64, struct.pack("<d", wall_time)) + _field(2, VARINT, encode_varint(step)) + what


def _field(number: int, wire_type: int, data: bytes) -> bytes:
    size = encode_varint(len(data)) if wire_type == BYTES else b""
    return encode_varint(number << 3 | wire_type) + size + data


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as TFRecord does, so that checksums of checksums do not collide."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_entry(i) for i in range(256)]
