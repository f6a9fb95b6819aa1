"""Gradients switched off and on, and asked for."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.paddle._tensor import Tensor, unwrap, wrap

__all__ = ["enable_grad", "grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]

no_grad = torch.no_grad
enable_grad = torch.enable_grad
set_grad_enabled = torch.set_grad_enabled
is_grad_enabled = torch.is_grad_enabled


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool = False,
    no_grad_vars: Any = None,
) -> list[Tensor | None]:
    """Gradients of the sum of ``outputs`` with respect to each of ``inputs``."""
    tops = unwrap(list(outputs) if isinstance(outputs, (list, tuple)) else [outputs])
    leaves = unwrap(list(inputs) if isinstance(inputs, (list, tuple)) else [inputs])
    given = [None] * len(tops) if grad_outputs is None else unwrap(list(grad_outputs))
    weights = [torch.ones_like(top) if g is None else g for top, g in zip(tops, given, strict=True)]
    found = torch.autograd.grad(tops, leaves, weights, retain_graph, create_graph, allow_unused=allow_unused)
    return [None if part is None else wrap(part) for part in found]
