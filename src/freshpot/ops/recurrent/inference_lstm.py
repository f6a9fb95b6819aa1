"""Whole LSTMs, for inference."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class InferenceLSTM(Operator):
    """Layers of LSTMs over sequences; gates stand in the order input, forget, cell, output.

    Shapes:   input: (T, N, D), or (N, T, D) with ``batch_first``; hidden, cell: (layers * directions, N, H); then for
              each layer and direction: (4H, D), (4H, H), and with ``has_biases`` (4H,) twice -> output:
              (T, N, H * directions); hidden; cell
    Raises:   ArityError for another number of weights.
    Source:   caffe2/operators/inference_lstm_op.h
    """

    inputs = (Port("input_hidden_cell_and_weights", FLOAT, many=True),)
    outputs = (Port("output"), Port("hidden"), Port("cell"))
    args = (
        Arg("num_layers", int, 1, "layers"),
        Arg("has_biases", bool, True, "0: weights have no biases"),
        Arg("batch_first", bool, False, "1: sequences are the first dimension"),
        Arg("bidirectional", bool, False, "1: both directions"),
    )
    gradient_stops = True

    def setup(self) -> None:
        wanted = 3 + self.num_layers * (1 + self.bidirectional) * (4 if self.has_biases else 2)
        if self.num_inputs != wanted:
            self.refuse(f"takes {wanted} inputs for these layers, got {self.num_inputs}.", ArityError)

    def check(self, *inputs: Tensor) -> None:
        if any(t.dim() != 3 for t in inputs[:3]):
            self.refuse("input, hidden and cell must have three dimensions.")

    def kernel(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        X, h, c, *weights = inputs
        made = torch.lstm(
            X.contiguous(),
            (h, c),
            weights,
            bool(self.has_biases),
            self.num_layers,
            0.0,
            False,
            bool(self.bidirectional),
            bool(self.batch_first),
        )
        return tuple(t.contiguous() for t in made)
