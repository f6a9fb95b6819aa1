"""Solvers beside recorded runs of the original: losses, weights, histories, rates, snapshots, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import caffe
from conftest import SHARED, needs_shared
from freshpot.errors import FreshpotError
from freshpot.formats.solverstate import read_solverstate

FOLDER = SHARED / "reference/caffe" if SHARED else None


def cases(name: str) -> list[dict]:
    """Recorded cases, as test parameters."""
    if FOLDER is None:
        return []
    found = json.loads((FOLDER / f"solvers/{name}.json").read_text())
    return found if isinstance(found, list) else [{**c, "net": found["net"]} for c in found["cases"]]


def params(name: str) -> list:
    # without the reference data one case stays, so that the fixture says why it is skipped
    return [pytest.param(c, id=c["id"]) for c in cases(name)] or [pytest.param({"id": "none"}, id="none")]


def make(case: dict, kind: str | None = None) -> caffe.SGDSolver:
    Path("train.prototxt").write_text(case["net"])
    Path("solver.prototxt").write_text(case["solver"])
    solver = getattr(caffe, kind)("solver.prototxt") if kind else caffe.get_solver("solver.prototxt")
    if "init" in case:
        for key, value in np.load(FOLDER / case["init"]).items():
            layer, k = key.rsplit("/", 1)
            if layer in solver.net.params:
                solver.net.params[layer][int(k)].data[...] = value
    return solver


def close(found, wanted, noise: float, what: str) -> None:
    wanted = np.asarray(wanted, np.float64)
    allowed = max(15 * noise, 1e-4 * np.abs(wanted).max())
    assert np.abs(np.asarray(found, np.float64) - wanted).max() <= allowed, what


@needs_shared
@pytest.mark.parametrize("case", params("trajectories"))
def test_trajectory(case, place, request):
    if "mnist/mnist_train_lmdb" in case["net"]:
        (place / "mnist").symlink_to(request.getfixturevalue("mnist_lmdb"))
    solver = make(case)
    assert type(solver).__name__ == case["type"]
    losses = {name: [] for name in case["losses"]}
    for rate in case["lr"]:
        assert solver.lr == pytest.approx(rate, rel=1e-6)
        solver.step(1)
        for name, values in losses.items():
            values.append(float(solver.net.blobs[name].data))
    noise, z = case["noise"], np.load(FOLDER / "solvers/trajectories.npz")
    assert solver.iter == case["iter"]
    for name, values in losses.items():
        close(values, case["losses"][name], noise[f"losses/{name}"], name)
        close(values[:10], case["losses"][name][:10], noise[f"losses/{name}/first10"], f"{name}, first ten")
    for key in (k for k in z.files if k.startswith(f"{case['id']}/final/")):
        layer, k = key.split("/final/")[1].rsplit("/", 1)
        close(solver.net.params[layer][int(k)].data, z[key], noise[f"final/{layer}/{k}"], key)
    if "solverstate" not in case:
        return
    solver.snapshot()
    state = read_solverstate(f"snap_iter_{case['iter']}.solverstate")
    wanted = case["solverstate"]
    assert (state.iteration, state.learned_net, state.current_step) == (
        wanted["iter"],
        wanted["learned_net"],
        wanted["current_step"],
    )
    assert [list(h.shape) for h in state.history] == wanted["history_shapes"]
    for i, found in enumerate(state.history):
        close(found, z[f"{case['id']}/history/{i}"], noise[f"history/{i}"], f"history {i}")


@needs_shared
@pytest.mark.parametrize("case", params("lr_policies"))
def test_learning_rates(case, place):
    solver = make(case)
    for iteration, rate in case["lr"]:
        solver.step(iteration - solver.iter)
        assert solver.lr == pytest.approx(rate, rel=1e-6, abs=1e-45), iteration


@needs_shared
@pytest.mark.parametrize("case", params("snapshot_restore"))
def test_snapshot_and_restore_are_exact(case, place):
    solver = make(case)
    losses = []
    for rate in case["lr"]:
        assert solver.lr == pytest.approx(rate, rel=1e-6)
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    close(losses, case["losses"], 1e-5, "losses")
    assert sorted(p.name for p in place.glob("snap_*")) == case["files"]
    again = caffe.get_solver("solver.prototxt")
    again.restore(case["restored_from"])
    assert again.iter == case["iter_after_restore"]
    rest = []
    for rate in case["lr_after_restore"]:
        assert again.lr == pytest.approx(rate, rel=1e-6)
        again.step(1)
        rest.append(float(again.net.blobs["loss"].data))
    assert rest == losses[again.iter - len(rest) :]
    for name, blobs in solver.net.params.items():
        for mine, other in zip(blobs, again.net.params[name], strict=True):
            np.testing.assert_array_equal(mine.data, other.data)


@needs_shared
@pytest.mark.parametrize("case", params("solver_files"))
def test_solver_file(case, place):
    (place / "snapdir").mkdir()
    if case.get("aborts"):
        with pytest.raises(FreshpotError):
            make(case).solve()
        return
    solver = make(case)
    assert type(solver).__name__ == case["python_type"]
    assert len(solver.test_nets) == case["test_nets"]
    before = set(place.rglob("*"))
    solver.solve()
    assert solver.iter == case["iter"]
    assert sorted(str(p.relative_to(place)) for p in set(place.rglob("*")) - before) == case["new_files"]


@needs_shared
def test_training_loop_in_python(place, mnist_lmdb):
    case = cases("loops")[0]
    (place / "mnist").symlink_to(mnist_lmdb)
    Path("loop_train.prototxt").write_text(case["train"])
    Path("loop_test.prototxt").write_text(case["test"])
    Path("loop_solver.prototxt").write_text(case["solver"])
    solver = caffe.SGDSolver("loop_solver.prototxt")
    for key, value in np.load(FOLDER / case["init"]).items():
        layer, k = key.rsplit("/", 1)
        for net in (solver.net, *solver.test_nets):
            net.params[layer][int(k)].data[...] = value
    assert [[k, list(v.data.shape)] for k, v in solver.net.blobs.items()] == case["blobs"]
    assert [[k, list(v[0].data.shape)] for k, v in solver.net.params.items()] == case["params"]
    solver.net.forward()
    solver.test_nets[0].forward()
    assert solver.net.blobs["label"].data[:8].tolist() == case["train_labels"]
    assert solver.test_nets[0].blobs["label"].data[:8].tolist() == case["test_labels"]
    solver.step(1)
    assert float(solver.net.blobs["loss"].data) == pytest.approx(case["first_loss"], abs=1e-5)
    z = np.load(FOLDER / "solvers/loops.npz")
    close(solver.net.params["conv1"][0].diff, z["lenet_loop/first_diff"], 1e-7, "diff after the update")
    losses, correct, scores = [], [], []
    for it in range(60):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
        solver.test_nets[0].forward(start="conv1")
        scores.append(solver.test_nets[0].blobs["score"].data[:8].copy())
        if it % 20 == 0:
            right = 0
            for _ in range(10):
                solver.test_nets[0].forward()
                blobs = solver.test_nets[0].blobs
                right += int((blobs["score"].data.argmax(1) == blobs["label"].data).sum())
            correct.append([it, right, 1000])
    close(losses, case["losses"], 2e-3, "losses")
    close(scores[:10], z["lenet_loop/score"][:10], 1e-4, "scores")
    for found, wanted in zip(correct, case["correct"], strict=True):
        assert abs(found[1] - wanted[1]) <= 5
    assert solver.iter == case["iter"]


_IN_ONE_GO = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 8 dim: 2 dim: 6 dim: 6 } shape { dim: 8 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { name: "w" } param { lr_mult: 0 }
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "half" type: "Pooling" bottom: "conv" top: "half" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "again" type: "Convolution" bottom: "half" top: "again" param { name: "w" } param { lr_mult: 2 }
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "again" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 0.5 }
layer { name: "other" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "other" }
"""


