"""A fresh copy of whatever a blob may hold as data. Used by the operators that copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.ops.quantized_tensor import QuantizedTensor


def clone(value: Any) -> Any:
    """A contiguous copy of a tensor, text or 8 bit quantised tensor; None for anything else."""
    if isinstance(value, torch.Tensor):
        return value.clone(memory_format=torch.contiguous_format)
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, QuantizedTensor):
        return QuantizedTensor(value.values.clone(), value.scale, value.zero_point)
    return None
