"""Recurrent layers over whole sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python import brew, core, gru_cell, model_helper, optimizer, rnn_cell
from programs.common import Program


def sequence_tagger(
    name: str, layer: Callable[..., Any], states: list[str], build: Any, rate: float, **kwargs: Any
):
    def make() -> Any:
        for taken in ("rnn", "RecurrentBackwardStep"):
            core.Net(taken)  # when these nets were recorded the names were taken already
        m = model_helper.ModelHelper(name=name)
        m.net.AddExternalInputs("x", "seq_lengths", "target", *states)
        first, *_ = layer(m, "x", "seq_lengths", states, 6, 5, "rnn", **kwargs)
        scores = brew.fc(m, first, "out", 5, 4, axis=2)
        flat, _ = m.net.Reshape(scores, ["flat", "_"], shape=[-1, 4])
        _, loss = m.net.SoftmaxWithLoss([flat, "target"], ["softmax", "loss"])
        m.AddGradientOperators([loss])
        build(m, rate)
        return m

    return make


_LSTM = ["h0", "c0"]
PROGRAMS: dict[str, Program] = {
    "rnn_lstm": sequence_tagger("lstm", rnn_cell.LSTM, _LSTM, optimizer.build_sgd, 0.1),
    "rnn_lstm_fb": sequence_tagger(
        "lstm", rnn_cell.LSTM, _LSTM, optimizer.build_adagrad, 0.1, forget_bias=1.0, drop_states=True
    ),
    "rnn_gru": sequence_tagger("gru", gru_cell.GRU, ["h0"], optimizer.build_adam, 0.001),
    "rnn_milstm": sequence_tagger("milstm", rnn_cell.MILSTM, _LSTM, optimizer.build_sgd, 0.1),
}
