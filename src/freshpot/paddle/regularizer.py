"""Weight decay: what is added to a parameter's gradient."""

from __future__ import annotations

import torch

__all__ = ["L1Decay", "L2Decay"]


class L2Decay:
    """Adds ``coeff * parameter``."""

    def __init__(self, coeff: float = 0.0) -> None:
        self.coeff = float(coeff)

    def penalty(self, data: torch.Tensor) -> torch.Tensor:
        """What to add to the gradient."""
        return self.coeff * data

    def __repr__(self) -> str:
        return f"{type(self).__name__}, coeff={self.coeff:f}"


class L1Decay(L2Decay):
    """Adds ``coeff * sign(parameter)``."""

    def penalty(self, data: torch.Tensor) -> torch.Tensor:
        """What to add to the gradient."""
        return self.coeff * torch.sign(data)
