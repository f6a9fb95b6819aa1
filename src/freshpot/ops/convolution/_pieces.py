"""Convolution of a large batch along the memory, some images at a time.

Owned here: how many images at a time, and the passes as calls. Who calls it: `_batch_last`.

In a large batch neighbouring pixels of an image lie on different pages of memory, so that caches and their
prefetching do not help. What is read is first picked, for a few images, into memory of its own that fits a core's
cache; what is made goes straight to its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from freshpot.native.batch import pitch, vectors
from freshpot.native.machine import lanes
from freshpot.ops._operator import Call, call
from freshpot.ops._window import batch_last, empty_batch_last, into_batch_last, is_batch_last

if TYPE_CHECKING:
    from freshpot.native.conv import Shape

#: images from which on a batch is large, and of a piece at most
_LARGE, _MOST = 128, 256
#: bytes of what a pass reads for a piece, that fit a core's cache beside what it makes, and if it makes little
_IN_CACHE, _ALL_OF_IT = 900_000, 1_600_000

Run = Callable[[], object]


def wanted(N: int) -> bool:
    """True if a batch is large."""
    return N >= _LARGE


def _sizes(N: int, numbers: int, room: int) -> list[tuple[int, int]]:
    """Pieces of a batch, each (first image, images): of whole vectors, but for the last.

    ``numbers``: of an image that are read; ``room``: bytes for those of a piece.
    """
    most = _MOST
    while most > lanes() and 4 * most * numbers > room:
        most //= 2
    most = max(most // lanes(), 1) * lanes()
    return [(first, min(most, N - first)) for first in range(0, N, most)]


def _room(like: Tensor, sizes: Sequence[tuple[int, int]]) -> dict[int, Tensor]:
    """Memory along the batch for pieces: one of each size."""
    return {n: empty_batch_last(n, *like.shape[1:]) for n in {n for _, n in sizes}}


def _fill(X: Tensor, first: int, memory: Tensor) -> Run:
    """The call that picks images out of a batch of either order."""
    n, numbers = memory.shape[0], memory[0].numel()
    if X.is_contiguous():
        return into_batch_last(X[first : first + n], memory)
    from freshpot.native.turn import pick

    return pick(numbers, vectors(n), pitch(X.shape[0]), pitch(n)).bind(X[first:], memory)


def _whole(X: Tensor) -> tuple[Tensor, list[Run]]:
    """X in one of the two orders: itself, or memory for it and the call that fills it."""
    if X.is_contiguous() or is_batch_last(X):
        return X, []
    memory = batch_last(X)
    return memory, [into_batch_last(X, memory)]


def _together(runs: Sequence[Run]) -> list[Call]:
    def run() -> None:
        for one in runs:
            one()

    return [call(run)]


def forward(s: Shape, X: Tensor, W: Tensor, bias: Sequence[Tensor], Y: Tensor) -> list[Call]:
    """Y, along the batch."""
    from freshpot.native import conv

    X, runs = _whole(X)
    sizes = _sizes(s.N, s.C * s.H * s.W, _IN_CACHE)
    rooms = _room(X, sizes)
    for first, n in sizes:
        kernel = conv.forward(replace(s, N=n, apart=s.pitch), bool(bias))
        runs += [_fill(X, first, rooms[n]), kernel.bind(rooms[n], W, Y[first:], *bias)]
    return _together(runs)


def weights(s: Shape, X: Tensor, dY: Tensor, dWb: Sequence[Tensor]) -> list[Call]:
    """dW (and db), where there is no padding."""
    from freshpot.native import conv

    X, runs = _whole(X)
    dY, more = _whole(dY)
    runs += more
    sizes = _sizes(s.N, s.C * s.H * s.W + s.K * s.P * s.Q, _ALL_OF_IT)
    images, grads = _room(X, sizes), _room(dY, sizes)
    for first, n in sizes:
        kernel = conv.weights(replace(s, N=n), len(dWb) > 1, more=first > 0)
        runs += [
            _fill(X, first, images[n]),
            _fill(dY, first, grads[n]),
            kernel.bind(images[n], grads[n], *dWb),
        ]
    return _together(runs)


def data(s: Shape, W: Tensor, dY: Tensor, dX: Tensor) -> list[Call]:
    """dX, along the batch, for stride 1."""
    from freshpot.native import conv

    dY, runs = _whole(dY)
    sizes = _sizes(s.N, s.K * s.P * s.Q, _IN_CACHE)
    rooms = _room(dY, sizes)
    for first, n in sizes:
        kernel = conv.data(replace(s, N=n, apart=s.pitch))
        runs += [_fill(dY, first, rooms[n]), kernel.bind(rooms[n], W, dX[first:])]
    return _together(runs)
