"""Operators on a few numbers, by machine code (`freshpot.native.small`).

Owned here: for which tensors it is used, and the calls. Who calls it: operators, from their kernels (where
`unwatched`) and for their calls in memory alike, so that both round as one. Every function takes contiguous memory for
results last and gives back a list of calls, or None where the tensors are too many numbers, of another type, or of
another device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from freshpot.native.machine import lanes
from freshpot.ops._operator import Call, call

#: numbers of the largest tensor, of one that is updated, and multiplications of a product
_MOST, _MOST_UPDATED, _MOST_PRODUCTS = 1 << 15, 1 << 14, 1 << 19


def unwatched() -> bool:
    """True if kernels may work behind PyTorch's back: nobody traces, nobody records gradients."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling())


def fits(*tensors: Tensor, most: int = _MOST) -> bool:
    """True if machine code can work on these: small, contiguous, float32, on the CPU."""
    return bool(lanes()) and all(
        type(t) is Tensor
        and t.is_cpu
        and t.dtype is torch.float32
        and 0 < t.numel() <= most
        and t.is_contiguous()
        for t in tensors
    )


def product_fits(X: Tensor, W: Tensor, *others: Tensor) -> bool:
    """The same for a fully connected layer of X (M, K) and W (N, K)."""
    return X.numel() * W.shape[0] <= _MOST_PRODUCTS and fits(X, W, *others)


def _link(
    name: str,
    tensors: Sequence[Tensor],
    numbers: Sequence[int],
    failed: Callable[[], object] | None = None,
    kept: Sequence[Tensor] = (),
) -> Call:
    from freshpot.native import small
    from freshpot.native.chain import Link

    return call(Link(small.code(name), tensors, numbers, failed, kept))


def fc(X: Tensor, W: Tensor, b: Tensor, Y: Tensor) -> list[Call] | None:
    """Y (M, N) = X (M, K) times W (N, K) turned, + b."""
    if not product_fits(X, W, b, Y):
        return None
    return [_link("fc", [X, W, b, Y], [len(X), len(W), W.shape[1]])]


def fc_gradient(
    X: Tensor, W: Tensor, dY: Tensor, dW: Tensor, db: Sequence[Tensor], dX: Sequence[Tensor]
) -> list[Call] | None:
    """dW, and db and dX if they are there."""
    if not product_fits(X, W, dY, dW, *db, *dX):
        return None
    (M, K), N = X.shape, len(W)
    made = [_link("product", [dY, X, dW], [N, M, K, 1, N])]
    made += [_link("column_sums", [dY, out], [M, N]) for out in db]
    return [*made, *(_link("product", [dY, W, out], [M, N, K, N, 1]) for out in dX)]


def column_sums(X: Tensor, Y: Tensor) -> list[Call] | None:
    """Y (N): the sums of a matrix (M, N) over its rows."""
    return [_link("column_sums", [X, Y], X.shape)] if fits(X, Y) else None


def relu(X: Tensor, Y: Tensor) -> list[Call] | None:
    """Y = max(X, 0)."""
    return [_link("relu", [X, Y], [X.numel()])] if fits(X, Y) else None


def relu_gradient(Y: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """dX = dY where Y > 0, else 0."""
    return [_link("relu_gradient", [Y, dY, dX], [Y.numel()])] if fits(Y, dY, dX) else None


def softmax(X: Tensor, Y: Tensor) -> list[Call] | None:
    """Of each row of a matrix."""
    return [_link("softmax", [X, Y], X.shape)] if fits(X, Y) else None


def softmax_gradient(Y: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """Of each row of a matrix."""
    return [_link("softmax_gradient", [Y, dY, dX], Y.shape)] if fits(Y, dY, dX) else None


def _label_kind(X: Tensor, label: Tensor) -> str | None:
    if not (type(label) is Tensor and label.is_cpu and label.is_contiguous()) or label.numel() != len(X):
        return None
    return {torch.int32: "32", torch.int64: "64"}.get(label.dtype)


def _pick(X: Tensor, label: Tensor) -> Callable[[], None]:
    """Says what is wrong with a label, as PyTorch does."""

    def failed() -> None:
        X.gather(1, label.long().view(-1, 1))
        raise IndexError(f"a label lies outside of 0 to {X.shape[1] - 1}.")

    return failed


def cross_entropy(X: Tensor, label: Tensor, Y: Tensor) -> list[Call] | None:
    """Y = -log of each row's number at its label, at least 1e-20."""
    kind = _label_kind(X, label)
    if kind is None or not fits(X, Y):
        return None
    return [_link(f"cross_entropy_{kind}", [X, label, Y], X.shape, _pick(X, label))]


def cross_entropy_gradient(X: Tensor, label: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """Its gradient."""
    kind = _label_kind(X, label)
    if kind is None or not fits(X, dY, dX):
        return None
    return [_link(f"cross_entropy_gradient_{kind}", [X, label, dY, dX], X.shape, _pick(X, label))]


def caffe_loss(
    X: Tensor, P: Tensor, label: Tensor, loss: Tensor, divisor: float, failed: Callable[[], object]
) -> list[Call] | None:
    """P: of each row of X (M, D) the softmax; the sum of -log P at the labels (M floats), divided."""
    if not fits(X, label, P, loss):
        return None
    shared = torch.tensor([divisor])
    return [_link("softmax", [X, P], X.shape), _link("caffe_loss", [P, label, loss, shared], X.shape, failed)]


def caffe_loss_gradient(
    P: Tensor, dX: Tensor, label: Tensor, dloss: Tensor, divisor: float, failed: Callable[[], object]
) -> list[Call] | None:
    """Its gradient; P (M, D)."""
    if not fits(P, label, dloss, dX):
        return None
    return [_link("caffe_loss_gradient", [P, label, dloss, torch.tensor([divisor]), dX], P.shape, failed)]


def mean(X: Tensor, Y: Tensor) -> list[Call] | None:
    """The mean of all numbers."""
    if not fits(X, Y):
        return None
    return [_link("mean", [X, Y, torch.tensor([1 / X.numel()])], [X.numel()])]


def mean_gradient(dY: Tensor, dX: Tensor) -> list[Call] | None:
    """dX = dY / how many there are."""
    if not fits(dY, dX):
        return None
    return [_link("mean_gradient", [dY, dX, torch.tensor([float(dX.numel())])], [dX.numel()])]


def weighted_step(X: Tensor, G: Tensor, w: Tensor, rate: Tensor) -> list[Call] | None:
    """X = w X + rate G."""
    if not fits(X, G, w, rate, most=_MOST_UPDATED):
        return None
    return [_link("weighted_step", [X, G, w, rate], [X.numel()], kept=[X])]


def step(name: str, arrays: Sequence[Tensor], numbers: Sequence[Tensor | float]) -> list[Call] | None:
    """An update of arrays where they are, which the kernel of that name describes."""
    given = [n if isinstance(n, Tensor) else torch.tensor([n], dtype=torch.float32) for n in numbers]
    if not fits(*arrays, *given, most=_MOST_UPDATED):
        return None
    return [_link(name, [*arrays, *given], [arrays[0].numel()], kept=arrays)]
