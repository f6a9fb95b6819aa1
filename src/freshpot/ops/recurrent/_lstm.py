"""The plain LSTM cell over a whole sequence, faster than operator by operator.

Owned here: recognising the step nets that `rnn_cell.LSTM` makes, and computing them with everything that
does not depend on the step before done for all steps at once. Who calls it: the recurrent network operators.

Forward, each step is one product and the activations. Backward, the derivatives of all activations are
taken first; what is left of a step is one product and four elementwise operations, and the gradients of
weights are one product over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from freshpot.net.net import Net
from freshpot.net.op import Op
from freshpot.ops.recurrent._slots import Link

#: elements of a step's gates up to which a call costs more than its work: numpy, whose calls are cheaper
_SMALL = 4096

_FORWARD = ["FC", "Sum", "LSTMUnit"]
_BACKWARD = ["LSTMUnitGradient", "FCGradient", "Sum"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Names and options of a recognised LSTM step net."""

    hidden: str  # states, as the links name them
    cell: str
    sequence: str
    weight: str
    bias: str
    lengths: str | None
    forget_bias: float
    drop_states: bool
    #: blobs of the step net: previous hidden and cell state, gates, new hidden and cell state
    blobs: tuple[str, str, str, str, str]
    #: the blob of the step net that is a step of the sequence
    input_t: str


def match(net: Net, links: Sequence[Link]) -> Cell | None:
    """The LSTM that a step net is, or None if it is something else."""
    if [op.type for op in net.ops] != _FORWARD:
        return None
    fc, add, unit = net.ops
    if len(fc.inputs) != 3 or fc.args.get("axis") != 2 or fc.args.get("axis_w", 1) != 1:
        return None
    h_prev, weight, bias = fc.inputs
    gates = fc.outputs[0]
    given = bool(unit.args.get("sequence_lengths", 1))
    others = [name for name in add.inputs if name != gates]
    if (
        len(add.inputs) != 2
        or len(others) != 1
        or add.outputs != [gates]
        or len(unit.inputs) != 4 + given
        or unit.inputs[0] != h_prev
        or unit.inputs[2] != gates
    ):
        return None
    c_prev, (h, c) = unit.inputs[1], unit.outputs
    where = {link.inner: link for link in links}
    wanted = {h_prev: 0, h: 1, c_prev: 0, c: 1, others[0]: 0}
    if len(links) != len(wanted) or {n: link.offset for n, link in where.items()} != wanted:
        return None
    if where[h].outer != where[h_prev].outer or where[c].outer != where[c_prev].outer:
        return None
    return Cell(
        where[h].outer,
        where[c].outer,
        where[others[0]].outer,
        weight,
        bias,
        unit.inputs[3] if given else None,
        float(unit.args.get("forget_bias", 0.0)),  # type: ignore[arg-type]
        bool(unit.args.get("drop_states", 0)),
        (h_prev, c_prev, gates, h, c),
        others[0],
    )


def match_backward(cell: Cell, net: Net, forward: Net, links: Sequence[Link], params: list[str]) -> bool:
    """True if a backward step net is the gradient of this cell, perhaps computing the gates again first."""
    ops = net.ops
    if [op.type for op in ops] == [*_FORWARD[:2], *_BACKWARD] and _same(ops[:2], forward.ops[:2]):
        ops = ops[2:]
    if [op.type for op in ops] != _BACKWARD:
        return False
    unit, fc, add = ops
    h_prev, c_prev, gates, h, c = cell.blobs
    dh_prev, dc_prev, dgates = unit.outputs
    if unit.inputs[:3] != [h_prev, c_prev, gates] or unit.inputs[-4:-2] != [h, c]:
        return False
    if fc.inputs != [h_prev, cell.weight, dgates] or fc.outputs[:2] != params or len(fc.outputs) != 3:
        return False
    if sorted(add.inputs) != sorted([dh_prev, fc.outputs[2]]) or add.outputs != [dh_prev]:
        return False
    dh, dc = unit.inputs[-2:]
    states = {
        (n, o, k) for n, o, k in ((link.inner, link.outer, link.offset) for link in links) if n != dgates
    }
    return len(links) == 5 and states == {
        (dh, cell.hidden + "_grad", 1),
        (dh_prev, cell.hidden + "_grad", 0),
        (dc, cell.cell + "_grad", 1),
        (dc_prev, cell.cell + "_grad", 0),
    }


