"""Max pooling over images as they come, in planes (N, C, H, W in memory).

Owned here: both passes as machine code, for windows two columns wide that lie beside each other. Who calls it:
ops/pooling. Sizes are entries of the table, so one piece of code serves images of all sizes.

After the arrays come the numbers: planes, H, W, P, Q.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from freshpot.native import masked
from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes

#: a window's columns, and how far it is to the next
WIDTH = 2


def _windows(
    k: Kernel, rows: int, arrays: int, body: Callable[[Value, Value, Value, Value, Value], None]
) -> None:
    """``body(corner, at, made, width, count)`` for each vector of windows: the first one's first pixel as a place in
    the image and as an offset in X, its offset in Y, the image's width, and how many windows there are."""
    planes, height, width, down, across = (k.number(arrays + i) for i in range(5))
    with k.tasks(planes) as plane, k.loop(0, down) as row, k.loop(0, across, lanes()) as column:
        corner = k.add(k.mul(k.mul(row, rows), width), k.mul(column, WIDTH))
        at = k.add(k.mul(plane, k.mul(height, width)), corner)
        made = k.add(k.mul(k.add(k.mul(plane, down), row), across), column)
        body(corner, at, made, width, k.sub(across, column))


def _forward(rows: int) -> Emitter:
    def emit(k: Kernel) -> None:
        X, Y = k.array(0), k.array(1)

        def window(corner: Value, at: Value, made: Value, width: Value, count: Value) -> None:
            best = None
            for r in range(rows):
                for t in range(WIDTH):
                    x = masked.load_every(k, k.at(X, k.add(at, k.mul(width, r), t)), WIDTH, count)
                    best = x if best is None else k.maximum(best, x)
            masked.store(k, best, k.at(Y, made), masked.lanes_below(k, count))

        _windows(k, rows, 2, window)

    return emit


def _forward_with_index(rows: int) -> Emitter:
    def emit(k: Kernel) -> None:
        X, Y, index = (k.array(i) for i in range(3))

        def window(corner: Value, at: Value, made: Value, width: Value, count: Value) -> None:
            best: Value = None
            where: Value = None
            for r in range(rows):
                for t in range(WIDTH):
                    place = k.add(k.mul(width, r), t)
                    x = masked.load_every(k, k.at(X, k.add(at, place)), WIDTH, count)
                    here = masked.lane_numbers(k, k.add(corner, place), WIDTH)
                    better: Value = None if best is None else k.greater_or_nan(x, best)
                    best = x if better is None else k.where(better, x, best)
                    where = here if better is None else k.where(better, here, where)
            inside = masked.lanes_below(k, count)
            masked.store(k, best, k.at(Y, made), inside)
            masked.store_numbers(k, where, index, made, inside)

        _windows(k, rows, 3, window)

    return emit


def _backward(rows: int, by_index: bool) -> Emitter:
    def emit(k: Kernel) -> None:
        X, Y, dY, dX = (k.array(i) for i in range(4))

        def window(corner: Value, at: Value, made: Value, width: Value, count: Value) -> None:
            inside = masked.lanes_below(k, count)
            grad = masked.load(k, k.at(dY, made), inside)
            if by_index:
                chosen = masked.load_numbers(k, Y, made, inside)
            else:
                chosen = masked.load(k, k.at(Y, made), inside)
            for r in range(rows):
                shares = []
                for t in range(WIDTH):
                    place = k.add(k.mul(width, r), t)
                    if by_index:
                        hit = k.equal(chosen, masked.lane_numbers(k, k.add(corner, place), WIDTH))
                    else:
                        hit = k.equal(chosen, masked.load_every(k, k.at(X, k.add(at, place)), WIDTH, count))
                    shares.append(k.where(hit, grad, k.zeros()))
                masked.store_pairs(k, shares[0], shares[1], k.at(dX, k.add(at, k.mul(width, r))), count)

        _windows(k, rows, 4, window)

    return emit


@functools.lru_cache(16)
def forward(rows: int) -> Native:
    """Y = the maxima of windows so many rows high: call with X, Y."""
    return Native("plane_pool_forward", _forward(rows), 7)


@functools.lru_cache(16)
def forward_with_index(rows: int) -> Native:
    """The same, and where in the image (int64, row by row) the first maximum lies: call with X, Y, index."""
    return Native("plane_pool_forward_with_index", _forward_with_index(rows), 8)


@functools.lru_cache(16)
def backward(rows: int) -> Native:
    """dX: every pixel that equals its window's maximum gets dY. Call with X, Y, dY, dX.

    Unless the windows cover the image, dX must hold zeros before.
    """
    return Native("plane_pool_backward", _backward(rows, by_index=False), 9)


@functools.lru_cache(16)
def backward_by_index(rows: int) -> Native:
    """The same, where the pixel that the index names gets dY. Call with anything, index, dY, dX."""
    return Native("plane_pool_backward_by_index", _backward(rows, by_index=True), 9)
