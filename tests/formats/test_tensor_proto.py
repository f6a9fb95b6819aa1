"""Tensors and blobs as bytes: equal to what the original wrote, and any value survives a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caffe2.proto import caffe2_pb2 as pb
from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats import blob_proto, protobuf
from freshpot.formats.blob_proto import Int8Tensor
from freshpot.formats.tensor_proto import tensor_from_proto, tensor_to_proto

BLOBS = [
    "float",
    "float_scalar",
    "float_empty",
    "float_nan_inf",
    "float_large",
    "double",
    "float16",
    "int32",
    "int64",
    "int16",
    "uint16",
    "int8",
    "uint8",
    "bool",
    "string",
    "string2d",
    "int8tensor",
]
TENSORS = [name for name in BLOBS if name not in ("float16", "bool", "string", "string2d", "int8tensor")]
DTYPES = ["float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool"]
T = pb.TensorProto


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, Any]:
    """What the recorded blobs hold, by name."""
    with np.load(shared / "reference/caffe2/files/blobs/values.npz") as file:
        values = dict(file)
    for name in ("string", "string2d"):
        values[name] = values[name].astype(object)
    scale, zero_point = values.pop("int8tensor.scale"), values.pop("int8tensor.zero_point")
    values["int8tensor"] = Int8Tensor(values["int8tensor"], float(scale), int(zero_point))
    return values


def blob_bytes(shared: Path, name: str) -> bytes:
    return (shared / f"reference/caffe2/files/blobs/{name}.pb").read_bytes()


def assert_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, (bytes, str)):
        assert found == wanted
        return
    if isinstance(wanted, Int8Tensor):
        assert isinstance(found, Int8Tensor)
        assert found[1:] == wanted[1:]
        found, wanted = found.data, wanted.data
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)


def test_the_table_names_every_recorded_blob(shared: Path) -> None:
    files = {path.name for path in (shared / "reference/caffe2/files/blobs").glob("*.pb")}
    assert files == {f"{name}.blob.pb" for name in BLOBS} | {f"{name}.tensor.pb" for name in TENSORS}


@pytest.mark.parametrize("name", BLOBS)
def test_recorded_blob_reads_and_writes_the_same(shared: Path, recorded: dict[str, Any], name: str) -> None:
    data = blob_bytes(shared, f"{name}.blob")
    blob_name, value = blob_proto.deserialize_blob(data)
    assert_same(value, recorded[name])
    assert blob_proto.serialize_blob(blob_name, recorded[name]) == data


@pytest.mark.parametrize("name", TENSORS)
def test_recorded_tensor_reads_and_writes_the_same(shared: Path, recorded: dict[str, Any], name: str) -> None:
    data = blob_bytes(shared, f"{name}.tensor")
    assert_same(tensor_from_proto(protobuf.parse_message(T, data)), recorded[name])
    assert tensor_to_proto(recorded[name], name).SerializeToString() == data


def test_chunks_are_named_and_cut_as_the_original_does() -> None:
    records = list(blob_proto.blob_to_protos("big", np.arange(25, dtype=np.float32), chunk_size=10))
    assert [key for key, _ in records] == ["big#%0", "big#%1", "big#%2"]
    assert [(p.tensor.segment.begin, p.tensor.segment.end) for _, p in records] == [
        (0, 10),
        (10, 20),
        (20, 25),
    ]
    assert all(list(proto.tensor.dims) == [25] for _, proto in records)


def test_default_chunks_hold_a_million_elements() -> None:
    records = list(blob_proto.blob_to_protos("b", np.zeros(1_000_001, np.uint8)))
    assert [len(proto.tensor.int32_data) for _, proto in records] == [1_000_000, 1]


def test_text_blob_has_the_bytes_of_the_original() -> None:
    data = blob_proto.serialize_blob("s", "hello é")
    assert data == pb.BlobProto(name="s", type="std::string", content="hello é".encode()).SerializeToString()
    assert blob_proto.deserialize_blob(data) == ("s", "hello é".encode())


def test_other_blobs_stay_messages() -> None:
    reader = pb.BlobProto(name="r", type="DBReader", content=b"\n\x02rd")
    assert blob_proto.deserialize_blob(reader.SerializeToString()) == ("r", reader)


BYTE_FORMS = {
    "BYTE": (T(dims=[2], data_type=T.BYTE, byte_data=b"ab"), np.array([97, 98], np.uint8)),
    "BYTE empty": (T(dims=[0], data_type=T.BYTE), np.empty(0, np.uint8)),
    "UINT8": (T(dims=[2], data_type=T.UINT8, byte_data=b"ab"), np.array([97, 98], np.uint8)),
    "FLOAT16": (T(dims=[1], data_type=T.FLOAT16, byte_data=b"ab"), np.array([816.5], np.float16)),
    "no dims": (T(data_type=T.FLOAT, float_data=[1.5]), np.array(1.5, np.float32)),
    "type left out": (T(dims=[1], float_data=[1.5]), np.array([1.5], np.float32)),
    "unpacked": (protobuf.parse_message(T, b"\x08\x02\x10\x02\x20\x05\x20\x06"), np.array([5, 6], np.int32)),
}


@pytest.mark.parametrize("name", BYTE_FORMS)
def test_other_spellings_of_a_tensor(name: str) -> None:
    proto, wanted = BYTE_FORMS[name]
    found = tensor_from_proto(proto)
    assert_same(found, wanted)
    assert found.flags.writeable


def arrays() -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    numbers = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))
    return numbers | hnp.arrays(object, shapes, elements=st.binary(max_size=8), fill=st.nothing())


def bits(array: Any) -> Any:
    """For comparison bit by bit, but for the bits of NaN, which not every protobuf runtime keeps."""
    if array.dtype == object:
        return array.tolist()
    return (
        np.where(np.isnan(array), np.array(np.nan, array.dtype), array).tobytes()
        if array.dtype.kind == "f"
        else array.tobytes()
    )


@settings(deadline=None)
@given(arrays(), st.integers(0, 7), st.randoms())
def test_any_tensor_survives_in_any_chunks(array: Any, chunk_size: int, random: Any) -> None:
    records = [
        (key.encode(), proto.SerializeToString())
        for key, proto in blob_proto.blob_to_protos("x#y", array, chunk_size)
    ]
    random.shuffle(records)
    found = blob_proto.blobs_from_records(records)["x#y"]
    assert (found.dtype, found.shape, bits(found)) == (array.dtype, array.shape, bits(array))
    again = tensor_from_proto(tensor_to_proto(array))
    assert (again.dtype, again.shape, bits(again)) == (array.dtype, array.shape, bits(array))


@settings(deadline=None)
@given(hnp.arrays(st.sampled_from(["int8", "int32", "int64", "uint16"]), st.integers(0, 30)))
def test_numbers_are_packed_as_protobuf_packs_them(array: Any) -> None:
    wanted = T(int64_data=array.tolist()).SerializeToString()
    found = T()
    found.MergeFrom(tensor_to_proto(array.astype(np.int64)))
    found.ClearField("dims")
    found.ClearField("data_type")
    assert found.SerializeToString() == wanted


def test_foreign_byte_order_and_lists_are_taken() -> None:
    assert list(tensor_to_proto(np.array([1, 2], ">i4")).int32_data) == [1, 2]
    assert list(tensor_to_proto(["a", "é"]).string_data) == [b"a", "é".encode()]
    assert list(tensor_to_proto(np.arange(6, dtype=np.float32).reshape(2, 3).T).float_data) == [
        0,
        3,
        1,
        4,
        2,
        5,
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(2, np.complex64), "tensor 'w': TensorProto has no element type complex64"),
        (np.array([b"a", 3], object), "tensor 'w': an array of objects must hold text, element 1 is int"),
    ],
)
def test_what_has_no_serialised_form(value: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        tensor_to_proto(value, "w")


def test_quantised_tensor_of_floats_is_refused() -> None:
    with pytest.raises(FormatError, match="blob 'q': a quantised tensor holds uint8 or int32, not float32"):
        blob_proto.serialize_blob("q", Int8Tensor(np.zeros(2, np.float32), 1.0, 0))


BAD_TENSORS = {
    "too few": (T(dims=[3], float_data=[1]), r"shape \(3,\) has 3 elements, the message holds 1"),
    "too many": (T(dims=[1], float_data=[1, 2]), "has 1 elements, the message holds 2"),
    "negative": (T(dims=[-1, -1], float_data=[1]), r"negative size in shape \(-1, -1\)"),
    "huge": (T(dims=[1 << 40, 1 << 40], float_data=[1]), "elements, the message holds 1"),
    "empty but huge": (T(dims=[0, 1 << 62, 1 << 62]), "shape"),
    "too many axes": (T(dims=[1 << 62] * 1000, float_data=[1]), "a shape of 1000 axes, 64 at most"),
    "odd bytes": (T(dims=[1], data_type=T.FLOAT16, byte_data=b"abc"), "byte_data of 3 bytes for float16"),
    "in another field": (T(dims=[1], data_type=T.DOUBLE, float_data=[1]), "the message holds 0"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_bad_tensor_is_refused(name: str) -> None:
    proto, message = BAD_TENSORS[name]
    proto.name = "w"
    with pytest.raises(FormatError, match=r"init\.pb: tensor 'w': .*" + message):
        tensor_from_proto(proto, path="init.pb")
    blob = pb.BlobProto(name="w", type="Tensor", tensor=proto)
    with pytest.raises(FormatError, match=message):
        blob_proto.deserialize_blob(blob.SerializeToString())


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (T(data_type=T.UNDEFINED), "data_type UNDEFINED: only numbers and text are read"),
        (T(data_type=T.ZERO_COLLISION_HASH), "data_type ZERO_COLLISION_HASH"),
        (T(storage_type=T.EXTERNAL), "storage_type EXTERNAL: only TYPED tensors are read"),
    ],
)
def test_what_is_not_read_says_so(proto: Any, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        tensor_from_proto(proto, path="init.pb")


def chunks_of(count: int, size: int) -> list[Any]:
    return [proto for _, proto in blob_proto.blob_to_protos("w", np.arange(count, dtype=np.int64), size)]


def with_segment(begin: int, end: int) -> Any:
    (proto,) = chunks_of(4, 4)
    proto.tensor.segment.begin, proto.tensor.segment.end = begin, end
    return proto


def quantised_as(data_type: int) -> Any:
    proto = pb.BlobProto(type="Int8TensorCPU")
    proto.qtensor.data_type = data_type
    return proto


text = [
    pb.BlobProto(name="t", type="std::string", content_num_chunks=2, content_chunk_id=i) for i in range(2)
]
BAD_CHUNKS = {
    "none": ([], "no record of this blob"),
    "first missing": (chunks_of(9, 3)[1:], r"starts at element 3, expected one of shape \(9,\) at 0"),
    "middle missing": (chunks_of(9, 3)[::2], r"starts at element 6, expected one of shape \(9,\) at 3"),
    "last missing": (chunks_of(9, 3)[:2], r"shape \(9,\) has 9 elements, the message holds 6"),
    "one twice": (chunks_of(9, 3)[:1] * 2, "starts at element 0"),
    "of two tensors": (chunks_of(9, 3)[:2] + chunks_of(12, 6)[1:], "starts at element 6"),
    "wrong segment": ([with_segment(0, 3)], "the chunk of elements 0 to 3 holds 4"),
    "text incomplete": (text[:1], "1 of 2 chunks of text"),
    "unknown twice": ([pb.BlobProto(type="Mutex")] * 2, "2 records for one blob of type 'Mutex'"),
    "quantised float": ([quantised_as(T.FLOAT)], "a quantised tensor of FLOAT, expected UINT8 or INT32"),
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_are_refused(name: str) -> None:
    protos, message = BAD_CHUNKS[name]
    with pytest.raises(FormatError, match=message):
        blob_proto.blob_from_protos(protos)


def test_text_in_chunks_is_joined() -> None:
    for chunk, content in zip(text, (b"ab", b"c"), strict=True):
        chunk.content = content
    assert blob_proto.blob_from_protos(text[::-1]) == b"abc"


@pytest.mark.parametrize(
    ("key", "wanted"),
    [("w", ("w", 0)), ("w#%3", ("w", 3)), ("a#%b#%10", ("a#%b", 10)), ("w#%x", ("w#%x", 0)), ("", ("", 0))],
)
def test_keys_split(key: str, wanted: tuple[str, int]) -> None:
    assert blob_proto.split_key(key) == wanted


def test_record_that_is_no_blob_is_named() -> None:
    with pytest.raises(FormatError, match=r"x\.minidb: record 'w#%0': 3 bytes are not a complete"):
        blob_proto.blobs_from_records([(b"w#%0", b"\x0a\xff\xff")], path="x.minidb")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(BLOBS), st.data())
def test_damaged_blobs_give_a_value_or_a_format_error(shared: Path, name: str, data: Any) -> None:
    good = bytearray(blob_bytes(shared, f"{name}.blob")[:200])
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        blob_proto.deserialize_blob(damaged)
    except (FormatError, NotSupportedError):
        return
