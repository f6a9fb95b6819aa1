"""TranslatedLayer: a network that was read from files, or a net of any kind, as a layer."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Parameter, Tensor, to_tensor, wrap
from freshpot.paddle.jit._program import Program
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static.spec import InputSpec

__all__ = ["TranslatedLayer", "layer"]


class TranslatedLayer(Layer):
    """A network of :func:`freshpot.paddle.jit.load` or :func:`layer`.

    It begins in use (``eval()``); ``train()`` lets it learn on.

    Attributes:
        input_names, output_names: the variables that go in and come out.
        module: what runs a net of freshpot's; None for a program of the original.
    """

    def __init__(self, network: Any, values: dict[str, Any]) -> None:
        super().__init__()
        self._network = network
        self.module: Any = None
        if isinstance(network, Program):
            self.input_names, self.output_names = list(network.inputs), list(network.outputs)
            moving = {n for c in network.calls for s in ("Mean", "Variance") for n in c.inputs.get(s, ())}
            for name, value in values.items():
                data = torch.from_numpy(value)
                self._parameters[name] = Parameter(
                    data, name, data.is_floating_point() and name not in moving
                )
        else:
            import freshpot.torch as doors

            self.module = doors.module(network)
            self.input_names, self.output_names = list(network.inputs), list(network.outputs)
            for key, data in self.module.state_blobs().values():
                if isinstance(data, torch.nn.Parameter):
                    self._parameters[key] = Parameter(data, key, True)
                else:
                    self._buffers[key] = Tensor(data, key, True)
        self.eval()

    def forward(self, *inputs: Any) -> Any:
        """The output, or a list of them.

        Raises:
            ArgumentError: another number of inputs, or an operator refused its own.
        """
        if len(inputs) != len(self.input_names):
            raise ArgumentError(
                f"takes {len(self.input_names)} inputs ({', '.join(self.input_names)}), got {len(inputs)}"
            )
        given = [value if isinstance(value, Tensor) else to_tensor(value) for value in inputs]
        if isinstance(self._network, Program):
            named = dict(zip(self.input_names, given, strict=True))
            made = self._network.run(named, self._parameters, self.training)  # type: ignore[arg-type]
        else:
            self.module.train(self.training)
            found = self.module(*[value.data_ for value in given])
            made = [wrap(part) for part in (found if isinstance(found, tuple) else (found,))]
        return made[0] if len(made) == 1 else made

    def _input_spec(self) -> list[InputSpec]:
        """Specifications of the inputs, where the file says them."""
        if isinstance(self._network, Program):
            return [InputSpec(*self._network.shapes[name], name) for name in self.input_names]
        shapes = self._network.shapes
        if not all(name in shapes for name in self.input_names):
            return []
        return [
            InputSpec(
                [-1 if size is None else size for size in shapes[name][0]], str(shapes[name][1])[6:], name
            )
            for name in self.input_names
        ]


def layer(net: Any, parameters: Any = None, *, inputs: Any = None, outputs: Any = None) -> TranslatedLayer:
    """A net of any kind as a layer; the arguments are those of :func:`freshpot.torch.module`.

    Raises:
        NotSupportedError: operators that are no functions of tensors, all named. NetError: it is no net.
    """
    import freshpot.torch as doors

    made = doors.module(net, parameters, inputs=inputs, outputs=outputs)
    return TranslatedLayer(doors.capture(made.eval()), {})
