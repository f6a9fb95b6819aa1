"""A plan: a net bound once to blobs and kernels.

Owned here: binding (once) and the loop (dull). Who calls it: workspace, operators with sub-nets, doors.

Binding looks up every blob, builds every operator (arguments parsed and checked there), and writes a
flat Python function with one line an operator: ``b3.value = k1(b0.value, b2.value)``. Running calls that
function: no look-ups by name, no argument parsing. Inputs are checked against the operators' declarations
in a first, slower run, and again whenever the workspace says that shapes may have changed. After some runs
the plan is bound to memory of its own (`static`), where the operators allow it; on a GPU it becomes a graph (`graph`);
a net of images that only predicts may run in blocks of channels (`visible`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from freshpot.engine import graph, heap, visible
from freshpot.engine.blob import EMPTY, Blob, Deferred
from freshpot.engine.device import torch_device
from freshpot.engine.precision import reduce
from freshpot.engine.static import Binding
from freshpot.engine.static_code import MOVED, RAN, OutputsMovedError, Static, first
from freshpot.errors import FreshpotError, KernelError, MissingBlobError, near_matches
from freshpot.net import registry
from freshpot.net.net import Net
from freshpot.net.op import Op
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe

if TYPE_CHECKING:
    from freshpot.engine.workspace import Workspace


#: what `torch.no_grad` does, without the five calls of a context manager, which a small net would feel
_set_grad_enabled = torch._C._set_grad_enabled


class Step:
    """One operator of a plan: the definition bound to its arguments, and its blobs."""

    __slots__ = ("inputs", "kernel", "operator", "outputs", "overwrites")

    inputs: list[Blob]
    outputs: list[Blob]
    kernel: Callable[..., Any]
    #: True if the kernel writes into inputs
    overwrites: bool

    def __init__(self, operator: Operator, workspace: Workspace) -> None:
        self.operator = operator
        self.bind(workspace)

    def bind(self, workspace: Workspace) -> None:
        """Look up the blobs."""
        op = self.operator.op
        self.inputs = [_input_blob(name, op, workspace) for name in op.inputs]
        self.outputs = [workspace.create(name) for name in op.outputs]
        self.kernel = self._choose_kernel()

    def _choose_kernel(self) -> Callable[..., Any]:
        operator = self.operator
        if operator.run is not None:
            self.overwrites = False
            return operator.run
        pairs = self.operator.must_inplace or self.operator.inplace
        self.overwrites = False
        if operator.kernel_inplace is None or not pairs or isinstance(pairs, str):
            return operator.kernel
        inputs, outputs = self.inputs, self.outputs
        if any(i >= len(inputs) or j >= len(outputs) for i, j in pairs):
            return operator.kernel
        apart = [i for i, j in pairs if inputs[i] is not outputs[j]]
        self.overwrites = len(apart) < len(pairs)
        if not self.overwrites:
            return operator.kernel
        return partial(_overwrite_some, operator.kernel_inplace, apart) if apart else operator.kernel_inplace

    def run_checked(self, workspace: Workspace) -> None:
        """Check the inputs, then run."""
        values: list[Any] = []
        for i, blob in enumerate(self.inputs):
            value = blob.value
            if value is EMPTY:
                if i in self.operator.may_be_empty:  # it looks for itself
                    self.operator.run(workspace, self.inputs, self.outputs)  # type: ignore[misc]
                    return
                raise MissingBlobError(
                    f"input blob '{blob.name}' holds nothing yet: feed it, or run the net that writes it.",
                    blob=blob.name,
                )
            values.append(value)
        self.operator.check_inputs(values)
        if self.operator.run is not None:
            self.operator.run(workspace, self.inputs, self.outputs)
            return
        made = self.kernel(*values)
        if not isinstance(made, (tuple, list)):
            made = (made,)
        for blob, value in zip(self.outputs, made, strict=False):
            blob.value = value


def _overwrite_some(kernel: Callable[..., Any], apart: Sequence[int], *inputs: Any) -> Any:
    """Call a kernel that overwrites inputs, some of which are not to be overwritten."""
    own = list(inputs)
    for i in apart:
        own[i] = own[i].clone()
    return kernel(*own)


def _input_blob(name: str, op: Op, workspace: Workspace) -> Blob:
    blob = workspace.find(name)
    if blob is None:
        raise MissingBlobError(
            f"input blob '{name}' does not exist: no earlier operator writes it and the workspace does not have it."
            f"{near_matches(name, workspace.names())} Feed it, or run the net that makes it first.",
            op=str(op),
            blob=name,
        )
    return blob


class Plan:
    """A net bound to a workspace. ``run()`` runs it.

    Raises (when made):
        UnknownOperatorError, MissingBlobError, ArgumentError, ArityError, DeviceError: what does not
        fit, naming the net, the operator and the blob. Blobs made before the failure stay, empty.

    ``like``: a plan that may be of this very net, whose operators then serve again if they remember nothing.
    ``often``: it is a program's whole net, and run many times: it may run in blocks of channels (`visible`).
    """

    def __init__(
        self, net: Net, workspace: Workspace, like: Plan | None = None, *, often: bool = False
    ) -> None:
        self.net = net
        self.workspace = workspace
        self._often = often
        self.steps: list[Step] = []
        made: Sequence[Operator | None] = [None] * len(net.ops)
        if like is not None and like.net is net and not like.remembers:
            made = [step.operator for step in like.steps]
        for op, operator in zip(net.ops, made, strict=True):
            try:
                operator = operator or reduce(
                    registry.get(op.type)(op, torch_device(op.device or net.device))
                )
                self.steps.append(Step(operator, workspace))
            except FreshpotError as error:
                error.at(net=net.name, op=str(op))
                error.position = len(self.steps)
                raise
        self._seal()

    @property
    def name(self) -> str:
        """The net's name."""
        return self.net.name

    @property
    def remembers(self) -> bool:
        """True if an operator's earlier runs count: a net that is to begin afresh must be bound again."""
        return any(
            step.operator.remembers or step.operator.run is not None or step.operator.generator is not None
            for step in self.steps
        )

    def _seal(self) -> None:
        self._flat: Callable[[], None] | None = None  # written when it is first needed
        self._static: Static | None = None  # in memory of the plan's own, after some runs
        near = all(step.operator.device.type == "cpu" for step in self.steps)
        self._binding = Binding(self.steps if near and not self.workspace.inner else [])
        self._graph = graph.of_plan(self)
        self._visible = None
        if self._often and visible.suits(self.steps):
            self._visible = visible.Visible(self.steps, self._run_ordinary, self._let_go)
        #: True if its outputs are so large that memory for them is kept while it runs
        self._large = False
        self._bound_at = self.workspace.layout_epoch
        self._checked_at = -1

    def _bind_again(self) -> None:
        """Blobs were removed or linked since: look all of them up again; operators keep their state."""
        for step in self.steps:
            try:
                step.bind(self.workspace)
            except FreshpotError as error:
                error.at(net=self.net.name, op=str(step.operator.op))
                raise
        self._seal()

    def run(self, times: int = 1) -> None:
        """Run the net.

        Raises:
            NetError: an operator refused its inputs or failed; names net, operator and blobs. What
            operators before it wrote stays written.
        """
        recording, large = torch.is_grad_enabled(), self._large
        if recording:
            _set_grad_enabled(False)
        if large:
            heap.begin()
        try:
            for _ in range(times):
                self.step()
        finally:
            if large:
                heap.end()
            if recording:
                _set_grad_enabled(True)

    def step(self) -> None:
        """Run once, as part of a run that is under way: for operators that run nets of their own."""
        if self._checked_at != self.workspace.epoch:
            self._run_checked()
            return
        try:
            if self._graph is not None and self._graph.run():
                return
            if self._visible is None or not self._visible.run(self._checked_at):
                self._run_ordinary()
        except Exception as error:
            self._raise(self._failed_step(error), error)

    def _run_ordinary(self) -> None:
        if self._static is None or not self._run_static(self._static):
            self._run_flat()

    def _let_go(self) -> None:
        """Hold no memory: other code runs the steps from now on."""
        self._static = None
        self._binding = Binding(self.steps)

    @property
    def checked(self) -> bool:
        """True if the inputs' shapes and types are known to fit."""
        return self._checked_at == self.workspace.epoch

    def run_within(self) -> None:
        """`run`, as part of a longer graph (`graph.of_plans`): a recording of this plan alone is not wanted."""
        own, self._graph = self._graph, None
        try:
            self.run()
        finally:
            self._graph = own

    def _run_flat(self) -> None:
        if self._static is None and self._binding.due():
            self._static = self._binding.bind(self.workspace, self._flat_writer().deferring, self._raise)
            return
        flat = self._flat or self._write_flat()
        flat()

    def _run_static(self, static: Static) -> bool:
        """Run in the plan's own memory; False if that cannot be now."""
        try:
            outcome = static.run()
        except OutputsMovedError as error:
            self._go_on_after(self._failed_step(error), error.made)
            outcome = RAN
        if outcome == MOVED:
            self._static = None
            self._binding.moved()
        return outcome == RAN

    def _go_on_after(self, step: Step, made: Sequence[Any]) -> None:
        """A step of the run in the plan's own memory has made outputs of new sizes: run the rest as ever."""
        for blob, value in zip(step.outputs, made, strict=True):
            blob.value = value
        self._run_each(self.steps[self.steps.index(step) + 1 :])
        self._static = None
        self._binding.moved()

    def _run_checked(self) -> None:
        self._static = None
        if self._bound_at != self.workspace.layout_epoch:
            self._bind_again()
        epoch = self.workspace.epoch
        self._run_each(self.steps)
        self._checked_at = epoch
        if not self._large and heap.worthwhile(blob for step in self.steps for blob in step.outputs):
            self._large = True
            heap.let_go(self)

    def _run_each(self, steps: Sequence[Step]) -> None:
        for step in steps:
            try:
                step.run_checked(self.workspace)
            except Exception as error:
                self._raise(step, error)

    def _write_flat(self) -> Callable[[], None]:
        self._flat = self._flat_writer().write()
        return self._flat

    def _flat_writer(self) -> _FlatWriter:
        return _FlatWriter(self.steps, self.workspace)

    def deferring(self) -> Callable[[Step], Operator | None]:
        """Tells whether a step's last output is left until somebody looks: what makes the others, or None."""
        return self._flat_writer().deferring

    def fail(self, step: Step, error: Exception) -> NoReturn:
        """Raise an error that names the net and the operator, in place of ``error``."""
        self._raise(step, error)

    def _failed_step(self, error: BaseException) -> Step:
        first_lines = {}
        if self._flat is not None:
            first_lines[self._flat.__code__] = 2
        if self._static is not None:
            first_lines[self._static.code] = self._static.first_line
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code in first_lines:
                return self.steps[trace.tb_lineno - first_lines[trace.tb_frame.f_code]]
            trace = trace.tb_next
        raise error

    def _raise(self, step: Step, error: Exception) -> NoReturn:
        """Raise an error that names the net and the operator, in place of ``error``."""
        explained = self._explain(step, error)
        if explained.position is None:
            explained.position = self.steps.index(step)
        if explained is error:
            raise error
        raise explained from error

    def _explain(self, step: Step, error: Exception) -> FreshpotError:
        if isinstance(error, FreshpotError):
            return error.at(net=self.net.name, op=str(step.operator.op))
        inputs = ", ".join(f"'{b.name}' {describe(b.value)}" for b in step.inputs) or "none"
        said = str(error).strip()
        said += "" if said.endswith((".", "?", "!")) else "."
        if out := re.search(r"index (-?\d+) is out of bounds for dimension \d+ with size (\d+)", said):
            said += f" A label or number {out[1]} is outside 0 … {int(out[2]) - 1}."
        return KernelError(
            f"{type(error).__name__}: {said} Inputs: {inputs}.", net=self.net.name, op=str(step.operator.op)
        )

    def time(self, runs: int = 1) -> list[float]:
        """Seconds that each operator takes, on average over ``runs``."""
        spent = [0.0] * len(self.steps)
        with torch.no_grad():
            for _ in range(runs):
                for i, step in enumerate(self.steps):
                    start = time.perf_counter()
                    step.run_checked(self.workspace)
                    spent[i] += time.perf_counter() - start
        return [s / runs for s in spent]


