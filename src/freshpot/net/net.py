"""A net: an ordered list of operator calls over named blobs.

Owned here: the container and the questions one asks of it. Who calls it: gradient builder, engine, doors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from freshpot.net.op import ArgValue, Device, Op


@dataclass(slots=True)
class Net:
    """An ordered list of operators with its external inputs and outputs.

    ``type`` names the executor the original was told to use ("simple", "dag", "async_scheduling" …).
    All of them mean the same result here, so the engine reads it only to check that it is known.
    """

    name: str = ""
    ops: list[Op] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    type: str = ""
    num_workers: int | None = None
    device: Device | None = None
    args: dict[str, ArgValue] = field(default_factory=dict)
    #: placement of parts of the net, as the file says it; kept for writing, not read
    partitions: list[object] = field(default_factory=list)

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def __len__(self) -> int:
        return len(self.ops)

    def blobs(self) -> list[str]:
        """Every blob the net speaks of, in order of first appearance."""
        seen = dict.fromkeys(self.inputs)
        for op in self.ops:
            seen.update(dict.fromkeys(op.inputs))
            seen.update(dict.fromkeys(op.outputs))
        return list(seen)

    def missing_inputs(self) -> list[str]:
        """Blobs that some operator reads before any operator has written them."""
        written: set[str] = set()
        missing: dict[str, None] = {}
        for op in self.ops:
            missing.update(dict.fromkeys(b for b in op.inputs if b not in written))
            written.update(op.outputs)
        return list(missing)
