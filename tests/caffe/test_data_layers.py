"""Data, MemoryData and DummyData: what the recorded cases leave open - order, draws, threads, refusals."""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feeding import (
    LEVELDB,
    F,
    data_layer,
    datum,
    image_files,
    image_layer,
    layer,
    mean_file,
    net,
    pictures,
    put,
)

import caffe
from caffe import _mode, _random
from caffe.proto import caffe_pb2
from conftest import needs_shared
from freshpot.data import images, leveldb
from freshpot.data.image_db import write_image_db
from freshpot.data.images import encode_image
from freshpot.errors import ArgumentError, DataError, FormatError, FreshpotError, ShapeError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------ Data


@pytest.mark.parametrize("backend", ["LMDB", LEVELDB])
def test_records_come_in_order_round_and_round(here: Path, backend: str) -> None:
    images = pictures(7)
    write_image_db(backend.lower(), "db", images, np.arange(7), record="datum")
    made = net(data_layer("db", 3, backend=backend))
    for step in range(8):
        made.forward()
        rows = [(3 * step + i) % 7 for i in range(3)]
        np.testing.assert_array_equal(made.blobs["label"].data, rows)
        np.testing.assert_array_equal(made.blobs["data"].data, images[rows])


@needs_shared
@pytest.mark.parametrize("backend", ["LMDB", LEVELDB])
def test_the_originals_databases(shared: Path, backend: str) -> None:
    source = shared / "reference" / "caffe" / "files" / f"mnist_200_{backend.lower()}"
    made = net(data_layer(str(source), 5, backend=backend))
    made.forward()
    assert made.blobs["label"].data.tolist() == [5, 0, 4, 1, 9]
    assert made.blobs["data"].data.sum() == 118412


@needs_shared
def test_the_mean_file_of_the_original_is_the_mean(shared: Path) -> None:
    files = shared / "reference" / "caffe" / "files"
    text = data_layer(str(files / "mnist_200_lmdb"), 200, f'mean_file: "{files / "mean_200.binaryproto"}"')
    made = net(text)
    made.forward()
    np.testing.assert_allclose(made.blobs["data"].data.mean(axis=0), 0, atol=1e-3)


def test_without_a_label_top_there_is_one_blob(here: Path) -> None:
    write_image_db("lmdb", "db", pictures(4), np.arange(4), record="datum")
    made = net(
        layer("Data", 'data_param { source: "db" batch_size: 2 backend: LMDB }', 'top: "data"'), caffe.TEST
    )
    assert list(made.forward()) == ["data"]


def test_records_without_label_are_of_class_0_and_encoded_false_is_as_good_as_nothing(here: Path) -> None:
    images = pictures(3)
    first, second, third = (datum(image, 4, encoded=False) for image in images)
    second.ClearField("label")
    put("db", [first, second, third])
    made = net(data_layer("db", 3))
    made.forward()
    assert made.blobs["label"].data.tolist() == [4, 0, 4]
    np.testing.assert_array_equal(made.blobs["data"].data, images)


def test_floats_and_their_mean(here: Path) -> None:
    images = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(F)
    write_image_db("lmdb", "db", images, np.arange(4), record="datum")
    made = net(
        data_layer(
            "db", 4, 'mean_file: "mean" scale: 2'.replace('mean"', mean_file("mean", images.mean(0)) + '"')
        )
    )
    made.forward()
    np.testing.assert_allclose(made.blobs["data"].data, (images - images.mean(0)) * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("word", "channels"), [("", 3), ("force_gray: true", 1), ("force_color: true", 3)], ids=str
)
def test_compressed_images_are_decoded(here: Path, word: str, channels: int) -> None:
    images = pictures(4)
    put(
        "db",
        [caffe_pb2.Datum(encoded=True, data=encode_image(i, "png"), label=k) for k, i in enumerate(images)],
    )
    made = net(data_layer("db", 4, word))
    made.forward()
    assert made.blobs["data"].shape[1] == channels
    if channels == 3:
        np.testing.assert_array_equal(made.blobs["data"].data, images)


def test_images_of_several_sizes_need_a_crop(here: Path) -> None:
    images = [pictures(1, (3, 5 + k, 6))[0] for k in range(4)]
    put("db", [datum(image, k) for k, image in enumerate(images)])
    made = net(data_layer("db", 4, "crop_size: 4"), caffe.TEST)
    made.forward()
    for got, image in zip(made.blobs["data"].data, images, strict=True):
        top = (image.shape[1] - 4) // 2
        np.testing.assert_array_equal(got, image[:, top : top + 4, 1:5])
    with pytest.raises(FormatError, match="one batch must be of one kind"):
        net(data_layer("db", 4)).forward()


