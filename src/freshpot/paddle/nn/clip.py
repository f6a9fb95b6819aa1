"""Gradient clipping: by value, by each gradient's norm, by the norm of all."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import NotSupportedError
from freshpot.paddle._tensor import wrap

__all__ = [
    "ClipGradByGlobalNorm",
    "ClipGradByNorm",
    "ClipGradByValue",
    "GradientClipByGlobalNorm",
    "GradientClipByNorm",
    "GradientClipByValue",
]

Grads = list[torch.Tensor]


class _Clip:
    """What optimizers call ``clip`` of; called itself, it takes and gives pairs of parameters and gradients."""

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        raise NotImplementedError(f"{type(self).__name__} must define clip()")

    @torch.no_grad()
    def __call__(self, params_grads: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        counted = [p is None or getattr(p, "need_clip", True) for p, _ in params_grads]
        pairs = [(p, g) for (p, g), own in zip(params_grads, counted, strict=True) if own and g is not None]
        made = iter(self.clip([g.data_ for _, g in pairs]))
        return [
            (p, wrap(next(made)) if own and g is not None else g)
            for (p, g), own in zip(params_grads, counted, strict=True)
        ]


class ClipGradByValue(_Clip):
    """Every element between ``min`` (by default -max) and ``max``."""

    def __init__(self, max: float, min: float | None = None) -> None:
        self.max, self.min = float(max), -float(max) if min is None else float(min)

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        return [grad.clamp(self.min, self.max) for grad in grads]


class ClipGradByNorm(_Clip):
    """Each gradient scaled down to a norm of ``clip_norm`` at most."""

    def __init__(self, clip_norm: float) -> None:
        self.clip_norm = float(clip_norm)

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        return [grad * (self.clip_norm / grad.norm().clamp(min=self.clip_norm)) for grad in grads]


class ClipGradByGlobalNorm(_Clip):
    """All gradients scaled by one factor, so that their common norm is ``clip_norm`` at most.

    Raises:
        NotSupportedError: ``auto_skip_clip``.
    """

    def __init__(
        self, clip_norm: float, group_name: str = "default_group", auto_skip_clip: bool = False
    ) -> None:
        if auto_skip_clip:
            raise NotSupportedError("ClipGradByGlobalNorm: auto_skip_clip is not done here")
        self.clip_norm = float(clip_norm)

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        if not grads:
            return grads
        total = torch.stack(torch._foreach_norm(grads)).norm()
        return list(torch._foreach_mul(grads, self.clip_norm / total.clamp(min=self.clip_norm)))


#: the names of 2.0-beta
GradientClipByValue, GradientClipByNorm = ClipGradByValue, ClipGradByNorm
GradientClipByGlobalNorm = ClipGradByGlobalNorm
