"""Recurrent layers: their gradients are slopes of the loss. Their nets: see test_programs.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2.python import attention, core, gru_cell, model_helper, rnn_cell, workspace
from caffe2.python._errors import MisuseError

T, N, D, H = 3, 2, 4, 5
STATES = ["h0", "c0"]


@pytest.fixture(autouse=True)
def fresh() -> None:
    workspace.ResetWorkspace()
    core.Net._net_names_used = set()


def layer(make: Callable[..., Any], states: list[str], **options: Any) -> Callable[[Any], Any]:
    size = options.pop("size", H)
    return lambda m: make(m, "x", "lengths", states, D, size, "rnn", **options)[0]


def attending(kind: int, **options: Any) -> Callable[[Any], Any]:
    def make(m: Any) -> Any:
        blobs = ("x", "lengths", *STATES, "context", H, "encoded", None, D, H, "rnn")
        return rnn_cell.LSTMWithAttention(m, *blobs, attention_type=kind, outputs_with_grads=(0,), **options)[
            0
        ]

    return make


def dropped(m: Any) -> Any:
    cells = [
        rnn_cell.DropoutCell(
            rnn_cell.LSTMCell(size, H, 0.0, False, name="cell"), dropout_ratio=0.5, is_test=True, name="drop"
        )
        for size in (D, H)
    ]
    cell = rnn_cell.MultiRNNCell(cells, residual_output_layers=[1], name="rnn")
    return cell.apply_over_sequence(m, "x", "lengths", [*STATES, "h1", "c1"])[1][4]


LAYERS = {
    "two layers": layer(rnn_cell.LSTM, [*STATES, "h1", "c1"], size=[H, H]),
    "memory": layer(rnn_cell.LSTM, STATES, memory_optimization=True),
    "normalized": layer(rnn_cell.LayerNormLSTM, STATES),
    "multiplied": layer(rnn_cell.MILSTM, STATES),
    "both": layer(rnn_cell.LayerNormMILSTM, STATES),
    "linear before reset": layer(gru_cell.GRU, ["h0"], linear_before_reset=True),
    "dropout": dropped,
    "attention": attending(attention.AttentionType.Regular, attention_memory_optimization=True),
    "recurrent attention": attending(attention.AttentionType.Recurrent),
    "dot attention": attending(attention.AttentionType.Dot),
    "coverage": attending(attention.AttentionType.SoftCoverage),
}


def feed() -> None:
    random = np.random.default_rng(1)
    shapes = {"x": (T, N, D), "encoded": (4, N, H), "context": (1, N, H)}
    shapes.update(dict.fromkeys([*STATES, "h1", "c1"], (1, N, H)))
    for name, shape in shapes.items():
        workspace.FeedBlob(name, random.standard_normal(shape).astype(np.float32))
    workspace.FeedBlob("lengths", np.array([T, T - 1], np.int32))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_slopes(name: str) -> None:
    model = model_helper.ModelHelper(name="m")
    feed()
    out = LAYERS[name](model)
    loss = model.net.AveragedLoss(model.net.Mul([out, out], "squares"), "loss")
    model.AddGradientOperators([loss])
    workspace.RunNetOnce(model.param_init_net)
    random = np.random.default_rng(2)
    for param in map(str, model.params):
        shape = workspace.FetchBlob(param).shape
        workspace.FeedBlob(param, 0.3 * random.standard_normal(shape).astype(np.float32))
    workspace.CreateNet(model.net)
    workspace.RunNet(model.net)
    grads = {str(p): workspace.FetchBlob(str(g)) for p, g in model.param_to_grad.items()}
    values = {p: workspace.FetchBlob(p) for p in grads}
    ways = {p: random.standard_normal(v.shape).astype(np.float32) for p, v in values.items()}
    step, losses = 2e-3, []
    for sign in (1, -1):
        for p, value in values.items():
            workspace.FeedBlob(p, value + sign * step * ways[p])
        workspace.RunNet(model.net)
        losses.append(float(workspace.FetchBlob("loss")))
    slope = (losses[0] - losses[1]) / (2 * step)
    expected = sum(float(np.sum(grads[p] * ways[p])) for p in grads)
    assert grads
    np.testing.assert_allclose(slope, expected, rtol=2e-2, atol=2e-5)


def test_misuse_says_what_is_wrong() -> None:
    model = model_helper.ModelHelper(name="m")
    with pytest.raises(MisuseError, match="has the states rnn/hidden_t, rnn/cell_t; got 1 initial values"):
        rnn_cell.LSTM(model, "x", "lengths", ["h0"], D, H, "rnn")
    with pytest.raises(RuntimeError, match="must be 'relu' or 'tanh'; got None"):
        rnn_cell.BasicRNN(model, "x", None, ["h0"], D, H, "plain")
    with pytest.raises(MisuseError, match="needs sequence lengths"):
        rnn_cell.MILSTM(model, "x", None, STATES, D, H, "multiplied")
    with pytest.raises(MisuseError, match="'is_test' is required"):
        rnn_cell.DropoutCell(rnn_cell.LSTMCell(D, H, 0.0, False))
