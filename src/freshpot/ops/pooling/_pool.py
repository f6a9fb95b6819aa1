"""What max and average pooling share. Source: caffe2/operators/pool_op.h"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, ClassVar

from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._window import WINDOW_ARGS, Layout, Windowed
from freshpot.ops.pooling import _batch_last, _planes


def native_way(
    X: Tensor, kernels: list[int], strides: list[int], outputs: tuple[int, ...]
) -> tuple[Any, Any] | None:
    """The module of machine code that pools X as its memory lies, and the sizes as it wants them; None: none does."""
    for by in (_batch_last, _planes):
        shape = by.shape_of(X, kernels, strides, outputs)
        if shape is not None:
            return by, shape
    return None


class Pool(Windowed, abstract=True):
    """Base of pooling operators: windows without dilation, or one window over all space."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y", FLOAT),)
    args: ClassVar[tuple[Arg, ...]] = (
        *WINDOW_ARGS,
        Arg("global_pooling", int, 0, "1: one window over all space; no stride, no padding"),
    )

    def setup(self) -> None:
        self.needs_kernel = not self.global_pooling
        super().setup()
        if any(d != 1 for d in self.dilations):
            self.refuse(f"pooling knows no dilation; got {self.dilations}.", ArgumentError)
        pads = [*self.heads, *self.tails]
        if self.global_pooling:
            if any(pads) or any(s != 1 for s in self.strides):
                self.refuse("with global_pooling leave out stride and pad.", ArgumentError)
        elif any(p >= k for p, k in zip(pads, self.kernels * 2, strict=True)):
            self.refuse(f"padding must be smaller than the kernel {self.kernels}; got {pads}.", ArgumentError)

    def check(self, X: Tensor, *others: Tensor) -> None:
        if self.global_pooling:
            if X.dim() < 3:
                self.refuse(f"X must have batch, channels and space; got {tuple(X.shape)}.")
            return
        self.check_dims(X)
        self.layout(tuple(self.channels_second(X).shape[2:]))

    def check_gradient(self, X: Tensor, Y: Tensor, dY: Tensor) -> None:
        """Of the gradient operator: Y and dY are what pooling X gives."""
        Pool.check(self, X)
        images = self.channels_second(X)
        space = tuple(images.shape[2:])
        outputs = (1,) * len(space) if self.global_pooling else self.layout(space).outputs
        wanted = (*images.shape[:2], *outputs)
        for name, value in (("Y", Y), ("dY", dY)):
            if tuple(self.channels_second(value).shape) != wanted:
                self.refuse(f"{name} must be {wanted} (N, C, space) as pooled; got {tuple(value.shape)}.")


def offsets(X: Tensor, layout: Layout, kernels: list[int], strides: list[int]) -> Iterator[Tensor]:
    """Views of X (N, C, …), fitted to the windows: for each place in the window, that pixel of all windows."""
    for place in product(*(range(k) for k in kernels)):
        view = X
        for dim, (start, count, stride) in enumerate(zip(place, layout.outputs, strides, strict=True)):
            view = view[
                (slice(None),) * (dim + 2) + (slice(start, start + (count - 1) * stride + 1, stride),)
            ]
        yield view