def _same(some: Sequence[Op], others: Sequence[Op]) -> bool:
    return [(o.type, o.inputs, o.outputs, o.args) for o in some] == [
        (o.type, o.inputs, o.outputs, o.args) for o in others
    ]


@dataclass(slots=True)
class Trace:
    """A forward run over a sequence: (T, N, ...) tensors, states with one step more at the front."""

    hidden: Tensor
    cell: Tensor
    gates: Tensor
    #: sigmoid of i, f, o and tanh of g
    active: Tensor
    #: tanh of the cell states after each step
    squashed: Tensor
    #: (T, N, 1): which sequences still run; None if all do to the end
    mask: Tensor | None


def forward(
    cell: Cell, X: Tensor, h0: Tensor, c0: Tensor, W: Tensor, b: Tensor, lengths: Tensor | None
) -> Trace:
    """Run the cell over X (T, N, 4 D) from states (1, N, D)."""
    T, N, width = X.shape
    D = width // 4
    mask = _mask(lengths, T)
    gates = X + b
    active, squashed = torch.empty_like(gates), X.new_empty(T, N, D)
    hidden, cells = X.new_empty(T + 1, N, D), X.new_empty(T + 1, N, D)
    hidden[0], cells[0] = h0[0], c0[0]
    trace = Trace(hidden, cells, gates, active, squashed, mask)
    small = N * width <= _SMALL and X.device.type == "cpu"
    (_forward_small if small else _forward_large)(cell, trace, W)
    return trace


def _forward_large(cell: Cell, trace: Trace, W: Tensor) -> None:
    gates, active, hidden, cells, mask = trace.gates, trace.active, trace.hidden, trace.cell, trace.mask
    D = hidden.shape[-1]
    W_t = W.t()
    h, c = hidden[0], cells[0]
    shift = _shift(cell.forget_bias, D, gates)
    rows = zip(
        gates.unbind(0),
        active[..., : 3 * D].unbind(0),
        *(part.unbind(0) for part in active.split(D, -1)),
        trace.squashed.unbind(0),
        hidden[1:].unbind(0),
        cells[1:].unbind(0),
        strict=True,
    )
    for t, (gate, sigmoids, i, f, o, g, tanh_c, h_next, c_next) in enumerate(rows):
        gate.addmm_(h, W_t)
        linear = gate if shift is None else gate + shift
        torch.sigmoid(linear[:, : 3 * D], out=sigmoids)
        torch.tanh(linear[:, 3 * D :], out=g)
        torch.mul(f, c, out=c_next).addcmul_(i, g)
        torch.tanh(c_next, out=tanh_c)
        torch.mul(tanh_c, o, out=h_next)
        if mask is not None:
            _stop(mask[t], cell.drop_states, (h_next, h), (c_next, c))
        h, c = h_next, c_next


