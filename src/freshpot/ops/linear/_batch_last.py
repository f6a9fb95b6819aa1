"""Fully connected layers on images whose memory runs along the batch, as convolutions leave them.

Owned here: for which layers there is a choice, the ways of each pass, and the pass that was chosen, over tensors and
as calls in memory. Who calls it: `fc`. ATen multiplies matrices of the common order faster than transposed ones; where
turning one round costs less than that gains, it is turned round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from freshpot.native.batch import pitch
from freshpot.native.machine import lanes
from freshpot.ops import _small
from freshpot.ops._memory import make
from freshpot.ops._operator import Call, call
from freshpot.ops._tune import choose
from freshpot.ops._window import empty_batch_last, is_batch_last

#: the work
FORWARD, WEIGHTS, DATA = "forward", "gradient of the weights", "gradient of the data"
#: multiplications below which code is not worth making
_WORTH = 1_000_000
#: vectors of a row that are done at a time
_ACROSS = 5
#: what may be computed on by address
_PLAIN = (Tensor, Parameter)


def fits(X: Tensor, W: Tensor) -> bool:
    """True if there are several ways for a layer of images X (M, C, H, W) along the batch and weights W (N, K)."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled():  # they want to see what is done
        return False
    width = lanes()
    if not width or not is_batch_last(X):
        return False
    M, (N, K) = X.shape[0], W.shape
    return (
        X.dtype is torch.float32
        and X.is_cpu
        and W.is_cpu
        and W.is_contiguous()
        and type(X) in _PLAIN
        and type(W) in _PLAIN
        and min(M, N) >= width
        and K >= _ACROSS * width
        and M * N * K >= _WORTH
    )


def forward(X: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Y (M, N)."""
    Y = torch.empty(X.shape[0], W.shape[0])
    make(forward_calls(X, W, b, Y))
    return Y


def forward_calls(X: Tensor, W: Tensor, b: Tensor, Y: Tensor) -> list[Call]:
    """Calls that fill Y (M, N), contiguous."""
    return _chosen(FORWARD, _forward_ways(X, W, b, Y), X, W)


def weights(X: Tensor, W: Tensor, dY: Tensor) -> Tensor:
    """dW (N, K)."""
    dW = torch.empty(W.shape)
    make(weights_calls(X, W, dY, dW))
    return dW


def weights_calls(X: Tensor, W: Tensor, dY: Tensor, dW: Tensor) -> list[Call]:
    """Calls that fill dW (N, K), contiguous, from dY (M, N)."""
    return _chosen(WEIGHTS, _weights_ways(X, dY, dW), X, W)


def bias(dY: Tensor) -> Tensor:
    """db (N)."""
    db = torch.empty(dY.shape[1])
    make(bias_calls(dY, db))
    return db


def bias_calls(dY: Tensor, db: Tensor) -> list[Call]:
    """Calls that fill db (N) from dY (M, N), contiguous."""
    return _small.column_sums(dY, db) or [call(torch.sum, dY, 0, out=db)]


def data(X: Tensor, W: Tensor, dY: Tensor) -> Tensor:
    """dX, of X's shape and layout."""
    dX = empty_batch_last(*X.shape)
    make(data_calls(X, W, dY, dX))
    return dX


def data_calls(X: Tensor, W: Tensor, dY: Tensor, dX: Tensor) -> list[Call]:
    """Calls that fill dX, which is along the batch, from dY (M, N)."""
    return _chosen(DATA, _data_ways(W, dY, dX), X, W)


Way = Callable[[], Sequence[Call]]


def _chosen(work: str, ways: dict[str, Way], X: Tensor, W: Tensor) -> list[Call]:
    """The calls of the fastest way: timed once on this machine."""
    job = f"fully connected along the batch, {work}, {X.shape[0]} x {W.shape[1]} x {W.shape[0]}"
    timed: dict[str, Callable[[], None]] = {}
    for name, way in ways.items():

        def run(way: Way = way, made: list[Call] = []) -> None:  # noqa: B006  # kept: only the calls are timed
            if not made:
                made.extend(way())
            make(made)

        timed[name] = run
    return list(ways[choose(job, timed)]())


def _rows(X: Tensor) -> tuple[Tensor, Call]:
    """X as a matrix in the common order: memory for it, and the call that fills it."""
    from freshpot.native.turn import turn

    M, K = X.shape[0], X[0].numel()
    rows = torch.empty(M, K)
    return rows, call(turn(K, M, pitch(M), K).bind(X, rows))


def _forward_ways(X: Tensor, W: Tensor, b: Tensor, Y: Tensor) -> dict[str, Way]:
    (N, K), M = W.shape, X.shape[0]

    def native() -> list[Call]:
        from freshpot.native import conv
        from freshpot.native.turn import turn

        shape = conv.Shape(M, K, 1, 1, N, 1, 1, P=1, Q=1)
        made = empty_batch_last(M, N, 1, 1)
        return [
            call(conv.forward(shape, True).bind(X, W, made, b)),
            call(turn(N, M, pitch(M), N).bind(made, Y)),
        ]

    return {"native": native, "aten": lambda: [call(torch.addmm, b, X.view(M, K), W.t(), out=Y)]}


def _weights_ways(X: Tensor, dY: Tensor, dW: Tensor) -> dict[str, Way]:
    (M, N), K = dY.shape, X[0].numel()

    def native() -> list[Call]:
        from freshpot.native import dense

        rows, fill = _rows(X)
        return [fill, call(dense.weights(M, K, N).bind(rows, dY, dW))]

    def turned() -> list[Call]:
        rows, fill = _rows(X)
        return [fill, call(torch.mm, dY.t(), rows, out=dW)]

    return {
        "native": native,
        "turned": turned,
        "aten": lambda: [call(torch.mm, dY.t(), X.view(M, K), out=dW)],
    }


def _data_ways(W: Tensor, dY: Tensor, dX: Tensor) -> dict[str, Way]:
    M, K = dY.shape[0], W.shape[1]

    def turned() -> list[Call]:
        from freshpot.native.turn import turn

        rows = torch.empty(M, K)
        return [call(torch.mm, dY, W, out=rows), call(turn(M, K, K, pitch(M)).bind(rows, dX))]

    return {"turned": turned, "aten": lambda: [call(torch.mm, W.t(), dY.t(), out=dX.view(M, K).t())]}
