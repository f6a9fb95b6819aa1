"""Recurrent layers over a whole sequence as Caffe has them: LSTM and RNN with continuation markers.

Owned here: what both share, and both recurrences. What does not depend on the step before - the products
with the input, all derivatives of activations, the gradients of weights - is done for all steps at once; what
is left of a step is one product and a few elementwise operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

_STATIC = Arg("static", int, 0, "1: the last two inputs are x_static (N, …) and its weight")


class _Sequence(Operator, abstract=True):
    """Base: X (T, N, …) with markers cont (T, N); 0 says that a new sequence begins, 1 that it goes on."""

    args = (_STATIC,)
    #: rows of the input's weight for each hidden unit
    gates = 1

    def sizes(self, X: Tensor, W_h: Tensor) -> tuple[int, int, int]:
        """Steps, sequences side by side, hidden units."""
        return X.shape[0], X.shape[1], W_h.shape[1]

    def check_input(
        self, X: Tensor, cont: Tensor, W_x: Tensor, W_h: Tensor, states: Sequence[Tensor]
    ) -> None:
        """Refuse inputs that do not fit each other."""
        D = W_h.shape[1]
        if X.dim() < 3 or cont.shape != X.shape[:2]:
            self.refuse(
                f"X must be (steps, sequences, features …) and cont (steps, sequences); got {tuple(X.shape)} and "
                f"{tuple(cont.shape)}."
            )
        if tuple(W_x.shape) != (self.gates * D, X.shape[2:].numel()) or W_h.shape[0] != self.gates * D:
            self.refuse(
                f"the weights must be ({self.gates * D}, {X.shape[2:].numel()}) and ({self.gates * D}, {D}) for X "
                f"{tuple(X.shape)}; got {tuple(W_x.shape)} and {tuple(W_h.shape)}."
            )
        for state in states:
            if tuple(state.shape) != (1, X.shape[1], D):
                self.refuse(f"states must be {(1, X.shape[1], D)}, got {tuple(state.shape)}.")

    def from_input(self, X: Tensor, W_x: Tensor, b: Tensor, static: Sequence[Tensor]) -> Tensor:
        """W_x X + b (+ W_static X_static) for all steps: (T, N, gates * D)."""
        T, N = X.shape[:2]
        made = torch.addmm(b, X.reshape(T * N, -1), W_x.t()).view(T, N, -1)
        if static:
            X_static, W_static = static
            made += torch.mm(X_static.reshape(N, -1), W_static.t())
        return made

    def to_input(
        self, X: Tensor, W_x: Tensor, dZ: Tensor, static: Sequence[Tensor], wanted: int
    ) -> list[Tensor]:
        """Gradients dX, dX_static, dW_static from that of what ``from_input`` gave; the first ``wanted``."""
        made = []
        if wanted > 0:
            made.append(torch.mm(dZ.flatten(0, 1), W_x).view(X.shape))
        if wanted > 1 and static:
            X_static, W_static = static
            total = dZ.sum(0)
            made.append(torch.mm(total, W_static).view(X_static.shape))
            made.append(torch.mm(total.t(), X_static.reshape(len(total), -1)))
        return made


def markers(cont: Tensor) -> list[Tensor] | None:
    """The markers of each step, (N, 1); None if no sequence begins anywhere."""
    if not torch.compiler.is_compiling() and bool((cont == 1).all()):  # a tracer does not know the numbers
        return None
    return list(cont.unsqueeze(-1).unbind(0))


def _went_on(hidden: Tensor, cont: Tensor) -> Tensor:
    """Hidden states before each step, zero where a sequence begins, as rows of a matrix."""
    return (hidden * cont.unsqueeze(-1)).flatten(0, 1)


# ---- LSTM ------------------------------------------------------------------------------------------
def _lstm_rule(g: GradientMaker) -> list[Op]:
    static = [g.I(7), g.I(8)] if g.op.args.get("static") else []
    inputs = [g.I(0), g.I(1), g.I(4), g.I(6), g.O(3), g.O(4), g.O(5), g.GO(0), *static]
    grads = [g.GI(4), g.GI(5), g.GI(6), g.GI(0), *((g.GI(7), g.GI(8)) if static else ())]
    return [g.new("LSTMGradient", inputs, grads)]


class LSTM(_Sequence):
    """A layer of LSTM cells: i, f, o = sigmoid, g = tanh of W_x x + b + W_h (cont h), then
    c = cont f c + i g and h = o tanh(c).

    Shapes:   X: (T, N, …), cont: (T, N), h0, c0: (1, N, D), W_x: (4 D, features), b: (4 D,), W_h: (4 D, D),
              gates in the order i, f, o, g; x_static: (N, …), W_static: (4 D, its features)
              -> Y: (T, N, D); hT, cT: (1, N, D); hidden, cell (states, with h0 and c0 at the front):
              (T + 1, N, D); active (the gates): (T, N, 4 D)
    Raises:   ShapeError if they do not fit.
    Differs:  gradients stop at h0 and c0, and do not come from hT and cT, as in the original.
    Source:   caffe/layers/lstm_layer.cpp; Hochreiter and Schmidhuber, 1997; Donahue et al., 2015
    """

    gates = 4
    inputs = (
        Port("X", FLOAT),
        Port("cont", FLOAT, "T N"),
        Port("h0", FLOAT),
        Port("c0", FLOAT),
        Port("W_x", FLOAT, "* *"),
        Port("b", FLOAT, "G"),
        Port("W_h", FLOAT, "G D"),
        Port("x_static", FLOAT, optional=True),
        Port("W_static", FLOAT, optional=True),
    )
    outputs = (
        Port("Y"),
        Port("hT"),
        Port("cT"),
        Port("hidden"),
        Port("cell"),
        Port("active"),
    )
    inplace = ((2, 1), (3, 2))
    gradient_rule = staticmethod(_lstm_rule)

    def check(self, X: Tensor, cont: Tensor, h0: Tensor, c0: Tensor, W_x: Tensor, *rest: Tensor) -> None:
        self.check_input(X, cont, W_x, rest[1], (h0, c0))

    def infer(self, X: Tensor, *rest: Tensor) -> list[Tensor]:
        T, N, D = self.sizes(X, rest[5])
        shapes = [(T, N, D), (1, N, D), (1, N, D), (T + 1, N, D), (T + 1, N, D), (T, N, 4 * D)]
        return [X.new_empty(shape) for shape in shapes]

    def kernel(
        self,
        X: Tensor,
        cont: Tensor,
        h0: Tensor,
        c0: Tensor,
        W_x: Tensor,
        b: Tensor,
        W_h: Tensor,
        *static: Tensor,
    ) -> tuple[Tensor, ...]:
        T, N, D = self.sizes(X, W_h)
        active = self.from_input(X, W_x, b, static)
        if torch.compiler.is_compiling():
            return _lstm_traced(active, h0.detach()[0], c0.detach()[0], markers(cont) or [], W_h.t())
        hidden, cell = X.new_empty(T + 1, N, D), X.new_empty(T + 1, N, D)
        hidden[0], cell[0] = h0[0], c0[0]
        _lstm_forward(active, hidden, cell, markers(cont), W_h.t())
        return hidden[1:].clone(), hidden[-1:].clone(), cell[-1:].clone(), hidden, cell, active


def _lstm_forward(
    active: Tensor, hidden: Tensor, cell: Tensor, marks: list[Tensor] | None, W: Tensor
) -> None:
    """Run the steps: ``active`` holds what comes from the input and becomes the gates."""
    D = hidden.shape[-1]
    h, c, squashed = hidden[0], cell[0], torch.empty_like(hidden[0])
    rows = zip(
        active.unbind(0),
        active[..., : 3 * D].unbind(0),
        *(part.unbind(0) for part in active.split(D, -1)),
        hidden[1:].unbind(0),
        cell[1:].unbind(0),
        strict=True,
    )
    for t, (gate, sigmoids, i, f, o, g, h_next, c_next) in enumerate(rows):
        gate.addmm_(h if marks is None else h * marks[t], W)
        sigmoids.sigmoid_()
        g.tanh_()
        if marks is not None:
            f.mul_(marks[t])
        torch.mul(f, c, out=c_next).addcmul_(i, g)
        torch.tanh(c_next, out=squashed)
        torch.mul(o, squashed, out=h_next)
        h, c = h_next, c_next


def _lstm_traced(sums: Tensor, h: Tensor, c: Tensor, marks: list[Tensor], W: Tensor) -> tuple[Tensor, ...]:
    """The steps for a tracer, whose autograd derives them: nothing is overwritten."""
    hidden, cell, active = [h], [c], []
    for x, mark in zip(sums.unbind(0), marks, strict=True):
        i, f, o, g = torch.addmm(x, h * mark, W).chunk(4, -1)
        i, f, o, g = i.sigmoid(), f.sigmoid() * mark, o.sigmoid(), g.tanh()
        c = f * c + i * g
        h = o * c.tanh()
        hidden.append(h)
        cell.append(c)
        active.append(torch.cat([i, f, o, g], -1))
    last = h.detach().unsqueeze(0).clone(), c.detach().unsqueeze(0).clone()
    return torch.stack(hidden[1:]), *last, torch.stack(hidden), torch.stack(cell), torch.stack(active)


class LSTMGradient(_Sequence):
    """Gradient of LSTM: dW_x, db, dW_h, and if the net asks for them dX, dx_static, dW_static.

    Source:   caffe/layers/lstm_layer.cpp
    """

    gates = 4
    inputs = (
        Port("X", FLOAT),
        Port("cont", FLOAT, "T N"),
        Port("W_x", FLOAT, "* *"),
        Port("W_h", FLOAT, "G D"),
        Port("hidden", FLOAT),
        Port("cell", FLOAT),
        Port("active", FLOAT, "T N G"),
        Port("dY", FLOAT, "T N D"),
        Port("x_static", FLOAT, optional=True),
        Port("W_static", FLOAT, optional=True),
    )
    outputs = (
        Port("dW_x"),
        Port("db"),
        Port("dW_h"),
        Port("dX", optional=True),
        Port("dx_static", optional=True),
        Port("dW_static", optional=True),
    )
    no_gradient = "it is itself a gradient"

    def kernel(
        self,
        X: Tensor,
        cont: Tensor,
        W_x: Tensor,
        W_h: Tensor,
        hidden: Tensor,
        cell: Tensor,
        active: Tensor,
        dY: Tensor,
        *static: Tensor,
    ) -> tuple[Tensor, ...]:
        slopes, through = _lstm_slopes(active, cell)
        dZ = _lstm_backward(slopes, through, active.chunk(4, -1)[1], dY, markers(cont), W_h)
        rows = dZ.flatten(0, 1)
        dW_x = torch.mm(rows.t(), X.reshape(len(rows), -1))
        dW_h = torch.mm(rows.t(), _went_on(hidden[:-1], cont))
        others = self.to_input(X, W_x, dZ, static, self.num_outputs - 3)
        return dW_x, rows.sum(0), dW_h, *others


def _lstm_slopes(active: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """How the cell state (for o: the hidden one) depends on each gate's sum, (T, N, 4, D), and the hidden
    state on the cell's, (T, N, D)."""
    i, f, o, g = active.chunk(4, -1)
    squashed = torch.tanh(cell[1:])
    slopes = torch.stack(
        [g * i * (1 - i), cell[:-1] * f * (1 - f), squashed * o * (1 - o), i * (1 - g * g)], dim=2
    )
    return slopes, o * (1 - squashed * squashed)


