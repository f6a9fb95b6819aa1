"""Convolution over few images as they come, in planes (N, C, H, W in memory).

Owned here: the three passes of convolution as machine code where a batch is too small to fill vectors with its images
(`conv` does that). Who calls it: ops/convolution.

Forward, a vector's numbers are neighbouring pixels of the result: of a row, and on to the next rows until it is full.
The gradient of the data is the same over dY with a frame of zeros, with the filters turned round. For the gradient of
the filters a vector's numbers are neighbours in a filter; what the filter saw at a pixel is first put side by side.
Sizes are constants of the code. Padding is expected in memory.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from freshpot.native import masked
from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes, registers

#: bytes of what filters saw that are put side by side at a time
_NEAR = 1 << 17
#: tasks that the weights' gradient is split into at least, if it can be, for threads to share
_TASKS = 2


@dataclass(frozen=True)
class Shape:
    """Sizes of a convolution without padding: images X (N, C, H, W), filters (K, C, R, S), results (N, K, P, Q)."""

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    stride: tuple[int, int]
    P: int
    Q: int


@dataclass(frozen=True)
class _Filters:
    """Where a filter's number lies: ``start``, and how far it is to the next filter, channel, row and column."""

    start: int
    steps: tuple[int, int, int, int]


@dataclass(frozen=True)
class _Tile:
    """Pixels of the result that are made at a time: so many rows of so many columns."""

    rows: int
    columns: int

    @property
    def vectors(self) -> int:
        return -(-self.rows * self.columns // lanes())

    def runs(self, vector: int) -> list[tuple[int, int, int, int]]:
        """What lies in a vector: (row, column, first lane, lanes) of each run of neighbours."""
        found, lane, pixel = [], 0, vector * lanes()
        while lane < lanes() and pixel < self.rows * self.columns:
            row, column = divmod(pixel, self.columns)
            count = min(lanes() - lane, self.columns - column)
            found.append((row, column, lane, count))
            lane, pixel = lane + count, pixel + count
        return found


def _most_vectors() -> int:
    return 4 if registers() >= 32 else 3


def _tile(P: int, Q: int) -> _Tile:
    """The tile whose vectors are fullest; of such the largest."""
    most = _most_vectors() * lanes()
    parts = -(-Q // most)
    columns = -(-Q // parts)

    def waste(rows: int) -> tuple[float, int]:
        tile = _Tile(rows, columns)
        done = -(-P // rows) * tile.vectors
        return done * (1 + 0.1 / tile.vectors), -rows

    return _Tile(min(range(1, min(P, max(1, most // columns)) + 1), key=waste), columns)


def _even(size: int, most: int) -> int:
    blocks = -(-size // most)
    return -(-size // blocks)


def _correlate(s: Shape, filters: _Filters, bias: bool) -> Emitter:
    """Y = X * W (+ b): arrays X, W, Y(, b)."""
    tile = _tile(s.P, s.Q)
    V = tile.vectors
    block = _even(s.K, max(1, min((registers() - 2 - V) // V, 12)))
    blocks, down, across = -(-s.K // block), -(-s.P // tile.rows), -(-s.Q // tile.columns)

    def emit(k: Kernel) -> None:
        X, W, Y = k.array(0), k.array(1), k.array(2)
        acc = k.variables(block * V)

        def pixels(v: int, corner: Value) -> Value:
            if s.stride[1] > 1:
                offsets = [
                    row * s.stride[0] * s.W + (column + i) * s.stride[1]
                    for row, column, _, count in tile.runs(v)
                    for i in range(count)
                ]
                return masked.load_apart(k, corner, offsets)
            found = None
            for row, column, lane, count in tile.runs(v):
                place = row * s.stride[0] * s.W + column - lane
                if count == lanes():
                    return k.load(corner, place)
                found = masked.load(k, k.at(corner, place), _lanes(k, lane, count), found)
            return found

        with k.tasks(s.N * blocks * down * across) as task:
            rest, part = k.divmod(task, across)
            rest, band = k.divmod(rest, down)
            image, which = k.divmod(rest, blocks)
            first = k.smaller(k.mul(which, block), s.K - block)  # the last of each may overlap the one before
            row = k.smaller(k.mul(band, tile.rows), s.P - tile.rows)
            column = k.smaller(k.mul(part, tile.columns), s.Q - tile.columns)
            for i in range(block):
                start = k.spread(k.array(3), k.add(first, i)) if bias else k.zeros()
                for v in range(V):
                    acc[i * V + v] = start
            corner = k.mul(k.add(k.mul(k.mul(image, s.C), s.H), k.mul(row, s.stride[0])), s.W)
            corner = k.add(corner, k.mul(column, s.stride[1]))
            mine = k.add(k.mul(first, filters.steps[0]), filters.start)
            with k.loop(0, s.C) as c, k.loop(0, s.R) as r:
                seen = k.at(X, k.add(corner, k.mul(k.add(k.mul(c, s.H), r), s.W)))
                weights = k.at(W, k.add(mine, k.mul(c, filters.steps[1]), k.mul(r, filters.steps[2])))
                for t in range(s.S):
                    x = [pixels(v, k.at(seen, t)) for v in range(V)]
                    for i in range(block):
                        w = k.spread(weights, i * filters.steps[0] + t * filters.steps[3])
                        for v in range(V):
                            acc[i * V + v] = k.fma(w, x[v], acc[i * V + v])
            made = k.mul(k.add(k.mul(k.add(k.mul(image, s.K), first), s.P), row), s.Q)
            made = k.add(made, column)
            for i in range(block):
                for v in range(V):
                    for row_, column_, lane, count in tile.runs(v):
                        place = k.at(Y, k.add(made, (i * s.P + row_) * s.Q + column_ - lane))
                        masked.store(k, acc[i * V + v], place, _lanes(k, lane, count))

    return emit


def _lanes(k: Kernel, first: int, count: int) -> Value:
    return masked.lanes_of(k, [first <= i < first + count for i in range(lanes())])


@dataclass(frozen=True)
class _Plan:
    """How the weights' gradient is split: so many channels and filters a task, so many rows of results at a time."""

    channels: int
    filters: int
    rows: int
    width: int
    tasks: int


def _split(s: Shape) -> _Plan:
    taps = s.R * s.S

    def waste(channels: int) -> tuple[float, int]:
        vectors = -(-channels * taps // lanes())
        return vectors * lanes() / channels * (1 + 0.5 / vectors), -channels

    fitting = [n for n in range(1, s.C + 1) if s.C % n == 0 and n * taps <= 32 * lanes()] or [1]
    channels = min(fitting, key=waste)
    groups = s.C // channels
    parts = next((n for n in (1, 2, 3, 4) if groups * n >= _TASKS and s.K % n == 0), 1)
    width = -(-channels * taps // lanes()) * lanes()
    rows = max(1, min(s.P, _NEAR // (4 * width * s.Q)))
    return _Plan(channels, s.K // parts, rows, width, groups * parts)


def scratch(s: Shape) -> int:
    """Numbers of memory that the weights' gradient needs beside its arrays."""
    plan = _split(s)
    return plan.tasks * (plan.rows * s.Q * plan.width + lanes())


def _weights(s: Shape, bias: bool) -> Emitter:
    """dW (and db): arrays X, dY, dW, scratch(, db)."""
    plan, taps, room = _split(s), s.R * s.S, registers() - 3
    vectors = plan.width // lanes()
    group = max(n for n in range(1, min(vectors, _most_vectors()) + 1) if vectors % n == 0)
    most = max(1, min((room - group) // group, 12))
    block = max(
        (n for n in range(1, min(most, plan.filters) + 1)), key=lambda n: (n / most) * _fullness(plan, n)
    )
    parts = s.K // plan.filters

    def emit(k: Kernel) -> None:
        X, dY, dW = k.array(0), k.array(1), k.array(2)
        acc = k.variables(block * group)

        def put_side_by_side(seen: Value, image: Value, channel: Value, row: Value, rows: Value) -> None:
            near = masked.lanes_of(k, [i < s.S for i in range(lanes())])
            with k.loop(0, rows) as p, k.loop(0, s.Q) as q:
                corner = k.mul(k.add(row, p), s.stride[0] * s.W)
                corner = k.add(corner, k.mul(q, s.stride[1]))
                to = k.at(seen, k.mul(k.add(k.mul(p, s.Q), q), plan.width))
                with k.loop(0, plan.channels) as c:
                    plane = k.mul(k.add(k.mul(image, s.C), channel, c), s.H * s.W)
                    window = k.at(X, k.add(plane, corner))
                    for r in range(s.R):  # in order: each overwrites what the one before wrote too much
                        k.store(
                            masked.load(k, k.at(window, r * s.W), near),
                            to,
                            k.add(k.mul(c, taps), r * s.S),
                        )

        def products(
            size: int,
            filter_: Value,
            v: Value,
            seen: Value,
            grads: Value,
            at: Value,
            count: Value,
            new: Value,
        ) -> None:
            def places() -> list[tuple[int, int, Value, Value]]:
                last = k.sub(plan.channels * taps, k.mul(v, lanes()))
                return [
                    (
                        i,
                        g,
                        k.at(dW, k.add(at, i * s.C * taps + g * lanes(), k.mul(v, lanes()))),
                        masked.lanes_below(k, k.sub(last, g * lanes())),
                    )
                    for i in range(size)
                    for g in range(group)
                ]

            for i, g, place, inside in places():
                before = masked.load(k, place, k.where(new, masked.lanes_of(k, [False] * lanes()), inside))
                acc[i * group + g] = before
            with k.loop(0, count) as pixel:
                x = [
                    k.load(seen, k.add(k.mul(pixel, plan.width), k.mul(v, lanes()), g * lanes()))
                    for g in range(group)
                ]
                for i in range(size):
                    w = k.spread(grads, k.add(pixel, i * s.P * s.Q))
                    for g in range(group):
                        acc[i * group + g] = k.fma(w, x[g], acc[i * group + g])
            for i, g, place, inside in places():
                masked.store(k, acc[i * group + g], place, inside)

        with k.tasks(plan.tasks) as task:
            which, part = k.divmod(task, parts)
            channel, first = k.mul(which, plan.channels), k.mul(part, plan.filters)
            seen = k.at(k.array(3), k.mul(task, plan.rows * s.Q * plan.width + lanes()))
            with k.loop(0, s.N) as image, k.loop(0, s.P, plan.rows) as row:
                rows = k.smaller(plan.rows, k.sub(s.P, row))
                new = k.same(k.add(image, row), 0)
                put_side_by_side(seen, image, channel, row, rows)

                def filters(size: int, filter_: Value) -> None:
                    grads = k.mul(k.add(k.mul(k.add(k.mul(image, s.K), filter_), s.P), row), s.Q)
                    at = k.mul(k.add(k.mul(filter_, s.C), channel), taps)
                    with k.loop(0, vectors, group) as v:
                        products(size, filter_, v, seen, k.at(dY, grads), at, k.mul(rows, s.Q), new)

                sizes = [block, *([plan.filters % block] if plan.filters % block else [])]
                k.parts(first, k.add(first, plan.filters), sizes, filters)
            if bias:
                with k.when(k.same(which, 0)):
                    _bias(k, s, first, k.add(first, plan.filters))

    return emit


def _fullness(plan: _Plan, block: int) -> float:
    return plan.filters / (-(-plan.filters // block) * block)


def _bias(k: Kernel, s: Shape, first: Value, last: Value) -> None:
    """db of some filters."""
    dY, total = k.array(1), k.variables(1)
    whole, over = divmod(s.P * s.Q, lanes())
    with k.loop(first, last) as filter_:
        total.fill(k.zeros())
        with k.loop(0, s.N) as image:
            plane = k.at(dY, k.mul(k.add(k.mul(image, s.K), filter_), s.P * s.Q))
            with k.loop(0, whole * lanes(), lanes()) as pixel:
                total[0] = k.fadd(total[0], k.load(plane, pixel))
            if over:
                rest = masked.load(k, k.at(plane, whole * lanes()), k.first_lanes(over))
                total[0] = k.fadd(total[0], rest)
        k.store_number(k.totals([total[0]])[0], k.array(4), filter_)


@functools.lru_cache(256)
def forward(s: Shape, bias: bool) -> Native:
    """Y = X * W + b: call with X, W, Y(, b)."""
    taps = s.R * s.S
    return Native(
        "planes_forward", _correlate(s, _Filters(0, (s.C * taps, taps, s.S, 1)), bias), 4 if bias else 3
    )


@functools.lru_cache(256)
def data(s: Shape) -> Native:
    """dX, for stride 1: call with dY in its frame of zeros, W, dX; ``s``: sizes of the convolution that is left,
    whose images are that frame, and whose filters are as many as X has channels."""
    taps = s.R * s.S
    turned = _Filters(taps - 1, (taps, s.K * taps, -s.S, -1))
    return Native("planes_data", _correlate(s, turned, False), 3)


@functools.lru_cache(256)
def weights(s: Shape, bias: bool) -> Native:
    """dW and, with ``bias``, db: call with X, dY, dW, memory of `scratch` numbers(, db)."""
    return Native("planes_weights", _weights(s, bias), 5 if bias else 4)
