"""Notebooks that take Caffe's folder for granted: its scripts, tools, nets, models, lists and pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from freshpot.cli import main
from freshpot.errors import NotSupportedError
from freshpot.legacy import known_models, weights
from freshpot.legacy.caffe_nets import FILES
from freshpot.legacy.commands import Commands
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay
from freshpot.legacy.standins import StandIns

Capture = pytest.CaptureFixture[str]

DEPLOY = """name: "Small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true } }
layer { name: "ip" type: "InnerProduct" bottom: "scale" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; 20 synthetic digits are MNIST."""
    from freshpot.data.mnist import load_mnist

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    for module in ("routes", "caffe_folder"):
        monkeypatch.setattr(
            f"freshpot.legacy.{module}.load_mnist",
            lambda folder, split, limit=20: load_mnist("synthetic", split, limit=limit),
        )
    return tmp_path


def run(*cells: str, words: tuple[str, ...] = (), name: str = "a.ipynb") -> int:
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    Path(name).write_text(json.dumps({"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": made}))
    return main(["run", name, *words])


# ---- models ----------------------------------------------------------------------------------------------
def test_a_model_that_is_not_there(capsys: Capture) -> None:
    """Random weights that keep the signal alive, alike for alike layers of two nets; said, and nothing written."""
    Path("deploy.prototxt").write_text(DEPLOY)
    status = run(
        "import caffe\nnet = caffe.Net('deploy.prototxt', 'bvlc_alexnet.caffemodel', caffe.TEST)",
        "net.blobs['data'].data[...] = 1\nout = net.forward()['prob']\nprint 'sum', out.sum(), out.std() > 0",
        "other = caffe.Net('deploy.prototxt', caffe.TEST)\nother.copy_from('bvlc_alexnet.caffemodel')\n"
        "print (other.params['conv'][0].data == net.params['conv'][0].data).all(), net.params['bn'][1].data[0]",
    )
    out = capsys.readouterr().out
    assert status == 0, out
    assert "sum 2.0 True" in out
    assert "True 1.0" in out
    wanted = "bvlc_alexnet.caffemodel: not there (it was downloaded); the net 'Small' was given random weights instead"
    assert wanted in out
    assert not Path("bvlc_alexnet.caffemodel").exists()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("# wget http://example.org/a/mine.caffemodel\nname = 'mine.caffemodel'", "the program says where"),
        ("name = 'zoo/mine.caffemodel'", "the folder's readme says where it was downloaded from"),
        (
            "name = 'nets/mine_iter_500.caffemodel'",
            "training with nets/my_solver.prototxt would have written it",
        ),
        (
            "# snapshot_prefix: 'a/other'\nname = 'other_iter_5.caffemodel'",
            "training with the program's solver",
        ),
        ("name = 'VGG_ILSVRC_16_layers.caffemodel'", "it was downloaded"),
        ("name = 'examples/mnist/lenet_iter_10000.caffemodel'", "it was downloaded"),
        ("name = 'ResNet-50-model.caffemodel'", "it was downloaded"),
    ],
)
def test_models_that_were_to_be_had(capsys: Capture, program: str, why: str) -> None:
    Path("deploy.prototxt").write_text(DEPLOY)
    for folder, file, text in (
        ("zoo", "readme.md", "caffemodel: mine.caffemodel\n"),
        ("nets", "my_solver.prototxt", 'base_lr: 0.1\nsnapshot_prefix: "nets/mine"\n'),
    ):
        Path(folder).mkdir()
        Path(folder, file).write_text(text)
    assert run(f"{program}\nimport caffe\nnet = caffe.Net('deploy.prototxt', name, caffe.TEST)") == 0
    assert why in capsys.readouterr().out


def test_a_mistyped_path_is_an_error_that_names_what_is_there(capsys: Capture) -> None:
    Path("deploy.prototxt").write_text(DEPLOY)
    Path("models").mkdir()
    Path("models/mynet.caffemodel").write_bytes(b"")
    cells = ["import caffe", "net = caffe.Net('deploy.prototxt', 'models/mynte.caffemodel', caffe.TEST)"]
    assert run(*cells) == 1
    out = capsys.readouterr().out
    assert (
        "Could not open file models/mynte.caffemodel: there is no such file, and it is no model that was"
        in out
    )
    assert "There is models/mynet.caffemodel." in out
    assert "freshpot run --stand-ins" in out
    assert "random weights instead" not in out
    assert run(*cells, words=("--stand-ins",)) == 0
    assert (
        "models/mynte.caffemodel: not there; the net 'Small' was given random weights"
        in capsys.readouterr().out
    )


def test_a_folder_that_is_not_there_names_its_neighbours() -> None:
    Path("models/caffenet").mkdir(parents=True)
    assert known_models.nearest("models/cafenet/a.caffemodel") == ["models/caffenet"]
    assert known_models.nearest("models/caffenet/a.caffemodel") == []


def test_outside_a_run_it_is_an_error() -> None:
    import caffe

    Path("deploy.prototxt").write_text(DEPLOY)
    with pytest.raises(RuntimeError, match=r"Could not open file trained\.caffemodel"):
        caffe.Net("deploy.prototxt", "trained.caffemodel", caffe.TEST)


def test_download_of_a_model(work: Path, capsys: Capture) -> None:
    """Where it cannot be fetched, a stand-in for the folder's net; never in the folder itself."""
    folder = Path("models/small")
    folder.mkdir(parents=True)
    (folder / "deploy.prototxt").write_text(DEPLOY)
    (folder / "readme.md").write_text(
        "---\nname: Small\ncaffemodel: small.caffemodel\ncaffemodel_url: http://example.org/small\nsha1: 0\n---\n"
    )
    Path("examples").mkdir()
    os.chdir("examples")
    status = run(
        "import os, caffe\n!../scripts/download_model_binary.py ../models/small\n"
        "print os.path.exists('../models/small/small.caffemodel')\nos.chdir('..')",
        "net = caffe.Net('models/small/deploy.prototxt', 'models/small/small.caffemodel', caffe.TEST)\n"
        "print abs(net.params['ip'][0].data).sum() > 0",
    )
    out = capsys.readouterr().out
    assert status == 0, out
    assert out.count("\nTrue\n") == 2
    assert "small.caffemodel: cannot be fetched; a stand-in with random weights" in out
    assert sorted(os.listdir(work / "models/small")) == ["deploy.prototxt", "readme.md"]


def test_a_model_that_is_fetched_must_have_its_checksum(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "readme.md").write_text(
        "caffemodel: m.caffemodel\ncaffemodel_url: http://example.org/m\n"
        "sha1: a9993e364706816aba3e25717850c26c9cd0d89d\n"
    )
    notes = Notes()
    overlay = Overlay(work / "overlay", lambda name, place: False, notes)
    monkeypatch.setattr(weights, "fetch", lambda address: b"another")
    assert weights.download(".", overlay, notes) == "./m.caffemodel cannot be fetched\n"
    assert "no stand-in can be made for it" in notes.lines[0]
    monkeypatch.setattr(weights, "fetch", lambda address: b"abc")
    assert "downloaded from http://example.org/m" in weights.download(".", overlay, notes)
    assert (work / "m.caffemodel").read_bytes() == b"abc"
    assert weights.download(".", overlay, notes) == "./m.caffemodel is there\n"


# ---- the folder's files -----------------------------------------------------------------------------------
def test_a_classification_without_caffes_folder(capsys: Capture) -> None:
    """A notebook alone: net, weights, mean, names of classes and picture all stand in."""
    status = run(
        "import numpy as np\ncaffe_root = '../'\nimport sys\nsys.path.insert(0, caffe_root + 'python')\nimport caffe",
        "!../scripts/download_model_binary.py ../models/bvlc_reference_caffenet",
        "folder = caffe_root + 'models/bvlc_reference_caffenet/'\n"
        "net = caffe.Classifier(folder + 'deploy.prototxt', folder + 'bvlc_reference_caffenet.caffemodel',\n"
        "    mean=np.load(caffe_root + 'python/caffe/imagenet/ilsvrc_2012_mean.npy').mean(1).mean(1),\n"
        "    channel_swap=(2, 1, 0), raw_scale=255, image_dims=(256, 256))",
        "labels = np.loadtxt(caffe_root + 'data/ilsvrc12/synset_words.txt', str, delimiter='\\t')\n"
        "image = caffe.io.load_image('images/cat.jpg')\n"
        "print image.shape, net.predict([image], False).shape, labels[3]",
        "blob = caffe.proto.caffe_pb2.BlobProto()\n"
        "blob.ParseFromString(open('../data/ilsvrc12/imagenet_mean.binaryproto', 'rb').read())\n"
        "print caffe.io.blobproto_to_array(blob)[0, :, 5, 7]",
    )
    out = capsys.readouterr().out
    assert status == 0, out
    assert "(360, 480, 3) (1, 1000) n00000003 class 3" in out
    assert "[104. 117. 123.]" in out


@pytest.mark.parametrize(
    "name", [name for name in FILES if name.endswith(("deploy.prototxt", "lenet.prototxt"))]
)
def test_nets_load(name: str) -> None:
    import caffe

    Path("net.prototxt").write_text(FILES[name]())
    net = caffe.Net("net.prototxt", caffe.TEST)
    classes = 10 if "mnist" in name else 1000
    assert net.blobs["prob"].shape[1] == classes


def test_googlenet_has_its_size() -> None:
    import caffe

    Path("net.prototxt").write_text(FILES["models/bvlc_googlenet/deploy.prototxt"]())
    net = caffe.Net("net.prototxt", caffe.TEST)
    assert sum(blob.count for blobs in net.params.values() for blob in blobs) == 6_998_552
    assert net.blobs["inception_4c/output"].shape[1:] == [512, 14, 14]


def test_lenet_trains_from_caffes_folder(capsys: Capture) -> None:
    """The folder of an author, LeNet's solver and MNIST's databases in it."""
    status = run(
        "import os, caffe\nos.chdir('/nobody/caffe')",
        "solver = caffe.get_solver('examples/mnist/lenet_solver.prototxt')\nsolver.step(1)",
        "print solver.net.blobs['data'].data.shape, solver.iter",
    )
    out = capsys.readouterr().out
    assert status == 0, out
    assert "(64, 1, 28, 28) 1" in out
    assert "mnist_train_lmdb/data.mdb: 20 records" in out


def test_files_of_mnist(capsys: Capture) -> None:
    status = run(
        "!data/mnist/get_mnist.sh",
        "import numpy as np\n"
        "raw = np.fromfile('../../data/mnist/t10k-images-idx3-ubyte', np.uint8)\n"
        "print raw[16:].reshape(-1, 28, 28).shape",
    )
    assert (status, "(20, 28, 28)" in capsys.readouterr().out) == (0, True)


def test_pictures_of_styles(capsys: Capture) -> None:
    status = run(
        "!python examples/finetune_flickr_style/assemble_data.py \\\n    --workers=-1  --seed=1701 \\\n    --images=20",
        "lines = open('data/flickr_style/train.txt').readlines() + open('data/flickr_style/test.txt').readlines()\n"
        "import caffe\nprint len(lines), caffe.io.load_image(lines[0].split()[0]).shape",
    )
    assert (status, "100 (256, 256, 3)" in capsys.readouterr().out) == (0, True)


# ---- commands ----------------------------------------------------------------------------------------------
@pytest.fixture
def commands(work: Path) -> Commands:
    notes = Notes()
    return Commands(notes, Overlay(work / "overlay", StandIns(notes).make, notes))


def test_caffes_tools_run_without_a_shell(commands: Commands, capsys: Capture) -> None:
    Path("old.prototxt").write_text('layers { name: "r" type: RELU bottom: "x" top: "x" }')
    for number, program in enumerate(
        (
            "./build/tools/upgrade_net_proto_text",
            "/home/me/caffe/.build_release/tools/upgrade_net_proto_text.bin",
            "GLOG_logtostderr=1 upgrade_net_proto_text",
            "cd . && build/tools/upgrade_net_proto_text",
            "cd .; ../build/tools/upgrade_net_proto_text.bin",
        )
    ):
        assert commands.run(f"{program} old.prototxt new{number}.prototxt") == ""
        assert 'type: "ReLU"' in Path(f"new{number}.prototxt").read_text()
    assert "[exit status 1]" in str(commands.run("caffe train one two"))
    assert "Wrote upgraded NetParameter" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["rm -rf x", "echo a > b", "ls | wc", "train.sh", "build/tools/caffe train -solver s 2>&1", "cd x && rm y",
     "python tools/x.py", "mkdir -m 7 x", "ls -l", "diff -u a b", "pip install caffe"],
)  # fmt: skip
def test_others_are_left_to_the_shell(command: str, commands: Commands) -> None:
    assert commands.run(command) is None


