"""The wire format in bulk: the same numbers and fields as protobuf finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2.proto import caffe2_pb2
from freshpot.errors import FormatError
from freshpot.formats import wire

int64s = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(int64s | st.integers(0, 200)))
def test_packed_numbers_are_those_of_protobuf(numbers: list[int]) -> None:
    message = caffe2_pb2.TensorProto(int64_data=numbers).SerializeToString()
    packed = b"".join(message[field.begin : field.end] for field in wire.scan_fields(message))
    assert wire.decode_varints(packed).tolist() == numbers
    assert b"".join(wire.encode_varint(number % 2**64) for number in numbers) == packed


@given(st.binary(max_size=40))
def test_any_bytes_scan_or_are_refused(data: bytes) -> None:
    try:
        fields = list(wire.scan_fields(data))
    except FormatError:
        return
    assert all(0 < field.number and field.begin <= field.end <= len(data) for field in fields)
    assert not data or fields[-1].end == len(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80", "offset 0: a number has no end"),
        (b"\x08" + b"\xff" * 11, "offset 1: a number has no end"),
        (b"\x0a\x05ab", "offset 0: field 1 ends at byte 7 of a message of 4"),
        (b"\x0d\x01", "field 1 ends at byte 5 of a message of 2"),
        (b"\x0b\x0c", "field of wire type 3"),
        (b"\x00\x01", "field 0 ends"),
    ],
)
def test_bad_fields(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        list(wire.scan_fields(data))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"\x01\x80", "the last number of a packed field has no end"),
        (b"\xff" * 10 + b"\x01", "a number of 11 bytes in a packed field, 10 at most"),
        (b"\xff" * 50, "the last number of a packed field has no end"),
    ],
)
def test_bad_packed_numbers(packed: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        wire.decode_varints(packed)


def test_fields_are_found() -> None:
    tensor = caffe2_pb2.TensorProto(dims=[300], name="ab", float_data=[1.0]).SerializeToString()
    found = {field.number: tensor[field.begin : field.end] for field in wire.scan_fields(tensor)}
    assert found == {1: b"\xac\x02", 3: b"\x00\x00\x80\x3f", 7: b"ab"}
