"""Sliding windows: the arguments that convolution and pooling share, and the arithmetic of them.

Owned here: reading ``kernel``/``kernels``/``kernel_h`` …, padding rules, output sizes. Who calls it:
the convolution and pooling families. The rules are Caffe2's (caffe2/operators/conv_pool_op_base.h);
legacy padding is described in caffe2_legacy.proto.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError
from freshpot.native.batch import pitch
from freshpot.native.machine import lanes
from freshpot.native.pages import ask_for_large
from freshpot.net.schema import Arg
from freshpot.ops._operator import Operator

#: values of ``legacy_pad``
NOTSET, VALID, SAME, CAFFE_LEGACY_POOLING = 0, 1, 2, 3

ORDER = Arg("order", str, "NCHW", "layout of the images: channels second or last", choices=("NCHW", "NHWC"))

WINDOW_ARGS = (
    ORDER,
    Arg("kernel", int, 0, "window size, both dimensions of an image, pixels"),
    Arg("kernel_h", int, 0, "window height, pixels"),
    Arg("kernel_w", int, 0, "window width, pixels"),
    Arg("kernels", [int], [], "window size in each dimension, pixels"),
    Arg("stride", int, 1, "step, both dimensions, pixels"),
    Arg("stride_h", int, 1, "vertical step, pixels"),
    Arg("stride_w", int, 1, "horizontal step, pixels"),
    Arg("strides", [int], [], "step in each dimension, pixels"),
    Arg("dilation", int, 1, "distance of neighbours in the window, both dimensions, pixels"),
    Arg("dilation_h", int, 1, "vertical dilation, pixels"),
    Arg("dilation_w", int, 1, "horizontal dilation, pixels"),
    Arg("dilations", [int], [], "dilation in each dimension, pixels"),
    Arg("pad", int, 0, "padding on every side, pixels"),
    Arg("pad_t", int, 0, "padding above (needs all four), pixels"),
    Arg("pad_l", int, 0, "padding on the left, pixels"),
    Arg("pad_b", int, 0, "padding below, pixels"),
    Arg("pad_r", int, 0, "padding on the right, pixels"),
    Arg("pads", [int], [], "padding: all heads, then all tails, pixels"),
    Arg(
        "legacy_pad",
        int,
        NOTSET,
        "0: explicit padding, 1: none (VALID), 2: output is input/stride (SAME), 3: Caffe's pooling",
        choices=(NOTSET, VALID, SAME, CAFFE_LEGACY_POOLING),
    ),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the windows lie on an input of one size: one entry a dimension."""

    sizes: tuple[int, ...]
    heads: tuple[int, ...]
    tails: tuple[int, ...]
    outputs: tuple[int, ...]


