"""How exactly a GPU computes products: as the originals did, unless it is told otherwise.

Owned here: the two settings, and what they do to operators. Who calls it: `device`, when a GPU is first used; `plan`,
for each operator on a GPU.

``FRESHPOT_TF32``: ``0`` (the default): float32, as the originals; ``1``: factors of products are rounded to TF32 (about
three decimal digits) on GPUs that have it; ``torch``: whatever PyTorch is set to, which is left alone.

``FRESHPOT_AMP=bf16``: convolutions and products of matrices, forward and backward, take and make bfloat16 (less than
three digits, the range of float32). Blobs stay float32, on both sides: parameters, their updates, losses and all other
operators. So nothing must be scaled. float16, whose range is smaller, is not offered.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.ops._operator import Operator

#: operators that are products
_PRODUCTS = (
    "BatchMatMul",
    "Conv",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "ConvTranspose",
    "FC",
    "FCTransposed",
    "MatMul",
)
REDUCED = frozenset((*_PRODUCTS, *(f"{name}Gradient" for name in _PRODUCTS)))


@functools.cache
def use_gpu() -> None:
    """Set PyTorch's precision, once, as ``FRESHPOT_TF32`` says.

    Raises:
        ArgumentError: it says something else.
    """
    allowed = os.environ.get("FRESHPOT_TF32", "0")
    if allowed not in ("0", "1", "torch"):
        raise ArgumentError(f"FRESHPOT_TF32 is '{allowed}'; it may be 0, 1 or torch.")
    if allowed != "torch":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed == "1"


def reduce(operator: Operator) -> Operator:
    """The operator, whose kernel computes as ``FRESHPOT_AMP`` says if it is a product on a GPU.

    Raises:
        ArgumentError: it says something else than bf16 or nothing.
    """
    if operator.device.type == "cpu":
        return operator
    wanted = os.environ.get("FRESHPOT_AMP", "0")
    if wanted not in ("", "0", "bf16"):
        raise ArgumentError(
            f"FRESHPOT_AMP is '{wanted}'; it may be 0 or bf16. float16 would need its gradients scaled, which freshpot "
            "does not do."
        )
    if wanted == "bf16" and operator.type in REDUCED:
        operator.kernel = _in_bfloat16(operator.kernel)
    return operator


def _in_bfloat16(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def reduced(*inputs: Any) -> Any:
        made = kernel(*(_cast(value, torch.float32, torch.bfloat16) for value in inputs))
        if isinstance(made, (tuple, list)):
            return tuple(_cast(value, torch.bfloat16, torch.float32) for value in made)
        return _cast(made, torch.bfloat16, torch.float32)

    return reduced


def _cast(value: Any, before: torch.dtype, after: torch.dtype) -> Any:
    return value.to(after) if isinstance(value, Tensor) and value.dtype == before else value
