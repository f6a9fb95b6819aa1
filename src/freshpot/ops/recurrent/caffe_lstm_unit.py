"""One step of LSTM cells as Caffe has it."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class CaffeLSTMUnit(Operator):
    """C = cont f C_prev + i g, H = o tanh(C), with i, f, o = sigmoid and g = tanh of the parts of X.

    Shapes:   C_prev: (1, N, D), X: (1, N, 4 D) in the order i, f, o, g, cont: (1, N) -> C, H: (1, N, D)
    Raises:   ShapeError if they do not fit.
    Differs:  LSTMUnit of Caffe2 knows sequence lengths instead of markers.
    Source:   caffe/layers/lstm_unit_layer.cpp
    """

    inputs = (Port("C_prev", FLOAT, "1 N D"), Port("X", FLOAT, "1 N G"), Port("cont", FLOAT, "1 N"))
    outputs = (Port("C"), Port("H"))

    def check(self, C_prev: Tensor, X: Tensor, cont: Tensor, *_: Tensor) -> None:
        if X.shape[2] != 4 * C_prev.shape[2]:
            self.refuse(
                f"X must have 4 times the {C_prev.shape[2]} units of C_prev {tuple(C_prev.shape)}, got "
                f"{tuple(X.shape)}."
            )

    def _gates(self, X: Tensor, cont: Tensor) -> tuple[Tensor, ...]:
        i, f, o, g = X.chunk(4, -1)
        on = cont.unsqueeze(-1)
        kept = torch.where(on == 0, 0.0, on * torch.sigmoid(f))
        return torch.sigmoid(i), kept, torch.sigmoid(o), torch.tanh(g)

    def kernel(self, C_prev: Tensor, X: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o, g = self._gates(X, cont)
        C = (f * C_prev).addcmul_(i, g)
        return C, torch.tanh(C) * o

    @gradient("C_prev X cont C dC dH -> dC_prev dX")
    def backward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        C_prev, X, cont, C, dC, dH = inputs
        i, f, o, g = self._gates(X, cont)
        squashed = torch.tanh(C)
        through = dC + dH * o * (1 - squashed * squashed)
        parts = [
            through * g * i * (1 - i),
            through * C_prev * f * (1 - f),
            dH * squashed * o * (1 - o),
            through * i * (1 - g * g),
        ]
        return through * f, torch.cat(parts, -1)