def test_an_iteration_in_one_go_is_that_of_passes_called_for_themselves(place):
    """With a weight that two layers share, one that does not learn, and shapes that change on the way."""
    Path("net.prototxt").write_text(_IN_ONE_GO)
    Path("solver.prototxt").write_text(
        'train_net: "net.prototxt" base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 lr_policy: "inv" gamma: 0.1 '
        'power: 0.75 average_loss: 3 random_seed: 5 snapshot_after_train: false type: "SGD"'
    )
    found = []
    for apart in (False, True):
        solver = caffe.get_solver("solver.prototxt")
        losses, kept = [], solver.net.params["ip"][0].diff
        for iteration in range(9):
            if iteration == 6:
                solver.net.blobs["data"].reshape(3, 2, 8, 6)
                solver.net.blobs["label"].reshape(3)
            if apart:
                for blob in (b for blobs in solver.net.params.values() for b in blobs):
                    blob.diff[...] = 0
                losses.append(solver.net.forward()["loss"].item())
                solver.net.backward()
                solver.apply_update()
            else:
                solver.step(1)
                losses.append(solver.net.blobs["loss"].data.item())
        assert kept.any()
        assert np.shares_memory(kept, solver.net.params["ip"][0].diff)
        values = [
            getattr(b, w).copy() for bs in solver.net.params.values() for b in bs for w in ("data", "diff")
        ]
        found.append((losses, values))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)
