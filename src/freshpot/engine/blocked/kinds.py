"""What machine code does for a node of a graph: convolution, pooling, sums and rectifiers of blocked images.

Owned here: which nodes that is, and the tasks of each. Who calls it: `lowering`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from freshpot.engine.blocked.images import NO_BORDER, Border, Image, Size
from freshpot.engine.passes.graph import Node, Value, unread
from freshpot.native import blocks, winograd
from freshpot.native.blocks import Slot
from freshpot.native.machine import Code, lanes
from freshpot.native.program import Task

#: bytes of an image that are gone through at a time, where its weights are few
_NEAR_IMAGE = 1 << 19
#: a task for every thread this many times is shared evenly enough
_EVEN = 8
#: bytes of a thread's own memory: what its second cache holds, with room for weights
_NEAR_SCRATCH = 1_200_000
#: pixels of a window that code is written out for
_WRITTEN_OUT = 25
#: channels of images in planes, of which a block would be mostly empty
_FEW = 4

Sizes = dict[Value, Size]


class Refresh:
    """What brings tasks up to date with a node's parameters.

    Args:
        ask: what the parameters amount to; the same object until they change.
        give: gives it to the tasks; False, and nothing done, if it is of another shape than it was.
        parameters: the values that it asks about, which come from outside.
    """

    def __init__(
        self, ask: Callable[[], Any], give: Callable[[Any], bool], parameters: Iterable[Value]
    ) -> None:
        self._ask, self._give = ask, give
        #: the blobs that hold the parameters
        self.blobs = [value.source for value in parameters if value.source is not None]
        #: what the tasks have
        self.current: Any = None

    def __call__(self) -> bool:
        return self.take(self._ask())

    def take(self, found: Any) -> bool:
        """Let the tasks have this; False if they cannot."""
        if found is not self.current:
            if not self._give(found):
                return False
            self.current = found
        return True


@dataclass
class Work:
    """The tasks of a node, what brings them up to date with its parameters, and how much memory (floats) each thread
    needs for itself."""

    tasks: list[Task]
    refresh: Refresh | None = None
    scratch: int = 0


@dataclass
class Kind:
    """How a node is done. ``images``: the inputs that are read as such, the first one with a border, or in planes."""

    node: Node
    images: list[Value]
    border: Border = NO_BORDER
    planar: bool = False

    def codes(self) -> Iterable[Callable[[], Code]]:
        """What makes the code that it needs."""
        raise NotImplementedError

    def work(self, inputs: Sequence[Image], output: Image, threads: int) -> Work:
        """Its tasks."""
        raise NotImplementedError


def kind_of(node: Node, sizes: Sizes) -> Kind | None:
    """How machine code does a node, or None. ``sizes``: of the values that are float32 images on the CPU."""
    make = _KINDS.get(node.op.type)
    if make is None or not unread(node.outputs[1:]) or node.outputs[0] not in sizes:
        return None
    return make(node, sizes)


def _share(pixels: int, groups: int, threads: int, parts: int = 1) -> tuple[int, int]:
    """Chunks of pixels, and pixels in a chunk: at least ``parts``, and so that threads have equal shares."""
    count = max(1, min(parts, pixels // 48))
    while threads > 1 and groups * count % threads and groups * count < _EVEN * threads and count < pixels:
        count += 1
    chunk = -(-pixels // count)
    chunk = min(pixels, -(-chunk // 6) * 6)
    return -(-pixels // chunk), chunk


def _floor(relu: bool) -> Tensor:
    return torch.full((lanes(),), 0.0 if relu else float("-inf"))


def _held(values: Iterable[Value]) -> list[Any]:
    return [v.source.value if v.source is not None else None for v in values]


# ---- convolution -------------------------------------------------------------------------------
@dataclass
class _Convolution(Kind):
    size: Size = field(kw_only=True)
    filters: tuple[int, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        operator = self.node.operator
        self._layout = operator.layout((self.size.H, self.size.W))
        self._relu, self._sum = operator.activation == "relu", bool(operator.sum)
        K, _, _, S = self.filters
        self._depthwise = operator.group > 1 and operator.group == self.size.C == K
        self._runs = blocks.split(-(-K // operator.group // lanes()))
        self._inner = S if self.planar else lanes()
        self._tiles = (
            _tiles(operator, self.filters, self._layout) if not self.planar and len(self._runs) == 1 else None
        )
        if self._tiles is not None:  # tiles may reach further than windows
            (P, Q), (top, left) = self._tiles, self._layout.heads
            reach = Border(top, left, 2 * P + 2 - top - self.size.H, 2 * Q + 2 - left - self.size.W)
            self.border = self.border.with_(reach)

    def codes(self) -> Iterable[Callable[[], Code]]:
        if self._depthwise:
            return [blocks.depthwise]
        if self._tiles is not None:
            return [functools.partial(winograd.convolution, self._runs[0][1])]
        return [functools.partial(blocks.convolution, v, self._inner) for _, v, _ in self._runs]

    def work(self, inputs: Sequence[Image], output: Image, threads: int) -> Work:
        operator, X = self.node.operator, inputs[0]
        if self._tiles is not None:
            return self._by_tiles(inputs, output, self._tiles, threads)
        (P, Q), (top, left) = self._layout.outputs, self._layout.heads
        places = X.places(
            torch.arange(P) * operator.strides[0] - top, torch.arange(Q) * operator.strides[1] - left
        )
        arrays: list[Tensor | None] = [None] * len(Slot)
        arrays[Slot.IN], arrays[Slot.OUT] = places, output.all_places()
        arrays[Slot.TAPS], arrays[Slot.MORE] = self._taps(X), _floor(self._relu)
        other = inputs[1] if self._sum else None
        if other is not None:
            arrays[Slot.OTHERS] = other.all_places()
        if self._depthwise:
            return self._each_by_itself(arrays, X, output, threads)
        tasks, packs = [], []
        for group in range(operator.group):
            for run in self._runs:
                tasks.append(self._task(list(arrays), X, other, output, group, run, threads))
                tasks[-1].meets = False
                packs.append((group, run))
        tasks[-1].meets = True
        return Work(tasks, self._refresher(tasks, packs))

    def _taps(self, X: Image) -> Tensor:
        _, C, R, S = self.filters
        down, right = self.node.operator.dilations
        m = X.memory
        rows = torch.arange(R) * (down * m.columns * m.pixel)
        if self.planar:
            return (torch.arange(C)[:, None] * m.block + rows).reshape(-1)
        return (rows[:, None] + torch.arange(S) * (right * m.pixel)).reshape(-1)

    def _task(
        self,
        arrays: list[Tensor | None],
        X: Image,
        other: Image | None,
        Y: Image,
        group: int,
        run: tuple[int, int, int],
        threads: int,
    ) -> Task:
        K, C, R, S = self.filters
        first, vectors, groups = run
        depth = 1 if self.planar else -(-C // lanes())
        taps = C * R if self.planar else R * S
        start = group * (K // self.node.operator.group) // lanes() + first
        arrays[Slot.X] = X.base(group * depth)
        arrays[Slot.Y] = Y.base(start)
        if other is not None:
            arrays[Slot.OTHER] = other.base(start)
        pixels = Y.size.N * Y.size.H * Y.size.W
        image, weights = 4 * C * self.size.H * self.size.W, 4 * K * C * R * S
        parts = image // _NEAR_IMAGE if weights < image else 1
        chunks, chunk = _share(pixels, groups, threads, parts)
        step = blocks.depth_step(depth, taps, self._inner, vectors)
        strides = (X.memory.block, Y.memory.block, other.memory.block if other is not None else 0)
        numbers = [chunks, chunk, pixels, groups, depth, step, taps, *strides, int(self._sum)]
        return Task(blocks.convolution(vectors, self._inner), arrays, numbers)

    def _by_tiles(self, inputs: Sequence[Image], Y: Image, tiles: tuple[int, int], threads: int) -> Work:
        (P, Q), (top, left), X = tiles, self._layout.heads, inputs[0]
        other = inputs[1] if self._sum else None
        rows, columns = 2 * torch.arange(P), 2 * torch.arange(Q)
        arrays: list[Tensor | None] = [None] * len(Slot)
        arrays[Slot.X], arrays[Slot.Y], arrays[Slot.MORE] = X.base(), Y.base(), _floor(self._relu)
        arrays[Slot.IN], arrays[Slot.OUT] = X.places(rows - top, columns - left), Y.places(rows, columns)
        if other is not None:
            arrays[Slot.OTHER], arrays[Slot.OTHERS] = other.base(), other.places(rows, columns)
        lower = (rows + 1 < Y.size.H).long() * winograd.LOWER
        right = (columns + 1 < Y.size.W).long() * winograd.RIGHT
        arrays[Slot.TAPS] = (lower[:, None] + right).expand(Y.size.N, P, Q).contiguous()
        (_, vectors, groups), count = self._runs[0], Y.size.N * P * Q
        depth = X.blocks
        parts = -(-count * winograd.scratch(depth, vectors, 1) * 4 // _NEAR_SCRATCH)
        chunks, chunk = _share(count, 1, threads, parts)
        size = winograd.scratch(depth, vectors, chunk)
        numbers = [chunks, chunk, count, groups, depth, winograd.pitch(chunk), size]
        all_three = [image.memory if image is not None else None for image in (X, Y, other)]
        numbers += [m.block if m is not None else 0 for m in all_three]
        numbers += [m.columns * m.pixel if m is not None else 0 for m in all_three]
        task = Task(winograd.convolution(vectors), arrays, [*numbers, int(self._sum)])
        return Work([task], self._refresher([task], [(0, self._runs[0])]), size)

    def _each_by_itself(self, arrays: list[Tensor | None], X: Image, Y: Image, threads: int) -> Work:
        pixels = Y.size.N * Y.size.H * Y.size.W
        chunks, chunk = _share(pixels, Y.blocks, threads)
        arrays[Slot.X], arrays[Slot.Y] = X.base(), Y.base()
        taps = self.filters[2] * self.filters[3]
        numbers = [chunks, chunk, pixels, Y.blocks, taps, X.memory.block, Y.memory.block]
        task = Task(blocks.depthwise(), arrays, numbers)
        return Work([task], self._refresher([task], [(0, None)]))

    def _refresher(self, tasks: list[Task], packs: list[tuple[int, Any]]) -> Refresh:
        operator, parameters = self.node.operator, self.node.inputs[1 : 1 + self.node.operator.count]
        form = "tiles" if self._tiles is not None else "planes" if self.planar else "blocks"

        def give(weights: Any) -> bool:
            if weights.shape != self.filters:
                return False
            for task, (group, run) in zip(tasks, packs, strict=True):
                W, b = weights.blocked(group, operator.group, run, form)
                task.give(Slot.W, W)
                task.give(Slot.B, b)
            return True

        return Refresh(lambda: operator.weights(_held(parameters)), give, parameters)


def _tiles(operator: Any, filters: tuple[int, ...], layout: Any) -> tuple[int, int] | None:
    """Rows and columns of tiles, where Winograd's way is the faster one."""
    K, C, *window = filters
    P, Q = (-(-n // 2) for n in layout.outputs)
    plain = [*operator.strides, *operator.dilations, operator.group] == [1] * 5
    return (P, Q) if window == [3, 3] and plain and winograd.suits(C, K, P * Q) else None


def _convolution(node: Node, sizes: Sizes) -> Kind | None:
    operator, X = node.operator, node.inputs[0]
    parameters = node.inputs[1 : 1 + operator.count]
    held = _held(parameters)
    if operator.nhwc or X not in sizes or any(not isinstance(t, Tensor) for t in held):
        return None
    size, filters = sizes[X], tuple(held[0].shape)
    if len(filters) != 4:
        return None
    K, C, _, _ = filters
    images = [X, node.inputs[-1]] if operator.sum else [X]
    if any(v not in sizes for v in images):
        return None
    depthwise = operator.group > 1 and operator.group == size.C == K and not operator.sum
    if operator.group > 1 and not depthwise and (C % lanes() or K // operator.group % lanes()):
        return None
    layout = operator.layout((size.H, size.W))
    ends = []
    for n, step, window, dilation, head, count in zip(
        (size.H, size.W), operator.strides, operator.kernels, operator.dilations, layout.heads, layout.outputs,
        strict=True,
    ):  # fmt: skip
        ends.append(max(0, (count - 1) * step + dilation * (window - 1) + 1 - n - head))
    if min(layout.heads) < 0:
        return None
    planar = X.maker is None and size.C <= _FEW and operator.group == 1 and operator.dilations[1] == 1
    return _Convolution(
        node, images, Border(*layout.heads, *ends), planar, size=Size(*sizes[X]), filters=filters
    )


# ---- pooling -----------------------------------------------------------------------------------
@dataclass
class _Pooling(Kind):
    #: for rows and for columns: first and one past the last pixel of each window
    windows: list[tuple[Tensor, Tensor]] = field(kw_only=True)
    shares: Tensor | None = field(kw_only=True)

    def __post_init__(self) -> None:
        height, width = (int((last - first).max()) for first, last in self.windows)
        #: what most windows are like; very large ones are not written out
        self._full = (height, width) if height * width <= _WRITTEN_OUT else (0, 0)

    def codes(self) -> Iterable[Callable[[], Code]]:
        return [lambda: blocks.windows(self.shares is not None, self._full)]

    def work(self, inputs: Sequence[Image], output: Image, threads: int) -> Work:
        X, ((top, bottom), (left, right)) = inputs[0], self.windows
        N, _, P, Q = output.size
        arrays: list[Tensor | None] = [None] * len(Slot)
        arrays[Slot.X], arrays[Slot.Y] = X.base(), output.base()
        arrays[Slot.IN], arrays[Slot.OUT] = X.places(top, left), output.all_places()
        whole = (N, P, Q)
        arrays[Slot.OTHERS] = (bottom - top)[:, None].expand(whole).contiguous()
        arrays[Slot.TAPS] = (right - left).expand(whole).contiguous()
        if self.shares is not None:
            arrays[Slot.MORE] = self.shares.expand(whole).contiguous()
        chunks, chunk = _share(N * P * Q, output.blocks, threads)
        row = X.memory.columns * X.memory.pixel
        numbers = [chunks, chunk, N * P * Q, output.blocks, X.memory.block, output.memory.block, row]
        return Work([Task(blocks.windows(self.shares is not None, self._full), arrays, numbers)])


def _pooling(mean: bool) -> Callable[[Node, Sizes], Kind | None]:
    def make(node: Node, sizes: Sizes) -> Kind | None:
        operator, X = node.operator, node.inputs[0]
        if X not in sizes or getattr(operator, "nhwc", False):
            return None
        size, like = sizes[X], torch.zeros(1)
        if operator.global_pooling:
            windows = [(torch.tensor([0]), torch.tensor([n])) for n in (size.H, size.W)]
            shares = torch.full((1, 1), 1.0 / (size.H * size.W))
        else:
            fit = operator.fit(torch.empty(size, device="meta")) if hasattr(operator, "fit") else None
            layout = fit.layout if fit is not None else operator.layout((size.H, size.W))
            windows = []
            for n, step, window, head, count in zip(
                (size.H, size.W),
                operator.strides,
                operator.kernels,
                layout.heads,
                layout.outputs,
                strict=True,
            ):
                first = torch.arange(count) * step - head
                windows.append((first.clamp(min=0), (first + window).clamp(max=n)))
            if any(bool((last <= first).any()) for first, last in windows):
                return None
            shares = operator._share(fit if fit is not None else layout, like)[0, 0] if mean else like
        return _Pooling(node, [X], windows=windows, shares=shares if mean else None)

    return make


# ---- one pixel at a time -----------------------------------------------------------------------
@dataclass
class _Pointwise(Kind):
    relu: bool = field(kw_only=True)
    channels: int = field(kw_only=True)
    affine: bool = field(kw_only=True)

    def codes(self) -> Iterable[Callable[[], Code]]:
        return [blocks.pointwise]

    def work(self, inputs: Sequence[Image], output: Image, threads: int) -> Work:
        task = pointwise(inputs, output, self.relu, threads)
        return Work([task], self._refresher(task, output.blocks * lanes()) if self.affine else None)

    def _refresher(self, task: Task, count: int) -> Refresh:
        operator, parameters = self.node.operator, self.node.inputs[1:]

        def give(folded: Any) -> bool:
            if any(t.numel() not in (1, self.channels) for t in folded):
                return False
            for slot, numbers in zip((Slot.W, Slot.B), folded, strict=True):
                task.give(slot, blocks.pack_channels(numbers.expand(self.channels), count))
            return True

        return Refresh(lambda: operator.folded(_held(parameters)), give, parameters)


def pointwise(inputs: Sequence[Image], output: Image, relu: bool, threads: int) -> Task:
    """The sum of one or two images, perhaps rectified."""
    X = inputs[0]
    other = inputs[1] if len(inputs) > 1 else None
    arrays: list[Tensor | None] = [None] * len(Slot)
    arrays[Slot.X], arrays[Slot.Y], arrays[Slot.MORE] = X.base(), output.base(), _floor(relu)
    arrays[Slot.IN], arrays[Slot.OUT] = X.all_places(), output.all_places()
    if other is not None:
        arrays[Slot.OTHER], arrays[Slot.OTHERS] = other.base(), other.all_places()
    count = output.blocks * lanes()
    arrays[Slot.W], arrays[Slot.B] = torch.ones(count), torch.zeros(count)
    N, _, H, W = output.size
    chunks, chunk = _share(N * H * W, output.blocks, threads)
    strides = [X.memory.block, output.memory.block, other.memory.block if other is not None else 0]
    return Task(
        blocks.pointwise(),
        arrays,
        [chunks, chunk, N * H * W, output.blocks, *strides, int(other is not None)],
    )


def _channel_affine(node: Node, sizes: Sizes) -> Kind | None:
    X, operator = node.inputs[0], node.operator
    if X not in sizes or operator.order != "NCHW" or any(v.source is None for v in node.inputs[1:]):
        return None
    relu = operator.activation == "relu"
    return _Pointwise(node, [X], relu=relu, channels=sizes[X].C, affine=True)


def _relu(node: Node, sizes: Sizes) -> Kind | None:
    X = node.inputs[0]
    return None if X not in sizes else _Pointwise(node, [X], relu=True, channels=sizes[X].C, affine=False)


def _sum(node: Node, sizes: Sizes) -> Kind | None:
    operator, size = node.operator, sizes.get(node.inputs[0])
    plain = node.op.type == "Sum" or (operator.operation == "SUM" and all(f == 1.0 for f in operator.factors))
    if len(node.inputs) != 2 or not plain or size is None or sizes.get(node.inputs[1]) != size:
        return None
    return _Pointwise(node, list(node.inputs), relu=False, channels=size.C, affine=False)


# ---- concatenation -----------------------------------------------------------------------------
@dataclass
class Concatenation(Kind):
    """Parts that are made where they are wanted, or copied there: see `lowering`."""

    def codes(self) -> Iterable[Callable[[], Code]]:
        return [blocks.pointwise]


def _concatenation(node: Node, sizes: Sizes) -> Kind | None:
    operator = node.operator
    if operator.add_axis or operator.place(4) != 1 or any(v not in sizes for v in node.inputs):
        return None
    if any(sizes[v].C % lanes() for v in node.inputs[:-1]):
        return None
    return Concatenation(node, list(node.inputs))


_KINDS: dict[str, Callable[[Node, Sizes], Kind | None]] = {
    "FusedConv": _convolution,
    "MaxPool": _pooling(mean=False),
    "MaxPool2D": _pooling(mean=False),
    "CaffeMaxPool": _pooling(mean=False),
    "AveragePool": _pooling(mean=True),
    "AveragePool2D": _pooling(mean=True),
    "CaffeAveragePool": _pooling(mean=True),
    "ChannelAffine": _channel_affine,
    "Relu": _relu,
    "Sum": _sum,
    "Eltwise": _sum,
    "Concat": _concatenation,
}
