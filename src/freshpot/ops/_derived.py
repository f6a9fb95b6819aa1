"""Gradients that PyTorch derives from a kernel, for operators of freshpot's own that have no original.

Owned here: `derive`. Who calls it: gradient kernels of such operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def derive(
    function: Callable[..., Any], values: Sequence[Tensor], grads: Sequence[Tensor | None], learn: int = 1
) -> tuple[Tensor, ...]:
    """The gradients of the first ``learn`` values, given those of what the function makes of all values.

    A gradient that is None is of an output that nothing reads.
    """
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_(i < learn) for i, value in enumerate(values)]
        made = function(*leaves)
        made = made if isinstance(made, (tuple, list)) else (made,)
        pairs = [(out, grad) for out, grad in zip(made, grads, strict=False) if grad is not None]
        found = torch.autograd.grad(
            [out for out, _ in pairs], leaves[:learn], [grad for _, grad in pairs], allow_unused=True
        )
    return tuple(
        torch.zeros_like(value) if grad is None else grad.contiguous()
        for value, grad in zip(values[:learn], found, strict=True)
    )
