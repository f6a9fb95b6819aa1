"""Transforms over a whole batch: the tensors that they give one picture after the other, bit for bit, at once.

``DataLoader`` asks a data set for a batch where it offers ``__getitems__``. What has no meaning for a batch (random
transforms, functions of the program) is left for the single pictures, in their order. Who calls it: `datasets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from freshpot.torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor, functional

__all__ = ["transformed"]


def transformed(images: Tensor, transform: Any) -> tuple[Tensor, list[Callable[[Any], Any]]] | None:
    """As many transforms as can be done for all pictures at once.

    Args:
        images: (N, H, W) uint8, pictures of mode L. transform: of the data set.

    Returns:
        (N, 1, H, W) and the transforms still to be done, picture by picture; None where the first one wants
        a PIL image.
    """
    steps = list(_flat(transform))
    if not steps or type(steps[0]) not in (ToTensor, PILToTensor):
        return None
    batch = images.unsqueeze(-1).permute(0, 3, 1, 2)  # strides as of single pictures
    if type(steps[0]) is ToTensor:
        batch = batch.to(torch.get_default_dtype()).div_(255)
    done = 1
    for step in steps[1:]:
        if type(step) is not Normalize:
            break
        batch = functional.normalize(batch, step.mean, step.std, inplace=batch.is_floating_point())
        done += 1
    return batch, steps[done:]


def _flat(transform: Any) -> Iterator[Any]:
    """The transforms of nested ``Compose``; a class derived from it is one step, as is anything else."""
    if type(transform) is not Compose:
        yield transform
        return
    for step in transform.transforms:
        yield from _flat(step)
