"""Convolution over batches whose memory runs along the images of the batch (C, H, W, N in memory).

Owned here: the three passes of convolution as machine code. Who calls it: ops/convolution.

Every number of a vector belongs to another image, so that all sizes of channels and windows fill the vectors.
Sizes are constants of the code. Memory is laid out as `batch` says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from freshpot.native.batch import pitch, vectors
from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes, registers

#: bytes of images that one row of results is made of, up to which they stay in a core's cache meanwhile: then results
#: are written one pixel after the other, all images of it at once
_IN_CACHE = 1 << 19


@dataclass(frozen=True)
class Shape:
    """Sizes of a convolution: images X (N, C, H, W), filters (K, C, R, S), results (N, K, P, Q)."""

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    P: int = 0
    Q: int = 0
    #: numbers from one pixel to the next in what is made (Y, dX) if it is part of a larger batch; 0: as elsewhere
    apart: int = 0

    @property
    def pitch(self) -> int:
        """Numbers from one pixel to the next."""
        return pitch(self.N)

    @property
    def pitch_made(self) -> int:
        """The same in what is made."""
        return self.apart or self.pitch


def _block(size: int, most: int) -> int:
    """How many of ``size`` things to do at a time, ``most`` at most, so that the blocks are even."""
    blocks = -(-size // most)
    return -(-size // blocks)


def _valid(k: Kernel, place: Value, pad: int, window: int, size: int) -> tuple[Value | int, Value | int]:
    """Which taps of a window that starts at ``place - pad`` lie on an image of this size."""
    if not pad:
        return 0, window
    return k.larger(0, k.sub(pad, place)), k.smaller(window, k.sub(size + pad, place))


def _for_each_count(k: Kernel, start: Any, stop: Any, most: int, taps: Callable[[Any, int], None]) -> None:
    """``taps(start, stop - start)`` with a count known when the code is written; ``most`` 0: it is constant."""
    if not most:
        taps(start, stop)
        return
    found = k.sub(stop, start)
    for count in range(1, most + 1):
        with k.when_equal(found, count):
            taps(start, count)


@contextmanager
def _columns(k: Kernel, column: Value | None, count: int) -> Iterator[Value]:
    """Each group of vectors in turn, or the one that is given."""
    if column is not None:
        yield column
        return
    with k.loop(0, count) as each:
        yield each


def _divisor(count: int, most: int) -> int:
    """The largest number up to ``most`` that divides ``count``."""
    return max(n for n in range(1, min(count, most) + 1) if count % n == 0)


def _group(N: int, most: int, filters: int) -> tuple[int, int]:
    """Vectors of images done at a time, and how often; the last ones may overlap those before.

    A sum begins before the one before it is there: below about 8 sums at a time the machine waits; and a weight
    that is loaded for one vector alone costs half as much again.
    """
    count = vectors(N)

    def cost(n: int) -> tuple[float, int]:
        return -(-count // n) * max(n * min(filters, 12), 8) * (1.5 if n == 1 else 1), -n

    group = min(range(1, min(count, most) + 1), key=cost)
    return group, -(-count // group)


def _first_image(k: Kernel, s: Shape, column: Value, group: int) -> Value:
    """Of a group of vectors."""
    return k.smaller(k.mul(column, group * lanes()), (vectors(s.N) - group) * lanes())


def _forward(s: Shape, bias: bool) -> Emitter:
    group, columns = _group(s.N, 2, s.K)
    block = _block(s.K, min((registers() - 4 - group) // group, 12))
    starts = list(range(0, s.K, block))
    inside = 4 * s.C * s.R * s.W * s.pitch <= _IN_CACHE

    def emit(k: Kernel) -> None:
        X, W, Y = k.array(0), k.array(1), k.array(2)
        b = k.array(3) if bias else None
        acc = k.variables(block * group)

        with k.tasks(len(starts) * (1 if inside else columns) * s.P) as task:
            rest, row = k.divmod(task, s.P)
            outer, which = (None, rest) if inside else k.divmod(rest, len(starts))
            first = k.smaller(k.mul(which, block), s.K - block)  # the last block may overlap the one before
            top = k.mul(row, s.stride[0])
            r0, r1 = _valid(k, top, s.pad[0], s.R, s.H)
            filters = k.at(W, k.mul(first, s.C * s.R * s.S))
            with k.loop(0, s.Q) as col, _columns(k, outer, columns) as column:
                n = _first_image(k, s, column, group)
                left = k.mul(col, s.stride[1])
                c0, c1 = _valid(k, left, s.pad[1], s.S, s.W)
                for i in range(block):
                    start = k.spread(b, k.add(first, i)) if b is not None else k.zeros()
                    for g in range(group):
                        acc[i * group + g] = start
                corner = k.add(
                    k.mul(k.add(k.mul(k.sub(top, s.pad[0]), s.W), k.sub(left, s.pad[1])), s.pitch), n
                )

                def tap(image: Value, weights: Value) -> None:
                    x = [k.load(image, g * lanes()) for g in range(group)]
                    for i in range(block):
                        w = k.spread(weights, i * s.C * s.R * s.S)
                        for g in range(group):
                            acc[i * group + g] = k.fma(w, x[g], acc[i * group + g])

                def taps(first_tap: Value | int, count: int) -> None:
                    with k.loop(0, s.C) as c, k.loop(r0, r1) as r:
                        image = k.at(X, k.add(corner, k.mul(k.add(k.mul(c, s.H), r), s.W * s.pitch)))
                        image = k.at(image, k.mul(first_tap, s.pitch))
                        weights = k.at(filters, k.add(k.mul(k.add(k.mul(c, s.R), r), s.S), first_tap))
                        for t in range(count):
                            tap(k.at(image, t * s.pitch), k.at(weights, t))

                _for_each_count(k, c0, c1, s.S if s.pad[1] else 0, taps)
                where = k.add(k.mul(k.add(k.mul(k.add(k.mul(first, s.P), row), s.Q), col), s.pitch_made), n)
                filter_ = s.P * s.Q * s.pitch_made
                for i in range(block):
                    for g in range(group):
                        k.store(acc[i * group + g], Y, k.add(where, i * filter_ + g * lanes()))

    return emit


def _data(s: Shape) -> Emitter:
    """dX, for stride 1: the convolution of dY with the filters turned round."""
    group, columns = _group(s.N, 2 if s.C > 4 else 4, s.C)
    block = _block(s.C, min((registers() - 4 - group) // group, 12))
    starts = -(-s.C // block)

    def emit(k: Kernel) -> None:
        dY, W, dX = k.array(0), k.array(1), k.array(2)
        acc = k.variables(block * group)
        with k.tasks(starts * columns * s.H) as task:
            rest, row = k.divmod(task, s.H)
            column, which = k.divmod(rest, starts)  # images that are near are used for all channels
            first = k.smaller(k.mul(which, block), s.C - block)
            n = _first_image(k, s, column, group)
            # tap r reads row (row + pad - r) of dY
            r0 = k.larger(0, k.sub(row, s.P - 1 - s.pad[0]))
            r1 = k.smaller(s.R, k.add(row, s.pad[0] + 1))
            with k.loop(0, s.W) as col:
                t0 = k.larger(0, k.sub(col, s.Q - 1 - s.pad[1]))
                t1 = k.smaller(s.S, k.add(col, s.pad[1] + 1))
                acc.fill(k.zeros())

                def taps(first_tap: Value | int, count: int) -> None:
                    start = k.add(k.mul(k.sub(k.add(col, s.pad[1]), first_tap), s.pitch), n)
                    with k.loop(0, s.K) as m, k.loop(r0, r1) as r:
                        y = k.sub(k.add(row, s.pad[0]), r)
                        grads = k.at(dY, k.add(k.mul(k.add(k.mul(m, s.P), y), s.Q * s.pitch), start))
                        weights = k.at(W, k.mul(k.add(k.mul(m, s.C), first), s.R * s.S))
                        weights = k.at(weights, k.add(k.mul(r, s.S), first_tap))
                        for t in range(count):
                            grad = [k.load(grads, g * lanes() - t * s.pitch) for g in range(group)]
                            for i in range(block):
                                w = k.spread(weights, t + i * s.R * s.S)
                                for g in range(group):
                                    acc[i * group + g] = k.fma(w, grad[g], acc[i * group + g])

                _for_each_count(k, t0, t1, s.S, taps)
                where = k.add(k.mul(k.add(k.mul(k.add(k.mul(first, s.H), row), s.W), col), s.pitch_made), n)
                channel = s.H * s.W * s.pitch_made
                for i in range(block):
                    for g in range(group):
                        k.store(acc[i * group + g], dX, k.add(where, i * channel + g * lanes()))

    return emit


def _weights(s: Shape, bias: bool, more: bool) -> Emitter:
    """dW, and db, for images without padding; added to what is there if there is ``more`` to the batch."""
    most = registers() - 4 - s.S
    block = max(1, min(most // s.S, s.K, 5))
    starts = -(-s.K // block)
    full, over = divmod(s.N, lanes())
    unrolled = _divisor(full, 4) if full else 1

    def emit(k: Kernel) -> None:
        X, dY, dW = k.array(0), k.array(1), k.array(2)
        acc = k.variables(block * s.S)
        sums = k.variables(block)

        def images(body: Callable[[Value | int, Callable[[Value], Value]], None]) -> None:
            """``body`` at each vector of images, with what to make of a vector there: zeros behind the last image."""
            with k.loop(0, full * lanes(), unrolled * lanes()) as n:
                for u in range(0, unrolled * lanes(), lanes()):
                    body(k.add(n, u), lambda vector: vector)
            if over:
                body(full * lanes(), lambda vector: k.where(k.first_lanes(over), vector, k.zeros()))

        def put(totals: Sequence[Value], array: Value, where: Value, new: Value) -> None:
            """Sums of a filter; not added again where a block overlaps the one before."""
            with k.when(new) if more else nullcontext():
                for t, total in enumerate(totals):
                    at = k.add(where, t)
                    if more:
                        total = k.fadd(k.first(k.spread(array, at)), total)
                    k.store_number(total, array, at)

        def add_up(first: Value, done: Value) -> None:
            """db: once for each block of filters."""
            sums.fill(k.zeros())
            with k.loop(0, s.P * s.Q) as pixel:
                start = k.add(k.mul(first, s.P * s.Q * s.pitch), k.mul(pixel, s.pitch))

                def images_of(n: Value | int, cut: Callable[[Value], Value]) -> None:
                    for i in range(block):
                        place = k.add(start, i * s.P * s.Q * s.pitch, n)
                        sums[i] = k.fadd(sums[i], cut(k.load(dY, place)))

                images(images_of)
            for i, total in enumerate(k.totals([sums[i] for i in range(block)])):
                put([total], k.array(3), k.add(first, i), k.less(done, k.add(first, i + 1)))

        with k.tasks(starts * s.C * s.R) as task:
            rest, r = k.divmod(task, s.R)
            which, c = k.divmod(rest, s.C)
            first = k.smaller(k.mul(which, block), s.K - block)
            acc.fill(k.zeros())
            with k.loop(0, s.P) as row:
                line = k.mul(k.add(k.mul(c, s.H), k.mul(row, s.stride[0]), r), s.W * s.pitch)
                grads = k.mul(k.add(k.mul(first, s.P), row), s.Q * s.pitch)
                with k.loop(0, s.Q) as col:
                    image = k.at(X, k.add(line, k.mul(col, s.stride[1] * s.pitch)))
                    grad = k.at(dY, k.add(grads, k.mul(col, s.pitch)))

                    def images_of(n: Value | int, cut: Callable[[Value], Value]) -> None:
                        x = [cut(k.load(image, k.add(n, t * s.pitch))) for t in range(s.S)]
                        for i in range(block):
                            g = cut(k.load(grad, k.add(n, i * s.P * s.Q * s.pitch)))
                            for t in range(s.S):
                                acc[i * s.S + t] = k.fma(g, x[t], acc[i * s.S + t])

                    images(images_of)
            where = k.mul(k.add(k.mul(k.add(k.mul(first, s.C), c), s.R), r), s.S)
            totals = k.totals([acc[i] for i in range(len(acc))])
            done = k.mul(which, block)
            for i in range(block):
                at, new = k.add(where, i * s.C * s.R * s.S), k.less(done, k.add(first, i + 1))
                put(totals[i * s.S : (i + 1) * s.S], dW, at, new)
            if bias:
                with k.when_equal(k.add(c, r), 0):
                    add_up(first, done)

    return emit


@functools.lru_cache(256)
def forward(s: Shape, bias: bool) -> Native:
    """Y = X * W + b: call with X, W, Y(, b)."""
    return Native("conv_forward", _forward(s, bias), 4 if bias else 3)


@functools.lru_cache(256)
def data(s: Shape) -> Native:
    """dX, for stride 1: call with dY, W, dX."""
    return Native("conv_data", _data(s), 3)


@functools.lru_cache(256)
def weights(s: Shape, bias: bool, more: bool = False) -> Native:
    """dW and, with ``bias``, db, where there is no padding: call with X, dY, dW(, db).

    ``more``: these images are part of a larger batch, and their share is added to what dW and db hold.
    """
    return Native("conv_weights", _weights(s, bias, more), 4 if bias else 3)
