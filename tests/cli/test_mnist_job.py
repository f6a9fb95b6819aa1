"""`freshpot mnist` on a small data set: what it leaves behind, resuming, being interrupted, wrong use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SHARED, needs_shared
from freshpot.cli import main
from freshpot.cli._mnist import DIALECTS, job_class
from freshpot.data.synthetic import make_digits
from freshpot.formats.idx import write_idx


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 640 training and 200 test images as MNIST's files."""
    folder = tmp_path_factory.mktemp("digits")
    for split, stem, count in (("train", "train", 640), ("test", "t10k", 200)):
        images, labels = make_digits(count, split=split, seed=0)
        write_idx(folder / f"{stem}-images-idx3-ubyte", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def job(digits: Path, out: Path, *more: str) -> int:
    return main(["mnist", "--data", str(digits), "--out", str(out), "--batch-size", "32", *more])


SAVED = {
    "caffe2": ["mnist_lenet.minidb"],
    "caffe": ["lenet.caffemodel", "lenet_deploy.prototxt", "lenet_solver.prototxt"],
    "paddle": ["lenet.pdparams"],
    "torch": ["lenet.pth"],
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_trains_tests_saves_reloads_and_reports(
    dialect: str, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(digits, tmp_path, "--iters", "40", "--dialect", dialect) == 0
    printed = capsys.readouterr().out
    accuracy = float(re.search(r"Test accuracy: ([\d.]+) on 200 images", printed)[1])
    assert accuracy > 0.4  # of 10 classes, after 40 steps
    assert f"Saved {SAVED[dialect][0]}, reloaded by itself" in printed
    assert all((tmp_path / name).is_file() for name in SAVED[dialect])
    numbers = json.loads((tmp_path / "result.json").read_text())
    assert (numbers["dialect"], numbers["test_accuracy"]) == (dialect, accuracy)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"through the {job_class(dialect).title} door" in page
    assert "431,080" in page  # Caffe's LeNet
    for part in ("Learning", "Digits", "One digit, one answer", "Feature maps", "Mistakes", "Numbers"):
        assert part in page
    assert ("The net</h2>" in page) == (dialect != "paddle")  # whose door has no graph
    assert not re.search(r'(src|href)="https?:', page), "the report must work offline"


def test_an_mlp(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert job(digits, tmp_path, "--iters", "40", "--model", "mlp") == 0
    assert "Saved mnist_mlp.minidb" in capsys.readouterr().out
    assert "Feature maps" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_all_of_them(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, then side by side; what has a snapshot goes on from it."""
    assert job(digits, tmp_path / "caffe", "--iters", "2", "--dialect", "caffe") == 0
    capsys.readouterr()
    assert job(digits, tmp_path, "--iters", "3", "--dialect", "all", "--resume") == 0
    printed = capsys.readouterr().out
    assert printed.count("starting anew") == 3
    assert "Resumed after 2 steps" in printed
    rows = re.findall(r"^(\w+) +([\d.]+) +[\d.]+ +(\d+)  (.*)$", printed, flags=re.M)
    assert [row[0] for row in rows] == list(DIALECTS)
    for dialect, accuracy, pace, saved in rows:
        assert saved == str((tmp_path / dialect).resolve() / SAVED[dialect][0])
        numbers = json.loads((tmp_path / dialect / "result.json").read_text())
        assert numbers["test_accuracy"] == float(accuracy)
        assert numbers["steps"] == 3
        assert int(pace) > 0


def learnt(dialect: str, out: Path) -> dict[str, np.ndarray]:
    """The parameters in a snapshot, by its door's own reader."""
    if dialect == "caffe2":
        return weights(out)
    if dialect == "caffe":
        import caffe

        (path,) = out.glob("snapshot_iter_*.caffemodel")  # older ones are gone
        net = caffe.Net(str(out / "lenet_deploy.prototxt"), str(path), caffe.TEST)
        return {
            f"{name} {i}": b.data.copy() for name, blobs in net.params.items() for i, b in enumerate(blobs)
        }
    if dialect == "paddle":
        from freshpot import paddle

        return {
            name: np.asarray(value) for name, value in paddle.load(str(out / "snapshot.pdparams")).items()
        }
    import torch

    return {name: value.numpy() for name, value in torch.load(out / "snapshot.pth")["net"].items()}


def weights(out: Path) -> dict[str, np.ndarray]:
    """The parameters in a snapshot."""
    from caffe2.python import core, workspace

    names = json.loads((out / "snapshot.json").read_text())["blobs"]
    workspace.SwitchWorkspace("reading", True)
    workspace.RunOperatorOnce(
        core.CreateOperator(
            "Load", [], names, absolute_path=1, db=str(out / "snapshot.minidb"), db_type="minidb"
        )
    )
    found = {name: workspace.FetchBlob(name) for name in names}
    workspace.ResetWorkspace()
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_resuming_gives_what_one_run_gives(dialect: str, digits: Path, tmp_path: Path) -> None:
    """Also across the end of an epoch, which has 20 steps."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert job(digits, one, "--iters", "30", "--dialect", dialect) == 0
    assert job(digits, two, "--iters", "13", "--dialect", dialect) == 0
    assert job(digits, two, "--iters", "30", "--resume", "--dialect", dialect) == 0
    straight, resumed = learnt(dialect, one), learnt(dialect, two)
    assert len(straight) >= 8
    assert straight.keys() == resumed.keys()
    for name, values in straight.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_interrupting_keeps_a_snapshot_to_go_on_from(
    dialect: str,
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kind = job_class(dialect)
    train = kind.train

    def interrupted(self: Any, steps: int, on_step: Any) -> None:
        def step(loss: float, accuracy: float) -> None:
            if self.history.steps == 6:
                raise KeyboardInterrupt
            on_step(loss, accuracy)

        train(self, steps, step)

    monkeypatch.setattr(kind, "train", interrupted)
    assert job(digits, tmp_path, "--iters", "20", "--dialect", dialect) == 130
    assert "Interrupted after 6 of 20 steps" in capsys.readouterr().err
    monkeypatch.setattr(kind, "train", train)
    assert job(digits, tmp_path, "--iters", "20", "--resume", "--dialect", dialect) == 0
    assert "Resumed after 6 steps" in capsys.readouterr().out


def test_interrupting_all_ends_all(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is done by then is shown."""

    def interrupted(self: Any, steps: int, on_step: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job_class("caffe"), "train", interrupted)
    assert job(digits, tmp_path, "--iters", "2", "--dialect", "all") == 130
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +\d+  ", out, flags=re.M) == ["caffe2"]
    assert not (tmp_path / "torch").exists()


WRONG_USE = {
    "no steps": (["--iters", "0"], "--iters must be at least 1, got 0"),
    "no images": (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
    "no epochs": (["--epochs", "-1"], "--epochs must be more than 0, got -1"),
    "no such device": (["--device", "tpu"], "--device must be cpu, cuda or cuda:N, got 'tpu'"),
    "nothing to resume": (["--iters", "1", "--resume"], "no snapshot to resume from"),
    **{
        f"nothing to resume, {name}": (
            ["--iters", "1", "--resume", "--dialect", name],
            "no snapshot to resume from",
        )
        for name in ("caffe", "paddle", "torch", "all")
    },
    **{
        f"no such GPU, {name}": (
            ["--device", "cuda:77", "--dialect", name],
            "GPU 77 was asked for, and PyTorch has no",
        )
        for name in (*DIALECTS, "all")
    },
    "no number of epochs": (["--epochs", "nan"], "--epochs must be more than 0, got nan"),
    "no end of epochs": (["--epochs", "inf"], "--epochs must be more than 0, got inf"),
    "more images than there are": (
        ["--batch-size", "641"],
        "--batch-size 641: there are 640 training images",
    ),
    "a seed below 0": (["--seed", "-1"], "--seed must be from 0 to 2147483647, got -1"),
    "a seed too large": (["--seed", "2147483648"], "--seed must be from 0 to 2147483647, got 2147483648"),
    "no MNIST there": (["--data", "nowhere"], "no such folder: nowhere"),
    "an MLP elsewhere": (
        ["--dialect", "torch", "--model", "mlp"],
        "through the Caffe2 door only, not through torch",
    ),
    "an MLP everywhere": (
        ["--dialect", "all", "--model", "mlp"],
        "through the Caffe2 door only, not through caffe",
    ),
}


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_said_in_one_line(
    name: str, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words = WRONG_USE[name]
    assert job(digits, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("words", ["is no folder", "is not writable"])
def test_an_output_folder_that_cannot_be(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before data are loaded."""
    (tmp_path / "file").touch()
    place = tmp_path / "file" if words == "is no folder" else tmp_path
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["mnist", "--data", "nowhere", "--out", str(place / "out")]) == 2
    assert capsys.readouterr().err == f"freshpot: --out {place / 'out'}: {place} {words}.\n"


def test_part_of_an_epoch_is_a_step_or_more(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(digits, tmp_path, "--epochs", "0.0001") == 0
    assert "Trained 1 steps" in capsys.readouterr().out


@pytest.mark.parametrize("dialect", DIALECTS)
def test_interrupting_after_the_training(
    dialect: str,
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job_class(dialect), "test", interrupted)
        assert job(digits, tmp_path, "--iters", "2", "--dialect", dialect) == 130
    assert "Interrupted after the training, whose snapshot is kept" in capsys.readouterr().err
    assert job(digits, tmp_path, "--iters", "2", "--resume", "--dialect", dialect) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<span>test accuracy</span>" in page
    assert "<span>training</span>" not in page  # nothing was trained in this run
    assert job(digits, tmp_path, "--iters", "3", "--resume", "--dialect", dialect) == 0
    assert "<span>for the last 1 of 3 steps</span>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_snapshot_of_another_model_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(digits, tmp_path, "--iters", "1", "--model", "mlp") == 0
    assert job(digits, tmp_path, "--iters", "2", "--resume") == 2
    assert "is of model 'mlp', not 'lenet'" in capsys.readouterr().err


def test_a_snapshot_of_another_dialect_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(digits, tmp_path, "--iters", "1", "--dialect", "torch") == 0
    assert job(digits, tmp_path, "--iters", "2", "--resume", "--dialect", "paddle") == 2
    assert "is of dialect 'torch', not 'paddle'" in capsys.readouterr().err


DAMAGE = {
    "torch": ("snapshot.pth", "snapshot.pth: cannot be read as a PyTorch file"),
    "paddle": ("snapshot.pdparams", "snapshot.pdparams"),
    "caffe": ("snapshot_iter_1.solverstate", "snapshot_iter_1.solverstate"),
    "caffe2": ("snapshot.minidb", "snapshot.minidb"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_damaged_snapshots(
    dialect: str, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file of it: cut off, then gone; each in one line that names the file."""
    name, words = DAMAGE[dialect]
    options = ["--dialect", dialect, "--iters"]
    assert job(digits, tmp_path, *options, "1") == 0
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert job(digits, tmp_path, *options, "2", "--resume") == 2
    (tmp_path / name).unlink()
    assert job(digits, tmp_path, *options, "2", "--resume") == 2
    cut, gone = capsys.readouterr().err.strip().splitlines()
    assert words in cut
    assert "is not complete" in gone
    assert name in gone
    (tmp_path / "snapshot.json").write_text('{"model": "lenet"}')
    assert job(digits, tmp_path, *options, "2", "--resume") == 2
    assert "not a snapshot description" in capsys.readouterr().err


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("dialect", ["caffe", "paddle", "torch"])
def test_other_doors_on_the_real_mnist(dialect: str, tmp_path: Path) -> None:
    options = ["--data", str(SHARED / "mnist"), "--out", str(tmp_path), "--dialect", dialect, "--epochs", "2"]
    assert main(["mnist", *options]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["test_accuracy"] >= 0.975


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("length", "least"), [(("--iters", "200"), 0.93), (("--epochs", "5"), 0.985)])
def test_lenet_on_the_real_mnist(length: tuple[str, str], least: float, seed: int, tmp_path: Path) -> None:
    options = ["--data", str(SHARED / "mnist"), "--out", str(tmp_path), "--seed", str(seed), *length]
    assert main(["mnist", *options]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["test_accuracy"] >= least


@pytest.mark.parametrize("quicker", [True, False])
def test_two_at_once_share_what_is_kept(
    quicker: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one writes the database, another finishes it: that one is taken, and nothing half made stays."""
    from freshpot.cli._mnist import data
    from freshpot.data.mnist import load_mnist

    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path))
    split = load_mnist("synthetic", "test", limit=3)
    wanted = data.idx_folder(split)
    names = sorted(path.name for path in wanted.iterdir())
    kept = wanted.rename(tmp_path / "kept")

    def write(path: Path, array: np.ndarray) -> None:
        if quicker and not wanted.exists():
            kept.rename(wanted)
        if not quicker:
            raise OSError(28, "No space left on device")
        path.write_bytes(b"half")

    monkeypatch.setattr(data, "write_idx", write)
    if quicker:
        assert data.idx_folder(split) == wanted
        assert sorted(path.name for path in wanted.iterdir()) == names
    else:
        with pytest.raises(OSError, match="No space left"):
            data.idx_folder(split)
    assert not list(wanted.parent.glob(".*"))
