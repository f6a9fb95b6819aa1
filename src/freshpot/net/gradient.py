"""Gradients of operators and of whole nets, named as Caffe2 names them.

Owned here: applying gradient rules (`net.grads`) to operators in a net, backwards, and checking that
what the gradients read is still there. Who calls it: doors, and rules of operators with sub-nets.

The order of operators, the names and the sums of shared inputs are those of ``IR.GetBackwardPass`` in
caffe2/python/core.py, byte for byte. Where the original goes through a set, in an order that changes
from run to run, the order of first appearance is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from freshpot.errors import GradientError
from freshpot.net import registry
from freshpot.net.grads import GradientResult, GradName, Sparse, collect
from freshpot.net.op import Device, Op
from freshpot.net.schema import check_arity
from freshpot.net.sums import Contribution, Dense, Output, Rows, needs_sum, sum_up
from freshpot.net.versions import Call, Versions

__all__ = ["AUTOGRAD_SUFFIX", "backward", "gradient_of", "ones_like"]

#: ends the name of a gradient of ones that is made for a blob to be derived
AUTOGRAD_SUFFIX = "_autogen_grad"

#: makes the gradient operators of one operator from the names of its outputs' gradients
GradientFor = Callable[[Op, Sequence[GradName]], GradientResult]


def gradient_of(op: Op, output_grads: Sequence[GradName]) -> GradientResult:
    """The gradient operators of one operator, given the names of its outputs' gradients (or None).

    Raises:
        UnknownOperatorError: the operator's type is not known.
        ArityError: it has too few or too many inputs or outputs.
        GradientError: the operator has no gradient; the message says why.
    """
    definition = registry.get(op.type)
    check_arity(op, definition.inputs, definition.outputs)
    if definition.gradient_rule is not None:
        return collect(op, definition.gradient_rule, output_grads)
    if definition.gradient_stops:
        return GradientResult([], [None] * len(op.inputs))
    raise GradientError(f"has no gradient: {definition.no_gradient}.", op=str(op))


def ones_like(blob: str) -> Op:
    """The operator that makes a gradient of ones for a blob that is to be derived."""
    return Op("ConstantFill", [blob], [blob + AUTOGRAD_SUFFIX], {"value": 1.0})


def backward(
    ops: Sequence[Op],
    ys: Mapping[str, GradName],
    *,
    gradient_for: GradientFor = gradient_of,
    ones: Callable[[str], Op] = ones_like,
    device: Device | None = None,
) -> tuple[list[Op], dict[str, GradName]]:
    """Gradient operators of a list of operators, and the gradient of each blob.

    Args:
        ops: the forward operators, in order.
        ys: the blobs to derive, each with the name of its gradient, or None for ones.
        gradient_for: makes the gradient operators of one operator.
        ones: makes the operator that fills a gradient with ones.
        device: for sums whose contributors forbid taking their own device option.

    Returns:
        the gradient operators in the order they must run, and blob name -> gradient. A blob that was
        reached but has no gradient maps to None.

    Raises:
        GradientError: an operator without a gradient; a blob that a gradient needs was overwritten;
        gradients that cannot be added up; a StopGradient whose output nothing reads.
    """
    return _Backward(ops, gradient_for, device).run(ys, ones)


class _Backward:
    """The state of one walk backwards."""

    def __init__(self, ops: Sequence[Op], gradient_for: GradientFor, device: Device | None) -> None:
        self.versions = Versions.of(ops)
        self.gradient_for = gradient_for
        self.device = device
        self.grads: dict[str, GradName] = {}
        self.ops: list[Op] = []
        #: the version of a blob that its gradient in `grads` belongs to
        self.derived: dict[str, int] = {}
        self.parts: defaultdict[tuple[str, int], list[Contribution]] = defaultdict(list)
        self._refuse_orphans(ops)

    def _refuse_orphans(self, ops: Sequence[Op]) -> None:
        for op in ops:
            if op.type == "StopGradient" and not self.versions.is_read(op.outputs[0]):
                raise GradientError(
                    f"nothing reads its output '{op.outputs[0]}', so it stops no gradient. "
                    "Usually input and output are the same blob.",
                    op=str(op),
                    blob=op.outputs[0],
                )

    def run(
        self, ys: Mapping[str, GradName], ones: Callable[[str], Op]
    ) -> tuple[list[Op], dict[str, GradName]]:
        for y in ys:
            self.derived[y] = self.versions.version(y)
            self.versions.readers[y, self.derived[y]].append(len(self.versions.calls))
        for y, grad in ys.items():
            self._start(y, grad, ones)
        for position in reversed(range(len(self.versions.calls))):
            self._through(position)
            self._add_up(position)
        return self.ops, self.grads

    def _start(self, y: str, grad: GradName, ones: Callable[[str], Op]) -> None:
        if grad is None:
            op = ones(y)
            self.ops.append(op)
            grad = op.outputs[0]
            self.parts[y, self.versions.version(y)].append(Dense(grad, op.device, Output(op, 0)))
        self.grads[y] = grad

    def _through(self, position: int) -> None:
        """Take the gradients through one operator, if any of its outputs has one."""
        call = self.versions.calls[position]
        output_grads = [self.grads.get(name) for name in call.op.outputs]
        if all(grad is None for grad in output_grads) and call.op.type != "ZeroGradient":
            return
        result = self.gradient_for(call.op, output_grads)
        _Links(self, call, output_grads, result).record()
        self.ops += result.ops
        for name, grad in zip(call.op.inputs, result.input_grads, strict=False):
            # An operator that gives no gradient does not take away the one of another reader,
            # unless it wrote the blob: then that gradient belonged to a later version.
            if grad is not None or name not in self.grads or name in call.op.outputs:
                self.grads[name] = grad

    def _add_up(self, position: int) -> None:
        """Add the gradients of inputs whose first reader this operator is."""
        call = self.versions.calls[position]
        for name in dict.fromkeys(call.op.inputs):
            key = (name, call.read[name])
            readers = self.versions.readers[key]
            if len(readers) > 1 and readers[0] == position and needs_sum(self.parts[key], name):
                ops, self.grads[name] = sum_up(self.parts[key], name, self.device)
                self.ops += ops


class _Links:
    """Checks the gradient operators of one operator and notes which output is whose gradient."""

    def __init__(
        self, walk: _Backward, call: Call, output_grads: Sequence[GradName], result: GradientResult
    ) -> None:
        self.walk = walk
        self.call = call
        self.output_grads = output_grads
        self.result = result
        self.made: set[str] = set()
        self.rows: dict[int, Rows] = {}

    def record(self) -> None:
        for op in self.result.ops:
            for name in op.inputs:
                self._check(name)
            self.made.update(op.outputs)
            for i, name in enumerate(op.outputs):
                self._note(op, i, name)
        for index, rows in self.rows.items():
            self._parts_of(index).append(rows)
        self._note_passed_through()
        for name, grad in zip(self.call.op.inputs, self.result.input_grads, strict=False):
            if grad is not None:
                self.walk.derived[name] = self.call.read[name]

    def _parts_of(self, index: int) -> list[Contribution]:
        name = self.call.op.inputs[index]
        return self.walk.parts[name, self.call.read[name]]

    def _check(self, name: str) -> None:
        """Raise `GradientError` if a gradient operator cannot read ``name``."""
        forward, versions = self.call.op, self.walk.versions
        at = _find(self.output_grads, name)
        if at is not None:
            self._check_output_grad(name, forward.outputs[at])
        elif name in self.call.written:
            versions.require_intact(name, self.call.written[name], forward, "output")
        elif name in self.call.read:
            versions.require_intact(name, self.call.read[name], forward, "input")
        elif name not in self.made:
            raise GradientError(
                f"its gradient reads '{name}', which is no blob of the operator "
                "and is not made by its gradient operators.",
                op=str(forward),
                blob=name,
            )

    def _check_output_grad(self, grad: str, output: str) -> None:
        wanted, found = self.call.written[output], self.walk.derived.get(output)
        if wanted != found:
            raise GradientError(
                f"gradient '{grad}' should belong to version {wanted} of '{output}', but belongs to "
                f"version {found}.\n{self.walk.versions.history(output)}"
                "Do not let two operators write the same blob.",
                op=str(self.call.op),
                blob=output,
            )

    def _note(self, op: Op, i: int, name: str) -> None:
        index = _find(self.result.input_grads, name)
        if index is None:
            return
        grad, output = self.result.input_grads[index], Output(op, i)
        if not isinstance(grad, Sparse):
            self._parts_of(index).append(Dense(name, op.device, output))
            return
        rows = self.rows.setdefault(index, Rows(grad, op.device))
        if grad.indices == name:
            rows.indices = output
        else:
            rows.values = output

    def _note_passed_through(self) -> None:
        """Gradients that no operator makes: an output's gradient under its own name."""
        device = self.call.op.device
        for index, grad in enumerate(self.result.input_grads):
            if isinstance(grad, Sparse):
                if grad.indices not in self.made and grad.values not in self.made:
                    self._parts_of(index).append(Rows(grad, device))
            elif grad and grad not in self.made:
                self._parts_of(index).append(Dense(grad, device))


def _find(grads: Sequence[GradName], name: str) -> int | None:
    """Position of the gradient that ``name`` is, or is a half of."""
    for i, grad in enumerate(grads):
        if grad == name or (isinstance(grad, Sparse) and name in (grad.indices, grad.values)):
            return i
    return None
