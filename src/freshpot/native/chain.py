"""Small kernels on one thread, several in one call.

Owned here: a kernel with what it works on (`Link`), and calling many one after the other (`Chain`). Who calls it:
operators for small tensors; engine/static_code, which joins the links of steps that follow each other.

Calling machine code from Python costs more than a small kernel does: a net of few numbers is fast when few calls
run it. A kernel that may find its data wrong leaves a mark; it is looked at when the call is over, so a chain ends at
such a kernel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.autograd.graph import increment_version

if TYPE_CHECKING:
    from freshpot.native.machine import Code

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Link:
    """A kernel and what it works on; calling it runs it.

    Args:
        code: takes the tensors, the numbers and, with ``failed``, the address of a mark.
        failed: raises what there is to say where the kernel has left its mark.
        kept: of the tensors those that it changes and others may have made something of (parameters); they are noted
            as changed, as PyTorch's operators note it.
    """

    __slots__ = ("_alone", "_code", "_tensors", "failed", "kept", "mark", "table")

    def __init__(
        self,
        code: Code,
        tensors: Sequence[Tensor],
        numbers: Sequence[int] = (),
        failed: Callable[[], object] | None = None,
        kept: Sequence[Tensor] = (),
    ) -> None:
        from freshpot.native.build import HEADER  # which loads the compiler: not before it is needed

        self._code, self._tensors, self.failed = code, tensors, failed
        self.kept = [tensor for tensor in kept if not tensor.is_inference()]
        self.mark = None if failed is None else ctypes.c_int64(0)
        marks = [] if self.mark is None else [ctypes.addressof(self.mark)]
        entries = [0] * HEADER + [t.data_ptr() for t in tensors] + [*numbers, *marks]
        self.table = (ctypes.c_int64 * len(entries))(*entries)
        self._alone = _FUNCTION(code.address)

    @property
    def address(self) -> int:
        """Of the code."""
        return self._code.address

    def __call__(self) -> None:
        self._alone(self.table)
        if self.kept:
            increment_version(self.kept)
        if self.mark is not None and self.mark.value:
            self.complain()

    def complain(self) -> None:
        """Take the mark away and say why it was left."""
        if self.mark is not None and self.failed is not None:
            self.mark.value = 0
            self.failed()


class Chain:
    """Links that run one after the other in one call. Only the last may leave a mark."""

    def __init__(self, links: Sequence[Link]) -> None:
        from freshpot.native.build import HEADER
        from freshpot.native.program import driver

        self._links = list(links)
        entries: list[int] = []
        for link in links:
            entries += [link.address, ctypes.addressof(link.table), 0]
        self._steps = (ctypes.c_int64 * len(entries))(*entries)
        numbers = (ctypes.addressof(self._steps), 0, 0, len(links), 1)
        self._table = (ctypes.c_int64 * (HEADER + len(numbers)))(*[0] * HEADER, *numbers)
        self._driver = driver()

    def bind(self) -> Callable[[], None]:
        """The function that runs them."""
        alone, table, last = _FUNCTION(self._driver.address), self._table, self._links[-1]
        mark, changed = last.mark, [tensor for link in self._links for tensor in link.kept]

        def run(alive: Chain = self) -> None:
            alone(table)

        def run_and_note(alive: Chain = self) -> None:
            alone(table)
            increment_version(changed)

        def run_and_look(alive: Chain = self) -> None:
            alone(table)
            if changed:
                increment_version(changed)
            if mark is not None and mark.value:
                last.complain()

        if mark is not None:
            return run_and_look
        return run_and_note if changed else run