def test_commands_that_look(commands: Commands, work: Path) -> None:
    assert commands.run("mkdir -p made/more") == ""
    assert commands.run("mkdir made") == "mkdir: cannot create directory 'made': File exists\n"
    Path("a").write_text("".join(f"{n}\n" for n in range(20)))
    Path("b").write_text("".join(f"{n}\n" for n in range(20) if n != 4).replace("9\n", "nine\n", 1) + "end\n")
    assert commands.run("ls") == "a\nb\nmade\n"
    assert commands.run("ls made") == "more\n"
    assert commands.run("pwd") == f"{work}\n"
    assert commands.run("echo one 'two  three'") == "one two  three\n"
    assert commands.run("head -n 2 a") == "0\n1\n"
    assert commands.run("head -3 a") == "0\n1\n2\n"
    assert commands.run("tail -n 2 a") == "18\n19\n"
    assert commands.run("diff a b") == "5d4\n< 4\n10c9\n< 9\n---\n> nine\n20a20\n> end\n"
    assert commands.run("diff a a") == ""


def test_a_script_of_the_users_own_needs_leave(capsys: Capture) -> None:
    assert run("!./train_lenet.sh") == 1
    assert "add --allow-shell" in capsys.readouterr().out
    assert issubclass(NotSupportedError, Exception)


