"""What a program finds around it: files, addresses, modules. And what is left of it afterwards: nothing."""

from __future__ import annotations

import builtins
import gzip
import importlib
import io
import os
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import requests

from freshpot.legacy import ipython, pictures, scikit_image
from freshpot.legacy.binding import NoModuleError, bound
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay
from freshpot.legacy.routes import Routes
from freshpot.legacy.standins import StandIns

NOTEBOOK = ipython.Notebook(lambda value: False, print, print, {})


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def overlay(tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Overlay]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("CAFFE2_MODELS", str(tmp_path / "models"))
    made = Overlay(tmp_path / "overlay", StandIns(notes).make, notes)
    with made.installed():
        yield made
    os.chdir(tmp_path)


# ---- files ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", pictures.SIZES)
def test_pictures(name: str, overlay: Overlay, notes: Notes, tmp_path: Path) -> None:
    width, height, mode = pictures.SIZES[name]
    image = scikit_image.imread(f"images/{name}")
    assert image.shape == ((height, width) if mode == "L" else (height, width, len(mode)))
    assert notes.lines == [f"images/{name}: a drawing of the same size in place of the photograph"]
    assert not list((tmp_path / "work").iterdir())


def test_what_exists_is_left_alone(overlay: Overlay, notes: Notes, tmp_path: Path) -> None:
    (tmp_path / "work" / "cat.jpg").write_bytes(b"mine")
    assert Path("cat.jpg").read_bytes() == b"mine"
    assert notes.lines == []


def test_folders_of_the_author(overlay: Overlay, tmp_path: Path) -> None:
    root = "/nobody/workspace/caffe/"
    os.chdir(root)
    assert os.getcwd() == str(tmp_path / "overlay/nobody/workspace/caffe")
    assert os.path.isdir(root + "examples")
    with open(root + "examples/mnist/new.txt", "w") as file:
        file.write("x")
    assert Path("examples/mnist/new.txt").read_text() == "x"
    assert sorted(os.listdir(root)) == ["data", "examples", "python"]


def test_others_stay_missing(overlay: Overlay, notes: Notes) -> None:
    assert not os.path.exists("/usr/local/caffe2/python/models/squeezenet/mean.npy")
    with pytest.raises(FileNotFoundError, match=r"data\.csv"):
        Path("data.csv").read_bytes()
    with pytest.raises(FileNotFoundError):
        Path("/nobody/data.csv").write_text("x")
    assert notes.lines == []


def test_a_later_run_says_what_it_found(overlay: Overlay, notes: Notes) -> None:
    assert os.path.exists("images/cat.jpg")
    again = Notes()
    Overlay(overlay.folder, lambda name, place: False, again).find("images/cat.jpg")
    assert len(notes.lines) == 1
    assert again.lines == [f"images/cat.jpg: {overlay.folder / 'images/cat.jpg'}, of an earlier run"]


def test_own_models_come_first(overlay: Overlay, notes: Notes, tmp_path: Path) -> None:
    mine = tmp_path / "models" / "squeezenet"
    mine.mkdir(parents=True)
    for name in ("init_net.pb", "predict_net.pb"):
        (mine / name).write_bytes(b"mine")
    assert Path("/usr/local/caffe2/python/models/squeezenet/init_net.pb").read_bytes() == b"mine"
    assert notes.lines[0].endswith(f"a copy of the model in {mine}")


def test_everything_is_put_back(tmp_path: Path) -> None:
    before = builtins.open, io.open, os.stat, os.chdir, os.listdir
    with pytest.raises(KeyError), Overlay(tmp_path, lambda name, place: False, Notes()).installed():
        raise KeyError
    assert before == (builtins.open, io.open, os.stat, os.chdir, os.listdir)


def test_the_stand_in_for_squeezenet_answers() -> None:
    from caffe2.python import workspace
    from freshpot.legacy import squeezenet

    init, predict = squeezenet.nets()
    predictor = workspace.Predictor(init.SerializeToString(), predict.SerializeToString())
    (answer,) = predictor.run([np.ones((1, 3, 227, 227), np.float32)])
    assert answer.shape == (1, 1000, 1, 1)
    assert answer.sum() == pytest.approx(1, abs=1e-4)
    assert len([op for op in predict.op if op.type == "Conv"]) == 26


# ---- addresses -----------------------------------------------------------------------------------------
@pytest.fixture
def routes(notes: Notes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Routes]:
    """The table, with 20 synthetic digits for MNIST."""
    from freshpot.data.mnist import load_mnist

    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    for module in ("routes", "caffe_folder"):
        monkeypatch.setattr(
            f"freshpot.legacy.{module}.load_mnist",
            lambda folder, split, limit=20: load_mnist("synthetic", split, limit=limit),
        )
    made = Routes(notes)
    with made.installed():
        yield made


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address) as response:
        assert response.status == 200
        return response.read()


def test_databases_of_the_tutorials(routes: Routes, notes: Notes) -> None:
    address = "http://download.caffe2.ai/databases/mnist-lmdb.zip"
    with zipfile.ZipFile(io.BytesIO(fetched(address))) as archive:
        assert archive.namelist() == ["mnist-train-nchw-lmdb/data.mdb", "mnist-test-nchw-lmdb/data.mdb"]
    assert notes.lines == [f"{address}: databases made from synthetic digits"]


