"""Convolution, pooling and sums of images in blocks of channels, for inference.

Owned here: kernels for images whose memory is (N, blocks of channels, rows, columns, channels of a block), a block
being as many channels as a vector has numbers; packing weights for them. Who calls it: engine/blocked.

Sizes are entries of the table, so one piece of code serves images of all sizes. Where pixels lie stands in tables, too:
images may have a border (padding, as zeros in memory) and be a part of a larger one (what will be concatenated).

A table's arrays are those of `Slot`, of which each kernel uses some; then come the numbers that its function names.
Offsets count floats.
"""

from __future__ import annotations

import enum
import functools
import itertools

import torch
from torch import Tensor

from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.machine import Code, lanes, registers


class Slot(enum.IntEnum):
    """The arrays: ``IN``, ``OUT``, ``OTHERS`` say for each result's pixel where it starts in X, Y and OTHER."""

    X, W, B, OTHER, Y, IN, OUT, OTHERS, TAPS, MORE, SCRATCH = range(11)


#: pixels that are made at a time, in registers; smaller numbers for what is left
_TILES = (6, 4, 1)
#: the same where one block of channels is made at a time
_THIN_TILES = (10, 4, 1)
#: bytes of weights that are gone through at a time: what the nearest cache holds, and room for the images
_NEAR = 40_000


def widest() -> int:
    """Blocks of output channels that a convolution makes at a time."""
    return 4 if registers() >= 32 else 2


def tiles_of(vectors: int) -> tuple[int, ...]:
    """Pixels that are made at a time, where so many blocks of channels are."""
    return _THIN_TILES if vectors == 1 else _TILES


def split(blocks: int) -> list[tuple[int, int, int]]:
    """Blocks of output channels as runs of groups: (first block, blocks in a group, groups)."""
    most = widest()
    if blocks <= most:
        return [(0, blocks, 1)]
    whole = (
        most - 1 if most > 2 and blocks % most and blocks % (most - 1) == 0 and blocks < 4 * most else most
    )
    groups, rest = divmod(blocks, whole)
    return [(0, whole, groups), *([(groups * whole, rest, 1)] if rest else [])]