def test_compressed_images_of_several_sizes_need_a_crop(here: Path) -> None:
    images = [pictures(1, (3, 5 + k, 6))[0] for k in range(4)]
    put(
        "db",
        [caffe_pb2.Datum(encoded=True, data=encode_image(i, "png"), label=k) for k, i in enumerate(images)],
    )
    made = net(data_layer("db", 4, "crop_size: 5"), caffe.TEST)
    made.forward()
    np.testing.assert_array_equal(made.blobs["data"].data[0], images[0][:, :, :5])
    assert made.blobs["label"].data.tolist() == [0, 1, 2, 3]
    with pytest.raises(FormatError, match=re.escape("(3, 5, 6), (3, 6, 6), (3, 7, 6), (3, 8, 6): one batch")):
        net(data_layer("db", 4)).forward()


def test_channels_must_agree_even_with_a_crop(here: Path) -> None:
    put("db", [datum(pictures(1, (c, 4, 4))[0], 0) for c in (3, 1)])
    with pytest.raises(FormatError, match=re.escape("images of shapes (1, 4, 4), (3, 4, 4): one batch must")):
        net(data_layer("db", 2, "crop_size: 2")).forward()


def test_a_batch_takes_the_shape_of_its_images(here: Path) -> None:
    images = [pictures(1, (1, 4, 4))[0], pictures(1, (1, 6, 3))[0]]
    put("db", [datum(image, k) for k, image in enumerate(images)])
    text = data_layer("db", 1) + 'layer { name: "r" type: "ReLU" bottom: "data" top: "out" }'
    made = net(text, caffe.TEST)
    shapes = []
    for _ in range(4):
        made.forward()
        shapes.append(made.blobs["out"].data.shape)
    assert shapes == [(1, 1, 4, 4), (1, 1, 6, 3)] * 2


def test_a_view_of_the_data_shows_each_batch(here: Path) -> None:
    write_image_db("lmdb", "db", pictures(4), np.arange(4), record="datum")
    made = net(data_layer("db", 2))
    view = made.blobs["label"].data
    found = []
    for _ in range(3):
        made.forward()
        found.append(view.tolist())
    assert found == [[0, 1], [2, 3], [0, 1]]


def test_a_seed_repeats_the_draws(here: Path) -> None:
    write_image_db("lmdb", "db", pictures(20), np.arange(20), record="datum")

    def run(seed: int) -> np.ndarray:
        _random.seed(seed)
        made = net(data_layer("db", 20, "crop_size: 3 mirror: true"))
        return np.concatenate([made.forward()["data"].copy() for _ in range(3)])

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


def test_solvers_that_train_together_share_the_records(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_db("lmdb", "db", pictures(5), np.arange(5), record="datum")
    monkeypatch.setattr(_mode, "solver_count", 2)
    monkeypatch.setattr(_mode, "solver_rank", 1)
    made, test = net(data_layer("db", 2)), net(data_layer("db", 2), caffe.TEST)
    assert [made.forward()["label"].tolist() for _ in range(3)] == [[1, 3], [0, 2], [4, 1]]
    assert [test.forward()["label"].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 0]]


@pytest.mark.parametrize("transform", ["", "mirror: true", "crop_size: 3"])
@pytest.mark.parametrize("batch", [0, 1, 3, 11, 24])
def test_going_on_from_a_batch_gives_what_would_have_come(here: Path, transform: str, batch: int) -> None:
    write_image_db("lmdb", "db", pictures(7), np.arange(7), record="datum")
    outputs = []
    for skips in (False, True):
        _random.seed(3)
        made = net(data_layer("db", 2, transform))
        made.forward()
        if skips:
            made._net.layers[0].state.go_on_from(batch)
        else:
            for _ in range(1, batch):
                made.forward()
        outputs.append([{name: array.copy() for name, array in made.forward().items()} for _ in range(5)])
    for wanted, found in zip(*outputs, strict=True):
        np.testing.assert_array_equal(found["data"], wanted["data"])
        np.testing.assert_array_equal(found["label"], wanted["label"])


