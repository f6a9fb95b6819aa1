"""Records to batches: equal to what the original read, whichever way the records are laid out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caffe2.proto import caffe2_legacy_pb2, caffe2_pb2
from freshpot.data.datum import array_to_datum, datum_decoder, datum_to_array
from freshpot.data.image_db import write_image_db
from freshpot.data.reader import DBReader, Mode, open_db
from freshpot.data.records import RecordDecoder
from freshpot.data.tensor_protos import TensorProtosInput, encode_tensors, tensor_protos_decoder
from freshpot.errors import DataError, FormatError, NotSupportedError
from freshpot.formats import protobuf

T = caffe2_pb2.TensorProto
Datum = caffe2_legacy_pb2.CaffeDatum


def keyed(values: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"%d" % index, value) for index, value in enumerate(values)]


def equal(found: list[Any], wanted: list[Any]) -> None:
    assert [(one.dtype, one.shape) for one in found] == [(one.dtype, one.shape) for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def mnist100(shared: Path) -> dict[str, Any]:
    with np.load(shared / "reference/caffe2/files/mnist100.npz") as file:
        return dict(file)


# ---------------------------------------------------------------------------------- the originals'


def test_batches_are_those_of_the_original(shared: Path, mnist100: dict[str, Any]) -> None:
    reader = DBReader("minidb", shared / "reference/caffe2/files/mnist100.minidb")
    for k, batch in zip(range(4), TensorProtosInput(reader, 40), strict=False):
        equal(batch, [mnist100[f"batch40_{k}/data_uint8"], mnist100[f"batch40_{k}/label"]])


def test_batch_size_0_has_no_batch_axis(shared: Path, mnist100: dict[str, Any]) -> None:
    reader = DBReader("minidb", shared / "reference/caffe2/files/mnist100.minidb", num_shards=3, shard_id=2)
    equal(
        TensorProtosInput(reader).next_batch(), [mnist100["images"][2][None], np.int32(mnist100["labels"][2])]
    )
    equal(
        TensorProtosInput(reader, 1).next_batch(),
        [mnist100["images"][5][None, None], mnist100["labels"][5:6]],
    )


def test_database_is_written_as_the_original_writes_it(
    tmp_path: Path, shared: Path, mnist100: dict[str, Any]
) -> None:
    write_image_db("minidb", tmp_path / "db", mnist100["images"], mnist100["labels"])
    assert (tmp_path / "db").read_bytes() == (shared / "reference/caffe2/files/mnist100.minidb").read_bytes()


def test_datums_are_read_and_written_as_caffe_does(tmp_path: Path, shared: Path) -> None:
    records = DBReader("lmdb", shared / "reference/caffe/files/mnist_200_lmdb").read_many(200)
    images, labels = datum_decoder().decode(records)
    assert (images.shape, images.dtype, labels.dtype) == ((200, 1, 28, 28), np.uint8, np.int32)
    write_image_db("lmdb", tmp_path / "db", images, labels, record="datum")
    with open_db("lmdb", tmp_path / "db") as database:
        assert list(database.cursor()) == records


def test_both_packages_have_the_same_datum() -> None:
    caffe = protobuf.load("caffe").Datum.DESCRIPTOR.fields
    legacy = Datum.DESCRIPTOR.fields
    assert [(f.name, f.number, f.type) for f in caffe] == [(f.name, f.number, f.type) for f in legacy]


# ------------------------------------------------------------------------------------- layouts

IMAGE = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)


def as_record(*tensors: Any) -> bytes:
    return caffe2_pb2.TensorProtos(protos=tensors).SerializeToString()


def uniform_by_protobuf(values: list[bytes]) -> list[Any]:
    """What :meth:`RecordDecoder.decode` must give, with no layout ever found."""
    decoder = tensor_protos_decoder()
    return RecordDecoder(decoder._parse, lambda value: None).decode(keyed(values))


LAYOUTS = {
    "labels of two lengths": [encode_tensors(IMAGE + i, np.int32(i * 50)) for i in range(9)],
    "negative labels": [encode_tensors(IMAGE, np.int32(i - 2)) for i in range(5)],
    "floats": [encode_tensors(IMAGE.astype(np.float32) * i, np.int32(i)) for i in range(5)],
    "doubles and halves": [encode_tensors(np.float64([i, 2]), np.float16([i, -1, 3])) for i in range(5)],
    "uint8 as numbers": [
        as_record(T(dims=[2], data_type=T.UINT8, int32_data=[i, 126 + i])) for i in range(5)
    ],
    "numbers that share a length": [encode_tensors(np.int32([300, 5])), encode_tensors(np.int32([5, 300]))],
    "names that differ": [as_record(T(name=f"{i}", dims=[1], float_data=[i])) for i in range(5)],
    "unpacked": [b"\x0a\x06\x10\x02\x20" + bytes([i]) + b"\x08\x01" for i in range(3)],
    "text": [encode_tensors(np.array([b"a" * i, b"b"], object)) for i in range(4)],
    "bools": [encode_tensors(np.array([i > 1, True])) for i in range(4)],
    "int64": [encode_tensors(np.int64([i, 1 << 40])) for i in range(4)],
    "empty tensors": [encode_tensors(np.empty((0, 3), np.float32), np.int32(i)) for i in range(3)],
    "halves as bytes": [
        as_record(T(dims=[1], data_type=T.FLOAT16, byte_data=bytes([i, 60]))) for i in range(3)
    ],
    "no tensor": [b"", b""],
    "unknown fields": [encode_tensors(np.int32(i)) + b"\xf8\x3f" + bytes([i]) for i in range(3)],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_decodes_as_protobuf_does(name: str) -> None:
    values = LAYOUTS[name]
    decoder = tensor_protos_decoder()
    for batch in (values, values[::-1], values[1:2]):  # the second and third meet layouts already learnt
        equal(decoder.decode(keyed(batch)), uniform_by_protobuf(batch))


def test_the_quick_way_is_taken_for_images() -> None:
    decoder = tensor_protos_decoder()
    calls = []
    parse = decoder._parse
    decoder._parse = lambda value, where: calls.append(where) or parse(value, where)
    decoder.decode(keyed([encode_tensors(IMAGE, np.int32(i)) for i in range(9)]))
    assert calls == ["record '0'"]


tensors = st.sampled_from(
    ["uint8", "int32", "float32", "float64", "int64", "bool", "float16", "int8"]
).flatmap(lambda dtype: hnp.arrays(dtype, st.just((5, 2))))


@settings(deadline=None)
@given(st.lists(tensors, min_size=1, max_size=3))
def test_any_tensors_survive(arrays: list[Any]) -> None:
    values = [encode_tensors(*(one[row] for one in arrays)) for row in range(5)]
    equal(tensor_protos_decoder().decode(keyed(values)), arrays)


@settings(deadline=None)
@given(st.data())
def test_damaged_records_give_arrays_or_a_format_error(data: Any) -> None:
    values = [bytearray(encode_tensors(IMAGE, np.int32(i * 40))) for i in range(4)]
    for _ in range(data.draw(st.integers(1, 4))):
        value = data.draw(st.sampled_from(values))
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    damaged = [bytes(value[: data.draw(st.integers(0, len(value)))]) for value in values]
    for batch in ([bytes(value) for value in values], damaged):
        try:
            wanted = uniform_by_protobuf(batch)
        except (FormatError, NotSupportedError):
            with pytest.raises((FormatError, NotSupportedError)):
                tensor_protos_decoder().decode(keyed(batch))
            continue
        found = tensor_protos_decoder().decode(keyed(batch))
        assert [one.tobytes() for one in found] == [one.tobytes() for one in wanted]


BAD_BATCHES = {
    "shapes differ": (
        [encode_tensors(IMAGE, np.int32(1)), encode_tensors(IMAGE[:, :2], np.int32(1))],
        r"record '1': tensors uint8\[1, 2, 4\], int32\[\]; record '0' has uint8\[1, 3, 4\], int32\[\]",
    ),
    "shapes differ, not the length": (
        [encode_tensors(IMAGE), encode_tensors(IMAGE.reshape(1, 4, 3))],
        r"record '1': tensors uint8\[1, 4, 3\]; record '0' has uint8\[1, 3, 4\]",
    ),
    "types differ": (
        [encode_tensors(np.int32(1)), encode_tensors(np.float32(1))],
        r"record '1': tensors float32\[\]",
    ),
    "one tensor more": ([encode_tensors(IMAGE), encode_tensors(IMAGE, IMAGE)], "record '1': tensors uint8"),
    "no message": (
        [encode_tensors(IMAGE), b"\xff"],
        "record '1': 1 bytes are not a complete caffe2.TensorProtos",
    ),
    "truncated": ([encode_tensors(IMAGE)[:-1]], "record '0': 23 bytes are not a complete"),
    "too few elements": (
        [encode_tensors(IMAGE), as_record(T(dims=[1, 3, 4], data_type=T.BYTE, byte_data=b"ab"))],
        r"record '1', tensor 0: shape \(1, 3, 4\) has 12 elements, the message holds 2",
    ),
}


@pytest.mark.parametrize("name", BAD_BATCHES)
def test_bad_batches_are_refused(name: str) -> None:
    values, message = BAD_BATCHES[name]
    with pytest.raises(FormatError, match=message):
        tensor_protos_decoder().decode(keyed(values))


def test_errors_of_a_database_name_it(tmp_path: Path) -> None:
    with open_db("minidb", tmp_path / "db", Mode.NEW) as database, database.transaction() as transaction:
        transaction.put(b"k", b"\xff")
    with pytest.raises(FormatError, match=r"db: record 'k': 1 bytes are not a complete"):
        TensorProtosInput(DBReader("minidb", tmp_path / "db"), 2).next_batch()


def test_negative_batch_size(shared: Path) -> None:
    reader = DBReader("minidb", shared / "reference/caffe2/files/mnist100.minidb")
    with pytest.raises(DataError, match="batch_size -1: expected 0"):
        TensorProtosInput(reader, -1)


# --------------------------------------------------------------------------------------- Datum


@settings(deadline=None)
@given(
    hnp.arrays("uint8", st.tuples(st.just(4), *[st.integers(1, 5)] * 3)),
    hnp.arrays("int32", 4),
)
def test_any_images_survive_as_datums(images: Any, labels: Any) -> None:
    values = [array_to_datum(image, int(label)) for image, label in zip(images, labels, strict=True)]
    equal(datum_decoder().decode(keyed(values)), [images, labels])


def test_datum_forms() -> None:
    floats = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 3, 4)
    equal(
        datum_decoder().decode(keyed([array_to_datum(floats, 7)] * 2)),
        [np.stack([floats] * 2), np.int32([7, 7])],
    )
    equal(datum_decoder().decode(keyed([array_to_datum(IMAGE)])), [IMAGE[None], np.int32([0])])


@pytest.mark.parametrize(
    ("datum", "error", "message"),
    [
        (
            Datum(channels=1, height=2, width=2, data=b"abc"),
            FormatError,
            r"shape \(1, 2, 2\) with 3 elements",
        ),
        (Datum(channels=-1, height=-2, width=2, data=b"abcd"), FormatError, r"shape \(-1, -2, 2\)"),
        (Datum(channels=3, encoded=True, data=b"\xff\xd8"), NotSupportedError, "compressed images"),
    ],
)
def test_bad_datums(datum: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        datum_to_array(datum)
    with pytest.raises(error, match="record '0'.*" + message):
        datum_decoder().decode(keyed([datum.SerializeToString()]))


def test_datum_of_a_flat_array() -> None:
    with pytest.raises(FormatError, match=r"an image \(channels, height, width\), got shape \(3, 4\)"):
        array_to_datum(IMAGE[0])


# --------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("db_type", ["minidb", "lmdb"])
@pytest.mark.parametrize("record", ["tensor_protos", "datum"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_written_sets_are_read_back(tmp_path: Path, db_type: str, record: str, dtype: Any) -> None:
    images = np.arange(1200 * 8).reshape(1200, 2, 2, 2).astype(dtype)
    labels = np.arange(1200, dtype=np.int32)
    write_image_db(db_type, tmp_path / "db", images, labels, record=record)
    records = DBReader(db_type, tmp_path / "db").read_many(1200)
    assert records[1199][0] == b"00001199"
    decoder = datum_decoder() if record == "datum" else tensor_protos_decoder()
    equal(decoder.decode(records), [images, labels])
    shutil.rmtree(tmp_path / "db", ignore_errors=True)


@pytest.mark.parametrize(
    ("images", "labels", "record", "message"),
    [
        (
            np.zeros((2, 4)),
            np.zeros(2, int),
            "datum",
            r"images of shape \(2, 4\) with labels of shape \(2,\)",
        ),
        (
            np.zeros((2, 4, 4)),
            np.zeros(3, int),
            "datum",
            r"expected \(N, C, H, W\) or \(N, H, W\), and \(N,\)",
        ),
        (
            np.zeros((2, 4, 4)),
            np.zeros(2, int),
            "datums",
            "unknown kind of record 'datums'.*Did you mean datum",
        ),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, images: Any, labels: Any, record: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_image_db("lmdb", tmp_path / "db", images, labels, record=record)
    assert not (tmp_path / "db").exists()