def _forward_small(cell: Cell, trace: Trace, W: Tensor) -> None:
    """The same with numpy, every sigmoid as a tanh: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2."""
    D = trace.hidden.shape[-1]
    gates, active, hidden, cells, tanh_c = (
        t.numpy() for t in (trace.gates, trace.active, trace.hidden, trace.cell, trace.squashed)
    )
    W_t = W.numpy().T
    scale = np.full_like(gates[0], 0.5)  # of a step's full shape: broadcasting doubles a small call's time
    scale[:, 3 * D :] = 1.0
    offset = 1.0 - scale
    product, added = np.empty_like(gates[0]), np.empty_like(tanh_c[0])
    parts = (active[..., k * D : (k + 1) * D] for k in range(4))
    rows = zip(gates, active, *parts, hidden[1:], cells[1:], tanh_c, strict=True)
    dot, add, multiply, tanh = np.dot, np.add, np.multiply, np.tanh
    h, c = hidden[0], cells[0]
    for t, (gate, act, i, f, o, g, h_next, c_next, squashed) in enumerate(rows):
        dot(h, W_t, out=product)
        add(gate, product, out=gate)
        if cell.forget_bias:
            np.copyto(act, gate)
            act[:, D : 2 * D] += np.float32(cell.forget_bias)
            multiply(act, scale, out=act)
        else:
            multiply(gate, scale, out=act)
        tanh(act, out=act)
        multiply(act, scale, out=act)
        add(act, offset, out=act)
        multiply(f, c, out=c_next)
        multiply(i, g, out=added)
        add(c_next, added, out=c_next)
        tanh(c_next, out=squashed)
        multiply(squashed, o, out=h_next)
        if trace.mask is not None:
            states = ((trace.hidden[t + 1], trace.hidden[t]), (trace.cell[t + 1], trace.cell[t]))
            _stop(trace.mask[t], cell.drop_states, *states)
        h, c = h_next, c_next


def _mask(lengths: Tensor | None, steps: int) -> Tensor | None:
    if lengths is None or lengths.numel() == 0 or int(lengths.min()) >= steps:
        return None
    return (lengths > torch.arange(steps, device=lengths.device).unsqueeze(1)).unsqueeze(-1)


def _shift(forget_bias: float, D: int, like: Tensor) -> Tensor | None:
    if not forget_bias:
        return None
    shift = like.new_zeros(4 * D)
    shift[D : 2 * D] = forget_bias
    return shift


def _stop(running: Tensor, drop: bool, *states: tuple[Tensor, Tensor]) -> None:
    """Sequences that are over keep the state they had, or get zeros."""
    for new, old in states:
        if drop:
            new.mul_(running)
        else:
            new.copy_(torch.where(running, new, old))


@dataclass(slots=True)
class Gradients:
    """Gradients of the sequence, the weight, the bias, and the initial states (N, D)."""

    X: Tensor
    W: Tensor
    b: Tensor
    h0: Tensor
    c0: Tensor


def backward(
    cell: Cell, trace: Trace, W: Tensor, given: dict[str, Tensor], last: dict[str, Tensor]
) -> Gradients:
    """Undo a run.

    ``given``: gradients of all steps (T, N, D) of a state, by state; ``last``: of the last step (1, N, D).
    """
    T, N, width = trace.gates.shape
    D = width // 4
    of_hidden, of_gates, forget = _derivatives(trace, cell.drop_states)
    dgates = torch.empty_like(trace.gates)
    dh, dc = (_start(state, given, last, trace.hidden[0]) for state in (cell.hidden, cell.cell))
    more_h, more_c = given.get(cell.hidden), given.get(cell.cell)
    over = ~trace.mask if trace.mask is not None and not cell.drop_states else None
    small = N * width <= _SMALL and dgates.device.type == "cpu"
    loop = _backward_small if small else _backward_large
    dh, dc = loop((of_hidden, of_gates, forget), dgates, (dh, dc), (more_h, more_c), over, W)
    rows = dgates.view(T * N, width)
    dW = torch.mm(rows.t(), trace.hidden[:-1].reshape(T * N, D))
    return Gradients(dgates, dW, rows.sum(0), dh, dc)


Pair = tuple[Tensor, Tensor]
MaybePair = tuple[Tensor | None, Tensor | None]


