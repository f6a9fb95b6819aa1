"""Convolutions of 3 x 3 with fewer products: Winograd's way, for images in blocks of channels.

Owned here: the kernel, and packing weights for it. Who calls it: engine/blocked.

Tiles of 2 x 2 results are made from tiles of 4 x 4 pixels: both are transformed, so that 16 products of each pair of
channels do where 36 were needed (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). A thread
does some tiles at a time from beginning to end, in memory of its own.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from freshpot.native.blocks import Slot, in_groups, numbers, tiles_of
from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.machine import Code, lanes

#: products of a tile
PLACES = 16
#: results of a tile that are there, as the sum of these: the right column, the lower row
RIGHT, LOWER = 1, 2


def pitch(chunk: int) -> int:
    """Tiles from block to block in a thread's memory: odd, so that neighbours do not push each other out of a cache."""
    return chunk | 1


def scratch(depth: int, vectors: int, chunk: int) -> int:
    """Floats of a thread's memory for ``chunk`` tiles."""
    return PLACES * (depth + vectors) * pitch(chunk) * lanes()


def pack(W: Tensor, run: tuple[int, int, int]) -> Tensor:
    """Filters (K, C, 3, 3) of a run as the code reads them: (groups, places, blocks of C, C, K of a group)."""
    G = torch.tensor(
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64
    )
    made = (G @ W.double() @ G.T).float()
    parts = in_groups(made, run)
    return parts.permute(0, 4, 2, 3, 1).contiguous()


def _transformed(k: Kernel, d: list[Value]) -> list[Value]:
    return [k.fsub(d[0], d[2]), k.fadd(d[1], d[2]), k.fsub(d[2], d[1]), k.fsub(d[1], d[3])]


def _back(k: Kernel, m: list[Value]) -> list[Value]:
    return [k.fadd(k.fadd(m[0], m[1]), m[2]), k.fsub(k.fsub(m[1], m[2]), m[3])]


def _both_ways(k: Kernel, square: list[list[Value]], how: object) -> list[list[Value]]:
    """Rows, then columns transformed."""
    rows = [how(k, row) for row in square]  # type: ignore[operator]
    columns = [how(k, list(column)) for column in zip(*rows, strict=True)]  # type: ignore[operator]
    return [list(row) for row in zip(*columns, strict=True)]


