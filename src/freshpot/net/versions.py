"""Versions of blobs: which write of a name each operator of a net read and made.

Owned here: numbering, and telling when a value that a gradient needs has been overwritten.
Who calls it: `net.gradient`.

A blob that is read before it is written starts at version 0, and so does the first write of a name
that was never read; every further write adds one (`IR.Play` in caffe2/python/core.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from freshpot.errors import GradientError
from freshpot.net.op import Op


@dataclass(slots=True)
class Call:
    """One operator with the versions of the blobs it read and wrote."""

    op: Op
    read: dict[str, int]
    written: dict[str, int]


@dataclass(slots=True)
class Versions:
    """The operators of a net in order, with versions.

    ``latest`` holds the version of each blob after all of them; ``readers`` the positions of the
    operators that read one version of a blob, in order, repeated where one reads it twice.
    """

    calls: list[Call] = field(default_factory=list)
    latest: dict[str, int] = field(default_factory=dict)
    readers: defaultdict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, ops: Sequence[Op]) -> Versions:
        """Number the blobs of ``ops``."""
        made = cls()
        for op in ops:
            made.add(op)
        return made

    def add(self, op: Op) -> None:
        """Append an operator."""
        position = len(self.calls)
        read = {}
        for name in op.inputs:
            read[name] = self.latest.setdefault(name, 0)
            self.readers[name, read[name]].append(position)
        written = {}
        for name in op.outputs:
            self.latest[name] = self.latest[name] + 1 if name in self.latest else 0
            written[name] = self.latest[name]
        self.calls.append(Call(op, read, written))

    def is_read(self, name: str) -> bool:
        """True if some operator reads some version of the blob."""
        return any(name in call.read for call in self.calls)

    def version(self, name: str) -> int:
        """The blob's version after all operators; 0 for one that no operator speaks of."""
        return self.latest.get(name, 0)

    def require_intact(self, name: str, wanted: int, forward: Op, what: str) -> None:
        """Raise `GradientError` if the blob was overwritten after version ``wanted``.

        Args:
            what: "input" or "output": what the blob is to ``forward``, whose gradient needs it.
        """
        found = self.version(name)
        if found != wanted:
            raise GradientError(
                f"its gradient needs {what} '{name}' at version {wanted}, but the blob is at version {found}"
                f" when the gradients run: it was overwritten.\n{self.history(name)}"
                "Let the later operator write to a blob of another name.",
                op=str(forward),
                blob=name,
            )

    def history(self, name: str) -> str:
        """Who wrote and read which version of a blob, a line each."""
        lines = [f"Versions of blob '{name}':"]
        for call in self.calls:
            for versions, done in ((call.read, "read"), (call.written, "written")):
                if name in versions:
                    lines.append(f"  {versions[name]} is {done} by {call.op}")
        return "\n".join(lines) + "\n"
