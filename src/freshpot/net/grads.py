"""How one operator's gradient is made: the rule an operator declares, and the context it works in.

Owned here: turning one forward `Op` and the names of its output gradients into gradient `Op`s.
Who calls it: operator definitions (they write rules) and `net.gradient` (it applies them to nets).
The conventions - names, order, copied arguments - are Caffe2's (caffe2/core/operator_gradient.h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freshpot.errors import GradientError
from freshpot.net.op import Op


@dataclass(frozen=True, slots=True)
class Sparse:
    """The gradient of a blob of which only some rows were used: row numbers and their gradients."""

    indices: str
    values: str


GradName = str | Sparse | None


@dataclass(slots=True)
class GradientResult:
    """Gradient operators of one forward operator, and the name of each input's gradient (or None)."""

    ops: list[Op] = field(default_factory=list)
    input_grads: list[GradName] = field(default_factory=list)


class GradientMaker:
    """The forward operator and its output gradients, as a gradient rule sees them.

    ``I(i)``, ``O(i)``: names of inputs and outputs. ``GO(i)``: name of the gradient of output i.
    ``GI(i)``: name for the gradient of input i; asking for it promises that an operator writes it.
    """

    def __init__(self, op: Op, output_grads: Sequence[GradName]) -> None:
        self.op = op
        self.output_grads = list(output_grads)
        self.input_grads: list[GradName] = [None] * len(op.inputs)
        #: a rule sets this to False where the gradient operators do not take the forward's arguments
        self.copy_arguments = True

    def I(self, i: int) -> str:  # noqa: E743 - the field's own names for these
        return self.op.inputs[i]

    def O(self, i: int) -> str:  # noqa: E743
        return self.op.outputs[i]

    def has_GO(self, i: int) -> bool:
        """True if output i has a dense gradient."""
        return i < len(self.output_grads) and isinstance(self.output_grads[i], str)

    def GO(self, i: int) -> str:
        grad = self.output_grads[i] if i < len(self.output_grads) else None
        if isinstance(grad, str):
            return grad
        what = "is sparse, and the operator's rule needs a dense one" if grad else "was not given"
        raise GradientError(f"the gradient of output {i} ('{self.O(i)}') {what}.", op=str(self.op))

    def GI(self, i: int) -> str:
        grad = self.I(i) + "_grad"
        if isinstance(self.input_grads[i], Sparse):
            raise GradientError(f"input {i} has both a sparse and a dense gradient.", op=str(self.op))
        self.input_grads[i] = grad
        return grad

    def GI_indices(self, i: int) -> str:
        """Name for the row numbers of a sparse gradient of input i."""
        return self.I(i) + "_grad_indices"

    def GI_values(self, i: int) -> str:
        """Name for the rows of a sparse gradient of input i."""
        return self.I(i) + "_grad_values"

    def set_dense(self, i: int, name: str) -> None:
        """Let input i's gradient be the blob ``name``, which exists already."""
        self.input_grads[i] = name

    def set_sparse(self, i: int, indices: str, values: str) -> None:
        """Let input i's gradient be sparse."""
        self.input_grads[i] = Sparse(indices, values)

    def new(
        self, type: str, inputs: list[str], outputs: list[str], args: Mapping[str, Any] | None = None
    ) -> Op:
        """A gradient operator with arguments of its own.

        The forward's arguments (unless `copy_arguments` is off), device and engine follow when the
        result is collected.
        """
        return Op(type, inputs, outputs, dict(args or {}))


Rule = Callable[[GradientMaker], list[Op]]


def same_name_rule(type: str, inputs: str, outputs: str, ports: tuple[list[str], list[str]]) -> Rule:
    """The common rule: one operator, from a signature such as ``"X W dY -> dW db dX"``.

    ``ports`` are the forward operator's input and output port names; ``dNAME`` is a gradient. A blob
    that the forward operator leaves out (an optional port) is left out of the gradient operator too.
    """
    in_ports, out_ports = ports

    def blobs(maker: GradientMaker, names: str, *, made: bool) -> list[str]:
        found = []
        for name in names.split():
            bare = name[1:] if name not in in_ports + out_ports and name.startswith("d") else name
            side = in_ports if (bare in in_ports and (made or bare == name)) else out_ports
            i = side.index(bare)
            present = len(maker.op.inputs if side is in_ports else maker.op.outputs)
            if i < present:
                found.append(
                    (
                        maker.GI
                        if made
                        else maker.I
                        if side is in_ports
                        else maker.O
                        if bare == name
                        else maker.GO
                    )(i)
                )
        return found

    def rule(maker: GradientMaker) -> list[Op]:
        return [maker.new(type, blobs(maker, inputs, made=False), blobs(maker, outputs, made=True))]

    return rule


def collect(op: Op, rule: Rule, output_grads: Sequence[GradName]) -> GradientResult:
    """Apply a rule: gradient operators that carry the forward's device and engine, marked as gradients."""
    maker = GradientMaker(op, output_grads)
    ops = rule(maker)
    for made in ops:
        if maker.copy_arguments:
            made.args.update(op.args)
        made.device = op.device
        if made.engine is None:
            made.engine = op.engine
        made.is_gradient = True
    return GradientResult(ops, maker.input_grads)