def _emitter(vectors: int) -> Emitter:
    width = vectors * lanes()

    def emit(k: Kernel) -> None:
        x, w, b, other, y, ins, outs, others, edges, floors, memory = (k.array(i) for i in range(len(Slot)))
        chunks, chunk, tiles, groups, depth, step, size = numbers(k, 7)
        xblock, yblock, oblock, xrow, yrow, orow, adds = numbers(k, 7, after=7)
        sizes = tiles_of(vectors)
        acc = k.variables(max(sizes[0] * vectors, 4))
        me, _ = k.threads()
        mine = k.at(memory, k.mul(me, size))
        block = k.mul(step, lanes())  # from block to block in the thread's memory
        place_in, place_out = k.mul(depth, block), k.mul(block, vectors)
        products = k.at(mine, k.mul(place_in, PLACES))
        panel = k.mul(depth, lanes() * width)

        def transform(first: Value, count: Value) -> None:
            with k.loop(0, depth) as c, k.loop(0, count) as t:
                corner = k.at(x, k.add(k.mul(c, xblock), k.load_number(ins, k.add(first, t))))
                square = [
                    [k.load(k.at(corner, k.mul(xrow, i)), j * lanes()) for j in range(4)] for i in range(4)
                ]
                to = k.at(mine, k.add(k.mul(c, block), k.mul(t, lanes())))
                for i, row in enumerate(_both_ways(k, square, _transformed)):
                    for j, value in enumerate(row):
                        k.store(value, to, k.mul(place_in, 4 * i + j))

        def multiply(count: Value, filters: Value) -> None:
            with k.loop(0, PLACES) as place:
                source, to = k.at(mine, k.mul(place_in, place)), k.at(products, k.mul(place_out, place))
                weights = k.at(filters, k.mul(place, panel))

                def tile(n: int, p: Value) -> None:
                    for a in range(n * vectors):
                        acc[a] = k.zeros()
                    with k.loop(0, depth) as c:
                        xs = k.at(source, k.add(k.mul(c, block), k.mul(p, lanes())))
                        ws = k.at(weights, k.mul(c, lanes() * width))
                        for u in range(lanes()):
                            factors = [k.load(ws, u * width + v * lanes()) for v in range(vectors)]
                            for i in range(n):
                                value = k.spread(xs, i * lanes() + u)
                                for v in range(vectors):
                                    acc[i * vectors + v] = k.fma(value, factors[v], acc[i * vectors + v])
                    for i in range(n):
                        for v in range(vectors):
                            k.store(
                                acc[i * vectors + v], to, k.add(k.mul(block, v), k.mul(k.add(p, i), lanes()))
                            )

                k.parts(k.integer(0), count, sizes, tile)

        def finish(first: Value, count: Value, g: Value) -> None:
            floor = k.load(floors)
            with k.loop(0, vectors) as v:
                channels = k.add(k.mul(g, vectors), v)
                bias = k.load(b, k.mul(channels, lanes()))
                result, summand = k.at(y, k.mul(channels, yblock)), k.at(other, k.mul(channels, oblock))
                with k.loop(0, count) as t:
                    source = k.at(products, k.add(k.mul(v, block), k.mul(t, lanes())))
                    square = [
                        [k.load(source, k.mul(place_out, 4 * i + j)) for j in range(4)] for i in range(4)
                    ]
                    made = _both_ways(k, square, _back)
                    p = k.add(first, t)
                    edge = k.load_number(edges, p)
                    to = k.at(result, k.load_number(outs, p))
                    for i in range(2):
                        for j in range(2):
                            acc[0] = k.fadd(made[i][j], bias)
                            wanted = LOWER * i + RIGHT * j
                            with k.when(k.same(k.both(edge, wanted), wanted)):
                                with k.when(k.differs(adds, 0)):
                                    here = k.at(summand, k.load_number(others, p))
                                    acc[0] = k.fadd(acc[0], k.load(k.at(here, k.mul(orow, i)), j * lanes()))
                                k.store(k.maximum(acc[0], floor), k.at(to, k.mul(yrow, i)), j * lanes())

        with k.tasks(chunks) as which:
            first = k.mul(which, chunk)
            count = k.sub(k.smaller(tiles, k.add(first, chunk)), first)
            transform(first, count)
            with k.loop(0, groups) as g:
                multiply(count, k.at(w, k.mul(g, k.mul(panel, PLACES))))
                finish(first, count, g)

    return emit


@functools.lru_cache(16)
def convolution(vectors: int) -> Code:
    """``vectors`` blocks of output channels at a time. IN, OUT, OTHERS: of each tile, the first pixel that it reads
    and the first result; TAPS: which of its results there are (`RIGHT`, `LOWER`). Numbers: chunks of tiles, tiles in a
    chunk, tiles, groups of output blocks, blocks of input channels, `pitch`, `scratch`; floats from block to block in
    X, Y, OTHER, from row to row in these, whether OTHER is added. MORE: a vector that results are not below.

    Tiles read up to two rows and columns beyond the images: borders must be as wide. Y must not be OTHER.
    """
    kernel = Kernel("winograd", lanes())
    _emitter(vectors)(kernel)
    return Code("winograd", kernel.finish())


def suits(channels: int, filters: int, tiles: int) -> bool:
    """True if it is the faster way for so many channels in and out: the transformations are shared by enough products,
    and the transformed filters, which are larger, by enough tiles."""
    return channels >= lanes() and filters >= 2 * lanes() and 16 * tiles >= channels
