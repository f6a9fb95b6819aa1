"""An 8 bit quantised tensor: values, scale and zero point.

Owned here: the value that int8 operators pass between them. Who calls it: quantised operators, serde.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(slots=True)
class QuantizedTensor:
    """``values`` (uint8 or int32) stand for ``scale * (values - zero_point)``."""

    values: torch.Tensor
    scale: float
    zero_point: int

    @property
    def shape(self) -> torch.Size:
        return self.values.shape
