"""Moving batches: from the order of images to memory along them and back, and a few images out of many.

Owned here: transposing and picking as machine code. Who calls it: ops/_window, ops/linear, ops/convolution.
"""

from __future__ import annotations

import functools

from freshpot.native.build import Emitter, Kernel
from freshpot.native.call import Native
from freshpot.native.machine import lanes

#: rows that a thread goes along together: so many lines of a cache are open at a time
_ROWS = 64


def _turn(rows: int, columns: int, row: int, column: int) -> Emitter:
    width = lanes()
    stripes, blocks = -(-rows // _ROWS), -(-columns // width)

    def emit(k: Kernel) -> None:
        A, B = k.array(0), k.array(1)
        with k.tasks(stripes * blocks) as task:
            stripe, block = k.divmod(task, blocks)
            c = k.smaller(k.mul(block, width), columns - width)  # the last block may overlap the one before
            first = k.mul(stripe, _ROWS)
            with k.loop(first, k.smaller(k.add(first, _ROWS), rows), width) as start:
                r = k.smaller(start, rows - width)
                at = k.at(A, k.add(k.mul(r, row), c))
                turned = k.turned([k.load(at, i * row) for i in range(width)])
                to = k.at(B, k.add(k.mul(c, column), r))
                for i, vector in enumerate(turned):
                    k.store(vector, to, i * column)

    return emit


def _pick(pixels: int, vectors: int, here: int, there: int) -> Emitter:
    def emit(k: Kernel) -> None:
        A, B = k.array(0), k.array(1)
        with k.tasks(pixels) as pixel:
            at, to = k.at(A, k.mul(pixel, here)), k.at(B, k.mul(pixel, there))
            for v in range(vectors):
                k.store(k.load(at, v * lanes()), to, v * lanes())

    return emit


@functools.lru_cache(256)
def pick(pixels: int, vectors: int, here: int, there: int) -> Native:
    """So many vectors of each pixel, where pixels lie ``here`` numbers apart, to where they lie ``there``: call
    with A, B."""
    return Native("pick", _pick(pixels, vectors, here, there), 2)


@functools.lru_cache(256)
def turn(rows: int, columns: int, row: int, column: int) -> Native:
    """B[c, r] = A[r, c]: call with A, B.

    Args:
        rows, columns: of A, each at least a vector.
        row: numbers from one row of A to the next.
        column: numbers from one row of B to the next.
    """
    return Native("turn", _turn(rows, columns, row, column), 2)
