"""Batch normalisation over images whose memory runs along the channels: rows (pixels of all images) of C numbers.

Owned here: sums over parts of the rows, and the passes that use what becomes of them, as machine code. Who calls
it: ops/normalization. Rows are summed in parts that stay in the cache, so that a part's variance is taken around its
own mean; the parts are put together in double precision by the caller.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes

#: rows, and numbers, of a part: it is read twice, from the cache the second time
_MOST_ROWS, _MOST_NUMBERS = 64, 1 << 16
#: rows, and vectors of a row, that are worked on at a time
_ROWS, _VECTORS = 8, 4


def part(rows: int, C: int) -> int:
    """Rows of a part: the largest divisor of ``rows`` within the limits."""
    return _divisor(rows, max(1, min(_MOST_ROWS, _MOST_NUMBERS // C)))


def _divisor(count: int, most: int) -> int:
    return max(n for n in range(1, most + 1) if count % n == 0)


def _columns(k: Kernel, C: int, body: Callable[[Value], None]) -> None:
    """``body(column)`` for every vector of a row."""
    some = _divisor(C // lanes(), _VECTORS)
    with k.loop(0, C, some * lanes()) as column:
        for i in range(some):
            body(k.add(column, i * lanes()))


def _in_groups(k: Kernel, C: int, rows: int, body: Callable[[list[Value], Value], None]) -> None:
    """``body(offsets of some rows, column)`` over a part; what a column adds up to lies in memory between groups."""
    some = _divisor(rows, _ROWS)
    with k.loop(0, rows, some) as row:
        offsets = [k.mul(k.add(row, i), C) for i in range(some)]
        _columns(k, C, lambda column: body(offsets, column))


def _added(k: Kernel, terms: Sequence[Value]) -> Value:
    """Their sum, pairwise."""
    terms = list(terms)
    while len(terms) > 1:
        pairs = [k.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]


def _moments(rows: int, C: int) -> Emitter:
    size = part(rows, C)

    def emit(k: Kernel) -> None:
        X, made, share = (k.array(i) for i in range(3))
        with k.tasks(rows // size) as task:
            x = k.at(X, k.mul(task, size * C))
            mean = k.at(made, k.mul(task, 3 * C))
            off, squares = k.at(mean, C), k.at(mean, 2 * C)
            for total in (mean, off, squares):
                _columns(k, C, lambda column, total=total: k.store(k.zeros(), total, column))  # type: ignore[misc]

            def add(offsets: list[Value], column: Value) -> None:
                terms = [k.load(x, k.add(o, column)) for o in offsets]
                k.store(k.fadd(k.load(mean, column), _added(k, terms)), mean, column)

            def spread(offsets: list[Value], column: Value) -> None:
                at = k.load(mean, column)
                terms = [k.fsub(k.load(x, k.add(o, column)), at) for o in offsets]
                k.store(k.fadd(k.load(off, column), _added(k, terms)), off, column)
                squared = k.load(squares, column)
                for term in terms:
                    squared = k.fma(term, term, squared)
                k.store(squared, squares, column)

            _in_groups(k, C, size, add)
            _columns(
                k, C, lambda column: k.store(k.fmul(k.load(mean, column), k.spread(share)), mean, column)
            )
            _in_groups(k, C, size, spread)

    return emit


@functools.lru_cache(256)
def moments(rows: int, C: int) -> Native:
    """Of each part: about its mean m, the sum of X - m, the sum of (X - m)².

    Call with X, the result (parts, 3, C), and 1 / rows of a part as a tensor.
    """
    return Native("moments", _moments(rows, C), 3)


def _apply(rows: int, C: int, relu: bool) -> Emitter:
    size = part(rows, C)

    def emit(k: Kernel) -> None:
        X, mean, factor, addend, Y = (k.array(i) for i in range(5))

        def one(column: Value, at: Value) -> None:
            x = k.fsub(k.load(X, at), k.load(mean, column))
            y = k.fma(x, k.load(factor, column), k.load(addend, column))
            k.store(k.maximum(y, k.zeros()) if relu else y, Y, at)

        with k.tasks(rows // size) as task, k.loop(0, size) as row:
            start = k.mul(k.add(k.mul(task, size), row), C)
            _columns(k, C, lambda column: one(column, k.add(start, column)))

    return emit


@functools.lru_cache(256)
def apply(rows: int, C: int, relu: bool) -> Native:
    """Y = (X - mean) * factor + addend, rectified if asked for. Call with X, mean, factor, addend, Y."""
    return Native("apply", _apply(rows, C, relu), 5)


def _let_through(k: Kernel, dy: Value, Y: Value | None, at: Value) -> Value:
    """dY where the rectifier let Y through."""
    return dy if Y is None else k.where(k.greater_or_nan(k.load(Y, at), k.zeros()), dy, k.zeros())


def _sums(rows: int, C: int, relu: bool) -> Emitter:
    size = part(rows, C)

    def emit(k: Kernel) -> None:
        X, mean, dY, made = (k.array(i) for i in range(4))
        Y = k.array(4) if relu else None
        with k.tasks(rows // size) as task:
            start = k.mul(task, size * C)
            total = k.at(made, k.mul(task, 2 * C))
            products = k.at(total, C)
            for where in (total, products):
                _columns(k, C, lambda column, where=where: k.store(k.zeros(), where, column))  # type: ignore[misc]

            def add(offsets: list[Value], column: Value) -> None:
                places = [k.add(start, o, column) for o in offsets]
                terms = [_let_through(k, k.load(dY, at), Y, at) for at in places]
                k.store(k.fadd(k.load(total, column), _added(k, terms)), total, column)
                center, product = k.load(mean, column), k.load(products, column)
                for at, term in zip(places, terms, strict=True):
                    product = k.fma(k.fsub(k.load(X, at), center), term, product)
                k.store(product, products, column)

            _in_groups(k, C, size, add)

    return emit


@functools.lru_cache(256)
def sums(rows: int, C: int, relu: bool) -> Native:
    """Of each part: the sums of dY and of (X - mean) dY, where Y > 0 if ``relu``.

    Call with X, mean, dY, the result (parts, 2, C), and Y if ``relu``.
    """
    return Native("sums", _sums(rows, C, relu), 5 if relu else 4)


def _gradient(rows: int, C: int, relu: bool) -> Emitter:
    size = part(rows, C)

    def emit(k: Kernel) -> None:
        X, mean, dY, factor, level, slope, dX = (k.array(i) for i in range(7))
        Y = k.array(7) if relu else None

        def one(column: Value, at: Value) -> None:
            dy = k.fsub(_let_through(k, k.load(dY, at), Y, at), k.load(level, column))
            x = k.fsub(k.load(mean, column), k.load(X, at))
            k.store(k.fmul(k.fma(x, k.load(slope, column), dy), k.load(factor, column)), dX, at)

        with k.tasks(rows // size) as task, k.loop(0, size) as row:
            start = k.mul(k.add(k.mul(task, size), row), C)
            _columns(k, C, lambda column: one(column, k.add(start, column)))

    return emit


@functools.lru_cache(256)
def gradient(rows: int, C: int, relu: bool) -> Native:
    """dX = (dY - level - (X - mean) * slope) * factor, dY where Y > 0 if ``relu``.

    Call with X, mean, dY, factor, level, slope, dX, and Y if ``relu``.
    """
    return Native("gradient", _gradient(rows, C, relu), 8 if relu else 7)