def test_files_of_mnist(routes: Routes) -> None:
    data = fetched("http://yann.lecun.com/exdb/mnist/t10k-images-idx3-ubyte.gz")
    assert len(gzip.decompress(data)) == 16 + 20 * 28 * 28


def test_requests_are_served(routes: Routes) -> None:
    address = "https://gist.githubusercontent.com/aaronmarkham/cd3a6b6ac071eca6f7b4a6e40e6038aa/raw/x"
    answer = requests.get(address, stream=True)
    assert (answer.status_code, answer.ok) == (200, True)
    assert "1000: 'class 1000" in answer.text
    assert b"".join(answer.iter_content(7)) == answer.content


def test_other_addresses_are_not_touched(routes: Routes, notes: Notes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"here")
    with urllib.request.urlopen((tmp_path / "a").as_uri()) as response:
        assert response.read() == b"here"
    assert routes.answer("http://example.org/mnist-lmdb.zip") is None
    assert notes.lines == []


# ---- modules -------------------------------------------------------------------------------------------
@pytest.fixture
def names(notes: Notes) -> Iterator[None]:
    with bound(NOTEBOOK, notes, dialect=None, python2=True):
        yield


def test_old_modules(names: None) -> None:
    exec("import cPickle, urlparse, Queue, ConfigParser, urllib2, StringIO, cStringIO, urllib")
    modules = sys.modules
    assert modules["cPickle"].loads(modules["cPickle"].dumps([1])) == [1]
    assert modules["urlparse"].urlparse("http://a/b").path == "/b"
    assert modules["urllib"].urlencode({"a": 1}) == "a=1"  # type: ignore[attr-defined]
    assert modules["StringIO"].StringIO(b"x").read() == b"x"
    assert modules["StringIO"].StringIO("x").read() == "x"
    for kind in ("StringIO", "cStringIO"):
        file = modules[kind].StringIO()
        file.write("text")
        assert file.getvalue() == "text"
        file.write(b"\xff\x00")  # a picture that is saved to it
        assert (file.getvalue(), file.tell(), file.seek(4), file.read()) == (
            b"text\xff\x00",
            6,
            4,
            b"\xff\x00",
        )


def test_urllib2_gives_text_for_text(names: None, tmp_path: Path) -> None:
    import urllib2  # type: ignore[import-not-found]

    for data, wanted in ((b"a: b\nc\n", ["a: b\n", "c\n"]), (b"\x00\xff\nb", [b"\x00\xff\n", b"b"])):
        (tmp_path / "f").write_bytes(data)
        assert list(urllib2.urlopen((tmp_path / "f").as_uri())) == wanted


def test_what_nobody_has(names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freshpot.legacy.binding._OURS", {"paddle_of_nobody": "paddle"})
    monkeypatch.setattr("freshpot.legacy.binding.DIALECTS", {"paddle": ("freshpot.nobody",)})
    with pytest.raises(NoModuleError, match="no module named 'paddle_of_nobody': it is not installed"):
        importlib.import_module("paddle_of_nobody")


def test_ours_under_a_foreign_name(names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freshpot.legacy.binding._OURS", {"teapot": "teapot"})
    monkeypatch.setattr("freshpot.legacy.binding.DIALECTS", {"teapot": ("freshpot.formats",)})
    ours = importlib.import_module("freshpot.formats.idx")
    assert importlib.import_module("teapot.idx") is ours
    assert ours.__spec__ is not None
    assert ours.__spec__.name == "freshpot.formats.idx"
    for name in ("teapot", "teapot.idx"):
        monkeypatch.delitem(sys.modules, name)


def test_a_dialect_is_ours_whatever_is_there(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("paddle")
    monkeypatch.setitem(sys.modules, "paddle", real)
    monkeypatch.setattr("freshpot.legacy.binding.DIALECTS", {"paddle": ("freshpot.formats",)})
    with bound(NOTEBOOK, notes, dialect=None, python2=False):
        assert importlib.import_module("paddle") is real
    with bound(NOTEBOOK, notes, dialect="paddle", python2=False):
        assert importlib.import_module("paddle").__name__ == "freshpot.formats"
    assert sys.modules["paddle"] is real


def test_nothing_is_left_behind(notes: Notes) -> None:
    before = set(sys.modules), list(sys.meta_path)
    with bound(NOTEBOOK, notes, dialect="caffe2", python2=True):
        exec("import StringIO, urllib2, helpers")
    after = set(sys.modules), list(sys.meta_path)
    assert after[1] == before[1]
    assert not {"StringIO", "urllib2", "helpers"} & after[0]
    assert not hasattr(importlib.import_module("urllib"), "urlencode")


# ---- the stand-in for scikit-image ---------------------------------------------------------------------
def test_resize_is_bilinear_between_centres_of_pixels() -> None:
    row = np.array([[0.0, 1.0]])
    assert scikit_image.resize(row, (1, 4)).tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert scikit_image.resize(np.zeros((4, 6, 3), np.float32), (2, 3)).shape == (2, 3, 3)


def test_pixels_as_floats() -> None:
    assert scikit_image.img_as_float(np.array([0, 255], np.uint8)).tolist() == [0, 1]
    assert scikit_image.img_as_ubyte(np.array([0, 0.5, 2])).tolist() == [0, 128, 255]


def test_resize_refuses_other_orders() -> None:
    with pytest.raises(NotImplementedError, match="order 3; this stand-in has 0 and 1"):
        scikit_image.resize(np.zeros((2, 2)), (1, 1), order=3)
