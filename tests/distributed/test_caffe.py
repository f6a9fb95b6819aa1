"""Caffe's solvers in several processes: ``caffe train -gpu 0,1``, and the names that programs use themselves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from feeding import data_layer, datum, pictures, put
from several import in_processes

import caffe
from caffe._cli import main
from freshpot.distributed import launch
from freshpot.errors import ArgumentError, DistributedError

NET = """
layer {{ {data} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }}
"""
SOLVER = """
net: "{net}" base_lr: 0.001 momentum: 0.9 lr_policy: "fixed" display: 2 max_iter: {iters} random_seed: 3
test_iter: 2 test_interval: 3 snapshot_prefix: "{prefix}" snapshot: {snapshot}
"""
#: images in the database: no multiple of what two solvers take in an iteration
COUNT = 13


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    put("images", [datum(image, i % 3) for i, image in enumerate(pictures(COUNT, (1, 4, 4)))])
    return tmp_path


def write(prefix: str, batch: int, iters: int = 5, snapshot: int = 0) -> str:
    """A solver file."""
    layer = data_layer("images", batch, "scale: 0.00390625")
    inside = layer[layer.index("{") + 1 : layer.rindex("}")]
    Path(f"{prefix}_net").write_text(NET.format(data=inside))
    text = SOLVER.format(net=f"{prefix}_net", prefix=prefix, iters=iters, snapshot=snapshot)
    Path(f"{prefix}_solver").write_text(text)
    return f"{prefix}_solver"


def weights(prefix: str, iters: int = 5) -> list[np.ndarray]:
    net = caffe.Net(f"{prefix}_net", f"{prefix}_iter_{iters}.caffemodel", caffe.TEST)
    return [blob.data.copy() for blob in net.params["fc"]]


def outputs(log: str) -> list[str]:
    return re.findall(r"Iteration \d+, Testing.*|Test net output.*|Snapshotting to.*proto", log)


def test_two_solvers_train_as_one_with_twice_the_batch(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"--solver={write('one', 4)}", "--noprogress"]) == 0
    alone = capfd.readouterr().err
    assert main(["train", f"--solver={write('two', 2)}", "--noprogress", "-gpu", "0,1"]) == 0
    together = capfd.readouterr().err
    assert "Using GPUs 0, 1" in together
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    for one, two in zip(weights("one"), weights("two"), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7)
    # rank 0 alone tests, displays and snapshots; the test net's batches are smaller, so only their number is alike
    assert len(outputs(together)) == len(outputs(alone)) > 4
    assert together.count("Optimization Done.") == alone.count("Optimization Done.")


def test_programs_that_start_the_solvers_themselves() -> None:
    main(["train", f"--solver={write('one', 4)}", "--noprogress"])
    uid = caffe.NCCL.new_uid()
    assert isinstance(uid, bytes)
    program = Path(__file__).with_name("solver.py")
    first, second = in_processes(program, 2, write("two", 2), uid.decode())
    assert first == second
    assert first[2] == 5
    np.testing.assert_allclose(np.array(first[0], "f"), weights("one")[0], rtol=1e-5, atol=1e-7)


@pytest.fixture
def training() -> Iterator[subprocess.Popen[str]]:
    """Two solvers that go on for long, past their first iterations."""
    command = [
        sys.executable,
        "-m",
        "caffe._cli",
        "train",
        f"--solver={write('two', 2, iters=10**8)}",
        "-gpu",
        "0,1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "Iteration 2 " in line:
                break
        yield process
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def test_a_stop_stops_all_at_one_iteration(training: subprocess.Popen[str]) -> None:
    assert training.stderr is not None
    training.send_signal(signal.SIGINT)
    rest = training.stderr.read()
    assert training.wait(300) == 0, rest
    assert "Optimization stopped early." in rest
    (iteration,) = re.findall(r"Snapshotting to binary proto file two_iter_(\d+).caffemodel", rest)
    assert np.isfinite(weights("two", int(iteration))[0]).all()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the other solver's process in /proc")
def test_a_solver_that_is_lost_ends_the_training(training: subprocess.Popen[str]) -> None:
    assert training.stderr is not None
    (other,) = map(int, Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split())
    os.kill(other, signal.SIGKILL)
    rest = training.stderr.read()
    assert training.wait(300) == 134  # long before the day has passed that solvers wait for each other
    assert "group 'caffe train', process 0 of 2: " in rest


def test_a_solver_that_does_not_come_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with (
        pytest.raises(DistributedError, match="group 'g': process 1 of 2 ended with status 3"),
        launch.with_others("g", command, 2, 60),
    ):
        pytest.fail("it did not come")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["-gpu", "1,1"], "-gpu 1,1: name each GPU once."),
        (["-gpu", "1,x"], "-gpu takes numbers separated by commas"),
    ],
)
def test_gpus_that_cannot_be(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"--solver={write('one', 4)}", *words]) == 134
    assert error in capsys.readouterr().err


def test_a_uid_that_is_none() -> None:
    solver = caffe.SGDSolver(write("one", 4))
    with pytest.raises(ArgumentError, match=r"call caffe\.NCCL\.new_uid\(\) once"):
        caffe.NCCL(solver, "anything")
    with pytest.raises(TypeError, match="takes two functions"):
        solver.add_callback(lambda: None)
