"""`caffe classify`, `detect` and `convert_imageset` from the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe._cli import main
from freshpot.data.reader import open_db

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 8 dim: 8 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net, its weights and two pictures, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    caffe.Net("net.prototxt", caffe.TEST).save("net.caffemodel")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (12, 14, 3), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


MODEL = ["-model_def", "net.prototxt", "-pretrained_model", "net.caffemodel"]


def test_classify_a_file_and_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", *MODEL, "-images_dim", "10,10", "a.png", "one.npy"]) == 0
    printed = capsys.readouterr().out
    assert "CPU mode\nLoading file: a.png\nClassifying 1 inputs.\nDone in " in printed
    assert main(["classify", *MODEL, "-images_dim", "10,10", "-ext", "png", ".", "all.npy"]) == 0
    one, both = np.load("one.npy"), np.load("all.npy")
    assert one.shape == (1, 4)
    assert both.shape == (2, 4)
    np.testing.assert_allclose(both[0], one[0], rtol=1e-5)
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-5)


def test_center_only_takes_one_crop(folder: Path) -> None:
    assert main(["classify", *MODEL, "-images_dim", "8,8", "-center_only", "a.png", "centre.npy"]) == 0
    net = caffe.Classifier(
        "net.prototxt", "net.caffemodel", image_dims=[8, 8], raw_scale=255, channel_swap=[2, 1, 0]
    )
    wanted = net.predict([caffe.io.load_image("a.png")], oversample=False)
    np.testing.assert_allclose(np.load("centre.npy"), wanted, rtol=1e-5)


@pytest.mark.parametrize("ending", ["csv", "h5"])
def test_detect_windows_of_a_list(ending: str, folder: Path) -> None:
    (folder / "windows.csv").write_text(
        "filename, xmin, ymin, xmax, ymax\na.png,1,2,9,10\na.png,0,0,8,8\nb.png,3,3,11,11\n"
    )
    assert main(["detect", *MODEL, "-context_pad", "2", "windows.csv", f"found.{ending}"]) == 0
    if ending == "h5":
        with h5py.File("found.h5") as file:
            assert [n.decode() for n in file["filename"]] == ["a.png", "a.png", "b.png"]
            assert file["window"][0].tolist() == [2, 1, 10, 9]
            np.testing.assert_allclose(file["prediction"][...].sum(1), 1, rtol=1e-5)
        return
    with open("found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == ["a.png", "a.png", "b.png"]
    assert [float(rows[0][c]) for c in ("ymin", "xmin", "ymax", "xmax")] == [2, 1, 10, 9]
    assert sum(float(rows[0][f"class{k}"]) for k in range(4)) == pytest.approx(1, abs=1e-5)


def test_images_that_cannot_be_read_are_left_out_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "list.txt").write_text("a.png 3\nmissing.png 1\nb.png 2\n")
    assert (
        main(["convert_imageset", "-resize_height", "4", "-resize_width", "5", "./", "list.txt", "made"]) == 0
    )
    log = capsys.readouterr().err
    assert "A total of 3 images." in log
    assert "Could not open or find file missing.png" in log
    assert "Processed 2 files." in log
    with open_db("lmdb", "made") as database:
        assert [key.decode() for key, _ in database.cursor()] == ["00000000_a.png", "00000002_b.png"]


WRONG = {
    "no output": (["classify", *MODEL, "a.png"], 1, "usage: caffe classify"),
    "no net": (["classify", "a.png", "out.npy"], 1, "-model_def and -pretrained_model are needed"),
    "dims that are none": (["classify", *MODEL, "-images_dim", "big", "a.png", "o.npy"], 1, "got 'big'"),
    "an empty folder": (["classify", *MODEL, ".", "o.npy"], 134, "no files that end in .jpg"),
    "a mean that is none": (
        ["classify", *MODEL, "-mean_file", "net.prototxt", "a.png", "o.npy"],
        134,
        "not an .npy file",
    ),
    "a list without columns": (
        ["detect", *MODEL, "-context_pad", "2", "net.prototxt", "o.csv"],
        134,
        "expected the columns filename",
    ),
    "surroundings without an inside": (
        ["detect", *MODEL, "-context_pad", "4", "w.csv", "o.csv"],
        134,
        "context_pad must be less than half the input's width of 8, got 4",
    ),
    "another crop mode": (
        ["detect", *MODEL, "-crop_mode", "all", "w.csv", "o.csv"],
        1,
        "usage: caffe detect",
    ),
    "a list that is not there": (["convert_imageset", "./", "no.txt", "made"], 134, "no.txt"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, status, message = WRONG[name]
    assert main(words) == status
    assert message in capsys.readouterr().err
