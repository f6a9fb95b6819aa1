"""`freshpot mnist` on a small data set: what it leaves behind, resuming, being interrupted, wrong use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from conftest import SHARED, needs_shared
from freshpot.cli import main
from freshpot.cli.mnist_job import MnistJob
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


@pytest.mark.parametrize("model", ["lenet", "mlp"])
def test_it_trains_tests_saves_reloads_and_reports(
    model: str, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(digits, tmp_path, "--iters", "40", "--model", model) == 0
    printed = capsys.readouterr().out
    accuracy = float(re.search(r"Test accuracy: ([\d.]+) on 200 images", printed)[1])
    assert accuracy > 0.4  # of 10 classes, after 40 steps
    assert f"Saved mnist_{model}.minidb, reloaded in a fresh workspace" in printed
    assert json.loads((tmp_path / "result.json").read_text())["test_accuracy"] == accuracy
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert ("Feature maps" in page) == (model == "lenet")
    assert not re.search(r'(src|href)="https?:', page), "the report must work offline"


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


def test_resuming_gives_what_one_run_gives(digits: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert job(digits, one, "--iters", "30") == 0
    assert job(digits, two, "--iters", "13") == 0
    assert job(digits, two, "--iters", "30", "--resume") == 0
    straight, resumed = weights(one), weights(two)
    assert straight.keys() == resumed.keys()
    for name, values in straight.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)


def test_interrupting_keeps_a_snapshot_to_go_on_from(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = MnistJob.train

    def interrupted(self: MnistJob, steps: int):  # type: ignore[no-untyped-def]
        for k, numbers in enumerate(train(self, steps)):
            if k == 5:
                raise KeyboardInterrupt
            yield numbers

    monkeypatch.setattr(MnistJob, "train", interrupted)
    assert job(digits, tmp_path, "--iters", "20") == 130
    assert "Interrupted after 6 of 20 steps" in capsys.readouterr().err
    monkeypatch.setattr(MnistJob, "train", train)
    assert job(digits, tmp_path, "--iters", "20", "--resume") == 0
    assert "Resumed after 6 steps" in capsys.readouterr().out


WRONG_USE = {
    "no steps": (["--iters", "0"], "--iters must be at least 1, got 0"),
    "no images": (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
    "no epochs": (["--epochs", "-1"], "--epochs must be more than 0, got -1"),
    "no such device": (["--device", "tpu"], "--device must be cpu, cuda or cuda:N, got 'tpu'"),
    "nothing to resume": (["--iters", "1", "--resume"], "no snapshot to resume from"),
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


def test_a_snapshot_of_another_model_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(digits, tmp_path, "--iters", "1", "--model", "mlp") == 0
    assert job(digits, tmp_path, "--iters", "2", "--resume") == 2
    assert "is of model 'mlp', not 'lenet'" in capsys.readouterr().err


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("length", "least"), [(("--iters", "200"), 0.93), (("--epochs", "5"), 0.985)])
def test_lenet_on_the_real_mnist(length: tuple[str, str], least: float, seed: int, tmp_path: Path) -> None:
    options = ["--data", str(SHARED / "mnist"), "--out", str(tmp_path), "--seed", str(seed), *length]
    assert main(["mnist", *options]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["test_accuracy"] >= least