def test_the_first_batches_are_made_before_they_are_asked_for(here: Path) -> None:
    write_image_db("lmdb", "db", pictures(4), np.arange(4), record="datum")
    made = net(data_layer("db", 2, data="prefetch: 3"))
    line = made._net.layers[0].state._batches._line
    until = time.monotonic() + 300
    while len(line._items) < 3:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_no_thread_outlives_its_net(here: Path) -> None:
    write_image_db("lmdb", "db", pictures(4), np.arange(4), record="datum")
    made = net(data_layer("db", 2))
    made.forward()
    thread = made._net.layers[0].state._batches._thread
    assert thread in threading.enumerate()
    del made
    gc.collect()
    thread.join(300)
    assert not thread.is_alive()


def test_a_damaged_record_is_named_after_the_batches_before_it(here: Path) -> None:
    image = pictures(1)[0]
    put("db", [datum(image, 0), datum(image, 1), b"\xff\xff", datum(image, 3)])
    made = net(data_layer("db", 2))
    made.forward()
    for _ in range(2):
        with pytest.raises(FormatError, match="record '00002'"):
            made.forward()


SMALL = 'source: "db" batch_size: 2 backend: LMDB'


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: data_layer("none", 2), DataError, "none: no such LMDB folder"),
        (lambda: data_layer("none", 2, backend="LEVELDB"), DataError, "none: no such LevelDB folder"),
        (lambda: data_layer("empty", 2), DataError, "empty: the database has no records"),
        (
            lambda: data_layer("db", 0),
            ArgumentError,
            "layer 'd' (Data): batch_size must be at least 1, got 0",
        ),
        (
            lambda: data_layer("db", 2, data="prefetch: 0"),
            ArgumentError,
            "prefetch must be at least 1, got 0",
        ),
        (
            lambda: data_layer("db", 2, "crop_size: 6"),
            ShapeError,
            "crop_size 6 is larger than an image of 6 x 5",
        ),
        (lambda: data_layer("db", 2, 'mean_file: "none"'), DataError, "none: cannot be read: No such file"),
        (lambda: data_layer("db", 2, 'mean_file: "text"'), FormatError, "text: 5 bytes are not a complete"),
        (
            lambda: data_layer("db", 2, f'mean_file: "{mean_file("two", np.ones((2, 3, 4, 4)))}"'),
            FormatError,
            "two: a mean is one image; this blob has the shape (2, 3, 4, 4)",
        ),
        (
            lambda: data_layer("db", 2, f'mean_file: "{mean_file("no", np.ones((0, 3, 4, 4)))}"'),
            FormatError,
            "no: a mean is one image",
        ),
        (
            lambda: data_layer("db", 2, 'mean_file: "x" mean_value: 1'),
            ArgumentError,
            "mean_file and mean_value exclude each other",
        ),
        (
            lambda: data_layer("db", 2, "force_color: true force_gray: true"),
            ArgumentError,
            "force_color and force_gray exclude each other",
        ),
        (
            lambda: data_layer("db", 2, "mean_value: 1 mean_value: 2"),
            ArgumentError,
            "layer 'd' (Data): 2 mean_value for images of 3 channels",
        ),
        (lambda: data_layer("garbage", 1), FormatError, "record '00000'"),
        (lambda: data_layer("odd", 1), FormatError, "an image of shape (3, 4, 4) with 5 elements"),
        (lambda: data_layer("broken", 1), FormatError, "3 bytes are no image that OpenCV knows"),
    ],
)
def test_refusals_of_data(here: Path, make: Callable[[], str], error: type[Exception], message: str) -> None:
    write_image_db("lmdb", "db", pictures(4), np.arange(4), record="datum")
    put("empty", [])
    put("garbage", [b"\xff\xff"])
    put("odd", [caffe_pb2.Datum(channels=3, height=4, width=4, data=b"12345")])
    put("broken", [caffe_pb2.Datum(encoded=True, data=b"abc")])
    Path("text").write_text("hello")
    with pytest.raises(error, match=re.escape(message)):
        net(make()).forward()


# ------------------------------------------------------------------------------------ MemoryData, DummyData

MEMORY = layer("MemoryData", "memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 }")


def test_memory_is_read_as_it_is_at_each_pass(capsys: pytest.CaptureFixture[str]) -> None:
    made = net(
        MEMORY + 'layer { name: "r" type: "Power" bottom: "data" top: "data" power_param { shift: 1 } }'
    )
    data, labels = np.arange(24, dtype=F).reshape(4, 1, 2, 3), np.arange(4, dtype=F)
    made.set_input_arrays(data, labels)
    made.forward()
    np.testing.assert_array_equal(made.blobs["data"].data, data[:2] + 1)
    data[2:] = 7
    assert made.forward()["label"].ravel().tolist() == [2, 3]
    assert (made.blobs["data"].data == 8).all()
    assert (data[2:] == 7).all()
    made.forward()
    np.testing.assert_array_equal(made.blobs["data"].data, data[:2] + 1)
    assert capsys.readouterr().err == ""


