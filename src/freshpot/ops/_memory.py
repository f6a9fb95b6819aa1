"""What operators with calls in memory share (`Operator.calls`): numpy over small tensors.

A call of numpy on arrays that are there already costs a third of a call of torch; from some size on, torch's
threads and kernels are worth more. Who calls it: operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from freshpot.ops._operator import Call, call

if TYPE_CHECKING:
    from freshpot.ops._operator import Operator

#: elements of the largest tensor, and multiplications of a product, up to which numpy is used
SMALL, SMALL_PRODUCT = 1 << 14, 1 << 19


def contiguous(*tensors: Tensor) -> bool:
    """True if all lie in memory in the order of their indices."""
    return all(tensor.is_contiguous() for tensor in tensors)


def arrays(*tensors: Tensor) -> list[Any] | None:
    """The tensors' memory as arrays, if all are small, contiguous and float32; else None."""
    if any(t.numel() > SMALL or t.dtype is not torch.float32 or not t.is_contiguous() for t in tensors):
        return None
    return [tensor.detach().numpy() for tensor in tensors]


def rows(matrix: Tensor, axis: int) -> Tensor:
    """A contiguous tensor as a matrix, flattened at an axis: the same memory."""
    axis = axis + matrix.dim() if axis < 0 else axis
    return matrix.view(matrix.shape[:axis].numel(), matrix.shape[axis:].numel())


def small_product(X: Tensor, W: Tensor) -> bool:
    """True if numpy is to multiply (M, K) by the transpose of (N, K)."""
    return X.numel() * W.shape[0] <= SMALL_PRODUCT


def by_kernel(operator: Operator, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call]:
    """Calls of operators whose kernel makes little and is no bottleneck: what it makes is copied to its place."""

    def run() -> None:
        made = operator.kernel(*inputs)
        for memory, value in zip(outputs, made if isinstance(made, tuple) else (made,), strict=False):
            memory.copy_(value)

    return [call(run)]


def plain_arrays(*tensors: Tensor) -> list[Any] | None:
    """`arrays`, where numpy may be used behind torch's back: nobody traces, nobody records gradients."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    if any(type(t) is not Tensor or not t.is_cpu or not t.numel() for t in tensors):
        return None
    return arrays(*tensors)


def make(calls: Sequence[Call]) -> None:
    """Make calls at once: for kernels that are to round as their calls in memory do."""
    with np.errstate(all="ignore"):
        for function, args, kwargs in calls:
            function(*args, **kwargs)


def copying(X: Tensor, Y: Tensor) -> Call:
    """A call that copies X to Y."""
    small = arrays(X, Y)
    return call(np.copyto, small[1], small[0]) if small else call(Y.copy_, X)


def full(like: Any, value: float) -> Any:
    """An array of one value: two arrays of one shape are faster for numpy than an array and a number."""
    return np.full_like(like, value)
