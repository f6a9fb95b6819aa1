"""Fillers: what a parameter holds before training.

Owned here: every `FillerParameter` type. Who calls it: `_net.layer`, DummyData.
Formulas: xavier (Glorot and Bengio, AISTATS 2010), msra (He et al., ICCV 2015), bilinear (Long et al., CVPR 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from caffe import _random
from caffe._net.blob import memory_for
from freshpot.errors import ArgumentError, ShapeError, near_matches

Shape = tuple[int, ...]


def fill(filler: Any, shape: Shape) -> Tensor:
    """A float32 tensor of ``shape`` filled as a FillerParameter says.

    Raises:
        ArgumentError: an unknown type, or a shape or option that the filler does not take.
        ShapeError: nothing to fill, or too much for a blob.
        KernelError: no memory.
    """
    if 0 in shape:
        raise ShapeError(f"a blob of shape {shape} has no elements to fill.")
    if filler.type not in _FILLERS:
        raise ArgumentError(
            f"there is no filler '{filler.type}'; there are {', '.join(sorted(_FILLERS))}."
            f"{near_matches(filler.type, _FILLERS)}"
        )
    if filler.sparse != -1 and filler.type != "gaussian":
        raise ArgumentError(f"filler '{filler.type}' cannot be sparse; only gaussian can.")
    with memory_for(shape):
        return _FILLERS[filler.type](filler, shape)


def _constant(filler: Any, shape: Shape) -> Tensor:
    return torch.full(shape, filler.value, dtype=torch.float32)


def _uniform(filler: Any, shape: Shape) -> Tensor:
    return torch.empty(shape).uniform_(filler.min, filler.max, generator=_random.generator())


def _gaussian(filler: Any, shape: Shape) -> Tensor:
    made = torch.empty(shape).normal_(filler.mean, filler.std, generator=_random.generator())
    if filler.sparse >= 0:
        # each output unit keeps on average `sparse` of its inputs
        keep = filler.sparse / shape[0]
        made.mul_(torch.empty(shape).bernoulli_(min(1.0, keep), generator=_random.generator()))
    return made


def _positive_unitball(_: Any, shape: Shape) -> Tensor:
    made = torch.empty(shape).uniform_(0, 1, generator=_random.generator())
    flat = made.view(shape[0], -1)
    return flat.div_(flat.sum(1, keepdim=True)).view(shape)


def _fan(filler: Any, shape: Shape) -> float:
    """The number of inputs, outputs, or their average, that the variance is scaled by."""
    count = math.prod(shape)
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    return {filler.FAN_IN: fan_in, filler.FAN_OUT: fan_out}.get(filler.variance_norm, (fan_in + fan_out) / 2)


def _xavier(filler: Any, shape: Shape) -> Tensor:
    scale = math.sqrt(3.0 / _fan(filler, shape))
    return torch.empty(shape).uniform_(-scale, scale, generator=_random.generator())


def _msra(filler: Any, shape: Shape) -> Tensor:
    std = math.sqrt(2.0 / _fan(filler, shape))
    return torch.empty(shape).normal_(0.0, std, generator=_random.generator())


def _bilinear(_: Any, shape: Shape) -> Tensor:
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ArgumentError(f"filler 'bilinear' needs 4 axes with square kernels, got shape {shape}.")
    size = shape[3]
    factor = math.ceil(size / 2)
    centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
    ramp = 1 - (torch.arange(size) / factor - centre).abs()
    return torch.outer(ramp, ramp).expand(shape).contiguous()


_FILLERS: dict[str, Callable[[Any, Shape], Tensor]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
