"""Recurrent layers: cells, and what runs them over time.

Weights are (gates * hidden, in) and (gates * hidden, hidden), gates in the order of the formulas below, as torch has
them; with ``sequence_length`` states stop, and outputs are 0, after a sequence's end.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from freshpot.errors import ArgumentError, NotSupportedError, ShapeError
from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import recorded, unwrap, wrap
from freshpot.paddle.nn.container import LayerList
from freshpot.paddle.nn.initializer import Uniform
from freshpot.paddle.nn.layer import Layer

__all__ = ["GRU", "LSTM", "RNN", "BiRNN", "GRUCell", "LSTMCell", "RNNCellBase", "SimpleRNN", "SimpleRNNCell"]

_ATTRS = ("weight_ih_attr", "weight_hh_attr", "bias_ih_attr", "bias_hh_attr")


def _reject_unknown(owner: Any, keywords: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in keywords if name not in known]
    if unknown:
        raise ArgumentError(f"{type(owner).__name__} takes {', '.join(known)}; got {unknown}")


class RNNCellBase(Layer):
    """Base class of cells: one step of time."""

    gates, states = 1, 1
    #: torch's function of whole layers of such cells
    layers_of: Any = None

    def _make(self, input_size: int, hidden_size: int, keywords: dict[str, Any]) -> None:
        if hidden_size <= 0:
            raise ArgumentError(f"{type(self).__name__}: hidden_size must be positive, got {hidden_size}")
        self.input_size, self.hidden_size = input_size, hidden_size
        start = Uniform(-1.0 / math.sqrt(hidden_size), 1.0 / math.sqrt(hidden_size))
        rows = self.gates * hidden_size
        shapes = ([rows, input_size], [rows, hidden_size], [rows], [rows])
        for name, shape in zip(_ATTRS, shapes, strict=True):
            own = self.create_parameter(shape, keywords.get(name), None, name.startswith("bias"), start)
            setattr(self, name.removesuffix("_attr"), own)

    @property
    def state_shape(self) -> Any:
        """The shape of a state without the batch, or one each."""
        return (self.hidden_size,) if self.states == 1 else ((self.hidden_size,),) * self.states

    def get_initial_states(
        self,
        batch_ref: Any,
        shape: Any = None,
        dtype: Any = None,
        init_value: float = 0.0,
        batch_dim_idx: int = 0,
    ) -> Any:
        """States filled with one value for the batch of ``batch_ref``, of the cell's own shape and its element type.

        Raises:
            NotSupportedError: another shape.
        """
        if shape is not None:
            raise NotSupportedError("get_initial_states: shape is the cell's own")
        like = batch_ref[0] if isinstance(batch_ref, (list, tuple)) else batch_ref
        size = (like.data_.shape[batch_dim_idx], self.hidden_size)
        kind = like.data_.dtype if dtype is None else to_dtype(dtype)
        made = [wrap(like.data_.new_full(size, init_value, dtype=kind)) for _ in range(self.states)]
        return made[0] if self.states == 1 else tuple(made)

    def forward(self, inputs: Any, states: Any = None) -> Any:
        """(N, input_size) and states -> the output (N, hidden_size), and the new states."""
        if states is None:
            states = self.get_initial_states(inputs)
        own = list(states) if isinstance(states, (list, tuple)) else [states]
        made = [wrap(part) for part in self.step(inputs.data_, [part.data_ for part in own])]
        return made[0], (made[0] if self.states == 1 else tuple(made))

    def _sums(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        into = torch.nn.functional.linear(x, unwrap(self.weight_ih), unwrap(self.bias_ih))
        back = torch.nn.functional.linear(h, unwrap(self.weight_hh), unwrap(self.bias_hh))
        return into, back

    def step(self, x: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """New states; the first is the output."""
        raise NotImplementedError(f"{type(self).__name__} must define step() or forward()")

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class SimpleRNNCell(RNNCellBase):
    """h = activation(W_ih x + b_ih + W_hh h + b_hh)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str = "tanh",
        *attrs: Any,
        name: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__()
        if activation not in ("tanh", "relu"):
            raise ArgumentError(f"SimpleRNNCell: activation {activation!r}; choose 'tanh' or 'relu'")
        keywords = {**dict(zip(_ATTRS, attrs, strict=False)), **keywords}
        _reject_unknown(self, keywords, _ATTRS)
        self.activation = activation
        self.layers_of = torch._VF.rnn_tanh if activation == "tanh" else torch._VF.rnn_relu
        self._make(input_size, hidden_size, keywords)

    def step(self, x: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """New states."""
        into, back = self._sums(x, states[0])
        return [torch.tanh(into + back) if self.activation == "tanh" else torch.relu(into + back)]

    def extra_repr(self) -> str:
        more = "" if self.activation == "tanh" else f", activation={self.activation}"
        return f"{self.input_size}, {self.hidden_size}{more}"


class LSTMCell(RNNCellBase):
    """Gates i, f, g, o: c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c) (Hochreiter and Schmidhuber)."""

    gates, states = 4, 2
    layers_of: Any = staticmethod(torch._VF.lstm)

    def __init__(
        self, input_size: int, hidden_size: int, *attrs: Any, name: Any = None, **keywords: Any
    ) -> None:
        super().__init__()
        keywords = {**dict(zip(_ATTRS, attrs, strict=False)), **keywords}
        _reject_unknown(self, keywords, _ATTRS)
        self._make(input_size, hidden_size, keywords)

    def step(self, x: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """New states."""
        into, back = self._sums(x, states[0])
        i, f, g, o = (into + back).chunk(4, -1)
        c = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]


class GRUCell(LSTMCell):
    """Gates r, z, c: h = z h + (1 - z) tanh(x_c + r h_c) (Cho and others 2014)."""

    gates, states = 3, 1
    layers_of: Any = staticmethod(torch._VF.gru)

    def step(self, x: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """New states."""
        into, back = self._sums(x, states[0])
        (xr, xz, xc), (hr, hz, hc) = into.chunk(3, -1), back.chunk(3, -1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        return [(states[0] - torch.tanh(xc + r * hc)) * z + torch.tanh(xc + r * hc)]


def _parts(states: Any) -> list[Any]:
    if isinstance(states, (list, tuple)):
        return [part for one in states for part in _parts(one)]
    return [states]


class RNN(Layer):
    """Any cell over time; ``is_reverse`` from the end to the beginning."""

    def __init__(self, cell: Layer, is_reverse: bool = False, time_major: bool = False) -> None:
        super().__init__()
        self.cell, self.is_reverse, self.time_major = cell, is_reverse, time_major

    def forward(
        self, inputs: Any, initial_states: Any = None, sequence_length: Any = None, **more: Any
    ) -> Any:
        """(N, time, C), or time first -> outputs of the same layout, and the last states."""
        axis = 0 if self.time_major else 1
        steps = inputs.unbind(axis)
        states = (
            self.cell.get_initial_states(inputs, batch_dim_idx=1 - axis)
            if initial_states is None
            else initial_states
        )
        lengths = None if sequence_length is None else sequence_length.data_
        made: list[Any] = [None] * len(steps)
        for t in reversed(range(len(steps))) if self.is_reverse else range(len(steps)):
            out, new = self.cell(steps[t], states, **more)
            if lengths is not None:
                alive = (lengths > t).unsqueeze(-1)
                out = wrap(torch.where(alive, out.data_, torch.zeros_like(out.data_)))
                kept = [
                    wrap(torch.where(alive, n.data_, o.data_))
                    for n, o in zip(_parts(new), _parts(states), strict=True)
                ]
                new = tuple(kept) if isinstance(new, (list, tuple)) else kept[0]
            made[t], states = out, new
        return wrap(torch.stack([part.data_ for part in made], axis)), states


class BiRNN(Layer):
    """Two cells, one from each end; outputs side by side."""

    def __init__(self, cell_fw: Layer, cell_bw: Layer, time_major: bool = False) -> None:
        super().__init__()
        self.cell_fw, self.cell_bw, self.time_major = cell_fw, cell_bw, time_major

    def forward(
        self, inputs: Any, initial_states: Any = None, sequence_length: Any = None, **more: Any
    ) -> Any:
        """(N, time, C), or time first -> outputs of the same layout, and the last states of both."""
        first, second = (None, None) if initial_states is None else initial_states
        ahead, one = RNN(self.cell_fw, False, self.time_major)(inputs, first, sequence_length, **more)
        back, two = RNN(self.cell_bw, True, self.time_major)(inputs, second, sequence_length, **more)
        return wrap(torch.cat([ahead.data_, back.data_], -1)), (one, two)


class _Stack(LayerList):
    """Layers of cells; states (layers * directions, N, hidden)."""

    cell: Any = LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        direction: str = "forward",
        time_major: bool = False,
        dropout: float = 0.0,
        *attrs: Any,
        name: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__()
        if direction not in ("forward", "bidirect", "bidirectional"):
            raise ArgumentError(
                f"{type(self).__name__}: direction {direction!r}; choose 'forward' or 'bidirect'"
            )
        keywords = {**dict(zip(_ATTRS, attrs, strict=False)), **keywords}
        _reject_unknown(self, keywords, (*_ATTRS, "activation"))
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.time_major, self.dropout = time_major, dropout
        self.num_directions = 1 if direction == "forward" else 2
        self.state_components = self.cell.states
        for number in range(num_layers):
            size = input_size if number == 0 else hidden_size * self.num_directions
            cells: list[Any] = [self.cell(size, hidden_size, **keywords) for _ in range(self.num_directions)]
            one_way = len(cells) == 1
            self.append(
                RNN(cells[0], False, time_major) if one_way else BiRNN(cells[0], cells[1], time_major)
            )
        self._name_parameters()

    def _name_parameters(self) -> None:
        """``weight_ih_l0`` … beside the cells' own names, as the original has them."""
        for number, layer in enumerate(self):
            cells = [layer.cell] if self.num_directions == 1 else [layer.cell_fw, layer.cell_bw]
            for side, cell in enumerate(cells):
                end = f"_l{number}" + ("_reverse" if side else "")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    if getattr(cell, name) is not None:
                        setattr(self, name + end, getattr(cell, name))

    @recorded
    def forward(self, inputs: Any, initial_states: Any = None, sequence_length: Any = None) -> Any:
        """(N, time, C), or time first -> the last layer's outputs, and every layer's last states."""
        batch = inputs.shape[1 if self.time_major else 0]
        shape = [self.num_layers * self.num_directions, batch, self.hidden_size]
        given = None if initial_states is None else _parts(initial_states)
        if given is not None and any(part.shape != shape for part in given):
            raise ShapeError(
                f"{type(self).__name__}: states must have shape {shape}, got {[p.shape for p in given]}"
            )
        if sequence_length is None and self._biased is not None:
            return self._at_once(inputs, given, shape)
        last: list[list[Any]] = [[] for _ in range(self.state_components)]
        out = inputs
        for number, layer in enumerate(self):
            if number and self.dropout:
                out = wrap(torch.nn.functional.dropout(out.data_, self.dropout, self.training))
            start = number * self.num_directions
            own = (
                None
                if given is None
                else [self._one(given, start + side) for side in range(self.num_directions)]
            )
            states = own if own is None or self.num_directions == 2 else own[0]
            out, ends = layer(out, states, sequence_length)
            for one in [ends] if self.num_directions == 1 else ends:
                for part, kept in zip(_parts(one), last, strict=True):
                    kept.append(part.data_)
        made = [wrap(torch.stack(kept)) for kept in last]
        return out, (made[0] if len(made) == 1 else tuple(made))

    @property
    def _cells(self) -> list[Any]:
        """The cells of the first layer, then of the next; forwards, then backwards."""
        return [cell for layer in self for cell in layer.sublayers() if isinstance(cell, RNNCellBase)]

    @property
    def _biased(self) -> bool | None:
        """Whether all cells have both biases; None if some have one."""
        there = {name is not None for cell in self._cells for name in (cell.bias_ih, cell.bias_hh)}
        return there.pop() if len(there) == 1 else None

    def _at_once(self, inputs: Any, given: Any, shape: list[int]) -> Any:
        """Sequences of one length by torch's own layers: outputs, last states."""
        x, cells = inputs.data_, self._cells
        states = [x.new_zeros(shape) for _ in range(self.state_components)]
        if given is not None:
            states = [part.data_ for part in given]
        weights = [
            unwrap(part)
            for cell in cells
            for part in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
            if part is not None
        ]
        out, *last = cells[0].layers_of(
            x,
            tuple(states) if len(states) > 1 else states[0],
            weights,
            bool(self._biased),
            self.num_layers,
            self.dropout,
            self.training,
            self.num_directions == 2,
            not self.time_major,
        )
        made = [wrap(part) for part in last]
        return wrap(out), (made[0] if len(made) == 1 else tuple(made))

    def _one(self, given: list[Any], place: int) -> Any:
        parts = tuple(part[place] for part in given)
        return parts[0] if len(parts) == 1 else parts

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        parts += ["time_major=True"] if self.time_major else []
        parts += [f"dropout={self.dropout}"] if self.dropout else []
        return ", ".join(parts)


class SimpleRNN(_Stack):
    """Layers of :class:`SimpleRNNCell`."""

    cell = SimpleRNNCell


class LSTM(_Stack):
    """Layers of :class:`LSTMCell`."""


class GRU(_Stack):
    """Layers of :class:`GRUCell`."""

    cell = GRUCell
