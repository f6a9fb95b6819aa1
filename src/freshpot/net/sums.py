"""Adding up the gradients of a blob that several operators read.

Owned here: who contributes to the gradient of one version of a blob, the names of the parts, and the
operators that add them. Who calls it: `net.gradient`. Names, order and device marks are those of
``IR._MakeSumOps`` in caffe2/python/core.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from freshpot.errors import GradientError
from freshpot.net.grads import GradName, Sparse
from freshpot.net.net import Net
from freshpot.net.op import CPU, Device, Op

#: how sums made here are marked in their device option
SUM_MARK = "is_auto_gen_sum_ops:1"
#: in a contributor's device option: do not pass its other marks on to the sum
ONLY_SUM_MARK = "only_keep_is_auto_gen_sum_ops_tag:1"


@dataclass(slots=True)
class Output:
    """One output of a gradient operator, which can still be renamed."""

    op: Op
    index: int

    @property
    def name(self) -> str:
        return self.op.outputs[self.index]

    def rename(self, count: int) -> str:
        """Make it a part of a sum, numbered ``count``; its new name."""
        old, new = self.name, f"_{self.name}_autosplit_{count}"
        if self.op.type == "If":
            _rename_in_branches(self.op, old, new)
        self.op.outputs[self.index] = new
        return new


def _rename_in_branches(op: Op, old: str, new: str) -> None:
    """Let both branches of a conditional write ``new`` instead of ``old``."""
    for branch in op.args.values():
        if isinstance(branch, Net):
            for inner in branch.ops:
                inner.outputs[:] = [new if name == old else name for name in inner.outputs]


@dataclass(slots=True)
class Dense:
    """A dense contribution: the output that writes it, or None where it is passed through."""

    grad: str
    device: Device | None
    output: Output | None = None


@dataclass(slots=True)
class Rows:
    """A sparse contribution: the outputs that write its indices and values, None where passed through."""

    grad: Sparse
    device: Device | None
    indices: Output | None = None
    values: Output | None = None


Contribution = Dense | Rows


def needs_sum(parts: Sequence[Contribution], blob: str) -> bool:
    """True if there is more than one contribution.

    Raises:
        GradientError: dense and sparse ones are mixed, or they are on different devices.
    """
    if len({type(part) for part in parts}) > 1:
        raise GradientError(
            f"blob '{blob}' has dense and sparse gradients, which cannot be added up. "
            "Make them alike, for instance with SparseToDense.",
            blob=blob,
        )
    if len(parts) < 2:
        return False
    for part in parts[1:]:
        if not _same_device(part.device, parts[0].device):
            raise GradientError(
                f"the gradients of blob '{blob}' are made on different devices "
                f"({parts[0].device or 'cpu'} and {part.device or 'cpu'}), so they cannot be added up.",
                blob=blob,
            )
    return True


def _same_device(a: Device | None, b: Device | None) -> bool:
    kinds = [(d.type or CPU) if d else CPU for d in (a, b)]
    if CPU in kinds:
        return kinds[0] == kinds[1]
    return ((a.index if a else 0) or 0) == ((b.index if b else 0) or 0)


def sum_up(parts: Sequence[Contribution], blob: str, device: Device | None) -> tuple[list[Op], GradName]:
    """The operators that add the contributions to the gradient of ``blob``, and what they make.

    Args:
        device: for the new operators where a contributor forbids taking its own.
    """
    name = _sum_name(parts, blob)
    dense = [part for part in parts if isinstance(part, Dense)]
    made: GradName
    if dense:
        ops, made = _dense_sum(dense, name)
    else:
        ops, made = _sparse_sum([part for part in parts if isinstance(part, Rows)], name)
    marked = _mark(parts, device)
    for op in ops:
        op.device = replace(marked, extra_info=list(marked.extra_info))
    return ops, made


def _sum_name(parts: Sequence[Contribution], blob: str) -> str:
    for part in parts:
        if isinstance(part, Dense):
            if part.output:
                return part.output.name
        elif part.indices:
            return part.indices.name.removesuffix("_indices")
        elif part.values:
            return part.values.name.removesuffix("_values")
    return f"{blob}_grad"


def _dense_sum(parts: Sequence[Dense], name: str) -> tuple[list[Op], str]:
    inputs: list[str] = []
    renamed = -1  # the first that an operator writes keeps its name
    for part in parts:
        if part.output is None:
            inputs.append(_passed_through(part.grad, name))
            continue
        inputs.append(part.output.rename(renamed) if renamed >= 0 else part.output.name)
        renamed += 1
    if name in inputs:  # a sum works in place on its first input alone
        at = inputs.index(name)
        inputs[0], inputs[at] = inputs[at], inputs[0]
    return [Op("Sum", inputs, [name])], name


def _sparse_sum(parts: Sequence[Rows], name: str) -> tuple[list[Op], Sparse]:
    """Indices after indices and values after values; rows that occur twice stay twice."""

    def joined(what: str, outputs: Sequence[Output | None], names: Sequence[str]) -> Op:
        inputs, count = [], 0
        for output, grad in zip(outputs, names, strict=True):
            inputs.append(output.rename(count) if output else _passed_through(grad, name))
            count += output is not None
        made = f"{name}_{what}_concat"
        return Op("Concat", inputs, [made, f"{made}_split"], {"axis": 0})

    indices = joined("indices", [p.indices for p in parts], [p.grad.indices for p in parts])
    values = joined("values", [p.values for p in parts], [p.grad.values for p in parts])
    return [indices, values], Sparse(indices.outputs[0], values.outputs[0])


def _passed_through(grad: str, name: str) -> str:
    if grad == name:
        raise GradientError(
            f"'{grad}' is passed through as a gradient, and is also the name that the sum of gradients needs. "
            "Rename the blob.",
            blob=grad,
        )
    return grad


def _mark(parts: Sequence[Contribution], device: Device | None) -> Device:
    only_mark = any(part.device and ONLY_SUM_MARK in part.device.extra_info for part in parts)
    base = (device if only_mark else parts[0].device) or Device()
    return replace(base, extra_info=[*base.extra_info, SUM_MARK])
