"""Gradient clipping: by value, by each gradient's norm, by the norm of all."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["ClipGradByGlobalNorm", "ClipGradByNorm", "ClipGradByValue"]

Grads = list[torch.Tensor]


class ClipGradByValue:
    """Every element between ``min`` (by default -max) and ``max``."""

    def __init__(self, max: float, min: float | None = None) -> None:
        self.max, self.min = float(max), -float(max) if min is None else float(min)

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        return [grad.clamp(self.min, self.max) for grad in grads]


class ClipGradByNorm:
    """Each gradient scaled down to a norm of ``clip_norm`` at most."""

    def __init__(self, clip_norm: float) -> None:
        self.clip_norm = float(clip_norm)

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        return [grad * (self.clip_norm / grad.norm().clamp(min=self.clip_norm)) for grad in grads]


class ClipGradByGlobalNorm:
    """All gradients scaled by one factor, so that their common norm is ``clip_norm`` at most."""

    def __init__(
        self, clip_norm: float, group_name: str = "default_group", auto_skip_clip: Any = False
    ) -> None:
        self.clip_norm = float(clip_norm)

    def clip(self, grads: Grads) -> Grads:
        """New gradients."""
        if not grads:
            return grads
        total = torch.stack([grad.norm() for grad in grads]).norm()
        factor = self.clip_norm / total.clamp(min=self.clip_norm)
        return [grad * factor for grad in grads]