def test_memory_warns_that_it_does_not_transform(capsys: pytest.CaptureFixture[str]) -> None:
    made = net(MEMORY[:-1] + "transform_param { scale: 2 } }")
    made.set_input_arrays(np.ones((2, 1, 2, 3), F), np.zeros(2, F))
    assert "memory_data_layer.cpp:90] MemoryData does not transform array data" in capsys.readouterr().err


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, F)


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (zeros(2, 1, 2, 3).astype(float), zeros(2), "data array must be float32"),
        (zeros(2, 2, 3), zeros(2), "data array must be 4-d"),
        (zeros(2, 2, 2, 3), zeros(2), "data array has wrong number of channels"),
        (zeros(2, 1, 3, 3), zeros(2), "data array has wrong height"),
        (zeros(2, 1, 2, 2), zeros(2), "data array has wrong width"),
        (zeros(2, 1, 3, 2).transpose(0, 1, 3, 2), zeros(2), "data array must be C contiguous"),
        (zeros(2, 1, 2, 3), zeros(4), "data and labels must have the same first dimension"),
        (zeros(3, 1, 2, 3), zeros(3), "first dimensions of input arrays must be a multiple of batch size"),
        (zeros(2, 1, 2, 3), zeros(2).astype(int), "labels array must be float32"),
        (zeros(2, 1, 2, 3), zeros(2, 2, 1, 1), "labels array has wrong number of channels"),
        (zeros(2, 1, 2, 3), zeros(2, 1), "labels array must be 4-d"),
        (zeros(0, 1, 2, 3), zeros(0), "input arrays have no rows"),
    ],
)
def test_arrays_that_do_not_fit(data: np.ndarray, labels: np.ndarray, message: str) -> None:
    made = net(MEMORY)
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        made.set_input_arrays(data, labels)


def test_refusals_of_memory_data() -> None:
    with pytest.raises(FreshpotError, match=r"\(MemoryData\): has no data: call net.set_input_arrays"):
        net(MEMORY).forward()
    with pytest.raises(ArgumentError, match="must be given and positive, got 2, 1, 0, 3"):
        net(MEMORY.replace("height: 2", ""))
    other = net(layer("DummyData", "dummy_data_param { shape { dim: 1 } }", 'top: "x"'))
    with pytest.raises(
        RuntimeError, match=r"^set_input_arrays may only be called if the first layer is a Mem"
    ):
        other.set_input_arrays(zeros(2, 1, 2, 3), zeros(2))


# a random top and a constant one
TWO = "shape { dim: 2 dim: 3 } shape { dim: 2 } data_filler { type: 'uniform' } data_filler { value: 4 }"


def test_constants_are_filled_once_and_the_rest_each_time() -> None:
    made = net(layer("DummyData", f"dummy_data_param {{ {TWO} }}", 'top: "x" top: "y"'))
    first = made.forward()["x"].copy()
    made.blobs["y"].data[...] = 9
    assert (made.forward()["x"] != first).any()
    assert (made.blobs["y"].data == 9).all()


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("shape { dim: 1 } data_filler { } data_filler { } data_filler { }", "2 tops, 3 fillers"),
        (
            "shape { dim: 1 } num: 1",
            "shape and the old fields num, channels, height, width exclude each other",
        ),
        ("num: 1 channels: 1 height: 1", "give width once, or once a top: 2 tops, 0 given"),
        ("", "give shape once, or once a top: 2 tops, 0 given"),
    ],
)
def test_refusals_of_dummy_data(rest: str, message: str) -> None:
    with pytest.raises(FreshpotError, match=re.escape(message)):
        net(layer("DummyData", f"dummy_data_param {{ {rest} }}"))


@pytest.mark.parametrize("kind", ["images", "leveldb"])
def test_without_the_package_it_says_what_to_install(
    here: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    image_files(pictures(1))
    Path("db").mkdir()
    Path("db/CURRENT").write_text("MANIFEST-000001\n")
    Path("db/MANIFEST-000001").touch()
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(leveldb.importlib.util, "find_spec", lambda name: None)
    images.opencv.cache_clear()
    text = image_layer(1) if kind == "images" else data_layer("db", 1, backend="LEVELDB")
    with pytest.raises(FreshpotError, match=rf"pip install 'freshpot\[{kind}\]'"):
        net(text)
