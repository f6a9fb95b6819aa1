"""Cores of the tensor train decomposition, for operator TT: drawn, or made of a matrix.

Source: caffe2/python/tt_core.py; Oseledets 2011, https://doi.org/10.1137/090752286.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from freshpot.errors import ShapeError

__all__ = ["init_tt_cores", "matrix_to_tt", "tt_svd"]


def _check(inp_sizes: Sequence[int], out_sizes: Sequence[int], tt_ranks: Sequence[int]) -> None:
    if len(inp_sizes) != len(out_sizes) or len(tt_ranks) != len(inp_sizes) + 1:
        raise ShapeError(
            f"there must be as many output sizes as input sizes and one rank more; got {len(inp_sizes)} input sizes, "
            f"{len(out_sizes)} output sizes, {len(tt_ranks)} ranks."
        )


def init_tt_cores(
    inp_sizes: Sequence[int], out_sizes: Sequence[int], tt_ranks: Sequence[int], seed: int = 1234
) -> np.ndarray:
    """Random orthogonal cores, one after the other, as float32.

    Core i has tt_ranks[i] * inp_sizes[i] * out_sizes[i] * tt_ranks[i + 1] numbers. numpy's generator is seeded.

    Raises:
        ShapeError: the numbers of sizes and ranks do not go together.
    """
    np.random.seed(seed)
    _check(inp_sizes, out_sizes, tt_ranks)
    made = []
    before: np.ndarray | float = 1.0
    last = len(inp_sizes) - 1
    for i, (size, out) in enumerate(zip(inp_sizes, out_sizes, strict=True)):
        left, right = tt_ranks[i], tt_ranks[i + 1]
        drawn = np.random.normal(0, 1, size=(left, size * out * right))
        core = np.dot(before, drawn).reshape(left * size * out, right)
        if i < last:
            core, before = np.linalg.qr(core)
        made.append(core.flatten())
    scale = (math.prod(inp_sizes) * math.prod(tt_ranks)) ** (1.0 / len(inp_sizes))
    return (0.1 / scale) * np.concatenate(made).astype(np.float32)


def matrix_to_tt(
    W: np.ndarray, inp_sizes: Sequence[int], out_sizes: Sequence[int], tt_ranks: Sequence[int]
) -> np.ndarray:
    """The cores of a matrix, in the order that operator TT wants them.

    Args:
        W: weights (product of inp_sizes, product of out_sizes).
        inp_sizes, out_sizes, tt_ranks: sizes of the cores, see `init_tt_cores`.

    Raises:
        ShapeError: sizes that do not go together, or with the matrix.
    """
    _check(inp_sizes, out_sizes, tt_ranks)
    if W.shape != (math.prod(inp_sizes), math.prod(out_sizes)):
        raise ShapeError(
            f"the matrix {W.shape} does not have the sizes {list(inp_sizes)} x {list(out_sizes)}."
        )
    count = len(inp_sizes)
    order = [axis for i in range(count) for axis in (i, count + i)]
    sizes = [size * out for size, out in zip(inp_sizes, out_sizes, strict=True)]
    # as the original: transposed, but read in the sizes' order
    turned = np.ascontiguousarray(W.T).reshape(*inp_sizes, *out_sizes).transpose(order)
    cores = tt_svd(turned.reshape(sizes), sizes, tt_ranks)
    parts, start = [], 0
    for i in range(count):
        shape = (tt_ranks[i], inp_sizes[i], out_sizes[i], tt_ranks[i + 1])
        part = cores[start : start + math.prod(shape)].reshape(shape)
        parts.append(part.transpose(1, 3, 0, 2).flatten())
        start += math.prod(shape)
    return np.concatenate(parts[::-1]).astype(np.float32)


def tt_svd(W: np.ndarray, sizes: Sequence[int], tt_ranks: Sequence[int]) -> np.ndarray:
    """The cores of a tensor, split off one after the other by singular values; those beyond the rank are dropped.

    Raises:
        ShapeError: there is not one rank more than sizes.
    """
    if len(tt_ranks) != len(sizes) + 1:
        raise ShapeError(f"there must be {len(sizes) + 1} ranks for {len(sizes)} sizes, got {len(tt_ranks)}.")
    rest, parts = W, []
    for i, size in enumerate(sizes[:-1]):
        U, S, V = np.linalg.svd(np.reshape(rest, (tt_ranks[i] * size, -1)), full_matrices=False)
        rank = tt_ranks[i + 1]
        parts.append(U[:, :rank].ravel())
        rest = np.diag(S[:rank]) @ V[:rank]
    return np.concatenate([*parts, rest.ravel()]).astype(np.float32)