def _backward_large(
    factors: tuple[Tensor, Tensor, Tensor],
    dgates: Tensor,
    ends: Pair,
    more: MaybePair,
    over: Tensor | None,
    W: Tensor,
) -> Pair:
    """All steps, last to first; fills ``dgates`` and returns the initial states' gradients."""
    T, N, width = dgates.shape
    D = width // 4
    (dh, dc), (more_h, more_c) = ends, more
    to_hidden, to_gates, forgets = (factor.unbind(0) for factor in factors)
    to_out = factors[1][:, :, 2].unbind(0)
    flat, blocks = dgates.unbind(0), dgates.view(T, N, 4, D).unbind(0)
    outs = dgates[..., 2 * D : 3 * D].unbind(0)
    for t in reversed(range(T)):
        dcell = torch.addcmul(dc, dh, to_hidden[t])
        torch.mul(to_gates[t], dcell.unsqueeze(1), out=blocks[t])
        torch.mul(to_out[t], dh, out=outs[t])
        dc = dcell.mul_(forgets[t])
        before = torch.mm(flat[t], W)
        if over is not None:
            before.add_(over[t] * dh)
        dh = before
        if t and more_h is not None:
            dh.add_(more_h[t - 1])
        if t and more_c is not None:
            dc.add_(more_c[t - 1])
    return dh, dc


def _backward_small(
    factors: tuple[Tensor, Tensor, Tensor],
    dgates: Tensor,
    ends: Pair,
    more: MaybePair,
    over: Tensor | None,
    W: Tensor,
) -> Pair:
    """The same with numpy."""
    T, N, width = dgates.shape
    D = width // 4
    dh, dc, weight, flat = (x.numpy() for x in (*ends, W, dgates))
    to_hidden, to_gates, forgets = (factor.numpy() for factor in factors)
    more_h, more_c, ended = (None if x is None else x.numpy() for x in (*more, over))
    blocks, outs, to_out = flat.reshape(T, N, 4, D), flat[..., 2 * D : 3 * D], to_gates[:, :, 2]
    dot, add, multiply = np.dot, np.add, np.multiply
    for t in reversed(range(T)):
        dcell = multiply(dh, to_hidden[t])
        add(dcell, dc, out=dcell)
        multiply(to_gates[t], dcell[:, None], out=blocks[t])
        multiply(to_out[t], dh, out=outs[t])
        dc = multiply(dcell, forgets[t], out=dcell)
        before = dot(flat[t], weight)
        if ended is not None:
            before += ended[t] * dh
        dh = before
        if t and more_h is not None:
            add(dh, more_h[t - 1], out=dh)
        if t and more_c is not None:
            add(dc, more_c[t - 1], out=dc)
    return torch.from_numpy(dh), torch.from_numpy(dc)


def _derivatives(trace: Trace, drop: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Factors of each step: dH -> dC (T, N, D); dC or dH -> gates (T, N, 4, D); dC -> previous dC."""
    T, N, width = trace.gates.shape
    D = width // 4
    sigmoids, g = trace.active[..., : 3 * D].view(T, N, 3, D), trace.active[..., 3 * D :]
    slopes = torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1)
    i, forget, o = sigmoids.unbind(2)
    of_hidden = o - o * trace.squashed * trace.squashed
    of_gates = torch.stack(
        [
            slopes[:, :, 0] * g,
            slopes[:, :, 1] * trace.cell[:-1],
            slopes[:, :, 2] * trace.squashed,
            i - i * g * g,
        ],
        2,
    )
    mask = trace.mask
    if mask is not None:
        of_hidden = of_hidden * mask
        of_gates = of_gates * mask.unsqueeze(2)
        forget = forget * mask if drop else torch.where(mask, forget, 1.0)
    return of_hidden, of_gates, forget


def _start(state: str, given: dict[str, Tensor], last: dict[str, Tensor], like: Tensor) -> Tensor:
    start = torch.zeros_like(like)
    if state in last:
        start += last[state].view(like.shape)
    if state in given:
        start += given[state][-1]
    return start
