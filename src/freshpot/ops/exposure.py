"""Memory that a program can write to behind the engine's back.

Owned here: handing out numpy views of tensors so that it is known afterwards whether something may have been
written through them. Who calls it: blobs that are shared with programs; operators that keep what they made
from parameters (`ops.remade`).

PyTorch counts what its own operators write to a tensor (`version`), but not what numpy writes. So the
count goes up whenever a view is handed out, and as long as the view, or any view of it, is alive, `exposed`
says so.
"""

from __future__ import annotations

import weakref

import numpy as np
import torch
from torch.autograd.graph import increment_version

_ATTRIBUTE = "_freshpot_views"


class _Views:
    """What is known of the views of one piece of memory."""

    __slots__ = ("given_away", "roots")

    def __init__(self) -> None:
        #: arrays from which all the views are cut, which keep them alive
        self.roots: list[weakref.ref[np.ndarray]] = []
        self.given_away = False

    def living(self) -> np.ndarray | None:
        """Such an array, if one lives."""
        return next((found for root in self.roots if (found := root()) is not None), None)


def _views(memory: torch.Tensor) -> _Views:
    found = getattr(memory, _ATTRIBUTE, None)
    if found is None:
        found = _Views()
        setattr(memory, _ATTRIBUTE, found)
    return found


def hand_out(memory: torch.Tensor) -> np.ndarray:
    """A numpy view of a CPU tensor, for a program."""
    root = _views(memory).living()
    if root is None:
        root = memory.detach().numpy()
    note_views(memory, [weakref.ref(root)])
    return root.reshape(memory.shape)  # a view, which keeps the root alive


def note_views(memory: torch.Tensor, roots: list[weakref.ref[np.ndarray]]) -> None:
    """Note that a program was given views of a tensor, all of them cut from arrays of ``roots``."""
    views = _views(memory)
    kept = [old for old in views.roots if old() is not None and all(old is not new for new in roots)]
    views.roots = [*kept, *roots]
    if not memory.is_inference():
        increment_version(memory)


def give_away(memory: torch.Tensor) -> torch.Tensor:
    """The tensor itself, for a program: from now on anything may be written to it at any time."""
    _views(memory).given_away = True
    return memory


def same_memory(memory: torch.Tensor, other: torch.Tensor) -> None:
    """Let what is known of a tensor hold for another one over the same memory too."""
    setattr(other, _ATTRIBUTE, _views(memory))


def was_exposed(memory: torch.Tensor) -> bool:
    """True if a view was ever handed out."""
    return getattr(memory, _ATTRIBUTE, None) is not None


def exposed(memory: torch.Tensor) -> bool:
    """True if a program may still hold a view."""
    views = getattr(memory, _ATTRIBUTE, None)
    if views is None:
        return False
    return views.given_away or views.living() is not None


def written(*memory: torch.Tensor) -> None:
    """Note that machine code wrote to tensors, as PyTorch's operators note it themselves."""
    for tensor in memory:
        if not tensor.is_inference():
            increment_version(tensor)


def version(memory: torch.Tensor) -> int | None:
    """How often the tensor was written to; None where PyTorch does not count."""
    return None if memory.is_inference() else memory._version
