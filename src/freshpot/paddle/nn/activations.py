"""Activations as layers: each calls the function of its name with what it was made with."""

from __future__ import annotations

import inspect
from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.initializer import Constant
from freshpot.paddle.nn.layer import Layer

#: layer -> function
_TABLE = {
    "CELU": "celu", "ELU": "elu", "GELU": "gelu", "GLU": "glu", "Hardshrink": "hardshrink",
    "Hardsigmoid": "hardsigmoid", "Hardswish": "hardswish", "Hardtanh": "hardtanh", "LeakyReLU": "leaky_relu",
    "LogSigmoid": "log_sigmoid", "LogSoftmax": "log_softmax", "Maxout": "maxout", "Mish": "mish", "ReLU": "relu",
    "ReLU6": "relu6", "RReLU": "rrelu", "SELU": "selu", "Sigmoid": "sigmoid", "Silu": "silu", "Softmax": "softmax",
    "Softplus": "softplus", "Softshrink": "softshrink", "Softsign": "softsign", "Swish": "swish", "Tanh": "tanh",
    "Tanhshrink": "tanhshrink", "ThresholdedReLU": "thresholded_relu",
}  # fmt: skip


class _Activation(Layer):
    function = "relu"

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()
        keywords.pop("name", None)
        names = [n for n in inspect.signature(getattr(F, self.function)).parameters if n not in ("x", "name")]
        unknown = [name for name in keywords if name not in names]
        if len(args) > len(names) or unknown:
            raise ArgumentError(
                f"{type(self).__name__} takes {', '.join(names) or 'no arguments'}; got {unknown or args}"
            )
        self._options = {**dict(zip(names, args, strict=False)), **keywords}
        self._function = getattr(F, self.function)

    def forward(self, x: Any) -> Any:
        return self._function(x, **self._options)

    def extra_repr(self) -> str:
        if self.function == "hardsigmoid":  # the original says nothing of it
            return ""
        signature = inspect.signature(self._function).parameters.values()
        defaults = {p.name: p.default for p in signature if p.name not in ("x", "name", "dtype", "training")}
        return ", ".join(f"{name}={value}" for name, value in {**defaults, **self._options}.items())


def _make(name: str, function: str) -> type[Layer]:
    doc = f"The layer of :func:`functional.{function}`."
    return type(name, (_Activation,), {"function": function, "__doc__": doc, "__module__": __name__})


globals().update({name: _make(name, function) for name, function in _TABLE.items()})


class PReLU(Layer):
    """x above 0, weight * x below; the weight learns."""

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        weight_attr: Any = None,
        data_format: str = "NCHW",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._data_format = data_format
        self._say = f"num_parameters={num_parameters}, data_format={data_format}, init={init}, dtype=float32"
        self._weight = self.create_parameter(
            [num_parameters], weight_attr, default_initializer=Constant(init)
        )

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> the same."""
        return F.prelu(x, self._weight, self._data_format)

    def extra_repr(self) -> str:
        return self._say


__all__ = [*_TABLE, "PReLU"]