def _lstm_backward(
    slopes: Tensor, through: Tensor, f: Tensor, dY: Tensor, marks: list[Tensor] | None, W: Tensor
) -> Tensor:
    """Run the steps backwards; returns the gradient of the gates' sums, (T, N, 4 D)."""
    T, N, _, D = slopes.shape
    dZ = torch.empty_like(slopes)
    dh, dc = torch.zeros_like(dY[0]), torch.zeros_like(dY[0])
    rows = list(
        zip(
            slopes.unbind(0),
            slopes[:, :, 2].unbind(0),
            dZ.unbind(0),
            dZ[:, :, 2].unbind(0),
            dZ.view(T, N, 4 * D).unbind(0),
            through.unbind(0),
            f.unbind(0),
            dY.unbind(0),
            strict=True,
        )
    )
    for t in range(T - 1, -1, -1):
        slope, slope_o, d, d_o, flat, out, keep, dy = rows[t]
        dh = dh + dy
        dc.addcmul_(dh, out)
        torch.mul(slope, dc.unsqueeze(1), out=d)
        torch.mul(slope_o, dh, out=d_o)
        dh = torch.mm(flat, W)
        if marks is not None:
            dh.mul_(marks[t])
        dc.mul_(keep)
    return dZ.view(T, N, 4 * D)


