"""The Caffe2 tutorials, cell by cell, unchanged: what they print and what they learn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cells import Run, read_cells, run_cells

from freshpot.data.lmdb import LMDB
from freshpot.data.mnist import load_mnist
from freshpot.data.reader import Mode
from freshpot.data.tensor_protos import encode_tensors

pyplot = pytest.importorskip("matplotlib.pyplot", reason="the tutorials draw with matplotlib")

#: 200 steps of 64 images, and all that are tested
SIZES = {"train": 12800, "test": 10000}
AFTER_LOADING = [
    "!!META_NET_DEF",
    "!!PREDICTOR_DBREADER",
    *("conv1", "conv1_b", "conv1_w", "conv2", "conv2_b", "conv2_w", "data", "fc3", "fc3_b", "fc3_w"),
    *("pool1", "pool2", "pred", "pred_b", "pred_w"),
]


@pytest.fixture(scope="module")
def home(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder with the databases that the tutorials look for, and pyplot without a screen."""
    folder = tmp_path_factory.mktemp("home")
    databases = folder / "caffe2_notebooks" / "tutorial_data" / "mnist"
    databases.mkdir(parents=True)
    for split, size in SIZES.items():
        digits = load_mnist(shared / "mnist", split, limit=size)
        records = {
            f"{i:08d}".encode(): encode_tensors(image[np.newaxis], np.int32(label))
            for i, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True))
        }
        with LMDB(databases / f"mnist-{split}-nchw-lmdb", Mode.NEW) as database:
            database.write(records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        pyplot.switch_backend("Agg")
        yield folder
        pyplot.close("all")


def run(path: Path, part: str | None = None) -> Run:
    """The cells of a seed, run as in a process of their own: fresh workspace, no net names taken."""
    from caffe2.python import core, workspace

    core.Net._net_names_used = set()
    workspace.SwitchWorkspace("default", True)
    workspace.ResetWorkspace()
    np.random.seed(1)
    return run_cells(read_cells(path, part), pyplot=pyplot)


@pytest.fixture(scope="module")
def mnist(home: Path, shared: Path) -> Run:
    return run(shared / "seeds" / "caffe2_mnist.md")


@pytest.fixture(scope="module")
def mnist_part(home: Path, shared: Path) -> Run:
    return run(shared / "seeds" / "caffe2_tutorials.md", "6")


@pytest.fixture(scope="module")
def basics(home: Path, shared: Path) -> Run:
    return run(shared / "seeds" / "caffe2_tutorials.md", "1")


@pytest.fixture(scope="module")
def toy(home: Path, shared: Path) -> Run:
    return run(shared / "seeds" / "caffe2_tutorials.md", "5")


def test_every_cell_is_found(shared: Path) -> None:
    seeds = shared / "seeds"
    assert len(read_cells(seeds / "caffe2_mnist.md")) == 20
    assert [len(read_cells(seeds / "caffe2_tutorials.md", part)) for part in "1456"] == [20, 4, 11, 18]


# ---- MNIST ---------------------------------------------------------------------------------------
def test_mnist_prints_where_its_files_are(mnist: Run, home: Path) -> None:
    notebooks = home / "caffe2_notebooks"
    assert mnist.printed[0] == "Necessities imported!\n"
    assert mnist.printed[1] == (
        "lmdb train db found!\nlmdb test db found!\n"
        f"training data folder:{notebooks}/tutorial_data/mnist\n"
        f"workspace root folder:{notebooks}/tutorial_files/tutorial_mnist\n"
    )


def test_mnist_prints_its_nets(mnist: Run, home: Path) -> None:
    database = f"{home}/caffe2_notebooks/tutorial_data/mnist/mnist-train-nchw-lmdb"
    text = mnist.printed_by("*******train_model.net.Proto()*******")
    train = f"""name: "mnist_train"
op {{
  input: "dbreader_{database}"
  output: "data_uint8"
  output: "label"
  name: ""
  type: "TensorProtosDBInput"
  arg {{
    name: "batch_size"
    i: 64
  }}
}}
op {{
  input: "data_uint8"
  output: "data"
  name: ""
  type: "Cast"
  arg {{
    name: "to"
    i: 1
  }}
}}
op {{
  input: "data"
  output: "data"
"""
    # the tutorial shows the two arguments in the order of a Python 2 dictionary
    init = f"""name: "mnist_train_init"
op {{
  output: "dbreader_{database}"
  name: ""
  type: "CreateDB"
  arg {{
    name: "db"
    s: "{database}"
  }}
  arg {{
    name: "db_type"
    s: "lmdb"
  }}
}}
op {{
  output: "conv1_w"
  name: ""
  type: "XavierFill"
"""
    assert train[:400] in text
    assert init[:400] in text


@pytest.mark.parametrize("which", ["mnist", "mnist_part"])
def test_mnist_learns(which: str, request: pytest.FixtureRequest) -> None:
    names = request.getfixturevalue(which).names
    loss, accuracy = names["loss"], names["accuracy"]
    assert loss[0] == pytest.approx(np.log(10), abs=0.4)
    assert loss[-50:].mean() < 0.35
    assert accuracy[-50:].mean() > 0.88
    assert names["test_accuracy"].shape == (100,)
    assert 0.92 < names["test_accuracy"].mean() < 0.99


def test_mnist_prints_its_progress(mnist: Run) -> None:
    lines = mnist.printed_by("Iter: ").splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Iter: {i}" for i in range(0, 200, 25)]
    assert all(re.fullmatch(r"Iter: \d+, Loss: \d+\.\d+, Accuracy: \d\.\d+", line) for line in lines)


def test_mnist_shows_its_graphs(mnist: Run, mnist_part: Run) -> None:
    for run_ in (mnist, mnist_part):
        assert [png[:8] for png in run_.shown] == [b"\x89PNG\r\n\x1a\n"] * 2


def test_mnist_writes_its_statistics(mnist: Run) -> None:
    folder = Path(mnist.names["root_folder"])
    model = mnist.names["train_model"]
    params = [str(p) for p in model.params]
    grads = [str(model.param_to_grad[p]) for p in model.params]
    assert params == ["conv1_w", "conv1_b", "conv2_w", "conv2_b", "fc3_w", "fc3_b", "pred_w", "pred_b"]
    for name in ("accuracy", "loss", *params, *grads):
        found = [path for path in folder.iterdir() if path.name.startswith(name)]
        assert found, f"no file for {name}"


@pytest.mark.parametrize(("which", "more"), [("mnist", ["relu3", "softmax"]), ("mnist_part", ["softmax"])])
def test_mnist_saves_and_loads(which: str, more: list[str], request: pytest.FixtureRequest) -> None:
    run_ = request.getfixturevalue(which)
    text = run_.printed_by("after reset")
    assert "The blobs in the workspace after reset: []\n" in text
    assert f"The blobs in the workspace after loading the model: {AFTER_LOADING + more}\n" in text
    softmax, labels = run_.names["softmax"], np.asarray(run_.names["blob"])
    assert softmax.shape == (100, 10)
    assert labels.shape == (100, 1, 28, 28)
    assert softmax.sum(1) == pytest.approx(1, abs=1e-5)


def test_mnist_predicts(mnist: Run, shared: Path) -> None:
    text = mnist.printed_by("Prediction: ")
    assert "Shape of softmax:  (100, 10)\n" in text
    predicted = mnist.names["softmax"].argmax(1)
    labels = load_mnist(shared / "mnist", "test").labels[-100:]
    assert (predicted == labels).mean() > 0.85
    assert f"Prediction:  {predicted[0]}\n" in text


def test_mnist_writes_its_nets(mnist_part: Run) -> None:
    folder = Path(mnist_part.names["root_folder"])
    for name in ("train_net", "train_init_net", "test_net", "test_init_net", "deploy_net"):
        assert (folder / f"{name}.pbtxt").read_text().startswith('name: "mnist_')


# ---- part 1: workspaces, operators, nets ---------------------------------------------------------
def test_basics_print_blobs(basics: Run) -> None:
    assert basics.printed[1] == "Current blobs in the workspace: []\nWorkspace has blob 'X'? False\n"
    assert "Current blobs in the workspace: ['X']\nWorkspace has blob 'X'? True\n" in basics.printed[3]
    assert basics.printed[4] == (
        "Current workspace: default\nCurrent blobs in the workspace: ['X']\n"
        "Current workspace: gutentag\nCurrent blobs in the workspace: []\n"
    )


def test_basics_print_operators(basics: Run) -> None:
    assert 'input: "X"\noutput: "Y"\nname: ""\ntype: "Relu"\n' in basics.printed_by("Type of the created op")
    gaussian = basics.printed_by("Content of op")
    wanted = (
        'output: "Z"\nname: ""\ntype: "GaussianFill"\narg {\n  name: "shape"\n  ints: 100\n  ints: 100\n}\n'
    )
    assert wanted in gaussian
    for name in ("mean", "std"):
        assert f'arg {{\n  name: "{name}"\n  f: 1.0\n}}\n' in gaussian


def test_basics_print_blob_references(basics: Run) -> None:
    assert "The blob name is: X\n" in basics.printed_by("Type of X is")
    assert "BlobReference" in basics.printed_by("Type of X is")


def test_basics_run_nets(basics: Run) -> None:
    for text in [t for t in basics.printed if "after execution" in t]:
        assert "Current blobs in the workspace: []\n" in text
        assert "Blobs in the workspace after execution: ['W', 'X', 'Y', 'b']\n" in text
    assert basics.printed[-1].startswith("Run time per RunNetOnce: ")


def test_basics_fill_as_asked(basics: Run) -> None:
    values = basics.names["temp"]
    assert values.shape == (100, 100)
    assert values.mean() == pytest.approx(1, abs=0.06)
    assert values.std() == pytest.approx(1, abs=0.06)


# ---- part 4: operators in Python -----------------------------------------------------------------
def test_python_operators(home: Path, shared: Path) -> None:
    done = run(shared / "seeds" / "caffe2_tutorials.md", "4")
    assert done.printed == ["[6.]\n", "[6.]\n", "[6.]\n", "[2.]\n"]


# ---- part 5: a toy regression --------------------------------------------------------------------
def test_toy_regression_finds_the_line(toy: Run) -> None:
    after = toy.printed_by("After training")
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d*", after)]
    assert numbers[:3] == pytest.approx([2.0, 1.5, 0.5], abs=0.15)
    assert after.endswith("Ground truth W is: [[2.  1.5]]\nGround truth B is: [0.5]\n")
    assert "Before training, B is: [0.]\n" in toy.printed_by("Before training")


def test_toy_regression_keeps_its_history(toy: Run) -> None:
    weights = toy.names["w_history"]
    assert weights.shape == (50, 2)
    assert np.abs(weights[-1] - [2.0, 1.5]).max() < np.abs(weights[0] - [2.0, 1.5]).max()
    assert toy.names["b_history"].shape == (50,) or toy.names["b_history"].shape == (50, 1)
    assert len(toy.shown) == 3
