"""What an operator computes from its parameters and keeps: computed anew when they changed.

Owned here: telling whether tensors are still what they were. Who calls it: operators for inference that
fold or pack weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.ops.exposure import exposed, version, was_exposed


class Remade:
    """The result of a function of some tensors, kept until one of them is replaced or written to.

    Args:
        make: called with the tensors; its result must share no memory with them.
    """

    __slots__ = ("_known", "_make", "_value")

    #: how often anything was made, in this process
    made: ClassVar[int] = 0

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._known: list[tuple[Tensor, int | None, Tensor | None]] = []
        self._value: Any = None

    def of(self, sources: Sequence[Tensor]) -> Any:
        """The result for these tensors as they are now."""
        known = self._known
        if len(known) != len(sources) or not self._all_same(sources):
            # what a program could write to unseen, or looks at time and again, is compared with a copy
            again = bool(known)
            self._known = [
                (t, version(t), t.clone() if exposed(t) or (again and was_exposed(t)) else None)
                for t in sources
            ]
            self._value = self._make(*sources)
            Remade.made += 1
        return self._value

    def _all_same(self, sources: Sequence[Tensor]) -> bool:
        for i, (tensor, at, copy) in enumerate(self._known):
            now = sources[i]
            if now is tensor and at is not None and now._version == at and not exposed(now):
                continue
            if copy is None or now.shape != copy.shape or not torch.equal(now, copy):
                return False
            self._known[i] = (now, version(now), copy)
        return True
