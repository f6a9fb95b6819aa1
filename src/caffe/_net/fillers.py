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
    made, draw = prepare(filler, shape)
    if draw is not None:
        draw(made, _random.generator())
    return made


def prepare(filler: Any, shape: Shape) -> tuple[Tensor, _random.Draw | None]:
    """A tensor as `fill` gives it, or memory for it and what is to be drawn into that. Raises as `fill` does."""
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
        made = _FILLERS[filler.type](filler, shape)
        return (made, None) if isinstance(made, Tensor) else (torch.empty(shape), made)


def _constant(filler: Any, shape: Shape) -> Tensor:
    return torch.full(shape, filler.value, dtype=torch.float32)


def _uniform(filler: Any, _: Shape) -> _random.Draw:
    low, high = filler.min, filler.max
    return lambda made, generator: made.uniform_(low, high, generator=generator)


def _gaussian(filler: Any, shape: Shape) -> _random.Draw:
    mean, std = filler.mean, filler.std
    # if sparse, each output unit keeps on average so many of its inputs
    keep = min(1.0, filler.sparse / shape[0]) if filler.sparse >= 0 else None

    def draw(made: Tensor, generator: torch.Generator) -> None:
        made.normal_(mean, std, generator=generator)
        if keep is not None:
            made.mul_(torch.empty(shape).bernoulli_(keep, generator=generator))

    return draw


def _positive_unitball(_: Any, shape: Shape) -> _random.Draw:
    def draw(made: Tensor, generator: torch.Generator) -> None:
        flat = made.uniform_(0, 1, generator=generator).view(shape[0], -1)
        flat.div_(flat.sum(1, keepdim=True))

    return draw


def _fan(filler: Any, shape: Shape) -> float:
    """The number of inputs, outputs, or their average, that the variance is scaled by."""
    count = math.prod(shape)
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    return {filler.FAN_IN: fan_in, filler.FAN_OUT: fan_out}.get(filler.variance_norm, (fan_in + fan_out) / 2)


def _xavier(filler: Any, shape: Shape) -> _random.Draw:
    scale = math.sqrt(3.0 / _fan(filler, shape))
    return lambda made, generator: made.uniform_(-scale, scale, generator=generator)


def _msra(filler: Any, shape: Shape) -> _random.Draw:
    std = math.sqrt(2.0 / _fan(filler, shape))
    return lambda made, generator: made.normal_(0.0, std, generator=generator)


def _bilinear(_: Any, shape: Shape) -> Tensor:
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ArgumentError(f"filler 'bilinear' needs 4 axes with square kernels, got shape {shape}.")
    size = shape[3]
    factor = math.ceil(size / 2)
    centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
    ramp = 1 - (torch.arange(size) / factor - centre).abs()
    return torch.outer(ramp, ramp).expand(shape).contiguous()


_FILLERS: dict[str, Callable[[Any, Shape], Tensor | _random.Draw]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