# ---- Python 2 ------------------------------------------------------------------------------------------------
def test_text_into_files_of_bytes(capsys: Capture) -> None:
    status = run(
        "import tempfile, caffe\nfrom caffe import layers as L\n"
        "def net():\n    n = caffe.NetSpec()\n    n.data = L.DummyData(shape=dict(dim=[1, 2]))\n"
        "    n.ip = L.InnerProduct(n.data, num_output=3)\n"
        "    with tempfile.NamedTemporaryFile(delete=False) as f:\n"
        "        f.write(str(n.to_proto()))\n        return f.name\n"
        "print caffe.Net(net(), caffe.TEST).blobs['ip'].data.shape",
        "with open('x', 'wb') as f:\n    f.write('text')\n    f.write(np.float32(0).tobytes())\n"
        "print len(open('x', 'rb').read())",
        "import numpy as np",
        "% matplotlib inline",
    )
    out = capsys.readouterr().out
    assert status == 0, out
    assert "(1, 3)" in out
    assert "\n8\n" in out


def test_arrays_in_old_pickles(capsys: Capture) -> None:
    Path("a.pkl").write_bytes(b"(dp0\nS'data'\np1\nS'\\xff\\x01'\np2\ns.")
    status = run("import cPickle\nd = cPickle.load(open('a.pkl', 'rb'))\nprint d.keys(), len(d['data'])")
    assert (status, "['data'] 2" in capsys.readouterr().out) == (0, True)