# ---- RNN -------------------------------------------------------------------------------------------
def _rnn_rule(g: GradientMaker) -> list[Op]:
    static = [g.I(8), g.I(9)] if g.op.args.get("static") else []
    inputs = [g.I(0), g.I(1), g.I(3), g.I(5), g.I(6), g.O(0), g.O(2), g.GO(0), *static]
    grads = [*(g.GI(i) for i in (3, 4, 5, 6, 7, 0)), *((g.GI(8), g.GI(9)) if static else ())]
    return [g.new("RNNGradient", inputs, grads)]


class RNN(_Sequence):
    """A plain recurrent layer: h = tanh(W_x x + b_h + W_h (cont h)), Y = tanh(W_o h + b_o).

    Shapes:   X: (T, N, …), cont: (T, N), h0: (1, N, D), W_x: (D, features), b_h: (D,), W_h, W_o: (D, D),
              b_o: (D,); x_static: (N, …), W_static: (D, its features)
              -> Y: (T, N, D); hT: (1, N, D); hidden (with h0 at the front): (T + 1, N, D)
    Raises:   ShapeError if they do not fit.
    Differs:  gradients stop at h0, and do not come from hT, as in the original.
    Source:   caffe/layers/rnn_layer.cpp
    """

    inputs = (
        Port("X", FLOAT),
        Port("cont", FLOAT, "T N"),
        Port("h0", FLOAT),
        Port("W_x", FLOAT, "* *"),
        Port("b_h", FLOAT, "D"),
        Port("W_h", FLOAT, "D D"),
        Port("W_o", FLOAT, "D D"),
        Port("b_o", FLOAT, "D"),
        Port("x_static", FLOAT, optional=True),
        Port("W_static", FLOAT, optional=True),
    )
    outputs = (Port("Y"), Port("hT"), Port("hidden"))
    inplace = ((2, 1),)
    gradient_rule = staticmethod(_rnn_rule)

    def check(self, X: Tensor, cont: Tensor, h0: Tensor, W_x: Tensor, *rest: Tensor) -> None:
        self.check_input(X, cont, W_x, rest[1], (h0,))

    def infer(self, X: Tensor, *rest: Tensor) -> list[Tensor]:
        T, N, D = self.sizes(X, rest[4])
        return [X.new_empty(shape) for shape in ((T, N, D), (1, N, D), (T + 1, N, D))]

    def kernel(
        self,
        X: Tensor,
        cont: Tensor,
        h0: Tensor,
        W_x: Tensor,
        b_h: Tensor,
        W_h: Tensor,
        W_o: Tensor,
        b_o: Tensor,
        *static: Tensor,
    ) -> tuple[Tensor, ...]:
        T, N, D = self.sizes(X, W_h)
        sums = self.from_input(X, W_x, b_h, static).unbind(0)
        if torch.compiler.is_compiling():
            return _rnn_traced(sums, h0.detach()[0], markers(cont) or [], W_h.t(), W_o.t(), b_o)
        hidden, marks, W = X.new_empty(T + 1, N, D), markers(cont), W_h.t()
        hidden[0] = h0[0]
        h = hidden[0]
        for t, h_next in enumerate(hidden[1:].unbind(0)):
            torch.tanh(sums[t].addmm_(h if marks is None else h * marks[t], W), out=h_next)
            h = h_next
        Y = torch.addmm(b_o, hidden[1:].flatten(0, 1), W_o.t()).tanh_().view(T, N, D)
        return Y, hidden[-1:].clone(), hidden


