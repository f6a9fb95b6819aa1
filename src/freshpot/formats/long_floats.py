"""Serialised nets without their long lists of floats, which stay where they are in the bytes.

Owned here: finding the lists in a NetDef. Who calls it: `convert.netdef`.

Caffe2 writes each float of an argument behind a byte of its own, so a list is found by looking at every fifth byte.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from freshpot.errors import FormatError
from freshpot.formats import wire

#: fields of NetDef, OperatorDef and Argument; the byte that stands before each float of an Argument
_OP, _ARG, _NAME, _FLOATS = 2, 5, 1, 5
_TAG = _FLOATS << 3 | wire.FIXED32
#: bytes of an argument from which on its floats are left out, and of a net from which on it is searched
_LONG, _LARGE = 1 << 14, 1 << 16


class Place(NamedTuple):
    """Where the floats of an argument are: numbers of operator and argument, first byte, how many floats."""

    op: int
    arg: int
    begin: int
    floats: int


def without_long_floats(data: bytes) -> tuple[bytes, list[Place]]:
    """A serialised NetDef without long lists of floats, and where they are; as it is if there are none."""
    if len(data) < _LARGE:
        return data, []
    places: list[Place] = []
    out: list[bytes] = []
    begin, ops = 0, 0
    try:
        for field in wire.scan_fields(data):
            if field.number == _OP and field.wire_type == wire.BYTES:
                whole = field.end - field.begin < _LONG
                out += (
                    [data[begin : field.end]]
                    if whole
                    else [wire.bytes_field(_OP, _op(data, field, ops, places))]
                )
                ops += 1
            else:
                out.append(data[begin : field.end])
            begin = field.end
    except FormatError:  # the parser says it of the whole
        return data, []
    return (b"".join(out), places) if places else (data, [])


def _op(data: bytes, op: wire.Field, number: int, places: list[Place]) -> bytes:
    out = []
    begin, args = op.begin, 0
    for field in wire.scan_fields(data, op.begin, op.end):
        place = None
        if field.number == _ARG and field.wire_type == wire.BYTES:
            if field.end - field.begin >= _LONG:
                place = _floats(data, field, number, args)
            args += 1
        if place is None:
            out.append(data[begin : field.end])
        else:
            places.append(place)
            stop = place.begin + 5 * place.floats
            out.append(wire.bytes_field(_ARG, data[field.begin : place.begin] + data[stop : field.end]))
        begin = field.end
    return b"".join(out)


def _floats(data: bytes, arg: wire.Field, op: int, number: int) -> Place | None:
    """The floats of an argument that has a name and one run of them, and nothing else."""
    at = arg.begin
    for field in wire.scan_fields(data, arg.begin, arg.end):
        if field.number != _NAME:
            break
        at = field.end
    tags = np.frombuffer(data, np.uint8, arg.end - at, at)[::5]
    others = np.flatnonzero(tags != _TAG)
    count = int(others[0]) if len(others) else (arg.end - at) // 5
    rest = wire.scan_fields(data, at + 5 * count, arg.end)
    if not count or any(field.number != _NAME for field in rest):
        return None
    return Place(op, number, at, count)