# ---- packages --------------------------------------------------------------------------------------------------
def test_packages_that_are_not_installed_are_named_together(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    plain = importlib.util.find_spec
    lacking = {"sklearn", "pandas", "bokeh"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in lacking else plain(name))
    for name in lacking:
        monkeypatch.setitem(__import__("sys").modules, name, None)
    status = run(
        "import numpy as np, sklearn.datasets",
        "from pandas import x\nimport tools\ntry:\n    import bokeh\nexcept ImportError: pass",
    )
    out = capsys.readouterr().out
    assert status == 1
    assert "install it: pip install scikit-learn" in out
    assert "* not installed: sklearn, pandas. To have them: pip install scikit-learn pandas\n" in out


def test_freshpots_own_search_for_mnist_finds_no_stand_in(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freshpot.data.mnist import find_mnist

    (work / "data").mkdir()
    for variable in ("FRESHPOT_DATA", "FRESHPOT_SHARED"):
        monkeypatch.setenv(variable, str(work / "data"))
    monkeypatch.setenv("FRESHPOT_CACHE", str(work / "cache"))
    monkeypatch.setenv("HOME", str(work))
    notes = Notes()
    with Overlay(work / "overlay", StandIns(notes).make, notes).installed():
        found = find_mnist("test")
        made = Path("data/mnist/t10k-images-idx3-ubyte").exists()
    assert (found, made) == (None, True)
    assert len(notes.lines) == 1


def test_means_are_broadcast_shapes() -> None:
    notes = Notes()
    assert StandIns(notes).make("python/caffe/imagenet/ilsvrc_2012_mean.npy", Path("mean.npy"))
    assert np.load("mean.npy").shape == (3, 256, 256)
