"""Fully connected layers over batches of a moderate size.

Owned here: the gradient of the weights as machine code. Who calls it: ops/linear. The other passes are convolutions
of one pixel (`conv`), or ATen's.
"""

from __future__ import annotations

import functools

from freshpot.native.build import Emitter, Kernel
from freshpot.native.call import Native
from freshpot.native.machine import lanes, registers


def _even(size: int, most: int) -> int:
    """How many of ``size`` things to do at a time, ``most`` at most, so that the blocks are even."""
    return -(-size // -(-size // most))


def _weights(M: int, K: int, N: int) -> Emitter:
    width = lanes()
    side = 5 if registers() >= 32 else 3
    vectors = -(-K // width)
    across, down = _even(vectors, side), min(_even(N, side), N)
    stripes, blocks = -(-vectors // across), -(-N // down)

    def emit(k: Kernel) -> None:
        X, dY, dW = (k.array(i) for i in range(3))
        acc = k.variables(across * down)
        with k.tasks(stripes * blocks) as task:
            stripe, block = k.divmod(task, blocks)
            # the last ones may overlap those before
            c = k.smaller(k.mul(stripe, across * width), K - across * width)
            n = k.smaller(k.mul(block, down), N - down)
            acc.fill(k.zeros())
            with k.loop(0, M) as m:
                at = k.at(X, k.add(k.mul(m, K), c))
                x = [k.load(at, v * width) for v in range(across)]
                grads = k.at(dY, k.add(k.mul(m, N), n))
                for i in range(down):
                    grad = k.spread(grads, i)
                    for v in range(across):
                        acc[i * across + v] = k.fma(grad, x[v], acc[i * across + v])
            to = k.at(dW, k.add(k.mul(n, K), c))
            for i in range(down):
                for v in range(across):
                    k.store(acc[i * across + v], to, i * K + v * width)

    return emit


@functools.lru_cache(64)
def weights(M: int, K: int, N: int) -> Native:
    """dW (N, K) = the transpose of dY (M, N) times X (M, K): call with X, dY, dW, all contiguous.

    K is at least 5 vectors.
    """
    return Native("dense_weights", _weights(M, K, N), 3)
