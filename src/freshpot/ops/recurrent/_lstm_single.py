"""The plain LSTM cell over one short sequence, in memory that stays from run to run.

Owned here: what `_lstm` computes, for a batch of one and no sequence that ends early, with numpy on views that
are made once. Who calls it: the recurrent network operators' calls in memory.

A step is a product with a vector and a handful of calls on short vectors, whose number is what counts. So
values lie where one call reaches several of them. A row of ``act`` is i f o g c: three sigmoids, the new
cell's input, and the cell state before the step, so that i f times g c is one call. A row of ``back`` is
dc i f g o: the gradient of the cell state before the step and those of the gates, which are all but the last
of them the cell state's gradient times a factor. Every sigmoid is a tanh: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.ops.recurrent._lstm import Trace

Array = Any  # numpy's, float32


class Single:
    """Memory for a sequence of ``T`` steps of a cell with ``D`` units, and the views that a run uses."""

    def __init__(self, T: int, D: int, forget_bias: float) -> None:
        self.steps, self.units = T, D

        def make(*shape: int) -> Array:
            return np.zeros(shape, np.float32)

        self.hidden, self.act, self.squashed = make(T + 1, D), make(T + 1, 5 * D), make(T, D)
        self.weight, self.bias = make(4 * D, D), make(4 * D)
        self._product, self._pair, self._half = make(4 * D), make(2 * D), np.full(3 * D, 0.5, np.float32)
        self._scale = np.full(4 * D, 0.5, np.float32)
        self._scale[3 * D :] = 1.0
        self._forget_bias = np.float32(forget_bias)
        act, rows = self.act, range(T)
        self._forward = [
            (
                act[t, : 4 * D],
                act[t, : 3 * D],
                act[t, : 2 * D],
                act[t, 3 * D :],
                act[t, 2 * D : 3 * D],
                act[t + 1, 4 * D :],
                self.squashed[t],
                self.hidden[t],
                self.hidden[t + 1],
            )
            for t in rows
        ]
        self.back, self._by_cell, self._by_hidden = make(T, 5 * D), make(T, 4, D), make(T, D)
        self._to_cell, self._turned = make(T, D), make(4 * D, D)
        self._dcell, self._dh, self._ones = make(D), make(D), np.ones(T, np.float32)
        self._dgates, self._work = make(T, 4 * D), make(T, D)
        self._backward = [
            (
                self._to_cell[t],
                self._by_cell[t],
                self.back[t, : 4 * D].reshape(4, D),
                self.back[t, :D],
                self._by_hidden[t],
                self.back[t, 4 * D :],
                self.back[t, D:],
                t,
            )
            for t in reversed(rows)
        ]

    @property
    def cell(self) -> Array:
        """(T + 1, D): the cell state before each step, and after the last."""
        return self.act[:, 4 * self.units :]

    def forward(self, X: Array, h0: Array, c0: Array, W: Array, b: Array) -> None:
        """Run over X (T, 4 D) from states (D,)."""
        D = self.units
        add, multiply, tanh = np.add, np.multiply, np.tanh
        multiply(W, self._scale[:, None], self.weight)
        np.copyto(self.bias, b)
        if self._forget_bias:
            self.bias[D : 2 * D] += self._forget_bias
        gates = self.act[:-1, : 4 * D]
        add(X, self.bias, gates)
        multiply(gates, self._scale, gates)
        self.hidden[0], self.act[0, 4 * D :] = h0, c0
        product, pair, half, dot = self._product, self._pair, self._half, self.weight.dot
        one, other = pair[:D], pair[D:]
        for gate, sigmoids, i_f, g_c, o, c, squashed, h, h_next in self._forward:
            dot(h, product)
            add(gate, product, gate)
            tanh(gate, gate)
            multiply(sigmoids, half, sigmoids)
            add(sigmoids, half, sigmoids)
            multiply(i_f, g_c, pair)
            add(one, other, c)
            tanh(c, squashed)
            multiply(squashed, o, h_next)

    def gates(self, X: Array) -> Array:
        """(T, 4 D): the gates of the last run over X, before the activations and without the forget bias."""
        D = self.units
        made = X + self.bias + self.hidden[:-1] @ (self.weight / self._scale[:, None]).T
        made[:, D : 2 * D] -= self._forget_bias
        return made

    def trace(self, X: Tensor) -> Trace:
        """The last run, over X (T, 1, 4 D), in memory that stays."""
        D, T = self.units, self.steps
        parts = (self.hidden, self.cell, self.gates(X.numpy().reshape(T, -1)), self.act[:-1, : 4 * D])
        hidden, cell, gates, active = (torch.from_numpy(part.copy()).unsqueeze(1) for part in parts)
        return Trace(hidden, cell, gates, active, torch.from_numpy(self.squashed.copy()).unsqueeze(1), None)

    def backward(self, W: Array, dh: Array, dc: Array, more_h: Array | None, more_c: Array | None) -> None:
        """Undo the last run. dh, dc (D,): gradients of the last states; more: of all steps' states (T, D).

        What it finds is there for `write`.
        """
        D = self.units
        add, multiply = np.add, np.multiply
        self._derive()
        turned = self._turned
        turned[: 2 * D], turned[2 * D : 3 * D], turned[3 * D :] = W[: 2 * D], W[3 * D :], W[2 * D : 3 * D]
        dcell, dhidden = self._dcell, self._dh
        np.copyto(dhidden, dh)
        before = dc
        for to_cell, by_cell, out, before_out, by_hidden, o_out, gates, t in self._backward:
            multiply(dhidden, to_cell, dcell)
            add(dcell, before, dcell)
            multiply(by_cell, dcell, out)
            multiply(by_hidden, dhidden, o_out)
            gates.dot(turned, dhidden)
            before = before_out
            if t:
                if more_h is not None:
                    add(dhidden, more_h[t - 1], dhidden)
                if more_c is not None:
                    add(before, more_c[t - 1], before)

    def _derive(self) -> None:
        """The factors of all steps: what a gradient of a state is multiplied with."""
        D, work = self.units, self._work
        i, f, o, g, c = (self.act[:-1, k * D : (k + 1) * D] for k in range(5))
        subtract, multiply = np.subtract, np.multiply
        by = self._by_cell
        multiply(self.squashed, self.squashed, work)
        multiply(work, o, work)
        subtract(o, work, self._to_cell)
        by[:, 0] = f
        for gate, other, out in ((i, g, by[:, 1]), (f, c, by[:, 2]), (o, self.squashed, self._by_hidden)):
            multiply(gate, gate, work)
            subtract(gate, work, work)
            multiply(work, other, out)
        multiply(g, g, work)
        multiply(work, i, work)
        subtract(i, work, by[:, 3])

    def write(self, dX: Array, dW: Array, db: Array, dh: Array, dc: Array) -> None:
        """Gradients of the sequence (T, 4 D), the weight, the bias, and the initial states (D,), to arrays."""
        D, back = self.units, self.back
        dX[:, : 2 * D], dX[:, 2 * D : 3 * D], dX[:, 3 * D :] = (
            back[:, D : 3 * D],
            back[:, 4 * D :],
            back[:, 3 * D : 4 * D],
        )
        dX.T.dot(self.hidden[:-1], dW)
        self._ones.dot(dX, db)
        dh[...], dc[...] = self._dh, back[0, :D]
