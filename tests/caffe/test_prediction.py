"""Nets in the test phase join operators: every blob still reads as layer by layer, and all may be changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe
from freshpot.engine.blocked import choice
from freshpot.native import pace
from freshpot.native.machine import lanes

_NET = """
name: "blocks"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.3 }
    bias_filler { type: "constant" value: 0.2 } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true
    filler { type: "uniform" min: 0.5 max: 2 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "relu2" }
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "relu2" top: "sum" }
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "left" type: "Convolution" bottom: "sum" top: "left"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "right" type: "Convolution" bottom: "sum" top: "right"
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "last" type: "Convolution" bottom: "both" top: "last"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "fc" type: "InnerProduct" bottom: "last" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


#: runs after which a net runs in blocks of channels
RUNS = 12


@pytest.fixture(params=["operators", "blocks"])
def nets(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[caffe.Net, caffe.Net]:
    """Two nets with the same parameters: one joins operators, or runs in blocks, one does not."""
    path = tmp_path / "net.prototxt"
    path.write_text(_NET)
    joined, single = (caffe.Net(str(path), caffe.TEST) for _ in range(2))
    rng = np.random.default_rng(0)
    for name, blobs in joined.params.items():
        for k, blob in enumerate(blobs):
            if name == "bn1":
                blob.data[...] = rng.random(blob.data.shape) + 0.5
            single.params[name][k].data[...] = blob.data
    single.after_forward(lambda layer: None)  # somebody who looks between layers
    if request.param == "blocks":
        if not lanes():
            pytest.skip("no machine code on this processor, or no llvmlite")
        monkeypatch.setattr(pace, "is_time", lambda: True)
        monkeypatch.setattr(choice, "choose", lambda job, ways: "blocks")
        for _ in range(RUNS):
            joined.forward(data=images(99))
        assert plan_of(joined)._now._later is not None
    return joined, single


def plan_of(net: caffe.Net) -> Any:
    """The plan of its forward pass."""
    forward = net._net._forwards[0, len(net.layers) - 1]
    return forward._stretches[-1].plan


def images(seed: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, 8, 8)).astype(np.float32)


def same(joined: caffe.Net, single: caffe.Net) -> None:
    """Every blob of the two nets is the same."""
    for name in joined.blobs:
        found, wanted = joined.blobs[name].data, single.blobs[name].data
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5, err_msg=name)


def test_every_blob_is_as_layer_by_layer(nets: tuple[caffe.Net, caffe.Net]) -> None:
    for seed in range(3):
        for net in nets:
            net.forward(data=images(seed))
        same(*nets)


def test_blobs_that_are_looked_at_late_are_of_the_last_run(nets: tuple[caffe.Net, caffe.Net]) -> None:
    for seed in range(3):
        for net in nets:
            net.forward(data=images(seed))
            net.blobs["data"].data[...] = 7  # too late for this run
            net.params["conv2"][0].data[...] *= 1.5
            net.params["last"][0].data[...] *= 0.5
    same(*nets)


@pytest.mark.parametrize("name", ["data", "conv1", "conv2", "relu2", "sum", "left", "right", "both"])
def test_a_blob_that_is_written_to_is_read(name: str, nets: tuple[caffe.Net, caffe.Net]) -> None:
    reader = {"conv1": "conv2", "conv2": "relu2", "relu2": "sum", "sum": "left", "both": "last"}
    start = reader.get(name, "both" if name != "data" else "conv1")
    for seed in range(2):
        for net in nets:
            net.forward(data=images(seed))
            net.blobs[name].data[0] = 0.25
            net.forward(start=start)
        same(*nets)


def test_layers_in_place_run_again_on_what_is_there(nets: tuple[caffe.Net, caffe.Net]) -> None:
    for net in nets:
        net.forward(data=images(1))
        net.forward(data=images(2))
        net.forward(start="scale1", end="relu1")  # scales what was scaled before
    same(*nets)


def test_a_pass_to_a_layer_shows_that_layer(nets: tuple[caffe.Net, caffe.Net]) -> None:
    for net in nets:
        net.forward(data=images(1))
        net.forward(end="bn1", data=images(2))
    same(*nets)