class _FlatWriter:
    """Writes a plan's flat function; line n + 2 of its source is step n."""

    def __init__(self, steps: Sequence[Step], workspace: Workspace) -> None:
        self._steps = steps
        self._names: dict[str, Any] = {"ws": workspace, "first": first, "Deferred": Deferred}
        self._blob_names: dict[int, str] = {}
        self._read = {id(blob) for step in steps for blob in step.inputs}
        #: what this plan writes afresh in every run; all else may change behind its back
        self._fresh: set[int] = set()

    def write(self) -> Callable[[], None]:
        """Compile the function."""
        lines = ["def run():"]
        for i, step in enumerate(self._steps):
            lines.append("    " + self._line(i, step))
            in_place = {id(b) for b in step.inputs}
            self._fresh.update(id(b) for b in step.outputs if id(b) not in in_place)
        lines.append("    return None")
        exec(compile("\n".join(lines), "<plan>", "exec"), self._names)
        return self._names["run"]

    def _value(self, blob: Blob) -> str:
        name = self._blob_names.setdefault(id(blob), f"b{len(self._blob_names)}")
        self._names[name] = blob
        return f"{name}.value"

    def _line(self, i: int, step: Step) -> str:
        names = self._names
        names[f"k{i}"] = step.kernel
        if step.operator.run is not None:
            names[f"i{i}"], names[f"o{i}"] = step.inputs, step.outputs
            return f"k{i}(ws, i{i}, o{i})"
        inputs = [self._value(b) for b in step.inputs]
        if self._last_is_for_nobody(step):
            return self._deferring_line(i, step, inputs)
        return self._call(f"k{i}", inputs, step, step.outputs)

    def _call(self, kernel: str, inputs: list[str], step: Step, outputs: Sequence[Blob]) -> str:
        call = f"{kernel}({', '.join(inputs)})"
        targets = [self._value(b) for b in outputs]
        if not targets:
            return call
        if len(targets) == 1 and len(step.operator.outputs) == 1 and not step.operator.outputs[0].many:
            return f"{targets[0]} = {call}"
        comma = "," if len(targets) == 1 else ""
        return f"{', '.join(targets)}{comma} = first({call}, {len(targets)})"

    def _last_is_for_nobody(self, step: Step) -> bool:
        """True if the last output costs work that nobody in this net needs (the data's gradient)."""
        if len(step.outputs) < 2 or not step.operator.saves_without_last():
            return False
        last = step.outputs[-1]
        writers = sum(blob is last for other in self._steps for blob in other.outputs)
        return id(last) not in self._read and writers == 1

    def deferring(self, step: Step) -> Operator | None:
        """What makes all outputs but the last, if nobody needs that; else None."""
        return _without_last(step) if self._last_is_for_nobody(step) else None

    def _deferring_line(self, i: int, step: Step, inputs: list[str]) -> str:
        """Compute all outputs but the last, and leave that to be computed if somebody looks at it."""
        self._names[f"k{i}s"] = _without_last(step).kernel
        last = step.outputs[-1]
        last.allow_deferred()
        overwritten = {id(b) for other in self._steps for b in other.inputs if b in other.outputs}
        kept = [
            value if id(blob) in self._fresh and id(blob) not in overwritten else f"{value}.clone()"
            for value, blob in zip(inputs, step.inputs, strict=True)
        ]
        deferred = f"Deferred(k{i}, {len(step.outputs) - 1}, ({', '.join(kept)},))"
        return f"{self._call(f'k{i}s', inputs, step, step.outputs[:-1])}; {self._value(last)} = {deferred}"


def _without_last(step: Step) -> Operator:
    """The operator, made for all outputs but the last."""
    op = step.operator.op
    return reduce(type(step.operator)(replace(op, outputs=op.outputs[:-1]), step.operator.device))