class Windowed(Operator, abstract=True):
    """Base of operators that slide a window. ``kernels``, ``strides``, ``dilations``, ``heads`` and
    ``tails`` (padding) have one entry a dimension after ``setup``; kernels are images in either order.
    """

    kernels: list[int]
    strides: list[int]
    dilations: list[int]
    heads: list[int]
    tails: list[int]
    #: True where a window without a size is a mistake
    needs_kernel = True

    def setup(self) -> None:
        self.nhwc = self.order == "NHWC"
        # the argument "kernel" must not hide the method of that name
        self._short = {
            "kernel": self.__dict__.pop("kernel"),
            "stride": self.stride,
            "dilation": self.dilation,
        }
        kernels = self._sizes("kernel", self.kernels)
        n = len(kernels) or 2
        self.kernels = kernels or [0, 0]
        self.strides = self._sizes("stride", self.strides) or [1] * n
        self.dilations = self._sizes("dilation", self.dilations) or [1] * n
        pads = self._pads() or [0] * (2 * n)
        for name, values, count in (
            ("strides", self.strides, n),
            ("dilations", self.dilations, n),
            ("pads", pads, 2 * n),
        ):
            if len(values) != count:
                self.refuse(
                    f"a window of {n} dimensions wants {count} {name}, got {len(values)}.", ArgumentError
                )
        self.heads, self.tails = pads[:n], pads[n:]
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self._check_window()

    def _sizes(self, name: str, values: list[int]) -> list[int]:
        """Kernel, stride or dilation, from whichever of the three forms is given."""
        if self.has(name):  # given beside the list, the short form only fills what the list leaves out
            return (values + [self._short[name]] * 2)[:2]
        if self.has(f"{name}_h") and self.has(f"{name}_w"):
            return [*values, getattr(self, f"{name}_h"), getattr(self, f"{name}_w")]
        return values

    def _pads(self) -> list[int]:
        sides = ("pad_t", "pad_l", "pad_b", "pad_r")
        explicit = self.has("pads") or self.has("pad") or all(self.has(side) for side in sides)
        if explicit and self.legacy_pad in (VALID, SAME):
            self.refuse("legacy_pad 1 or 2 derives the padding: leave out pad and pads.", ArgumentError)
        if self.has("pad"):
            return (self.pads + [self.pad] * 4)[:4]
        if all(self.has(side) for side in sides):
            return [*self.pads, *(getattr(self, side) for side in sides)]
        return self.pads

    def _check_window(self) -> None:
        if self.needs_kernel and not all(k > 0 for k in self.kernels):
            self.refuse(f"the kernel must be given, at least 1 pixel; got {self.kernels}.", ArgumentError)
        if not all(v > 0 for v in (*self.strides, *self.dilations)):
            self.refuse(
                f"strides and dilations must be at least 1; got {self.strides}, {self.dilations}.",
                ArgumentError,
            )
        if not all(p >= 0 for p in (*self.heads, *self.tails)):
            self.refuse(f"padding must not be negative; got {[*self.heads, *self.tails]}.", ArgumentError)

    # ---- images in either order ----------------------------------------------------------------
    def channels_second(self, X: Tensor) -> Tensor:
        """X as (N, C, …), a view."""
        return X.movedim(-1, 1) if self.nhwc else X

    def in_order(self, Y: Tensor) -> Tensor:
        """(N, C, …) in the order the net asked for."""
        return Y.movedim(1, -1).contiguous() if self.nhwc else Y

    def check_dims(self, X: Tensor) -> None:
        """Refuse images of another number of dimensions than the window."""
        if X.dim() != len(self.kernels) + 2:
            self.refuse(
                f"a window of {len(self.kernels)} dimensions wants X with {len(self.kernels) + 2}"
                f" (batch, channels, space); got {tuple(X.shape)}."
            )

    # ---- arithmetic ----------------------------------------------------------------------------
    def layout(self, sizes: tuple[int, ...]) -> Layout:
        """Padding and output size for an input of these spatial sizes."""
        found = self._layouts.get(sizes)
        if found is None:
            rows = [
                self._along(size, *window)
                for size, *window in zip(
                    sizes, self.kernels, self.strides, self.dilations, self.heads, self.tails, strict=True
                )
            ]
            heads, tails, outputs = (tuple(column) for column in zip(*rows, strict=True))
            found = self._layouts[sizes] = Layout(sizes, heads, tails, outputs)
        return found

    def _along(self, size: int, kernel: int, stride: int, dilation: int, head: int, tail: int) -> Any:
        span = dilation * (kernel - 1) + 1
        if self.legacy_pad == VALID:
            head = tail = 0
        elif self.legacy_pad == SAME:
            if dilation != 1:
                self.refuse("legacy_pad 2 (SAME) does not go with dilation.", ArgumentError)
            needed = (-(-size // stride) - 1) * stride + kernel - size
            head = int(needed / 2)  # towards zero
            tail = needed - head
        elif self.legacy_pad == CAFFE_LEGACY_POOLING:
            return self._caffe_along(size, kernel, stride, head)
        if size + head + tail < span:
            self.refuse(
                f"the window spans {span} pixels, but X has {size} + {head + tail} of padding."
                " Make the kernel smaller or the padding larger."
            )
        return head, tail, (size + head + tail - span) // stride + 1

    def _caffe_along(self, size: int, kernel: int, stride: int, head: int) -> tuple[int, int, int]:
        """Caffe rounds the number of windows up, and drops a last one that starts in the padding."""
        room = size + 2 * head - kernel
        outputs = math.ceil(room / stride) + 1
        if head > 0 and (outputs - 1) * stride >= size + head:
            outputs -= 1
        tail = head + stride * (outputs - (int(room / stride) + 1))
        return head, tail, outputs


def fitted(X: Tensor, layout: Layout, spans: list[int], strides: list[int], value: float) -> Tensor:
    """X (N, C, …) padded with ``value``, or cropped, so that exactly the windows fit."""
    return (
        pad_tensor(X, _margins(layout, spans, strides), value=value)
        if _margins_needed(layout, spans, strides)
        else X
    )


def unfitted(dX: Tensor, layout: Layout, spans: list[int], strides: list[int]) -> Tensor:
    """The gradient of ``fitted``: what fell on the padding goes, what was cropped gets zero."""
    if not _margins_needed(layout, spans, strides):
        return dX
    return pad_tensor(dX, [-m for m in _margins(layout, spans, strides)])


def _margins(layout: Layout, spans: list[int], strides: list[int]) -> list[int]:
    margins: list[int] = []
    rows = zip(layout.sizes, layout.heads, layout.outputs, spans, strides, strict=True)
    for size, head, count, span, stride in reversed(list(rows)):
        margins += [head, (count - 1) * stride + span - size - head]
    return margins


def _margins_needed(layout: Layout, spans: list[int], strides: list[int]) -> bool:
    return any(_margins(layout, spans, strides))


def channels_last(X: Tensor) -> Tensor:
    """An image batch (N, C, H, W) whose memory runs along the channels: what CPU kernels do best with.

    Other tensors (other devices, other ranks) come back as they are.
    """
    if X.dim() != 4 or X.device.type != "cpu":
        return X
    _, C, H, W = X.shape
    if C == 1 and X.is_contiguous():  # the same memory; only the strides tell the kernels
        return X.as_strided(X.shape, (H * W, 1, W, 1))
    return X.contiguous(memory_format=torch.channels_last)


def in_layout_of(X: Tensor, T: Tensor) -> Tensor:
    """T, whose shape is X's, in X's memory layout: a pass over mixed layouts costs more than the copy."""
    return T if T.stride() == X.stride() else empty_alike(X).copy_(T)


def is_batch_last(X: Tensor) -> bool:
    """True if the memory of X (N, C, H, W) runs along the images of the batch, as kernels want it (`native.batch`)."""
    if X.dim() != 4 or X.shape[0] == 1:
        return False
    N, C, H, W = X.shape
    step = pitch(N)
    wanted = (1, H * W * step, W * step, step)
    if not all(size == 1 or is_ == want for size, is_, want in zip(X.shape, X.stride(), wanted, strict=True)):
        return False
    if step == N:
        return True
    room = X.untyped_storage().nbytes() // X.element_size() - X.storage_offset()
    return room >= C * H * W * step


def batch_last(X: Tensor) -> Tensor:
    """X (N, C, H, W) with its memory along the images of the batch; X itself if it is so already."""
    if is_batch_last(X):
        return X
    made = empty_batch_last(*X.shape, dtype=X.dtype)
    into_batch_last(X, made)()
    return made


def into_batch_last(X: Tensor, memory: Tensor) -> Callable[[], Any]:
    """The call that fills memory along the batch with X, which has its shape, for many times."""
    N = X.shape[0]
    K = X[0].numel() if N else 0
    width = lanes()
    if (
        not width
        or min(N, K) < width
        or not (X.is_contiguous() and X.is_cpu and X.dtype is memory.dtype is torch.float32)
        or type(X) not in (Tensor, Parameter)
        or torch.compiler.is_compiling()
        or torch.is_grad_enabled()
    ):
        return functools.partial(memory.copy_, X)
    from freshpot.native.turn import turn

    return turn(N, K, K, pitch(N)).bind(X, memory)


def empty_batch_last(N: int, C: int, H: int, W: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A batch (N, C, H, W) of that layout, not filled; what room there is behind the last image holds zeros."""
    step = pitch(N)
    made = torch.empty((C, H, W, step), dtype=dtype)
    ask_for_large(made.data_ptr(), made.nbytes)
    if step != N:
        made.zero_()
    return made[..., :N].permute(3, 0, 1, 2)


def empty_alike(X: Tensor) -> Tensor:
    """Memory of X's shape, type and layout, not filled."""
    return empty_batch_last(*X.shape, dtype=X.dtype) if is_batch_last(X) else torch.empty_like(X)
