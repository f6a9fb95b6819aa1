"""ImageData, HDF5Data and HDF5Output: what the recorded cases leave open - order, draws, files, refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from feeding import image_files, image_layer, layer, net, pictures

from caffe import _mode, _random
from freshpot.data.images import encode_image
from freshpot.errors import ArgumentError, DataError, FormatError, KernelError, ShapeError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------ ImageData


def test_shuffling_takes_each_image_once_a_round_in_a_new_order(here: Path) -> None:
    image_files(pictures(9))
    made = net(image_layer(9, "shuffle: true"))
    rounds = [made.forward()["label"].copy().tolist() for _ in range(4)]
    assert all(sorted(labels) == list(range(10, 19)) for labels in rounds)
    assert len({tuple(labels) for labels in rounds}) > 1


def test_file_names_may_hold_spaces_and_rand_skip_skips(here: Path) -> None:
    images = pictures(5)
    image_files(images)
    seen = set()
    for seed in range(20):
        _random.seed(seed)
        made = net(image_layer(1, "rand_skip: 3"))
        label = int(made.forward()["label"][0])
        np.testing.assert_array_equal(made.blobs["data"].data[0], images[label - 10])
        seen.add(label)
    assert seen == {10, 11, 12}


def test_a_line_without_a_label_is_of_class_0(here: Path) -> None:
    image_files(pictures(2))
    Path("image 1.png").rename("b.png")
    Path("list.txt").write_text("b.png\nb.png x\nb.png -3 \n")
    made = net(image_layer(2))
    assert made.forward()["label"].tolist() == [0, 0]


def test_images_of_several_sizes(here: Path) -> None:
    for k, shape in enumerate([(3, 6, 5), (3, 8, 9)]):
        Path(f"{k}.png").write_bytes(encode_image(pictures(1, shape)[0], "png"))
    Path("list.txt").write_text("0.png 0\n1.png 1\n")
    assert net(image_layer(2, transform="crop_size: 5")).forward()["data"].shape == (2, 3, 5, 5)
    assert net(image_layer(2, "new_height: 4 new_width: 7")).forward()["data"].shape == (2, 3, 4, 7)
    with pytest.raises(FormatError, match="in one batch: give new_height and new_width, or a crop_size"):
        net(image_layer(2)).forward()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (image_layer(1, source="none.txt"), DataError, "none.txt: cannot be read: No such file"),
        (image_layer(1, source="empty.txt"), DataError, "empty.txt: the list of images is empty"),
        (
            image_layer(1, source="blank.txt"),
            FormatError,
            "blank.txt: line 2: expected '<file name> <label>'",
        ),
        (image_layer(1, source="binary.txt"), FormatError, "binary.txt: offset 0: not a text file"),
        (image_layer(1, source="lost.txt"), DataError, "lost.png: cannot be read: No such file"),
        (image_layer(1, source="bad.txt"), FormatError, "list.txt: 13 bytes are no image"),
        (image_layer(0), ArgumentError, "batch_size must be at least 1, got 0"),
        (image_layer(1, "new_width: 3"), ArgumentError, "give new_height and new_width together"),
        (image_layer(1, "rand_skip: 100000"), ArgumentError, "rand_skip skips"),
    ],
)
def test_refusals_of_image_data(here: Path, text: str, error: type[Exception], message: str) -> None:
    image_files(pictures(1, (3, 4, 4)))
    Path("list.txt").write_text("image 0.png 0")
    Path("empty.txt").touch()
    Path("blank.txt").write_text("image 0.png 0\n\n")
    Path("binary.txt").write_bytes(b"\xff\xfe")
    Path("lost.txt").write_text("lost.png 0\n")
    Path("bad.txt").write_text("list.txt 0\n")
    _random.seed(1)
    with pytest.raises(error, match=re.escape(message)):
        net(text).forward()


# ------------------------------------------------------------------------------------ HDF5


def hdf5_layer(batch: int, rest: str = "", source: str = "list.txt", extra: str = "") -> str:
    return layer("HDF5Data", f'hdf5_data_param {{ source: "{source}" batch_size: {batch} {rest} }} {extra}')


def hdf5_file(path: str, first: int, count: int, **arrays: Any) -> None:
    rows = np.arange(first, first + count)
    with h5py.File(path, "w") as file:
        made = {"data": np.repeat(rows[:, None], 2, 1).astype(np.float64), "label": rows.astype(np.int32)}
        for name, array in (made | arrays).items():
            file[name] = array


def test_batches_span_files(here: Path) -> None:
    hdf5_file("a.h5", 0, 3)
    hdf5_file("b.h5", 3, 2)
    Path("list.txt").write_text("a.h5\nb.h5\n")
    made = net(hdf5_layer(4))
    for step in range(5):
        rows = [(4 * step + k) % 5 for k in range(4)]
        assert made.forward()["label"].tolist() == rows
        np.testing.assert_array_equal(made.blobs["data"].data, np.repeat(np.array(rows)[:, None], 2, 1))


def test_solvers_that_train_together_share_the_rows(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hdf5_file("a.h5", 0, 5)
    Path("list.txt").write_text("a.h5")
    monkeypatch.setattr(_mode, "solver_count", 2)
    monkeypatch.setattr(_mode, "solver_rank", 1)
    made = net(hdf5_layer(2))
    assert [made.forward()["label"].tolist() for _ in range(3)] == [[1, 3], [0, 2], [4, 1]]


def test_shuffled_rows_stay_with_their_labels(here: Path) -> None:
    hdf5_file("a.h5", 0, 6)
    hdf5_file("b.h5", 6, 6)
    Path("list.txt").write_text("a.h5 b.h5")
    made = net(hdf5_layer(12, "shuffle: true"))
    rounds = []
    for _ in range(4):
        labels = made.forward()["label"].copy()
        np.testing.assert_array_equal(made.blobs["data"].data[:, 0], labels)
        assert sorted(labels) == list(range(12))
        rounds.append(tuple(labels))
    assert len(set(rounds)) > 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (hdf5_layer(2, source="none"), DataError, "none: cannot be read"),
        (hdf5_layer(2, source="empty"), DataError, "empty: the list of HDF5 files is empty"),
        (hdf5_layer(2, source="lost"), DataError, "lost.h5: no such HDF5 file"),
        (hdf5_layer(2, source="text"), FormatError, "empty.h5: not a readable HDF5 file"),
        (hdf5_layer(2, source="bare"), DataError, "bare.h5: no data set 'data'; there are other"),
        (
            hdf5_layer(2, source="words"),
            FormatError,
            "words.h5: data set 'label' holds object, expected numbers",
        ),
        (hdf5_layer(2, source="short"), FormatError, "short.h5: data set 'label' has 2 rows, 'data' has 3"),
        (hdf5_layer(2, source="rowless"), FormatError, "data set 'data' of shape (0, 2) has no rows"),
        (
            hdf5_layer(2, source="huge"),
            FormatError,
            "data set 'data' of shape (1099511627776,) is said to lie in 0",
        ),
        (
            hdf5_layer(4, source="wider"),
            FormatError,
            "wider.h5: rows of 'data' have shape (5,), those of the file",
        ),
        (hdf5_layer(0), ArgumentError, "batch_size must be at least 1, got 0"),
        (
            hdf5_layer(2, extra="transform_param { scale: 2 }"),
            ArgumentError,
            "HDF5Data does not transform data",
        ),
    ],
)
def test_refusals_of_hdf5_data(here: Path, text: str, error: type[Exception], message: str) -> None:
    hdf5_file("a.h5", 0, 3)
    hdf5_file("words.h5", 0, 3, label=["a", "b", "c"])
    hdf5_file("short.h5", 0, 3, label=[1, 2])
    hdf5_file("rowless.h5", 0, 3, data=np.zeros((0, 2)))
    hdf5_file("wider.h5", 0, 3, data=np.zeros((3, 5)))
    with h5py.File("bare.h5", "w") as file:
        file["other"] = [1]
    with h5py.File("group.h5", "w") as file:
        file.create_group("data")
    with h5py.File("huge.h5", "w") as file:
        file.create_dataset("data", (1 << 40,), "f4", chunks=(1024,))
    Path("empty").touch()
    Path("empty.h5").touch()
    Path("list.txt").write_text("a.h5")
    for name in ("lost", "bare", "group", "words", "short", "rowless", "huge"):
        Path(name).write_text(f"{name}.h5")
    Path("text").write_text("empty.h5")
    Path("wider").write_text("a.h5 wider.h5")
    with pytest.raises(error, match=re.escape(message)):
        net(text).forward()


OUT = (
    'layer { name: "x" type: "DummyData" top: "x" top: "y" dummy_data_param { %s } }'
    'layer { name: "out" type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param { file_name: "%s" } }'
)
TWO = "shape { dim: 2 dim: 3 } shape { dim: 2 } data_filler { type: 'uniform' } data_filler { value: 4 }"


def test_what_is_written_is_whole_at_once(here: Path) -> None:
    made = net(OUT % (TWO, "o.h5"))
    with h5py.File("o.h5") as file:
        assert list(file) == []
    made.forward()
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["data"][:, :, 0, 0], made.blobs["x"].data)
        assert file["label"].shape == (2, 1, 1, 1)
        assert file["label"].dtype == np.float32
    assert [p.name for p in here.iterdir()] == ["o.h5"]
    with pytest.raises(KernelError, match=re.escape("(HDF5Output): has written a batch to o.h5 already")):
        made.forward()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (OUT % (TWO, "none/o.h5"), DataError, "none/o.h5: cannot be written: No such file"),
        (OUT % ("shape { dim: 2 } shape { dim: 3 }", "o.h5"), KernelError, "'x' has 2 rows, 'y' has 3"),
        (OUT % ("shape { dim: 1 dim: 1 dim: 1 dim: 1 dim: 1 }", "o.h5"), ShapeError, "at most 4 axes"),
    ],
)
def test_refusals_of_hdf5_output(here: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        net(text).forward()
