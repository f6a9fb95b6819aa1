"""Names for shared blobs, found by walking a net: an output takes a blob whose last reader has run.

Owned here: the two searches that the original had in C++, names and order included. Who calls it: `memonger`,
`_import_c_extension`.

Source: caffe2/core/memonger.cc.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import text_format

from caffe2.proto import caffe2_pb2
from caffe2.python._memonger.hash_order import hash_order
from freshpot.convert.netdef import op_from_proto
from freshpot.errors import NetError
from freshpot.net import registry


def check_operators(net: Any) -> None:
    """Check every operator that is known: numbers of blobs, which may be the same, arguments.

    Raises:
        NetError: one does not fit its definition.
    """
    for op in net.op:
        definition = registry.find(op.type)
        if definition is not None:
            definition(op_from_proto(op))


def recycle_along_list(net: Any, static: Collection[str]) -> Any:
    """A copy of a net that only predicts, whose blobs share memory in the order of its operators.

    The net comes back as it is if it is no simple net, holds a RecurrentNetwork or shares already.
    """
    made = caffe2_pb2.NetDef()
    made.CopyFrom(net)
    if net.type not in ("", "simple") or any(op.type == "RecurrentNetwork" for op in net.op):
        return made
    check_operators(net)
    names = {name for op in net.op for name in (*op.input, *op.output)}
    ranges: dict[str, list[int]] = {}
    for i, op in enumerate(net.op):
        for name in op.input:
            if name in ranges:
                ranges[name][1] = i
        for name in op.output:
            if name not in static:
                ranges.setdefault(name, [i, i])
    free: list[str] = []
    renamed: dict[str, str] = {}
    mapping: dict[str, str] = {}
    for i, op in enumerate(net.op):
        released: list[str] = []
        for name in op.input:
            if name not in ranges or ranges[name][1] != i:
                continue
            if name not in mapping:
                mapping[name] = name
                shared = f"__m{len(renamed)}_shared"
                if shared in names:
                    return made
                renamed[name] = shared
            released.append(mapping[name])
        for name in op.output:
            if free and name in ranges and ranges[name][0] == i:
                mapping[name] = free.pop()
        free += hash_order(released)
    for op in made.op:
        op.input[:] = [renamed[mapping[n]] if n in mapping else n for n in op.input]
        op.output[:] = [renamed[mapping[n]] if n in mapping else n for n in op.output]
    return made


class RecycleAlongGraph:
    """Sharing in a net whose branches may run at the same time: a blob is taken where all its users must have run.

    Args:
        net: the NetDef.
        operators: positions of the operators to look at.
        sharable: names of blobs that may share.
        namescope: what the shared blobs' names begin with.
        keep: names of blobs that are never given away.
        shapes: sizes by name; with them a blob of fitting size is taken.
    """

    def __init__(
        self,
        net: Any,
        operators: Sequence[int],
        sharable: Collection[str],
        namescope: str,
        keep: Collection[str],
        shapes: Mapping[str, Sequence[int]],
    ) -> None:
        self.net = net
        self.operators = operators
        self.sharable = sharable
        self.namescope = namescope
        self.keep = keep
        self.shapes = shapes
        self.tokens = 1
        self.readers: dict[str, list[int]] = defaultdict(list)
        self.reads: dict[str, int] = defaultdict(int)
        self.wanted: dict[int, int] = defaultdict(int)
        self.came: dict[int, int] = defaultdict(int)
        self.shares: dict[str, int] = defaultdict(int)
        self.needs: dict[str, set[int]] = defaultdict(set)
        self.deposit: dict[int, set[int]] = defaultdict(set)
        self.made = {
            name for i in operators for name in net.op[i].output if name in sharable and name not in keep
        }
        self.mapping: dict[str, str] = {}
        self.devices: dict[str, tuple[int, int]] = {}
        self.processed: set[str] = set()
        self.visited: set[int] = set()

    def run(self, heads: Sequence[str]) -> Any:
        """A copy of the net with shared blobs, found by walking from the heads.

        Raises:
            NetError: an operator reads a blob that a later one writes, or does not fit its definition.
        """
        check_operators(self.net)
        self._count(heads)
        for head in heads:
            for i in self.readers[head]:
                if i not in self.visited and not self.wanted[i]:
                    self._walk(i, {self._token()}, [])
        self._name()
        made = caffe2_pb2.NetDef()
        made.CopyFrom(self.net)
        self._apply(made)
        return made

    def _token(self) -> int:
        self.tokens += 1
        return self.tokens - 1

    def _count(self, heads: Sequence[str]) -> None:
        """Who reads what, and how many writers each operator waits for."""
        seen: dict[str, int] = defaultdict(int)
        for i in self.operators:
            op = self.net.op[i]
            for name in op.input:
                if name not in self.sharable and name not in heads:
                    continue
                if name in self.made:
                    if name not in seen:
                        raise NetError(
                            f"operator {i} ({op.type}) reads '{name}' before an operator writes it",
                            net=self.net.name or None,
                            blob=name,
                        )
                    self.wanted[i] += seen[name]
                else:
                    self.shares[name] = 1
                self.readers[name].append(i)
            for name in op.output:
                seen[name] += 1
                place = (op.device_option.device_type, op.device_option.device_id)
                self.devices[name] = (0, 0) if op.type == "CopyGPUToCPU" else place

    def _walk(self, start: int, tokens: set[int], free: list[tuple[int, str]]) -> None:
        """Depth first from one operator, without Python's stack: nets may be deep."""
        stack = [self._visit(start, tokens, free)]
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
            else:
                stack.append(self._visit(*following, free))

    def _visit(self, i: int, tokens: set[int], free: list[tuple[int, str]]) -> Iterator[tuple[int, set[int]]]:
        """What one operator frees and takes; then the operators that it sets free to run."""
        tokens |= self.deposit.pop(i, set())
        self.visited.add(i)
        op = self.net.op[i]
        for name in (*op.input, *op.output):
            self.needs[self._actual(name)] |= tokens
            self.needs[name] |= tokens
        released = self._released(op)
        for name in op.output:
            if name in self.sharable and name not in self.processed and all(name != b for _, b in released):
                taken = self._take(name, tokens, free)
                if taken:
                    self.needs[taken] |= tokens
                    self.shares[taken] += 1
                    self.mapping[name] = taken
                self.processed.add(name)
        there = {blob for _, blob in free}
        for each in released:
            if each[1] not in there:
                heapq.heappush(free, each)
        branches = sum(len(self.readers[name]) for name in op.output)
        for name in op.output:
            for reader in self.readers[name]:
                self.came[reader] += 1
                if self.came[reader] == self.wanted[reader]:
                    yield reader, tokens | ({self._token()} if branches > 1 else set())
                elif reader not in self.visited:
                    self.deposit[reader] |= tokens

    def _actual(self, name: str) -> str:
        return self.mapping.get(name, name)

    def _released(self, op: Any) -> list[tuple[int, str]]:
        """Blobs that this operator was the last to read, those that many share first."""
        released = []
        for name in op.input:
            if name in self.sharable:
                self.reads[name] += 1
                if self.reads[name] == len(self.readers[name]) and self._actual(name) not in self.keep:
                    released.append((-self.shares[self._actual(name)], self._actual(name)))
        return released

    def _usable(self, blob: str, tokens: set[int], device: tuple[int, int]) -> bool:
        return self.devices.get(blob, (0, 0)) == device and self.needs[blob] <= tokens

    def _take(self, name: str, tokens: set[int], free: list[tuple[int, str]]) -> str | None:
        """A free blob for an output: the most shared one, or with sizes the one that fits best."""
        device = self.devices.get(name, (0, 0))
        if self.shapes:
            return self._take_fitting(name, tokens, free, device)
        passed = []
        found = None
        while free and found is None:
            each = heapq.heappop(free)
            if self._usable(each[1], tokens, device):
                found = each[1]
            else:
                passed.append(each)
        for each in passed:
            heapq.heappush(free, each)
        return found

    def _take_fitting(
        self, name: str, tokens: set[int], free: list[tuple[int, str]], device: tuple[int, int]
    ) -> str | None:
        size, best, place = self._size(name), -1, -1
        for i, (_, blob) in enumerate(free):
            if self._usable(blob, tokens, device):
                other = self._size(blob)
                if other >= best and (best < size or best >= other):
                    best, place = other, i
        return free.pop(place)[1] if place >= 0 else None

    def _size(self, name: str) -> int:
        return math.prod(self.shapes[name]) if name in self.shapes else 0

    def _name(self) -> None:
        """Give the shared blobs their names, in the order of the original's table."""
        names: dict[str, str] = {}
        made = 0
        for blob in (self.mapping[name] for name in hash_order(self.mapping)):
            if blob in names:
                continue
            if blob in self.made:
                names[blob] = f"{self.namescope}__m{made}_shared"
                made += 1
            else:
                names[blob] = blob
        self.mapping = {**names, **self.mapping}
        for blob, target in list(self.mapping.items()):
            self.mapping[blob] = names.get(target, target)

    def _apply(self, net: Any) -> None:
        for op in net.op:
            if op.type.startswith("RecurrentNetwork"):
                self._apply_to_steps(op)
            op.input[:] = [self._actual(n) for n in op.input]
            op.output[:] = [self._actual(n) for n in op.output]

    def _apply_to_steps(self, op: Any) -> None:
        """A recurrent operator's step nets, and the table by which it finds its own blobs again."""
        for arg in op.arg:
            if arg.name not in ("step_net", "backward_step_net"):
                continue
            if arg.HasField("n"):
                self._apply(arg.n)
            else:
                step = text_format.Parse(arg.s.decode("utf-8"), caffe2_pb2.NetDef())
                self._apply(step)
                arg.s = text_format.MessageToString(step).encode("utf-8")
        for name in (*op.input, *op.output):
            if self._actual(name) != name:
                op.arg.add(name=f"{name}.rename", s=self._actual(name).encode("utf-8"))
