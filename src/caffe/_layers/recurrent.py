"""Recurrent layers over sequences of time steps by streams, with markers where sequences begin."""

from __future__ import annotations

import math

from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError, ArityError


class _Sequence:
    """What RNN and LSTM make of their bottoms: x, cont, perhaps a static input, perhaps states.

    ``states``: blobs that hold the states before the first step; ``ends``: those for the states after the
    last one. Unless they are exposed as bottoms and tops, both are blobs of the layer's own, so that the
    next run goes on where this one ended.
    """

    def __init__(self, low: Lowering, states: int) -> None:
        p = low.param.recurrent_param
        exposed = states if p.expose_hidden else 0
        self.units: int = p.num_output
        if self.units < 1:
            low.refuse(f"num_output must be at least 1, got {self.units}.", ArgumentError)
        if not 0 <= len(low.bottom) - 2 - exposed <= 1 or len(low.top) != 1 + exposed:
            low.refuse(
                f"takes x, cont, an optional static input{' and the states' * bool(exposed)} ({2 + exposed} or "
                f"{3 + exposed} bottoms) and makes {1 + exposed} tops; got {len(low.bottom)} and {len(low.top)}.",
                ArityError,
            )
        self.static = low.bottom[2] if len(low.bottom) == 3 + exposed else None
        self._check_shapes(low, exposed)
        low.no_gradient_for(1)
        if exposed:
            self.states, self.ends = low.bottom[-exposed:], low.top[1:]
        else:
            shape = (1, low.shapes[0][1], self.units)
            self.states = self.ends = [low.state(f"state{i}", shape) for i in range(states)]

    def _check_shapes(self, low: Lowering, exposed: int) -> None:
        x, cont = low.shapes[:2]
        if len(x) < 3 or 0 in x:
            low.refuse(
                f"'{low.bottom[0]}' must have 3 axes or more (steps, streams, features …), none of them empty; got {x}."
            )
        if cont != x[:2]:
            low.refuse(f"'{low.bottom[1]}' must be (steps, streams) as '{low.bottom[0]}' {x}, got {cont}.")
        if self.static and (len(low.shapes[2]) < 2 or low.shapes[2][0] != x[1]):
            low.refuse(f"'{self.static}' must be ({x[1]} streams, features …), got {low.shapes[2]}.")
        wanted = (1, x[1], self.units)
        for name, shape in list(zip(low.bottom, low.shapes, strict=True))[len(low.bottom) - exposed :]:
            if shape != wanted:
                low.refuse(f"the state '{name}' must have shape {wanted}, got {shape}.")


@layer("LSTM", bottoms=(2, 5), tops=(1, 3), not_forced=(1,))
def lstm(low: Lowering) -> None:
    p = low.param.recurrent_param
    seq = _Sequence(low, states=2)
    gates = 4 * seq.units
    W_x = low.weight((gates, math.prod(low.shapes[0][2:])), p.weight_filler)
    b = low.weight((gates,), p.bias_filler)
    static = []
    if seq.static:
        static = [seq.static, low.weight((gates, math.prod(low.shapes[2][1:])), p.weight_filler)]
    W_h = low.weight((gates, seq.units), p.weight_filler)
    low.op(
        "LSTM",
        [*low.bottom[:2], *seq.states, W_x, b, W_h, *static],
        [low.top[0], *seq.ends, low.temp("hidden"), low.temp("cell"), low.temp("gates")],
        static=int(bool(static)),
    )


@layer("RNN", bottoms=(2, 4), tops=(1, 2), not_forced=(1,))
def rnn(low: Lowering) -> None:
    p = low.param.recurrent_param
    seq = _Sequence(low, states=1)
    W_x = low.weight((seq.units, math.prod(low.shapes[0][2:])), p.weight_filler)
    b_h = low.weight((seq.units,), p.bias_filler)
    static = []
    if seq.static:
        static = [seq.static, low.weight((seq.units, math.prod(low.shapes[2][1:])), p.weight_filler)]
    W_h, W_o = (low.weight((seq.units, seq.units), p.weight_filler) for _ in range(2))
    b_o = low.weight((seq.units,), p.bias_filler)
    low.op(
        "RNN",
        [*low.bottom[:2], *seq.states, W_x, b_h, W_h, W_o, b_o, *static],
        [low.top[0], *seq.ends, low.temp("hidden")],
        static=int(bool(static)),
    )


@layer("LSTMUnit", bottoms=3, tops=2, not_forced=(2,))
def lstm_unit(low: Lowering) -> None:
    low.no_gradient_for(2)
    low.op("CaffeLSTMUnit", low.bottom, low.top)
