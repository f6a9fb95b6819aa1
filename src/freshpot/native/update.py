"""Updating the parameters of a net in one pass over their memory.

Owned here: the step of stochastic gradient descent with momentum and weight decay, as BVLC Caffe's solver does
it. Who calls it: ops/optimizer. The code knows no sizes: one function for all nets.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch.autograd.graph import increment_version

from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.call import Native
from freshpot.native.machine import lanes

#: entries of the table for a parameter: addresses of w, g and h, and how many numbers they have
_ENTRIES = 4
#: factors of a parameter: multiple of the rate, decay, momentum
FACTORS = 3


def _momentum() -> Emitter:
    def emit(k: Kernel) -> None:
        table, factors, base = k.array(0), k.array(1), k.spread(k.array(2))
        me, threads = k.threads()
        with k.loop(0, k.load_number(table, 0)) as i:
            entry = k.add(k.mul(i, _ENTRIES), 1)
            w, g, h = (k.load_address(table, k.add(entry, j)) for j in range(3))
            count = k.load_number(table, k.add(entry, 3))
            multiple, decay, momentum = (
                k.spread(factors, k.add(k.mul(i, FACTORS), j)) for j in range(FACTORS)
            )
            rate = k.fmul(base, multiple)

            def step(read: Callable[[Value], Value], write: Callable[[Value, Value], None]) -> None:
                param = read(w)
                gradient = k.fma(decay, param, read(g))
                moved = k.fma(rate, gradient, k.fmul(momentum, read(h)))
                write(moved, h)
                write(moved, g)
                write(k.fsub(param, moved), w)

            vectors, _ = k.divmod(count, lanes())
            start, _ = k.divmod(k.mul(me, vectors), threads)
            stop, _ = k.divmod(k.mul(k.add(me, 1), vectors), threads)
            with k.loop(k.mul(start, lanes()), k.mul(stop, lanes()), lanes()) as at:
                step(lambda array: k.load(array, at), lambda vector, array: k.store(vector, array, at))
            with k.when(k.same(k.add(me, 1), threads)), k.loop(k.mul(vectors, lanes()), count) as at:
                step(
                    lambda array: k.spread(array, at),
                    lambda vector, array: k.store_number(k.first(vector), array, at),
                )

    return emit


@functools.cache
def _native() -> Native:
    return Native("momentum", _momentum(), 3)


def momentum(
    triples: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    factors: torch.Tensor,
    rate: torch.Tensor,
) -> Callable[[], None]:
    """The call that does h = momentum h + multiple rate (g + decay w); g = h; w = w - h for all w, g, h.

    Args:
        triples: w, g and h of each parameter, contiguous, of single precision.
        factors: (parameters, 3), single precision: multiple, decay and momentum of each.
        rate: one number, single precision; read when the call is made, as factors are.
    """
    entries = [len(triples)]
    for triple in triples:
        entries += [*(t.data_ptr() for t in triple), triple[0].numel()]
    run = _native().bind(torch.tensor(entries), factors, rate)
    changed = [t for triple in triples for t in triple if not t.is_inference()]

    def update(kept: Sequence[tuple[torch.Tensor, ...]] = tuple(triples)) -> None:
        run()
        increment_version(changed)

    return update
