"""Normalising layers; ``BatchNorm2D`` and, as in 2.0-beta, ``BatchNorm2d``."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.initializer import Constant
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "BatchNorm",
    "BatchNorm1D",
    "BatchNorm1d",
    "BatchNorm2D",
    "BatchNorm2d",
    "BatchNorm3D",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1D",
    "InstanceNorm1d",
    "InstanceNorm2D",
    "InstanceNorm2d",
    "InstanceNorm3D",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "SyncBatchNorm",
]  # fmt: skip


def _fixed(value: float) -> ParamAttr:
    return ParamAttr(initializer=Constant(value), trainable=False)


class _BatchNorm(Layer):
    """Normalised a channel; running means are ``_mean`` and ``_variance``, parameters that do not learn."""

    def __init__(
        self,
        num_features: int,
        momentum: float = 0.9,
        epsilon: float = 1e-05,
        weight_attr: Any = None,
        bias_attr: Any = None,
        data_format: str = "NCHW",
        use_global_stats: bool | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._momentum, self._epsilon = momentum, epsilon
        self._data_format, self._use_global_stats = data_format, use_global_stats
        self._say = f"num_features={num_features}, momentum={momentum}, epsilon={epsilon}"
        self._say += "" if data_format == "NCHW" else f", data_format={data_format}"
        self.weight = self.create_parameter([num_features], weight_attr, default_initializer=Constant(1.0))
        self.bias = self.create_parameter([num_features], bias_attr, is_bias=True)
        self._mean = self.create_parameter([num_features], _fixed(0.0))
        self._variance = self.create_parameter([num_features], _fixed(1.0))

    def forward(self, input: Any) -> Any:
        """(N, C, ...) -> the same."""
        return F.batch_norm(
            input,
            self._mean,
            self._variance,
            self.weight,
            self.bias,
            self.training,
            self._momentum,
            self._epsilon,
            self._data_format,
            self._use_global_stats,
        )

    def extra_repr(self) -> str:
        return self._say


class BatchNorm1D(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    def __init__(
        self,
        num_features: int,
        momentum: float = 0.9,
        epsilon: float = 1e-05,
        weight_attr: Any = None,
        bias_attr: Any = None,
        data_format: str = "NCL",
        use_global_stats: bool | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            num_features, momentum, epsilon, weight_attr, bias_attr, data_format, use_global_stats, name
        )


class BatchNorm2D(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes; of one process, :class:`BatchNorm2D`."""

    @classmethod
    def convert_sync_batchnorm(cls, layer: Layer) -> Layer:
        """The layer with every batch norm in it, with its parameters, as one of these."""
        if isinstance(layer, _BatchNorm) and not isinstance(layer, cls):
            made = cls.__new__(cls)
            made.__dict__.update(layer.__dict__)
            return made
        for name, part in layer.named_children():
            layer._sub_layers[name] = cls.convert_sync_batchnorm(part)
        return layer


class BatchNorm3D(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""


class BatchNorm(_BatchNorm):
    """Batch normalisation of any number of axes, with an activation after it (as in 1.x)."""

    def __init__(
        self,
        num_channels: int,
        act: str | None = None,
        is_test: bool = False,
        momentum: float = 0.9,
        epsilon: float = 1e-05,
        param_attr: Any = None,
        bias_attr: Any = None,
        dtype: str = "float32",
        data_layout: str = "NCHW",
        use_global_stats: bool = False,
    ) -> None:
        super().__init__(
            num_channels, momentum, epsilon, param_attr, bias_attr, data_layout, use_global_stats or None
        )
        self._act = act
        self.training = not is_test
        self.to(dtype=dtype)

    def forward(self, input: Any) -> Any:
        """(N, C, ...) -> the same."""
        made = super().forward(input)
        return getattr(F, self._act)(made) if self._act else made

    def extra_repr(self) -> str:
        return ""


class LayerNorm(Layer):
    """Normalised over the last axes."""

    def __init__(
        self,
        normalized_shape: Any,
        epsilon: float = 1e-05,
        weight_attr: Any = None,
        bias_attr: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
        size = int(torch.Size(shape).numel())
        self._shape, self._epsilon = shape, epsilon
        self.weight = self.create_parameter([size], weight_attr, default_initializer=Constant(1.0))
        self.bias = self.create_parameter([size], bias_attr, is_bias=True)

    def forward(self, input: Any) -> Any:
        """(..., normalized_shape) -> the same."""
        return F.layer_norm(input, self._shape, self.weight, self.bias, self._epsilon)

    def extra_repr(self) -> str:
        return f"normalized_shape={self._shape}, epsilon={self._epsilon}"


class GroupNorm(Layer):
    """Normalised over groups of channels."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        epsilon: float = 1e-05,
        weight_attr: Any = None,
        bias_attr: Any = None,
        data_format: str = "NCHW",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._groups, self._epsilon, self._data_format = num_groups, epsilon, data_format
        self._say = f"num_groups={num_groups}, num_channels={num_channels}, epsilon={epsilon}"
        self.weight = self.create_parameter([num_channels], weight_attr, default_initializer=Constant(1.0))
        self.bias = self.create_parameter([num_channels], bias_attr, is_bias=True)

    def forward(self, input: Any) -> Any:
        """(N, C, ...) -> the same."""
        return F.group_norm(
            input, self._groups, self._epsilon, self.weight, self.bias, data_format=self._data_format
        )

    def extra_repr(self) -> str:
        return self._say


class InstanceNorm2D(Layer):
    """Normalised over each channel of each sample."""

    def __init__(
        self,
        num_features: int,
        epsilon: float = 1e-05,
        momentum: float = 0.9,
        weight_attr: Any = None,
        bias_attr: Any = None,
        data_format: str = "NCHW",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._epsilon, self._data_format = epsilon, data_format
        self._say = f"num_features={num_features}, epsilon={epsilon}"
        self.scale = self.create_parameter([num_features], weight_attr, default_initializer=Constant(1.0))
        self.bias = self.create_parameter([num_features], bias_attr, is_bias=True)

    def forward(self, input: Any) -> Any:
        """(N, C, ...) -> the same."""
        return F.instance_norm(
            input, weight=self.scale, bias=self.bias, eps=self._epsilon, data_format=self._data_format
        )

    def extra_repr(self) -> str:
        return self._say


class InstanceNorm1D(InstanceNorm2D):
    """Normalised over each channel of each sample."""


class InstanceNorm3D(InstanceNorm2D):
    """Normalised over each channel of each sample."""


class LocalResponseNorm(Layer):
    """Divided by the neighbouring channels' squares."""

    def __init__(
        self,
        size: int,
        alpha: float = 0.0001,
        beta: float = 0.75,
        k: float = 1.0,
        data_format: str = "NCHW",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._options = (size, alpha, beta, k, data_format)

    def forward(self, input: Any) -> Any:
        """(N, C, ...) -> the same."""
        return F.local_response_norm(input, *self._options)

    def extra_repr(self) -> str:
        size, alpha, beta, k, data_format = self._options
        more = "" if data_format == "NCHW" else f", data_format={data_format}"
        return f"size={size}, alpha={alpha}, beta={beta}, k={k}{more}"


#: the names of 2.0-beta
BatchNorm1d, BatchNorm2d, BatchNorm3d = BatchNorm1D, BatchNorm2D, BatchNorm3D
InstanceNorm1d, InstanceNorm2d, InstanceNorm3d = InstanceNorm1D, InstanceNorm2D, InstanceNorm3D
