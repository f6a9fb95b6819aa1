"""``fluid.dygraph``: the dynamic mode with 1.8's layers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from freshpot.errors import near_matches
from freshpot.paddle import nn as _nn
from freshpot.paddle._files import load, save
from freshpot.paddle._tensor import Tensor, to_tensor
from freshpot.paddle.autograd import grad, no_grad
from freshpot.paddle.distributed import DataParallel, ParallelEnv
from freshpot.paddle.jit import ProgramTranslator, TracedLayer
from freshpot.paddle.jit import to_static as declarative
from freshpot.paddle.nn.container import LayerList, ParameterList, Sequential
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static import program as _program
from freshpot.paddle.static.nn import _activated, pool2d

__all__ = [
    "BatchNorm", "Conv2D", "DataParallel", "Dropout", "Embedding", "Layer", "LayerList", "LayerNorm", "Linear",
    "ParallelEnv", "ParameterList", "Pool2D", "ProgramTranslator", "Sequential", "TracedLayer", "declarative",
    "enabled", "grad", "guard", "load_dygraph", "no_grad", "save_dygraph", "to_variable",
]  # fmt: skip

nn: Any = _nn
BatchNorm = _nn.BatchNorm


@contextlib.contextmanager
def guard(place: Any = None) -> Iterator[None]:
    """Within it, functions run at once."""
    before = _program.is_static()
    _program.disable()
    try:
        yield
    finally:
        if before:
            _program.enable()


def enabled() -> bool:
    """Whether functions run at once."""
    return not _program.is_static()


def to_variable(
    value: Any, name: str | None = None, zero_copy: bool | None = None, dtype: Any = None
) -> Tensor:
    """A tensor with the values of an array."""
    made = value if isinstance(value, Tensor) else to_tensor(np.asarray(value), dtype)
    if name is not None:
        made.name = name
    return made


class Linear(nn.Linear):
    """``x @ weight + bias``, with an activation after it."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        param_attr: Any = None,
        bias_attr: Any = None,
        act: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(input_dim, output_dim, param_attr, bias_attr)
        self._act = act

    def forward(self, input: Any) -> Any:
        """(..., input_dim) -> (..., output_dim)."""
        return _activated(super().forward(input), self._act)


class Conv2D(nn.Conv2D):
    """A convolution, with an activation after it."""

    def __init__(
        self,
        num_channels: int,
        num_filters: int,
        filter_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int | None = None,
        param_attr: Any = None,
        bias_attr: Any = None,
        use_cudnn: bool = True,
        act: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            num_channels, num_filters, filter_size, stride, padding, dilation, groups or 1, weight_attr=param_attr,
            bias_attr=bias_attr,
        )  # fmt: skip
        self._act = act

    def forward(self, input: Any) -> Any:
        """(N, num_channels, H, W) -> (N, num_filters, H', W')."""
        return _activated(super().forward(input), self._act)


class Pool2D(Layer):
    """Pooling by the largest or the mean."""

    def __init__(
        self,
        pool_size: Any = -1,
        pool_type: str = "max",
        pool_stride: Any = 1,
        pool_padding: Any = 0,
        global_pooling: bool = False,
        use_cudnn: bool = True,
        ceil_mode: bool = False,
        exclusive: bool = True,
        data_format: str = "NCHW",
    ) -> None:
        super().__init__()
        self._options = {
            "pool_size": pool_size, "pool_type": pool_type, "pool_stride": pool_stride, "pool_padding": pool_padding,
            "global_pooling": global_pooling, "ceil_mode": ceil_mode, "exclusive": exclusive,
            "data_format": data_format,
        }  # fmt: skip

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> (N, C, H', W')."""
        return pool2d(input, **self._options)


class Embedding(nn.Embedding):
    """Rows of a table of ``size`` (rows, columns), by number."""

    def __init__(
        self,
        size: Any,
        is_sparse: bool = False,
        is_distributed: bool = False,
        padding_idx: int | None = None,
        param_attr: Any = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(size[0], size[1], padding_idx, is_sparse, param_attr)


class Dropout(nn.Dropout):
    """Elements zeroed with a probability; by default they are scaled down afterwards, not up while training."""

    def __init__(
        self,
        p: float = 0.5,
        seed: int | None = None,
        dropout_implementation: str = "downgrade_in_infer",
        is_test: bool = False,
    ) -> None:
        upscale = dropout_implementation == "upscale_in_train"
        super().__init__(p, mode="upscale_in_train" if upscale else "downscale_in_infer")
        self.training = not is_test


class LayerNorm(nn.LayerNorm):
    """Normalised over the last axes, with an activation after it."""

    def __init__(
        self,
        normalized_shape: Any,
        scale: bool = True,
        shift: bool = True,
        epsilon: float = 1e-05,
        param_attr: Any = None,
        bias_attr: Any = None,
        act: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            normalized_shape, epsilon, param_attr if scale else False, bias_attr if shift else False
        )
        self._act = act

    def forward(self, input: Any) -> Any:
        """(..., normalized_shape) -> the same."""
        return _activated(super().forward(input), self._act)


def save_dygraph(state_dict: dict[str, Any], model_path: str) -> None:
    """A network's state to ``<model_path>.pdparams``, an optimizer's to ``<model_path>.pdopt``."""
    parameters = all(isinstance(v, Tensor) and v.persistable for v in state_dict.values())
    save(state_dict, f"{model_path}.{'pdparams' if parameters and state_dict else 'pdopt'}")


def load_dygraph(model_path: str, **configs: Any) -> tuple[Any, Any]:
    """The states of a network and of an optimizer from ``<model_path>.pdparams`` and ``.pdopt``; None where there is
    none.

    Raises:
        FormatError: a file is corrupt. OSError: neither is there.
    """
    base = str(model_path).removesuffix(".pdparams").removesuffix(".pdopt")
    optimizer = load(f"{base}.pdopt") if os.path.exists(f"{base}.pdopt") else None
    if optimizer is not None and not os.path.exists(f"{base}.pdparams"):
        return None, optimizer
    return load(f"{base}.pdparams"), optimizer


def __getattr__(name: str) -> Any:
    raise AttributeError(f"paddle.fluid.dygraph has no '{name}' here.{near_matches(name, __all__)}")
