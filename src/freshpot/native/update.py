"""Updating a large parameter in one pass over its memory.

Owned here: the step of stochastic gradient descent with momentum and weight decay, as BVLC Caffe's solver does
it. Who calls it: ops/optimizer.
"""

from __future__ import annotations

import functools

from freshpot.native.build import Emitter, Kernel
from freshpot.native.call import Native
from freshpot.native.machine import lanes

#: vectors that a thread does before it looks for more
_RUN = 64


def _momentum(count: int) -> Emitter:
    vectors = count // lanes()
    run = max(n for n in range(1, min(vectors, _RUN) + 1) if vectors % n == 0)

    def emit(k: Kernel) -> None:
        param, grad, history, factors = (k.array(i) for i in range(4))
        rate, decay, momentum = (k.spread(factors, i) for i in range(3))
        with k.tasks(vectors // run) as task, k.loop(0, run) as i:
            at = k.mul(k.add(k.mul(task, run), i), lanes())
            w = k.load(param, at)
            g = k.fma(decay, w, k.load(grad, at))
            h = k.fma(rate, g, k.fmul(momentum, k.load(history, at)))
            k.store(h, history, at)
            k.store(h, grad, at)
            k.store(k.fsub(w, h), param, at)

    return emit


@functools.lru_cache(64)
def momentum(count: int) -> Native:
    """h = momentum h + rate (g + decay w); g = h; w = w - h, over ``count`` numbers, a multiple of the vector.

    Call with w, g, h, and the three numbers rate, decay, momentum as a tensor.
    """
    return Native("momentum", _momentum(count), 4)
