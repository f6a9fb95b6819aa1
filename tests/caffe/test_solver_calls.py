"""What programs do with solvers: callbacks, sharing, rates, tests, resuming, threads; memory and killed writers."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import _log
from freshpot.formats import caffemodel
from freshpot.formats.solverstate import read_solverstate

NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 8 dim: 6 } shape { dim: 8 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "h"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "drop" type: "Dropout" bottom: "h" top: "h" }
layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = (
    'train_net: "net.prototxt" base_lr: 0.05 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed" '
    'snapshot_prefix: "s" random_seed: 7 max_iter: 20\n'
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder with a small net."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    return tmp_path


def solver(text: str = "") -> caffe.SGDSolver:
    Path("solver.prototxt").write_text(SOLVER + text)
    return caffe.get_solver("solver.prototxt")


def weights(made: caffe.SGDSolver) -> list[np.ndarray]:
    return [blob.data.copy() for blobs in made.net.params.values() for blob in blobs]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


KINDS = ['type: "SGD"', 'type: "Nesterov"', 'type: "Adam"', 'type: "AdaDelta" delta: 1e-6']


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "iter_size: 2", "clip_gradients: 0.1", 'regularization_type: "L1"'])
def test_layers_run_together_give_what_they_give_singly(kind, text):
    together = solver(f"{kind} {text}")
    together.step(6)
    singly = solver(f"{kind} {text}")
    for watch in ("before_forward", "after_backward"):
        getattr(singly.net, watch)(lambda i: None)
    singly.step(6)
    assert same(weights(together), weights(singly))


def test_callbacks_see_cleared_then_full_gradients():
    made, seen = solver(), []

    def note() -> None:
        seen.append((made.iter, float(np.abs(made.net.params["ip1"][0].diff).sum()) > 0))

    made.add_callback(note, note)
    made.step(2)
    assert seen == [(0, False), (0, True), (1, False), (1, True)]
    plain = solver()
    plain.step(2)
    assert same(weights(made), weights(plain))


def test_a_step_by_hand_is_a_step():
    whole = solver()
    whole.step(1)
    by_hand = solver()
    by_hand.net.clear_param_diffs()
    by_hand.net.forward()
    by_hand.net.backward()
    by_hand.apply_update()
    assert by_hand.iter == 1
    assert same(weights(whole), weights(by_hand))


def test_diffs_are_the_steps():
    made = solver()
    before = weights(made)
    made.step(1)
    diffs = [blob.diff for blobs in made.net.params.values() for blob in blobs]
    for old, new, step in zip(before, weights(made), diffs, strict=True):
        np.testing.assert_array_equal(old - step, new)


def test_rate_can_be_set():
    made = solver()
    assert (made.param.max_iter, made.param.display, made.param.layer_wise_reduce) == (20, 0, True)
    made.param.base_lr = 0.0
    before = weights(made)
    assert made.lr == 0.0
    made.step(2)
    assert same(before, weights(made))


def test_shared_weights_follow():
    made = solver()
    other = caffe.Net("net.prototxt", caffe.TEST)
    made.share_weights(other)
    made.step(2)
    assert same(weights(made), [blob.data for blobs in other.params.values() for blob in blobs])


def test_several_test_nets(capsys, monkeypatch):
    monkeypatch.setattr(_log, "level", _log.INFO)
    net = NET.replace('name: "small"', "")
    made = solver(
        'test_net: "net.prototxt" test_net: "net.prototxt" test_iter: 2 test_iter: 3 test_interval: 2 '
        f"test_initialization: false test_compute_loss: true test_net_param {{ {net} }} test_iter: 1"
    )
    assert len(made.test_nets) == 3
    made.step(3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", ")[2] for line in lines if "Testing net" in line] == [
        f"Testing net (#{i})" for i in range(3)
    ]
    assert sum("Test loss: " in line for line in lines) == 3
    assert same(weights(made)[:1], [made.test_nets[2].params["ip1"][0].data])


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_in_parts_is_training_in_one_go(kind, form):
    """Also with dropout and random data: the state of the random numbers is kept."""
    whole = solver(f"{kind} snapshot: 10 snapshot_format: {form}")
    whole.solve()
    again = solver(f"{kind} snapshot: 10 snapshot_format: {form}")
    again.solve("s_iter_10.solverstate" + (".h5" if form == "HDF5" else ""))
    assert again.iter == 20
    assert same(weights(whole), weights(again))


def test_data_go_on_where_they_were(shared):
    """More batches than fit the database a whole number of times, with and without random crops."""
    source = shared / "reference/caffe/files/mnist_200_lmdb"
    for transform in ("", "mirror: true crop_size: 20"):
        data = f"""layer {{ name: "data" type: "Data" top: "x" top: "label"
          transform_param {{ scale: 0.004 {transform} }}
          data_param {{ source: "{source}" batch_size: 30 backend: LMDB }} }}
        layer {{ name: "t" type: "Reshape" bottom: "label" top: "t" reshape_param {{ shape {{ dim: -1 dim: 1 }} }} }}"""
        head, tail = NET.index("layer"), NET.index('layer { name: "ip1"')
        text = NET[:head] + data + NET[tail:].replace("num_output: 3", "num_output: 1")
        Path("net.prototxt").write_text(text)
        whole = solver("snapshot: 9")
        whole.step(13)
        again = solver()
        again.restore("s_iter_9.solverstate")
        again.step(4)
        np.testing.assert_array_equal(whole.net.blobs["label"].data, again.net.blobs["label"].data)
        assert same(weights(whole), weights(again))


def test_snapshots_with_gradients():
    made = solver("snapshot_diff: true")
    made.step(1)
    made.snapshot()
    net = caffemodel.read_binary_net("s_iter_1.caffemodel")
    layer = next(layer for layer in net.layer if layer.name == "ip1")
    np.testing.assert_array_equal(
        np.reshape(layer.blobs[0].diff, (5, 6)).astype(np.float32), made.net.params["ip1"][0].diff
    )


def test_solvers_run_in_any_thread():
    expected = solver()
    expected.step(5)
    results: list[list[np.ndarray]] = []

    def train() -> None:
        made = solver()
        made.step(5)
        results.append(weights(made))

    for _ in range(3):  # one after the other: the seed is the process's, as in the original
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    assert len(results) == 3
    assert all(same(weights(expected), found) for found in results)


# ---- slow -----------------------------------------------------------------------------------------


def resident() -> int:
    """Kilobytes of memory in use."""
    gc.collect()
    if os.path.exists("/proc/self/statm"):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.slow
def test_memory_is_flat_over_steps():
    made = solver()
    made.step(1)
    for _ in range(2000):
        made.step(1)
    before = resident()
    for _ in range(20_000):
        made.step(1)
    assert resident() - before < 4096


@pytest.mark.slow
def test_memory_is_flat_over_reshapes():
    text = NET[: NET.index("layer")] + (
        'layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 8 dim: 6 } '
        "shape { dim: 8 dim: 3 } } }" + NET[NET.index('layer { name: "ip1"') :]
    )
    Path("net.prototxt").write_text(text)
    net = caffe.Net("net.prototxt", caffe.TRAIN)

    def run(count: int) -> None:
        for i in range(count):
            for name in ("x", "t"):
                net.blobs[name].reshape(4 + i % 50, net.blobs[name].data.shape[1])
            net.reshape()
            net.forward()
            net.backward()

    run(200)
    before = resident()
    run(2000)
    assert resident() - before < 4096


WRITER = """
import sys
import caffe
solver = caffe.get_solver("solver.prototxt")
solver.step(1)
print("ready", flush=True)
while True:
    solver.snapshot()
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_killed_while_it_snapshots(form, place):
    """25 times each: both files are whole, or not there; a state never comes without its weights."""
    wide = NET.replace("num_output: 5", "num_output: 20000")
    Path("net.prototxt").write_text(wide)
    Path("solver.prototxt").write_text(SOLVER + f"snapshot_format: {form}")
    ending = ".h5" if form == "HDF5" else ""
    dice = random.Random(1)
    for _ in range(25):
        process = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        made = caffe.get_solver("solver.prototxt")
        state, model = (place / f"s_iter_1.{word}{ending}" for word in ("solverstate", "caffemodel"))
        if state.exists():
            assert read_solverstate(state).iteration == 1
            made.restore(state)
        elif model.exists():
            made.net.copy_from(model)
        for path in place.glob("*s_iter_1*"):
            path.unlink()