@pytest.mark.parametrize("layer", ["conv1", "bn1", "scale1", "conv2", "last"])
def test_parameters_may_be_changed_through_views(layer: str, nets: tuple[caffe.Net, caffe.Net]) -> None:
    held = [net.params[layer][0].data for net in nets]
    for factor in (2.0, 0.5, 3.0):
        for net, view in zip(nets, held, strict=True):
            view *= factor
            net.forward(data=images(1))
        same(*nets)
    del held
    for net in nets:
        net.params[layer][0].data[...] += 0.5
        net.forward(data=images(2))
    same(*nets)


def test_callbacks_between_layers_see_single_layers(nets: tuple[caffe.Net, caffe.Net]) -> None:
    for net in nets:
        net.forward(data=images(1))
        seen: list[int] = []
        net.after_forward(seen.append)
        net.forward(data=images(2))
        assert seen == list(range(len(net.layers)))
    same(*nets)


def test_batches_change_their_size(nets: tuple[caffe.Net, caffe.Net]) -> None:
    for batch in (2, 1, 5, 2):
        for net in nets:
            net.blobs["data"].reshape(batch, 3, 8, 8)
            net.forward(data=images(batch, batch))
        same(*nets)


def test_another_nets_parameters(nets: tuple[caffe.Net, caffe.Net]) -> None:
    joined, single = nets
    joined.forward(data=images(0))
    joined.share_with(single)
    single.params["conv1"][0].data[...] *= 1.5
    for net in nets:
        net.forward(data=images(1))
    same(joined, single)


def test_weights_that_a_solver_trains(tmp_path: Path) -> None:
    """A net for use that shares a solver's weights follows every step, large parameters' too."""
    head = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 64 dim: 3 dim: 3 } } }\n'
    )
    conv = (
        'layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 64 '
        'kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }\n'
        'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }\n'
    )
    wanted = head.replace('"x"', '"z"').replace("64 dim: 3 dim: 3", "64 dim: 1 dim: 1")
    loss = wanted + ('layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "z" top: "loss" }')
    for name, text in (("train", head + conv + loss), ("use", head + conv)):
        (tmp_path / f"{name}.prototxt").write_text(text)
    solver_path = tmp_path / "solver.prototxt"
    solver_path.write_text(
        f'net: "{tmp_path}/train.prototxt" base_lr: 0.002 momentum: 0.9 lr_policy: "fixed" max_iter: 9'
    )
    solver = caffe.SGDSolver(str(solver_path))
    used = caffe.Net(str(tmp_path / "use.prototxt"), caffe.TEST)
    solver.share_weights(used)
    x = np.random.default_rng(0).random((1, 64, 3, 3), np.float32)
    solver.net.blobs["x"].data[...] = used.blobs["x"].data[...] = x
    seen = []
    for _ in range(3):  # nobody looks at the weights meanwhile
        seen.append(used.forward()["y"].copy())
        solver.step(1)
    assert not np.allclose(seen[0], seen[1])
    assert not np.allclose(seen[1], seen[2])
    fresh = caffe.Net(str(tmp_path / "use.prototxt"), caffe.TEST)
    for mine, theirs in zip(fresh.params["conv"], solver.net.params["conv"], strict=True):
        mine.data[...] = theirs.data
    fresh.blobs["x"].data[...] = x
    np.testing.assert_allclose(used.forward()["y"], fresh.forward()["y"], rtol=1e-5, atol=1e-6)


def test_what_came_in_may_be_changed_before_blobs_are_looked_at(nets: tuple[caffe.Net, caffe.Net]) -> None:
    """Also through views that the user keeps, of which nobody is told."""
    held = [(net.blobs["data"].data, net.params["conv2"][0].data, net.params["fc"][0].data) for net in nets]
    for seed in range(3):
        for net, views in zip(nets, held, strict=True):
            net.forward(data=images(seed))
            for view in views:
                view *= -0.5
        for name in ("relu2", "conv2", "left", "fc", "prob", "conv1", "sum"):
            found, wanted = (net.blobs[name].data for net in nets)
            np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5, err_msg=name)


