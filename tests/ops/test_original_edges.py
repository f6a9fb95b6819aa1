"""What the original's own tests ask of single operators, beyond the recorded cases."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, model_helper, rnn_cell, workspace
from caffe2.python.predictor_net import ExtractPredictorNet
from freshpot.errors import ShapeError

#: what the original gave for 6 boxes of 3 classes, no more than 3 an image: scores, classes, rows
WITH_BACKGROUND = ([0.8781174, 0.7203245, 0.6852195], [1, 1, 2], [4, 0, 3])
WITHOUT = ([0.6704675, 0.8781174, 0.7203245], [1, 2, 2], [5, 4, 0])


@pytest.mark.parametrize(("agnostic", "background", "counted"), itertools.product((0, 1), repeat=3))
def test_boxes_of_several_classes(agnostic: int, background: int, counted: int) -> None:
    random = np.random.RandomState(1)
    workspace.FeedBlob("scores", random.rand(6, 3).astype(np.float32))
    boxes = random.rand(6, 4 if agnostic else 8 + 4 * background).astype(np.float32) * 20
    boxes[:, 2::4] += boxes[:, 0::4]
    boxes[:, 3::4] += boxes[:, 1::4]
    workspace.FeedBlob("boxes", boxes)
    outputs = ["S", "B", "C", "splits", "keeps", "sizes"]
    args = {
        "cls_agnostic_bbox_reg": agnostic,
        "input_boxes_include_bg_cls": background,
        "output_classes_include_bg_cls": counted,
        "detections_per_im": 3,
    }
    workspace.RunOperatorOnce(core.CreateOperator("BoxWithNMSLimit", ["scores", "boxes"], outputs, **args))
    scores, classes, rows = WITH_BACKGROUND if background else WITHOUT
    np.testing.assert_allclose(workspace.FetchBlob("S"), scores, rtol=1e-6)
    assert workspace.FetchBlob("C").tolist() == [c - (not counted) for c in classes]
    assert workspace.FetchBlob("keeps").tolist() == rows
    assert workspace.FetchBlob("sizes").sum() == 3
    places = [0 if agnostic else 4 * (c - (not background)) for c in classes]
    wanted = [boxes[row, at : at + 4] for row, at in zip(rows, places, strict=True)]
    np.testing.assert_array_equal(workspace.FetchBlob("B"), wanted)


def test_boxes_of_one_score_are_no_more_than_asked_for() -> None:
    workspace.FeedBlob("scores", np.full((4, 2), 0.7, np.float32))
    workspace.FeedBlob("boxes", np.tile(np.array([0, 0, 9, 9], np.float32), (4, 2)))
    op = core.CreateOperator(
        "BoxWithNMSLimit", ["scores", "boxes"], ["S", "B", "C"], nms=1.0, detections_per_im=2
    )
    workspace.RunOperatorOnce(op)
    assert workspace.FetchBlob("S").shape == (2,)
    workspace.FeedBlob("boxes", np.zeros((4, 4), np.float32))
    with pytest.raises(ShapeError, match="boxes must have 8 columns"):
        workspace.RunOperatorOnce(op)


def test_rows_are_collected_from_nothing() -> None:
    net = core.Net("collect")
    net.GivenTensorFill([], "input", shape=[3, 2], values=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    workspace.CreateBlob("ring")
    workspace.FeedBlob("next", np.array(0, np.int32))
    net.LastNWindowCollector(["ring", "next", "input"], ["ring", "next"], num_to_collect=7)
    shapes, _ = workspace.InferShapesAndTypes([net])
    assert shapes["ring"] == [7, 2]
    workspace.CreateNet(net)
    rows = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    workspace.RunNet(net)
    np.testing.assert_array_equal(workspace.FetchBlob("ring"), rows)
    workspace.RunNet(net, 2)
    np.testing.assert_array_equal(workspace.FetchBlob("ring"), rows[[1, 2, 2, 0, 1, 2, 0]])


@pytest.mark.parametrize("add_axis", [0, 1])
def test_shapes_of_the_gradients_of_what_was_joined(add_axis: int) -> None:
    net = core.Net("n")
    for i in range(2):
        net.ConstantFill([], f"x{i}", shape=[2, 3])
    net.Concat(["x0", "x1"], ["y", "info"], axis=1, add_axis=add_axis)
    grads = net.AddGradientOperators(["y"])
    shapes, _ = workspace.InferShapesAndTypes([net], {})
    assert [shapes[str(grads[f"x{i}"])] for i in range(2)] == [[2, 3], [2, 3]]


def _lstm(**kwargs: Any) -> Any:
    model = model_helper.ModelHelper(name="lstm")
    outputs = rnn_cell.LSTM(
        model, "input", "lengths", ("h", "c"), dim_in=4, dim_out=3, scope="s", drop_states=True, **kwargs
    )
    workspace.RunNetOnce(model.param_init_net)
    workspace.FeedBlob("input", np.random.RandomState(0).randn(5, 2, 4).astype(np.float32))
    workspace.FeedBlob("lengths", np.array([5, 3], np.int32))
    for name in ("h", "c"):
        workspace.FeedBlob(name, np.zeros((1, 2, 3), np.float32))
    return model, outputs


def test_a_recurrent_net_whose_outputs_are_renamed() -> None:
    model, outputs = _lstm()
    workspace.RunNetOnce(model.net)
    wanted = {str(name): workspace.FetchBlob(name) for name in outputs[:4]}
    for op in model.net.Proto().op:
        if op.type == "RecurrentNetwork":
            op.output[0] = "renamed"
    workspace.RunNetOnce(model.net)
    for name, value in wanted.items():
        np.testing.assert_allclose(workspace.FetchBlob(name), value, rtol=1e-6)


def test_an_exported_recurrent_net_without_its_backward_step() -> None:
    model, outputs = _lstm(return_last_layer_only=True)
    workspace.RunNetOnce(model.net)
    wanted = workspace.FetchBlob(outputs[0])
    net, blobs = ExtractPredictorNet(model.net.Proto(), ["input"], [outputs[0]])
    assert "lengths" in blobs
    workspace.RunNetOnce(net)
    np.testing.assert_allclose(workspace.FetchBlob(outputs[0]), wanted, rtol=1e-6)


@pytest.mark.parametrize(("residual", "layers", "places"), [(None, [2], [4]), ([1, 2], [0, 1, 2], [0, 2, 4])])
def test_where_the_outputs_of_layers_are(residual: Any, layers: list[int], places: list[int]) -> None:
    cells = [rnn_cell.LSTMCell(3, 3, 0.0, False, name=f"l{i}") for i in range(3)]
    cell = rnn_cell.MultiRNNCell(cells, residual_output_layers=residual, name="m")
    assert (cell.output_connected_layers, cell.output_indices) == (layers, places)


def test_a_step_net_that_flattens_its_state() -> None:
    """The state's own shape comes back with the next step, as in the original's memory."""
    from caffe2.python import recurrent

    step = model_helper.ModelHelper(name="step")
    x, before = step.net.AddExternalInputs("x_t", "s_prev")
    flat = step.net.Sum([x, before], "sum")
    after, _ = step.net.Reshape([flat], ["s_t", "old"], shape=[2, 3])
    step.net.AddExternalOutput(after)
    net = core.Net("outer")
    net.AddExternalInputs("x", "s0")
    every, _ = recurrent.recurrent_net(
        net, step.net, [(x, "x")], [(before, "s0")], {before: after}, scope="r", forward_only=True
    )
    data = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    workspace.FeedBlob("x", data)
    workspace.FeedBlob("s0", np.zeros((1, 2, 3), np.float32))
    workspace.RunNetOnce(net)
    np.testing.assert_array_equal(workspace.FetchBlob(every), data.cumsum(0))
