"""Convolution and max pooling of images whose memory runs along the channels (N, H, W, C), for inference.

Owned here: one pass as machine code: convolution, bias, a sum with another image, rectifier; and the maxima of
windows. Who calls it: ops/convolution, ops/pooling.

The numbers of a vector belong to neighbouring output channels; some vectors of channels by some pixels of a row
are made at a time, in registers. Sizes are constants of the code. Filters are packed (`pack`): for each block of
channels (taps, C, channels of the block) in memory.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes, registers


@dataclass(frozen=True)
class Shape:
    """Sizes of a convolution: images (N, H, W, C), filters (K, C, R, S), results (N, P, Q, K)."""

    N: int
    H: int
    W: int
    C: int
    K: int
    R: int
    S: int
    stride: tuple[int, int]
    pad: tuple[int, int]
    P: int
    Q: int
    bias: bool
    sum: bool
    relu: bool


def fits(K: int) -> bool:
    """True if there is code for so many output channels here."""
    return bool(lanes()) and lanes() <= K


def _channels(K: int) -> tuple[int, list[int]]:
    """Output channels of a block, and where the blocks start; the last may overlap the one before."""
    vectors = 2 if K >= 2 * lanes() else 1
    width = vectors * lanes()
    return width, [min(start, K - width) for start in range(0, K, width)]


def pack(W: Tensor) -> Tensor:
    """Filters (K, C, R, S) as the code reads them."""
    width, starts = _channels(W.shape[0])
    blocks = [W[start : start + width].permute(2, 3, 1, 0) for start in starts]
    return torch.stack(blocks).contiguous()


def _runs(size: int, most: int) -> list[tuple[int, int, int]]:
    """``size`` pixels as runs of blocks: (first, pixels in a block, blocks)."""
    block = max((b for b in range(most // 2 + 1, most + 1) if size % b == 0), default=min(most, size))
    whole, rest = divmod(size, block)
    runs = [(0, block, whole)]
    return [*runs, (whole * block, rest, 1)] if rest else runs


def _pointwise(s: Shape) -> bool:
    return s.R == s.S == 1 and s.stride == (1, 1) and s.pad == (0, 0)


def _flat(s: Shape) -> Shape:
    """A 1 x 1 convolution as one over rows that the blocks of pixels fill."""
    pixels = s.N * s.P * s.Q
    row = next((n for n in (112, 98, 84, 56, 49, 42, 28) if pixels % n == 0), s.Q)
    rows = pixels // row
    return replace(s, N=1, H=rows, W=row, P=rows, Q=row)


def _emitter(s: Shape) -> Emitter:
    if _pointwise(s):
        s = _flat(s)
    width, starts = _channels(s.K)
    vectors = width // lanes()
    most = (registers() - 2 - vectors) // vectors
    unrolled = next(u for u in (4, 3, 2, 1) if s.C % u == 0)
    taps = s.R * s.S * s.C * width

    def emit(k: Kernel) -> None:
        X, W, Y = k.array(0), k.array(1), k.array(2)
        more = 3
        b = other = None
        if s.bias:
            b, more = k.array(more), more + 1
        if s.sum:
            other = k.array(more)
        acc = k.variables(most * vectors)

        def block(
            image: Value, row: Value, left: int | Value, count: int, first: Value, filters: Value
        ) -> None:
            """Pixels ``left`` … of a row; where the number is known, taps beside the image are left out."""
            for v in range(vectors):
                start = k.load(b, k.add(first, v * lanes())) if b is not None else k.zeros()
                for i in range(count):
                    acc[i * vectors + v] = start
            top = k.mul(row, s.stride[0])
            r0, r1 = (
                (k.larger(0, k.sub(s.pad[0], top)), k.smaller(s.R, k.sub(s.H + s.pad[0], top)))
                if s.pad[0]
                else (0, s.R)
            )
            with k.loop(r0, r1) as r:
                line = k.mul(k.sub(k.add(top, r), s.pad[0]), s.W)
                for t in range(s.S):
                    inside = [i for i in range(count) if _inside(s, left, i, t)]
                    if not inside:
                        continue
                    column = k.add(k.mul(left, s.stride[1]), t - s.pad[1])
                    pixels = k.at(image, k.mul(k.add(line, column), s.C))
                    weights = k.at(filters, k.mul(k.add(k.mul(r, s.S), t), s.C * width))
                    with k.loop(0, s.C, unrolled) as c:
                        here, mine = k.at(pixels, c), k.at(weights, k.mul(c, width))
                        for u in range(unrolled):
                            w = [k.load(mine, u * width + v * lanes()) for v in range(vectors)]
                            for i in inside:
                                x = k.spread(here, i * s.stride[1] * s.C + u)
                                for v in range(vectors):
                                    acc[i * vectors + v] = k.fma(x, w[v], acc[i * vectors + v])
            where = k.mul(k.add(k.mul(row, s.Q), left), s.K)
            for i in range(count):
                for v in range(vectors):
                    place = k.add(where, first, i * s.K + v * lanes())
                    value = acc[i * vectors + v]
                    if others is not None:
                        value = k.fadd(value, k.load(others, place))
                    k.store(k.maximum(value, k.zeros()) if s.relu else value, results, place)

        with k.tasks(len(starts) * s.N * s.P) as task:
            which, rest = k.divmod(task, s.N * s.P)
            n, row = k.divmod(rest, s.P)
            first = k.smaller(k.mul(which, width), s.K - width)
            filters = k.at(W, k.mul(which, taps))
            image = k.at(X, k.mul(n, s.H * s.W * s.C))
            results = k.at(Y, k.mul(n, s.P * s.Q * s.K))
            others = k.at(other, k.mul(n, s.P * s.Q * s.K)) if other is not None else None
            for begin, count, blocks in _runs(s.Q, most):
                edges = sorted({i for i in range(blocks) if not _all_inside(s, begin + i * count, count)})
                for i in edges:
                    block(image, row, k.integer(begin + i * count), count, first, filters)
                before = 0
                for end in [*edges, blocks]:
                    if end > before:
                        with k.loop(begin + before * count, begin + end * count, count) as left:
                            block(image, row, left, count, first, filters)
                    before = end + 1

    return emit


def _inside(s: Shape, left: Any, i: int, t: int) -> bool:
    """False if tap t of pixel ``left + i`` is known to lie beside the image."""
    known = getattr(left, "constant", None)
    return known is None or 0 <= (known + i) * s.stride[1] + t - s.pad[1] < s.W


def _all_inside(s: Shape, left: int, count: int) -> bool:
    last = (left + count - 1) * s.stride[1] + s.S - 1 - s.pad[1]
    return left * s.stride[1] >= s.pad[1] and last < s.W


@dataclass(frozen=True)
class Pooling:
    """Sizes of a max pooling: images (N, H, W, C), windows (R, S), results (N, P, Q, C). No window is empty."""

    N: int
    H: int
    W: int
    C: int
    R: int
    S: int
    stride: tuple[int, int]
    pad: tuple[int, int]
    P: int
    Q: int


def _maxima(s: Pooling) -> Emitter:
    vectors = -(-s.C // lanes())
    starts = [min(v * lanes(), s.C - lanes()) for v in range(vectors)]
    groups = [starts[i : i + 8] for i in range(0, vectors, 8)]

    def emit(k: Kernel) -> None:
        X, Y = k.array(0), k.array(1)
        acc = k.variables(min(vectors, 8))
        with k.tasks(s.N * s.P) as task:
            n, row = k.divmod(task, s.P)
            top = k.sub(k.mul(row, s.stride[0]), s.pad[0])
            first, last = k.larger(0, top), k.smaller(s.H, k.add(top, s.R))
            with k.loop(0, s.Q) as col:
                left = k.sub(k.mul(col, s.stride[1]), s.pad[1])
                begin, end = k.larger(0, left), k.smaller(s.W, k.add(left, s.S))
                result = k.at(Y, k.mul(k.add(k.mul(task, s.Q), col), s.C))
                image = k.at(X, k.mul(n, s.H * s.W * s.C))
                for group in groups:
                    corner = k.at(image, k.mul(k.add(k.mul(first, s.W), begin), s.C))
                    for v, start in enumerate(group):
                        acc[v] = k.load(corner, start)
                    with k.loop(first, last) as r, k.loop(begin, end) as c:
                        pixel = k.at(image, k.mul(k.add(k.mul(r, s.W), c), s.C))
                        for v, start in enumerate(group):
                            acc[v] = k.maximum(acc[v], k.load(pixel, start))
                    for v, start in enumerate(group):
                        k.store(acc[v], result, start)

    return emit


@functools.lru_cache(128)
def max_pooling(s: Pooling) -> Native:
    """The maxima: call with X, Y."""
    return Native("max_pixels", _maxima(s), 2)


@functools.lru_cache(512)
def convolution(s: Shape) -> Native:
    """Y = X * W (+ b) (+ other), rectified: call with X, packed W, Y(, b)(, other); Y is not other."""
    return Native("conv_pixels", _emitter(s), 3 + s.bias + s.sum)