def test_views_that_are_kept_follow(nets: tuple[caffe.Net, caffe.Net]) -> None:
    held = [[net.blobs[name].data for name in ("conv1", "relu2", "both")] for net in nets]
    for seed in range(4):
        for net in nets:
            net.forward(data=images(seed))
        for found, wanted in zip(*held, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


def test_an_array_that_was_read_is_not_written_to_after_a_copy(nets: tuple[caffe.Net, caffe.Net]) -> None:
    joined, _ = nets
    joined.forward(data=images(0))
    first = joined.blobs["sum"].data.copy()
    joined.forward(data=images(1))
    second = joined.blobs["sum"].data.copy()
    joined.forward(data=images(0))
    np.testing.assert_array_equal(joined.blobs["sum"].data, first)
    assert not np.array_equal(first, second)


def test_what_is_looked_at_again_is_made_at_each_run(nets: tuple[caffe.Net, caffe.Net]) -> None:
    plan = plan_of(nets[0]) if nets[0]._net._forwards else None
    for seed in range(4):
        for net in nets:
            net.forward(data=images(seed))
        for name in ("sum", "conv2"):
            found, wanted = (net.blobs[name].data for net in nets)
            np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5, err_msg=name)
    if plan is not None:  # in blocks
        made = {cell.name for _, cell in plan._now._net.made()}
        assert {"sum", "conv2"} <= made
        assert "conv1" not in made
    same(*nets)


def test_blobs_are_given_a_shape_of_their_own(nets: tuple[caffe.Net, caffe.Net]) -> None:
    """An inner blob that the user reshapes has its layer's shape again after a run."""
    for net in nets:
        net.forward(data=images(1))
        net.blobs["conv2"].reshape(1, 1, 2, 3)
        net.blobs["data"].reshape(3, 3, 8, 8)
        net.forward(data=images(2, 3))
    same(*nets)


def test_sizes_that_take_turns_keep_their_weights_once(nets: tuple[caffe.Net, caffe.Net]) -> None:
    """Also with what runs operator by operator; changed weights reach all of them."""
    joined, single = nets
    for turn in range(RUNS):
        for side in (8, 10, 12):
            x = np.random.default_rng(turn).standard_normal((1, 3, side, side)).astype(np.float32)
            for net in nets:
                net.blobs["data"].reshape(*x.shape)
                net.forward(data=x, end="last")
            np.testing.assert_allclose(
                joined.blobs["last"].data, single.blobs["last"].data, rtol=2e-4, atol=2e-5
            )
        if turn == RUNS - 2:
            for net in nets:
                net.params["conv2"][0].data[...] *= -1.5
    if not lanes():
        return
    plan = joined._net._forwards[0, list(joined._layer_names).index("last")]._stretches[-1].plan
    weights = {
        id(refresh.current)
        for made in plan._nets
        for node, refresh in made._net._refresh.items()
        if node.positions[0] == 0
    }
    assert len(weights) <= 1


def test_another_size_is_nothing_new_for_the_plan(nets: tuple[caffe.Net, caffe.Net]) -> None:
    joined, _ = nets
    joined.forward(data=images(0), end="last")
    plan = joined._net._forwards[0, list(joined._layer_names).index("last")]._stretches[-1].plan
    graph = plan._graph
    for side in (10, 8):
        joined.blobs["data"].reshape(1, 3, side, side)
        joined.forward(end="last")
    again = joined._net._forwards[0, list(joined._layer_names).index("last")]._stretches[-1].plan
    assert again is plan
    assert plan._graph is graph


def test_a_blob_that_is_given_another_shape_is_not_computed(nets: tuple[caffe.Net, caffe.Net]) -> None:
    joined, _ = nets
    joined.forward(data=images(0), end="last")
    plan = joined._net._forwards[0, list(joined._layer_names).index("last")]._stretches[-1].plan
    before = len(plan._wanted)
    for side in (10, 8, 10, 8):
        joined.blobs["data"].reshape(1, 3, side, side)
        for _ in range(RUNS):
            joined.forward(end="last")
    assert len(plan._wanted) == before
    assert len(plan._checked) == 3
    joined.blobs["conv1"].reshape(1, 2, 3, 4)
    assert not joined.blobs["conv1"].data.any()
