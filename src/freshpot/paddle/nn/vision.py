"""Layers of :mod:`freshpot.paddle.nn.functional.extension`, and others that only keep a function's arguments."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.paddle import tensor as ops
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle._tensor import wrap
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.initializer import Normal
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "ChannelShuffle", "Fold", "MaxUnPool1D", "MaxUnPool2D", "MaxUnPool3D", "PairwiseDistance", "PixelUnshuffle",
    "Softmax2D", "SpectralNorm", "Unflatten", "Unfold",
]  # fmt: skip


class PixelUnshuffle(Layer):
    """A grid made coarser, its pixels into channels."""

    def __init__(self, downscale_factor: int, data_format: str = "NCHW", name: str | None = None) -> None:
        super().__init__()
        self._factor, self._format = downscale_factor, data_format

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C * r * r, H / r, W / r)."""
        return F.pixel_unshuffle(x, self._factor, self._format)

    def extra_repr(self) -> str:
        return f"downscale_factor={self._factor}" + (
            "" if self._format == "NCHW" else f", data_format={self._format}"
        )


class ChannelShuffle(Layer):
    """Channels dealt round the groups."""

    def __init__(self, groups: int, data_format: str = "NCHW", name: str | None = None) -> None:
        super().__init__()
        self._groups, self._format = groups, data_format

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> the same."""
        return F.channel_shuffle(x, self._groups, self._format)

    def extra_repr(self) -> str:
        return f"groups={self._groups}" + ("" if self._format == "NCHW" else f", data_format={self._format}")


class Unfold(Layer):
    """Every window as a column."""

    def __init__(
        self,
        kernel_sizes: Any,
        dilations: Any = 1,
        paddings: Any = 0,
        strides: Any = 1,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._options = (kernel_sizes, strides, paddings, dilations)

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> (N, C * kernel, windows)."""
        return F.unfold(input, *self._options)


class Fold(Layer):
    """Columns of windows added up to pictures."""

    def __init__(
        self,
        output_sizes: Any,
        kernel_sizes: Any,
        dilations: Any = 1,
        paddings: Any = 0,
        strides: Any = 1,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._options = (output_sizes, kernel_sizes, strides, paddings, dilations)

    def forward(self, input: Any) -> Any:
        """(N, C * kernel, windows) -> (N, C, H, W)."""
        return F.fold(input, *self._options)


class _MaxUnPool(Layer):
    axes = 2

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        data_format: str | None = None,
        output_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._options = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "output_size": output_size,
            **({} if data_format is None else {"data_format": data_format}),
        }

    def forward(self, x: Any, indices: Any) -> Any:
        """Values and their places -> the larger tensor."""
        return getattr(F, f"max_unpool{self.axes}d")(x, indices, **self._options)

    def extra_repr(self) -> str:
        return f"output_size={self._options['output_size']}"


class MaxUnPool1D(_MaxUnPool):
    """The way back from ``MaxPool1D``."""

    axes = 1


class MaxUnPool2D(_MaxUnPool):
    """The way back from ``MaxPool2D``."""


class MaxUnPool3D(_MaxUnPool):
    """The way back from ``MaxPool3D``."""

    axes = 3


class PairwiseDistance(Layer):
    """The norm of the difference along the last axis."""

    def __init__(
        self, p: float = 2.0, epsilon: float = 1e-6, keepdim: bool = False, name: str | None = None
    ) -> None:
        super().__init__()
        self.p, self.epsilon, self.keepdim = p, epsilon, keepdim

    def forward(self, x: Any, y: Any) -> Any:
        """Two (N, C) -> (N,)."""
        return F.pairwise_distance(x, y, self.p, self.epsilon, self.keepdim)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Softmax2D(Layer):
    """Softmax over the channels."""

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> the same."""
        return F.softmax(x, -3)


class Unflatten(Layer):
    """One axis made several."""

    def __init__(self, axis: int, shape: Any, name: str | None = None) -> None:
        super().__init__()
        self.axis, self.shape = axis, shape

    def forward(self, input: Any) -> Any:
        """(..., product, ...) -> (..., sizes ..., ...)."""
        return ops.unflatten(input, self.axis, self.shape)


class SpectralNorm(Layer):
    """A weight divided by its greatest singular value, found by power iteration (Miyato and others 2018)."""

    def __init__(
        self,
        weight_shape: Any,
        axis: int = 0,
        power_iters: int = 1,
        epsilon: float = 1e-12,
        dtype: str = "float32",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._axis, self._iterations, self._epsilon = axis, power_iters, epsilon
        rows = int(weight_shape[axis])
        columns = int(torch.Size(weight_shape).numel() // rows)
        for name_, size in (("weight_u", rows), ("weight_v", columns)):
            start = ParamAttr(initializer=Normal(0.0, 1.0), trainable=False)
            setattr(self, name_, self.create_parameter([size], start, dtype))

    def forward(self, x: Any) -> Any:
        """A weight -> the same shape."""
        matrix = x.data_.movedim(self._axis, 0).flatten(1)
        u, v = self.weight_u.data_, self.weight_v.data_
        with torch.no_grad():
            for _ in range(self._iterations):
                v.copy_(torch.nn.functional.normalize(matrix.t() @ u, dim=0, eps=self._epsilon))
                u.copy_(torch.nn.functional.normalize(matrix @ v, dim=0, eps=self._epsilon))
        return wrap(x.data_ / (u.clone() @ (matrix @ v.clone())))
