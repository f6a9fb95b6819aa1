"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


def _rule(g: GradientMaker) -> list[Op]:
    """Two products for each case of transposition; axes follow the blob they belong to."""
    axes = {name: g.op.args.get(name, 1) for name in ("axis_a", "axis_b")}
    a, b = bool(g.op.args.get("trans_a")), bool(g.op.args.get("trans_b"))
    A, B, dY, dA, dB = g.I(0), g.I(1), g.GO(0), g.GI(0), g.GI(1)
    of_a, of_b = axes["axis_a"], axes["axis_b"]
    g.copy_arguments = False
    for_A: tuple[list[str], dict] = {
        (False, False): ([dY, B, A], {"trans_b": 1, "axis_b": of_b}),
        (False, True): ([dY, B, A], {"axis_b": of_b}),
        (True, False): ([B, dY, A], {"trans_b": 1, "axis_a": of_b}),
        (True, True): ([B, dY, A], {"trans_a": 1, "trans_b": 1, "axis_a": of_b}),
    }[a, b]
    for_B: tuple[list[str], dict] = {
        (False, False): ([A, dY, B], {"trans_a": 1, "axis_a": of_a}),
        (False, True): ([dY, A, B], {"trans_a": 1, "axis_b": of_a}),
        (True, False): ([A, dY, B], {"axis_a": of_a}),
        (True, True): ([dY, A, B], {"trans_a": 1, "trans_b": 1, "axis_b": of_a}),
    }[a, b]
    return [g.new("MatMul", for_A[0], [dA], for_A[1]), g.new("MatMul", for_B[0], [dB], for_B[1])]


class MatMul(Operator):
    """Y = A B, each flattened to a matrix at its axis and transposed if asked.

    Shapes:   A: (M, K) [trans_a: (K, M)]; B: (K, N) [trans_b: (N, K)]; like: any -> Y: (M, N), or as ``like``
    Raises:   ShapeError if K differs, or ``like`` has another number of elements than M * N.
    Source:   caffe2/operators/matmul_op.h
    """

    inputs = (Port("A", FLOAT), Port("B", FLOAT), Port("like", optional=True))
    outputs = (Port("Y"),)
    args = (
        Arg("axis_a", int, 1, "first dimension of A that counts as columns"),
        Arg("axis_b", int, 1, "first dimension of B that counts as columns"),
        Arg("trans_a", bool, False, "1: transpose A"),
        Arg("trans_b", bool, False, "1: transpose B"),
    )
    gradient_rule = staticmethod(_rule)

    def _matrix(self, X: Tensor, axis: int, transposed: bool) -> Tensor:
        axis = axis + X.dim() if axis < 0 else axis
        matrix = X.reshape(X.shape[:axis].numel(), X.shape[axis:].numel())
        return matrix.t() if transposed else matrix

    def _matrices(self, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        return self._matrix(A, self.axis_a, self.trans_a), self._matrix(B, self.axis_b, self.trans_b)

    def check(self, A: Tensor, B: Tensor, like: Tensor | None = None) -> None:
        (M, K), (K_b, N) = (X.shape for X in self._matrices(A, B))
        if K != K_b:
            self.refuse(f"A {tuple(A.shape)} gives {K} columns, B {tuple(B.shape)} gives {K_b} rows.")
        if like is not None and like.numel() != M * N:
            self.refuse(
                f"input 2 gives the result's shape, {tuple(like.shape)}, but it has {M * N} elements."
            )

    def kernel(self, A: Tensor, B: Tensor, like: Tensor | None = None) -> Tensor:
        Y = torch.mm(*self._matrices(A, B))
        return Y if like is None else Y.view(like.shape)


def _batch_rule(g: GradientMaker) -> list[Op]:
    a, b = bool(g.op.args.get("trans_a")), bool(g.op.args.get("trans_b"))
    A, B, dY = g.I(0), g.I(1), g.GO(0)
    g.copy_arguments = False
    both = {"trans_a": 1, "trans_b": 1}
    for_A: tuple[list[str], dict] = {
        (False, False): ([dY, B], {"trans_b": 1}),
        (False, True): ([dY, B], {}),
        (True, False): ([B, dY], {"trans_b": 1}),
        (True, True): ([B, dY], dict(both)),
    }[a, b]
    for_B: tuple[list[str], dict] = {
        (False, False): ([A, dY], {"trans_a": 1}),
        (False, True): ([dY, A], {"trans_a": 1}),
        (True, False): ([A, dY], {}),
        (True, True): ([dY, A], dict(both)),
    }[a, b]
    return [
        g.new("BatchMatMul", for_A[0], [g.GI(0)], for_A[1]),
        g.new("BatchMatMul", for_B[0], [g.GI(1)], for_B[1]),
    ]


class BatchMatMul(Operator):
    """Y = A B for each matrix of a batch, transposed if asked.

    With ``broadcast`` the batch dimensions broadcast as numpy's matmul does, vectors included.

    Shapes:   A: (…, M, K) [trans_a: (…, K, M)]; B: (…, K, N) [trans_b: (…, N, K)] -> Y: (…, M, N)
    Raises:   ShapeError if K or the batch dimensions differ.
    Source:   caffe2/operators/batch_matmul_op.h
    """

    inputs = (Port("A", FLOAT), Port("B", FLOAT))
    outputs = (Port("Y"),)
    args = (
        Arg("trans_a", bool, False, "1: transpose A's last two dimensions"),
        Arg("trans_b", bool, False, "1: transpose B's last two dimensions"),
        Arg("broadcast", bool, False, "1: broadcast the batch dimensions"),
        Arg("use_scratch", bool, False, "accepted and not used"),
    )
    gradient_rule = staticmethod(_batch_rule)

    def check(self, A: Tensor, B: Tensor) -> None:
        if not self.broadcast and (A.dim() < 2 or A.dim() != B.dim() or A.shape[:-2] != B.shape[:-2]):
            self.refuse(
                f"A {tuple(A.shape)} and B {tuple(B.shape)} must have the same batch dimensions; "
                "`broadcast=1` lets them differ."
            )
        K, K_b = self._oriented(A, self.trans_a).shape[-1], self._oriented(B, self.trans_b).shape
        rows = K_b[-2] if len(K_b) > 1 else K_b[0]
        if rows != K:
            self.refuse(f"A {tuple(A.shape)} gives {K} columns, B {tuple(B.shape)} gives {rows} rows.")

    def _oriented(self, X: Tensor, transposed: bool) -> Tensor:
        return X.transpose(-1, -2) if transposed and X.dim() > 1 else X

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        Y = torch.matmul(self._oriented(A, self.trans_a), self._oriented(B, self.trans_b))
        return Y if Y.dim() else Y.view(1)