def _rnn_traced(
    sums: Sequence[Tensor], h: Tensor, marks: list[Tensor], W: Tensor, W_o: Tensor, b_o: Tensor
) -> tuple[Tensor, ...]:
    """The steps for a tracer, whose autograd derives them: nothing is overwritten."""
    hidden = [h]
    for x, mark in zip(sums, marks, strict=True):
        h = torch.addmm(x, h * mark, W).tanh()
        hidden.append(h)
    states = torch.stack(hidden)
    Y = torch.addmm(b_o, states[1:].flatten(0, 1), W_o).tanh().view(len(marks), *h.shape)
    return Y, h.detach().unsqueeze(0).clone(), states


class RNNGradient(_Sequence):
    """Gradient of RNN: dW_x, db_h, dW_h, dW_o, db_o, and if the net asks for them dX, dx_static, dW_static.

    Source:   caffe/layers/rnn_layer.cpp
    """

    inputs = (
        Port("X", FLOAT),
        Port("cont", FLOAT, "T N"),
        Port("W_x", FLOAT, "* *"),
        Port("W_h", FLOAT, "D D"),
        Port("W_o", FLOAT, "D D"),
        Port("Y", FLOAT, "T N D"),
        Port("hidden", FLOAT),
        Port("dY", FLOAT, "T N D"),
        Port("x_static", FLOAT, optional=True),
        Port("W_static", FLOAT, optional=True),
    )
    outputs = (
        Port("dW_x"),
        Port("db_h"),
        Port("dW_h"),
        Port("dW_o"),
        Port("db_o"),
        Port("dX", optional=True),
        Port("dx_static", optional=True),
        Port("dW_static", optional=True),
    )
    no_gradient = "it is itself a gradient"

    def kernel(
        self,
        X: Tensor,
        cont: Tensor,
        W_x: Tensor,
        W_h: Tensor,
        W_o: Tensor,
        Y: Tensor,
        hidden: Tensor,
        dY: Tensor,
        *static: Tensor,
    ) -> tuple[Tensor, ...]:
        out = (dY * (1 - Y * Y)).flatten(0, 1)
        dZ = _rnn_backward(torch.mm(out, W_o).view(Y.shape), hidden[1:], markers(cont), W_h)
        rows = dZ.flatten(0, 1)
        dW_x = torch.mm(rows.t(), X.reshape(len(rows), -1))
        dW_h = torch.mm(rows.t(), _went_on(hidden[:-1], cont))
        dW_o = torch.mm(out.t(), hidden[1:].flatten(0, 1))
        others = self.to_input(X, W_x, dZ, static, self.num_outputs - 5)
        return dW_x, rows.sum(0), dW_h, dW_o, out.sum(0), *others


def _rnn_backward(dH: Tensor, hidden: Tensor, marks: list[Tensor] | None, W: Tensor) -> Tensor:
    """Run the steps backwards from the outputs' part of the hidden states' gradients."""
    slopes, steps = (1 - hidden * hidden).unbind(0), dH.unbind(0)
    dZ = torch.empty_like(dH)
    carried = torch.zeros_like(dH[0])
    for t in range(len(steps) - 1, -1, -1):
        d = torch.mul(carried.add_(steps[t]), slopes[t], out=dZ[t])
        carried = torch.mm(d, W)
        if marks is not None:
            carried.mul_(marks[t])
    return dZ
