"""The random numbers of Caffe nets: one generator, seeded by `caffe.set_random_seed` and by solvers.

Owned here: the generator. Who calls it: fillers, dropout, data layers.
"""

from __future__ import annotations

import torch

_generator = torch.Generator()
_generator.seed()


def generator() -> torch.Generator:
    """The CPU generator that everything random in this package draws from."""
    return _generator


def seed(value: int) -> None:
    """Start the generator from ``value``."""
    _generator.manual_seed(value)
    torch.manual_seed(value)
