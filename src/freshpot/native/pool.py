"""Max pooling over batches whose memory runs along the images of the batch (C, H, W, N in memory).

Owned here: both passes as machine code. Who calls it: ops/pooling.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from freshpot.native.batch import pitch, vectors
from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes


@dataclass(frozen=True)
class Shape:
    """Sizes of a pooling: images X (N, C, H, W), windows (R, S) that fit, results (N, C, P, Q)."""

    N: int
    C: int
    H: int
    W: int
    R: int
    S: int
    stride: tuple[int, int]
    P: int
    Q: int

    @property
    def pitch(self) -> int:
        """Numbers from one pixel to the next."""
        return pitch(self.N)

    @property
    def apart(self) -> bool:
        """True if no pixel lies in two windows."""
        return self.R <= self.stride[0] and self.S <= self.stride[1]

    @property
    def covers(self) -> bool:
        """True if every pixel lies in one window."""
        return (self.R, self.S) == self.stride and (self.P * self.R, self.Q * self.S) == (self.H, self.W)


def _windows(k: Kernel, s: Shape, body: Callable[[Value, Value, Value], None]) -> None:
    """``body(corner, at, made)`` for each window and vector of images: the window's first pixel as a place in the
    image, as an offset in X, and the window's offset in Y."""
    with k.tasks(s.C) as c, k.loop(0, s.P) as row:
        line = k.mul(k.add(k.mul(c, s.H), k.mul(row, s.stride[0])), s.W * s.pitch)
        made = k.mul(k.add(k.mul(c, s.P), row), s.Q * s.pitch)
        with k.loop(0, s.Q) as col, k.loop(0, vectors(s.N) * lanes(), lanes()) as n:
            corner = k.add(k.mul(row, s.stride[0] * s.W), k.mul(col, s.stride[1]))
            body(
                corner, k.add(line, k.mul(col, s.stride[1] * s.pitch), n), k.add(made, k.mul(col, s.pitch), n)
            )


def _places(s: Shape) -> list[int]:
    """The window's pixels, counted from its first."""
    return [r * s.W + t for r in range(s.R) for t in range(s.S)]


def _forward(s: Shape) -> Emitter:
    def emit(k: Kernel) -> None:
        X, Y = k.array(0), k.array(1)

        def window(corner: Value, at: Value, made: Value) -> None:
            first, *others = (k.load(k.at(X, at), place * s.pitch) for place in _places(s))
            for other in others:
                first = k.maximum(first, other)
            k.store(first, Y, made)

        _windows(k, s, window)

    return emit


def _forward_with_index(s: Shape, narrow: bool) -> Emitter:
    def emit(k: Kernel) -> None:
        X, Y, index = (k.array(i) for i in range(3))

        def window(corner: Value, at: Value, made: Value) -> None:
            _, *others = _places(s)
            name = _namer(k, corner, narrow)
            best, where = k.load(k.at(X, at)), name(0, 0)
            for number, place in enumerate(others, 1):
                x = k.load(k.at(X, at), place * s.pitch)
                better = k.greater_or_nan(x, best)
                best = k.where(better, x, best)
                where = k.where(better, name(number, place), where)
            k.store(best, Y, made)
            (k.store_bytes if narrow else k.store_numbers)(where, index, made)

        _windows(k, s, window)

    return emit


def _namer(k: Kernel, corner: Value, narrow: bool) -> Callable[[int, int], Value]:
    """How an index names a pixel of a window: by its number in there (narrow), or by its place in the image."""
    if narrow:
        return lambda number, place: k.small_number(number)
    return lambda number, place: k.spread_number(k.add(corner, place))


def _backward(s: Shape, index: str) -> Emitter:
    """``index``: "": the pixels that equal Y; "wide", "narrow": the one that it names."""

    def emit(k: Kernel) -> None:
        X, Y, dY, dX = (k.array(i) for i in range(4))
        load = {"": k.load, "wide": k.load_numbers, "narrow": k.load_bytes}[index]

        def window(corner: Value, at: Value, made: Value) -> None:
            chosen, grad, name = load(Y, made), k.load(dY, made), _namer(k, corner, index == "narrow")
            for number, place in enumerate(_places(s)):
                offset = place * s.pitch
                hit = k.equal(chosen, name(number, place) if index else k.load(k.at(X, at), offset))
                share = k.where(hit, grad, k.zeros())
                if not s.apart:
                    share = k.fadd(k.load(k.at(dX, at), offset), share)
                k.store(share, k.at(dX, at), offset)

        _windows(k, s, window)

    return emit


@functools.lru_cache(256)
def forward(s: Shape) -> Native:
    """Y = the windows' maxima: call with X, Y."""
    return Native("max_pool_forward", _forward(s), 2)


@functools.lru_cache(256)
def forward_with_index(s: Shape, narrow: bool) -> Native:
    """The same, and which is the first maximum: call with X, Y, index.

    The index is int64: where in the image, row by row; or, if it is narrow, uint8: which pixel of the window.
    """
    return Native("max_pool_forward_with_index", _forward_with_index(s, narrow), 3)


@functools.lru_cache(256)
def backward(s: Shape) -> Native:
    """dX: every pixel that equals its window's maximum gets dY. Call with X, Y, dY, dX.

    Unless the windows cover the image, dX must hold zeros before.
    """
    return Native("max_pool_backward", _backward(s, ""), 4)


@functools.lru_cache(256)
def backward_by_index(s: Shape, narrow: bool) -> Native:
    """The same, where the pixel that the index names gets dY. Call with anything, index, dY, dX."""
    return Native("max_pool_backward_by_index", _backward(s, "narrow" if narrow else "wide"), 4)