def depth_step(depth: int, taps: int, inner: int, vectors: int) -> int:
    """How many of the ``depth`` blocks of input channels are gone through at a time."""
    step = max(1, _NEAR // (4 * taps * inner * vectors * lanes()))
    return depth if step >= depth else step


def _padded(W: Tensor, dim: int, multiple: int) -> Tensor:
    missing = -W.shape[dim] % multiple
    if not missing:
        return W
    shape = list(W.shape)
    shape[dim] = missing
    return torch.cat([W, W.new_zeros(shape)], dim)


def in_groups(W: Tensor, run: tuple[int, int, int]) -> Tensor:
    """The filters (K, C, R, S) of a run: (groups, filters of a group, blocks of C, C of a block, R * S)."""
    first, vectors, groups = run
    width = vectors * lanes()
    W = _padded(_padded(W, 0, lanes()), 1, lanes())[first * lanes() :][: groups * width]
    return W.reshape(groups, width, -1, lanes(), W.shape[2] * W.shape[3])


def pack(W: Tensor, run: tuple[int, int, int], planar: bool) -> Tensor:
    """The filters (K, C, R, S) of a run (`split`) as the code reads them.

    ``planar``: for images in planes, (N, C, rows, columns), whose taps are rows of a window.
    """
    if not planar:
        return in_groups(W, run).permute(0, 2, 4, 3, 1).contiguous()
    first, vectors, groups = run
    _, C, R, S = W.shape
    width = vectors * lanes()
    W = _padded(W, 0, lanes())[first * lanes() :][: groups * width]
    return W.reshape(groups, width, C * R, S).permute(0, 2, 3, 1).contiguous()


def pack_depthwise(W: Tensor) -> Tensor:
    """Filters (C, 1, R, S) of a convolution of each channel by itself."""
    W = _padded(W.flatten(1), 0, lanes())
    return W.view(-1, lanes(), W.shape[1]).permute(0, 2, 1).contiguous()


def pack_channels(b: Tensor | None, count: int) -> Tensor:
    """One number a channel; zeros where there are none."""
    made = torch.zeros(count)
    if b is not None:
        made[: b.numel()] = b
    return made


def numbers(k: Kernel, count: int, after: int = 0) -> list[Value]:
    """The numbers of a table, behind its arrays and so many others."""
    return [k.number(len(Slot) + after + i) for i in range(count)]


def _chunk(k: Kernel, which: Value, chunk: Value, pixels: Value) -> tuple[Value, Value]:
    first = k.mul(which, chunk)
    return first, k.smaller(pixels, k.add(first, chunk))


def _finish(k: Kernel, value: Value, other: Value | None, floor: Value) -> Value:
    return k.maximum(value if other is None else k.fadd(value, other), floor)


def _convolution(vectors: int, inner: int) -> Emitter:
    width = vectors * lanes()
    tiles = tiles_of(vectors)

    def emit(k: Kernel) -> None:
        x, w, b, other, y, ins, outs, others, taps, floors, _ = (k.array(i) for i in range(len(Slot)))
        chunks, chunk, pixels, groups, depth, step, ntaps, xblock, yblock, oblock, adds = numbers(k, 11)
        acc = k.variables(tiles[0] * vectors)
        panel = k.mul(ntaps, inner * width)

        def products(count: int, xs: list[Value], filters: Value, c0: Value, c1: Value) -> None:
            with k.loop(c0, c1) as c:
                here, mine = k.mul(c, xblock), k.at(filters, k.mul(c, panel))
                with k.loop(0, ntaps) as t:
                    place = k.add(here, k.load_number(taps, t))
                    weights = k.at(mine, k.mul(t, inner * width))
                    pixel = [k.at(x, place) for x in xs]
                    for u in range(inner):
                        ws = [k.load(weights, u * width + v * lanes()) for v in range(vectors)]
                        for i in range(count):
                            value = k.spread(pixel[i], u)
                            for v in range(vectors):
                                acc[i * vectors + v] = k.fma(value, ws[v], acc[i * vectors + v])

        def tile(count: int, p: Value, g: Value, c0: Value, c1: Value) -> None:
            result = k.at(y, k.mul(k.mul(g, vectors), yblock))
            xs = [k.at(x, k.load_number(ins, k.add(p, i))) for i in range(count)]
            ys = [k.at(result, k.load_number(outs, k.add(p, i))) for i in range(count)]
            places = [(i, v, i * vectors + v) for i in range(count) for v in range(vectors)]
            with k.when(k.same(c0, 0)):
                for _, v, a in places:
                    acc[a] = k.load(k.at(b, k.mul(g, width)), v * lanes())
            with k.when(k.differs(c0, 0)):
                for i, v, a in places:
                    acc[a] = k.load(ys[i], k.mul(yblock, v))
            products(count, xs, k.at(w, k.mul(g, k.mul(depth, panel))), c0, c1)
            floor = k.load(floors)
            with k.when(k.differs(c1, depth)):
                for i, v, a in places:
                    k.store(acc[a], ys[i], k.mul(yblock, v))
            with k.when(k.same(c1, depth)):
                with k.when(k.differs(adds, 0)):
                    summand = k.at(other, k.mul(k.mul(g, vectors), oblock))
                    os = [k.at(summand, k.load_number(others, k.add(p, i))) for i in range(count)]
                    for i, v, a in places:
                        acc[a] = k.fadd(acc[a], k.load(os[i], k.mul(oblock, v)))
                for i, v, a in places:
                    k.store(k.maximum(acc[a], floor), ys[i], k.mul(yblock, v))

        with k.tasks(k.mul(chunks, groups)) as task:
            which, g = k.divmod(task, groups)
            first, last = _chunk(k, which, chunk, pixels)
            passes, _ = k.divmod(k.add(depth, k.sub(step, 1)), step)
            with k.loop(0, passes) as n:
                c0 = k.mul(n, step)
                c1 = k.smaller(depth, k.add(c0, step))
                k.parts(first, last, tiles, lambda count, p: tile(count, p, g, c0, c1))

    return emit


def _depthwise(k: Kernel) -> None:
    x, w, b, _, y, ins, outs, _, taps, floors, _ = (k.array(i) for i in range(len(Slot)))
    chunks, chunk, pixels, blocks, ntaps, xblock, yblock = numbers(k, 7)
    acc = k.variables(_THIN_TILES[0])
    with k.tasks(k.mul(chunks, blocks)) as task:
        which, g = k.divmod(task, blocks)
        first, last = _chunk(k, which, chunk, pixels)
        image, result = k.at(x, k.mul(g, xblock)), k.at(y, k.mul(g, yblock))
        filters, bias, floor = k.at(w, k.mul(g, k.mul(ntaps, lanes()))), k.mul(g, lanes()), k.load(floors)

        def tile(count: int, p: Value) -> None:
            xs = [k.at(image, k.load_number(ins, k.add(p, i))) for i in range(count)]
            for i in range(count):
                acc[i] = k.load(b, bias)
            with k.loop(0, ntaps) as t:
                place, factor = k.load_number(taps, t), k.load(filters, k.mul(t, lanes()))
                for i in range(count):
                    acc[i] = k.fma(k.load(xs[i], place), factor, acc[i])
            for i in range(count):
                k.store(k.maximum(acc[i], floor), result, k.load_number(outs, k.add(p, i)))

        k.parts(first, last, _THIN_TILES, tile)


def _windows(mean: bool, size: tuple[int, int]) -> Emitter:
    """OTHERS holds each window's rows, TAPS its columns, MORE what the sum is multiplied with. Windows of ``size`` are
    written out."""

    def emit(k: Kernel) -> None:
        x, y, ins, outs, rows, columns, shares = (
            k.array(i) for i in (Slot.X, Slot.Y, Slot.IN, Slot.OUT, Slot.OTHERS, Slot.TAPS, Slot.MORE)
        )
        chunks, chunk, pixels, blocks, xblock, yblock, row = numbers(k, 7)
        acc = k.variables(1)

        def take(value: Value) -> None:
            acc[0] = k.fadd(acc[0], value) if mean else k.maximum(acc[0], value)

        with k.tasks(k.mul(chunks, blocks)) as task:
            which, g = k.divmod(task, blocks)
            first, last = _chunk(k, which, chunk, pixels)
            image, result = k.at(x, k.mul(g, xblock)), k.at(y, k.mul(g, yblock))
            with k.loop(first, last) as p:
                corner = k.at(image, k.load_number(ins, p))
                acc[0] = k.zeros() if mean else k.load(corner)
                height, width = k.load_number(rows, p), k.load_number(columns, p)
                missing = k.add(k.sub(size[0], height), k.sub(size[1], width))  # no window is larger
                with k.when(k.same(missing, 0)):
                    for r, c in itertools.product(*map(range, size)):
                        take(k.load(corner, k.add(k.mul(row, r), c * lanes())))
                with k.when(k.differs(missing, 0)), k.loop(0, height) as r:
                    line = k.at(corner, k.mul(r, row))
                    with k.loop(0, width) as c:
                        take(k.load(line, k.mul(c, lanes())))
                made = k.fmul(acc[0], k.spread(shares, p)) if mean else acc[0]
                k.store(made, result, k.load_number(outs, p))

    return emit


def _pointwise(k: Kernel) -> None:
    x, w, b, other, y, ins, outs, others, _, floors, _ = (k.array(i) for i in range(len(Slot)))
    chunks, chunk, pixels, blocks, xblock, yblock, oblock, adds = numbers(k, 8)
    acc = k.variables(1)
    with k.tasks(k.mul(chunks, blocks)) as task:
        which, g = k.divmod(task, blocks)
        first, last = _chunk(k, which, chunk, pixels)
        image, result = k.at(x, k.mul(g, xblock)), k.at(y, k.mul(g, yblock))
        summand, c = k.at(other, k.mul(g, oblock)), k.mul(g, lanes())
        factor, addend, floor = k.load(w, c), k.load(b, c), k.load(floors)
        with k.loop(first, last) as p:
            acc[0] = k.fma(k.load(image, k.load_number(ins, p)), factor, addend)
            with k.when(k.differs(adds, 0)):
                acc[0] = k.fadd(acc[0], k.load(summand, k.load_number(others, p)))
            k.store(k.maximum(acc[0], floor), result, k.load_number(outs, p))


def _code(name: str, emit: Emitter) -> Code:
    kernel = Kernel(name, lanes())
    emit(kernel)
    return Code(name, kernel.finish())


@functools.lru_cache(64)
def convolution(vectors: int, inner: int) -> Code:
    """``vectors`` blocks of output channels at a time; numbers: chunks of pixels, pixels in a chunk, pixels, groups of
    output blocks, blocks of input channels, how many at a time, taps, floats from block to block in X, Y, OTHER,
    whether OTHER is added. MORE: a vector that results are not below.

    Images in planes have one block, taps that are rows of windows, and windows ``inner`` columns wide; others have
    ``inner`` channels in a block. Y must not be OTHER.
    """
    return _code("convolution", _convolution(vectors, inner))


@functools.lru_cache(4)
def depthwise() -> Code:
    """Each channel by itself; numbers: chunks, pixels in a chunk, pixels, blocks, taps, floats from block to block in
    X, Y. MORE: a vector that results are not below."""
    return _code("depthwise", _depthwise)


@functools.lru_cache(16)
def windows(mean: bool, size: tuple[int, int]) -> Code:
    """Maxima or means of windows, none of which is empty; those of ``size``, which none exceeds unless it is (0, 0),
    are written out. Numbers: chunks, pixels in a chunk, pixels, blocks, floats from block to block in X, Y, from row to
    row in X."""
    return _code("means" if mean else "maxima", _windows(mean, size))


@functools.lru_cache(4)
def pointwise() -> Code:
    """Y = X * W + B (+ OTHER), one W and B a channel; numbers: chunks, pixels in a chunk, pixels, blocks, floats from
    block to block in X, Y, OTHER, whether OTHER is added. MORE: a vector that results are not below."""
    return _code("pointwise", _pointwise)
