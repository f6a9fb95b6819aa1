"""Convolution."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Call
from freshpot.ops._tune import choose
from freshpot.ops._window import WINDOW_ARGS, Layout, Windowed, channels_last, is_batch_last
from freshpot.ops.convolution import _batch_last, _planes

#: the work of a convolution
FORWARD, WEIGHTS, DATA = "forward", "gradient of the weights", "gradient of the data"
_META = torch.device("meta")
#: layouts of X that an operator remembers its way for
_MOST_WAYS = 64
#: images below which code for few of them comes first where nothing is timed
_FEW = 8


class Native(NamedTuple):
    """A way by machine code: the module that has it, `_batch_last` or `_planes`, and the sizes as it wants them."""

    by: Any
    sizes: Any


def conv_gradient(g: GradientMaker) -> list[Op]:
    """ConvGradient(X, W, dY) -> dW[, db], dX; without a bias it says ``no_bias``."""
    inputs = [g.I(0), g.I(1), g.GO(0)]
    if len(g.op.inputs) == 3:
        return [g.new(f"{g.op.type}Gradient", inputs, [g.GI(1), g.GI(2), g.GI(0)])]
    return [g.new(f"{g.op.type}Gradient", inputs, [g.GI(1), g.GI(0)], {"no_bias": 1})]


class Convolution(Windowed, abstract=True):
    """What all convolutions share."""

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("X", FLOAT),
        Port("W", FLOAT),
        Port("b", FLOAT, "M", optional=True),
    )
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    args: ClassVar[tuple[Arg, ...]] = (
        *WINDOW_ARGS,
        Arg("group", int, 1, "number of groups of channels that do not see each other"),
        Arg("no_bias", int, 0, "of the gradient: the convolution has no bias"),
    )
    gradient_rule: ClassVar[Any] = staticmethod(conv_gradient)

    def setup(self) -> None:
        super().setup()
        if self.group < 1:
            self.refuse(f"group must be at least 1, got {self.group}.", ArgumentError)
        self._none = [0] * len(self.kernels)
        self._ways: dict[Any, Native | None] = {}

    def check(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> None:
        self.check_dims(X)
        channels, images = X.shape[-1 if self.nhwc else 1], self.channels_second(X)
        filters = self.channels_second(W)
        if filters.dim() != X.dim() or list(filters.shape[2:]) != self.kernels:
            self.refuse(
                f"the filter W must have {X.dim()} dimensions and kernel {self.kernels}; got {tuple(W.shape)}."
            )
        if filters.shape[1] * self.group != channels or filters.shape[0] % self.group:
            self.refuse(
                f"X {tuple(X.shape)} has {channels} channels in {self.group} groups; W {tuple(W.shape)} wants "
                f"{filters.shape[1]} channels a group and has {filters.shape[0]} filters."
            )
        if b is not None and tuple(b.shape) != (filters.shape[0],):
            self.refuse(f"the bias must have shape ({filters.shape[0]},), got {tuple(b.shape)}.")
        self.layout(tuple(images.shape[2:]))

    def infer(self, X: Tensor, W: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """From the sizes alone: asked about tensors without data, ATen loads PyTorch's symbolic shapes first,
        which takes a second and 100 MB."""
        space = self.layout(tuple(self.channels_second(X).shape[2:])).outputs
        shape = (X.shape[0], *space, W.shape[0]) if self.nhwc else (X.shape[0], W.shape[0], *space)
        return (torch.empty(shape, dtype=X.dtype, device=_META),)

    def _padding(self, layout: Layout) -> tuple[list[int], list[int] | None]:
        """Padding that ATen does itself, and (where sides differ) the margins to add first."""
        if layout.heads == layout.tails and min(layout.heads) >= 0:
            return list(layout.heads), None
        pairs = zip(reversed(layout.heads), reversed(layout.tails), strict=True)
        return self._none, [m for pair in pairs for m in pair]

    def _native(
        self, work: str, X: Tensor, W: Tensor, native: Callable[[Native], Any], aten: Callable[[], Any]
    ) -> Native | None:
        """The machine code that does it fastest, None where ATen does: chosen once for each layout."""
        if torch.compiler.is_compiling() or torch.is_grad_enabled():  # they want to see what is done
            return None
        key = (work, X.shape, X.stride(), X.dtype, X.device)  # as in _taken
        if key not in self._ways:
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            self._ways[key] = self._choose(work, X, W, native, aten)
        return self._ways[key]

    def _choose(
        self, work: str, X: Tensor, W: Tensor, native: Callable[[Native], Any], aten: Callable[[], Any]
    ) -> Native | None:
        if self.nhwc or self.group != 1 or any(d != 1 for d in self.dilations):
            return None
        layout = self.layout(tuple(X.shape[2:]))
        found: dict[str, Native] = {}
        shape = _batch_last.shape_of(X, W, layout, self.strides)
        if shape is not None and (work != DATA or self.strides == [1, 1]):
            found["native"] = Native(_batch_last, shape)
        sizes = _planes.sizes_of(X, W, layout, self.strides)
        if sizes is not None and (work != DATA or sizes.frame is not None):
            few = {"planes": Native(_planes, sizes)}
            found = {**few, **found} if X.shape[0] < _FEW else {**found, **few}
        if not found:
            return None
        ways: dict[str, Callable[[], Any]] = {n: functools.partial(native, way) for n, way in found.items()}
        order = "batch last" if is_batch_last(X) else "batch first"
        job = f"convolution, {work}, {order}, {shape or sizes}{', few' if 'planes' in found else ''}"
        return found.get(choose(job, {**ways, "aten": aten}))

    def _taken(self, work: str, X: Tensor) -> Native | None:
        """What `_native` said of it."""
        return self._ways.get((work, X.shape, X.stride(), X.dtype, X.device))

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        way = self._native(
            FORWARD,
            X,
            W,
            lambda way: way.by.forward(way.sizes, X, W, b),
            lambda: self._aten(X, W, b),
        )
        return self._aten(X, W, b) if way is None else way.by.forward(way.sizes, X, W, b)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        X, W, *b = inputs
        way = self._taken(FORWARD, X)
        if way is None:
            return None
        return way.by.forward_calls(way.sizes, X, W, b[0] if b else None, outputs[0])

    def _plain(self, X: Tensor, W: Tensor, Y: Sequence[int]) -> bool:
        """True if the images are to be put in the filters' order of memory, N, C, H, W, rather than the filters in
        the images': for ATen both must run alike, and what is smaller is cheaper to move. ``Y``: its shape."""
        _, C, *window = W.shape
        if X.dim() != 4 or C == 1 or window == [1, 1] or not X.is_cpu or not W.is_contiguous():
            return False
        return W.numel() > X.numel() + Y[0] * Y[1] * Y[2] * Y[3]

    def _aten(self, X: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        images, filters = self.channels_second(X), self.channels_second(W)
        layout = self.layout(tuple(images.shape[2:]))
        padding, margins = self._padding(layout)
        if margins:
            images = pad_tensor(images, margins)
        plain = self._plain(images, filters, (images.shape[0], filters.shape[0], *layout.outputs))
        Y = torch.ops.aten.convolution(
            images.contiguous() if plain else channels_last(images),
            filters,
            b,
            self.strides,
            padding,
            self.dilations,
            False,
            self._none,
            self.group,
        )
        return self.in_order(channels_last(Y) if plain else Y)


class ConvolutionGradient(Convolution, abstract=True):
    """What the gradients of all convolutions share: dW, db (unless no_bias), dX if the net asks for it."""

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("dY", FLOAT, optional=True))
    outputs = (Port("dW"), Port("db", optional=True), Port("dX", optional=True))
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def saves_without_last(self) -> bool:
        return self.num_outputs > (1 if self.no_bias else 2)

    def check(self, X: Tensor, W: Tensor, dY: Tensor | None = None) -> None:
        super().check(X, W)
        if dY is None:
            self.refuse("the gradient of Y is missing.", ArityError)
        images = self.channels_second(X)
        wanted = (X.shape[0], W.shape[0], *self.layout(tuple(images.shape[2:])).outputs)
        if tuple(self.channels_second(dY).shape) != wanted:
            self.refuse(f"dY must be the gradient of Y {wanted} (N, M, space); got {tuple(dY.shape)}.")

    def infer(self, X: Tensor, W: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        bias = () if self.no_bias else (torch.empty(W.shape[0], dtype=W.dtype, device=_META),)
        dW, dX = (torch.empty(t.shape, dtype=t.dtype, device=_META) for t in (W, X))
        made = (dW, *bias, dX)
        return made[: self.num_outputs]

    def kernel(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        with_bias = not self.no_bias
        with_input = self.num_outputs > 1 + with_bias
        # chosen one by one, so that dW is the same whether dX is asked for or not
        weights = self._native(
            WEIGHTS,
            X,
            W,
            lambda way: way.by.weights(way.sizes, X, dY, with_bias),
            lambda: self._aten_gradient(X, W, dY, False, True),
        )
        data = None
        if with_input:
            data = self._native(
                DATA,
                X,
                W,
                lambda way: way.by.data(way.sizes, W, dY),
                lambda: self._aten_gradient(X, W, dY, True, False),
            )
        made = self._aten_gradient(X, W, dY, with_input and data is None, weights is None)
        if weights is not None:
            made = [*weights.by.weights(weights.sizes, X, dY, with_bias), *made]
        if data is not None:
            made.append(data.by.data(data.sizes, W, dY))
        return tuple(made)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        X, W, dY = inputs
        count = 1 if self.no_bias else 2
        weights, data = self._taken(WEIGHTS, X), self._taken(DATA, X)
        if weights is None or (len(outputs) > count and data is None):
            return None
        made = weights.by.weights_calls(weights.sizes, X, dY, outputs[:count])
        if made is None or len(outputs) == count or data is None:
            return made
        more = data.by.data_calls(data.sizes, W, dY, outputs[count])
        return None if more is None else [*made, *more]

    def _aten_gradient(
        self, X: Tensor, W: Tensor, dY: Tensor, with_input: bool, with_weights: bool
    ) -> list[Tensor]:
        """Of dW and db (unless no_bias), and of dX, those that are asked for."""
        if not (with_input or with_weights):
            return []
        with_bias = with_weights and not self.no_bias
        images, filters = self.channels_second(X), self.channels_second(W)
        padding, margins = self._padding(self.layout(tuple(images.shape[2:])))
        if margins:
            images = pad_tensor(images, margins)
        dY = self.channels_second(dY)
        plain = self._plain(images, filters, dY.shape)
        dX, dW, db = torch.ops.aten.convolution_backward(
            dY.contiguous() if plain else channels_last(dY),
            images.contiguous() if plain else channels_last(images),
            filters,
            [filters.shape[0]],
            self.strides,
            padding,
            self.dilations,
            False,
            self._none,
            self.group,
            [with_input, with_weights, with_bias],
        )
        made = [self.in_order(dW).contiguous()] if with_weights else []
        if with_bias:
            made.append(db)
        if with_input:
            dX = channels_last(dX) if plain else dX
            made.append(self.in_order(pad_tensor(dX, [-m for m in margins]) if margins else dX))
        return made


class Conv(Convolution):
    """Y[n, m] = b[m] + sum over c of W[m, c] * X[n, c], * the correlation of two images.

    Shapes:   X: (N, C, space), W: (M, C / group, kernel), b: (M,) -> Y: (N, M, space');
              with order NHWC X: (N, space, C), W: (M, kernel, C / group) -> Y: (N, space', M).
              Space has one, two or three dimensions, as many as the kernel.
    Raises:   ShapeError if they do not fit; ArgumentError for a window that makes no sense.
    Source:   caffe2/operators/conv_op.cc
    """


class Conv1D(Convolution):
    """Conv under the name that says one dimension. Source: caffe2/operators/conv_op.cc"""


class Conv2D(Convolution):
    """Conv under the name that says two dimensions. Source: caffe2/operators/conv_op.cc"""


class Conv3D(Convolution):
    """Conv under the name that says three dimensions. Source: caffe2/operators/conv_op.cc"""


class ConvGradient(ConvolutionGradient):
    """Gradient of Conv."""


class Conv1DGradient(ConvolutionGradient):
    """Gradient of Conv1D."""


class Conv2DGradient(ConvolutionGradient):
    """Gradient of Conv2D."""


class Conv3DGradient(ConvolutionGradient):
    """Gradient of Conv3D."""
