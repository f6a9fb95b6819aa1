"""Stacks of recurrent layers with PyTorch's gates and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._derived import derive
from freshpot.ops._operator import Operator

#: kind -> PyTorch's function
_KINDS: dict[str, Callable[..., Any]] = {
    "lstm": torch._VF.lstm,
    "gru": torch._VF.gru,
    "rnn_tanh": torch._VF.rnn_tanh,
    "rnn_relu": torch._VF.rnn_relu,
}


class _Layers(Operator, abstract=True):
    args = (
        Arg("kind", str, "lstm", f"one of {', '.join(_KINDS)}"),
        Arg("layers", int, 1, "number of layers"),
        Arg("biases", int, 1, "1: each direction of each layer has two biases"),
        Arg("bidirectional", int, 0, "1: each layer reads both ways"),
        Arg("batch_first", int, 0, "1: X and Y start with the batch, not with time"),
        Arg("dropout", float, 0.0, "ratio dropped between layers"),
        Arg("is_test", int, 1, "1: nothing is dropped"),
    )

    def setup(self) -> None:
        if self.kind not in _KINDS:
            self.refuse(
                f"argument 'kind' must be one of {', '.join(_KINDS)}; got '{self.kind}'.", ArgumentError
            )
        #: how many states there are, and how many weights
        self.states = 2 if self.kind == "lstm" else 1
        self.weights = self.layers * (1 + self.bidirectional) * (4 if self.biases else 2)

    def forwards(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Outputs and last states; values are X, states, weights."""
        X, states, weights = values[0], values[1 : 1 + self.states], values[1 + self.states :]
        given: Any = tuple(states) if self.states == 2 else states[0]
        options = (bool(self.biases), self.layers, self.dropout, not self.is_test)
        options += (bool(self.bidirectional), bool(self.batch_first))
        return _KINDS[self.kind](X, given, list(weights), *options)


def _rule(g: GradientMaker) -> list[Op]:
    given = [i for i, grad in enumerate(g.output_grads) if grad is not None]
    reads = [*g.op.inputs, *(g.GO(i) for i in given)]
    made = [g.GI(i) for i in range(len(g.op.inputs))]
    return [g.new("RecurrentLayersGradient", reads, made, {"outputs_given": given})]


class RecurrentLayers(_Layers):
    """Y, last = what recurrent layers make of a sequence.

    Gates are in PyTorch's order: input, forget, cell, output of an LSTM; reset, update, new of a GRU.

    Shapes:   X: (T, N, D), or (N, T, D) with ``batch_first``; states: (layers * directions, N, K);
              weights: W_x, W_h, b_x, b_h of each layer and direction -> Y: (T, N, K * directions), last: as states
    Raises:   ArgumentError for another kind or number of weights; KernelError if they do not
              fit each other.
    Source:   freshpot's own, for nets made of modules
    """

    inputs = (Port("X", FLOAT), Port("given", FLOAT, many=True))
    outputs = (Port("Y"), Port("last"), Port("last_cell", optional=True))
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        super().setup()
        wanted = 1 + self.states + self.weights
        if self.num_inputs != wanted:
            self.refuse(
                f"takes X, {self.states} states and {self.weights} weights: {wanted} inputs, got {self.num_inputs}.",
                ArgumentError,
            )

    def kernel(self, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(made.contiguous() for made in self.forwards(*values))

    def infer(self, X: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """As the kernel makes of one step; without data a kernel would walk through all of them."""
        time = 1 if self.batch_first else 0
        if X.ndim != 3 or not X.shape[time]:
            return self.kernel(X, *others)
        made, *states = self.kernel(X.narrow(time, 0, 1), *others)
        sizes = list(made.shape)
        sizes[time] = X.shape[time]
        return made.new_empty(sizes), *states


class RecurrentLayersGradient(_Layers):
    """Gradient of RecurrentLayers, which is run once more.

    With dropout between layers it has no gradient: what was dropped is not kept.
    """

    inputs = (Port("X", FLOAT), Port("given", FLOAT, many=True))
    outputs = (Port("dX"), Port("dgiven", many=True))
    args = (*_Layers.args, Arg("outputs_given", [int], doc="which outputs' gradients are given"))
    no_gradient = "it is itself a gradient"

    def setup(self) -> None:
        super().setup()
        if self.dropout and not self.is_test and self.layers > 1:
            self.refuse(
                "with dropout between layers there is no gradient; put Dropout behind.", ArgumentError
            )

    def kernel(self, *values: Tensor) -> tuple[Tensor, ...]:
        count = 1 + self.states + self.weights
        grads: list[Tensor | None] = [None] * 3
        for i, grad in zip(self.outputs_given, values[count:], strict=True):
            grads[i] = grad
        return derive(self.forwards, values[:count], grads, learn=count)
