"""A plan for inference: of a net whose inner blobs nobody looks at.

Owned here: deciding whether a net can be run that way, running it. Who calls it: predictors, Caffe's nets in
the test phase.

The net is rewritten by the passes of `engine.passes`: convolutions do what follows them, normalisations are
folded into their weights, copies go. Values between operators are locals of one flat Python function and
are let go of after their last use, so that later ones get the same memory; only the blobs in ``kept`` are written,
at the end. Parameters are read from their blobs at every run, and what was made from them is made anew when
they changed (`ops.remade`).

``FRESHPOT_FUSE=0`` leaves nets as they are; ``FRESHPOT_FUSE=verbose`` prints what each pass makes of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias, cast

import torch

from freshpot.engine.blob import EMPTY, Blob
from freshpot.engine.blocked.choice import Blocked
from freshpot.engine.blocked.later import Wanted
from freshpot.engine.passes import optimize
from freshpot.engine.passes.graph import Graph, Node, Value
from freshpot.engine.plan import Plan
from freshpot.engine.static_code import first
from freshpot.engine.workspace import Workspace
from freshpot.errors import FreshpotError, KernelError, MissingBlobError
from freshpot.net.net import Net
from freshpot.ops.dtypes import describe

#: combinations of input shapes that are remembered as checked
_MOST_SHAPES = 64

#: types and shapes of what a net reads from outside
Signature: TypeAlias = tuple[Any, ...]


class PredictionPlan:
    """A net bound to a workspace for inference. ``run()`` runs it.

    Args:
        net: the net.
        workspace: where its blobs are found or made.
        kept: which blobs are to hold their values after a run. The others may hold anything.
        later: those that operators of the net read may be computed when somebody looks at them.

    Raises:
        As `Plan`.
    """

    def __init__(
        self, net: Net, workspace: Workspace, kept: Callable[[Blob], bool], *, later: bool = False
    ) -> None:
        self.net = net
        self.workspace = workspace
        self._kept, self._later = kept, later
        self._plan = Plan(net, workspace)
        self._fuse()

    @property
    def name(self) -> str:
        """The net's name."""
        return self.net.name

    @property
    def fused(self) -> bool:
        """True if it runs rewritten; False if some operator works on the workspace itself, or on request."""
        return self._graph is not None

    def __str__(self) -> str:
        return "\n".join(map(str, self._graph.nodes if self._graph else self.net.ops))

    # ---- making it -----------------------------------------------------------------------------
    def _fuse(self) -> None:
        self._graph = self._rewritten()
        self._wanted = (
            Wanted(self._plan.steps, self._kept, self._graph) if self._graph and self._later else None
        )
        self._flat: Callable[[], None] | None = None
        self._made_at = self._epochs(lambda ws: ws.layout_epoch)
        self._checked_at: tuple[int, ...] | None = None
        self._checked: dict[Signature, Blocked] = {}
        self._nets: list[Blocked] = []
        self._now: Blocked | None = None

    def _rewritten(self) -> Graph | None:
        wish = os.environ.get("FRESHPOT_FUSE", "1")
        steps = self._plan.steps
        if wish == "0" or any(s.operator.run is not None and s.operator.type != "CaffeKeep" for s in steps):
            return None
        graph = Graph(steps, self._kept)
        said = (lambda text: print(text, file=sys.stderr)) if wish == "verbose" else None
        optimize(graph, said)
        return None if any(node.op.type == "CaffeKeep" for node in graph.nodes) else graph

    def _epochs(self, of: Callable[[Workspace], int]) -> tuple[int, ...]:
        """A number of the workspace and of those around it."""
        found, ws = [], self.workspace
        while True:
            found.append(of(ws))
            if ws.parent is None:
                return tuple(found)
            ws = ws.parent

    def shapes_changed(self) -> None:
        """What comes from outside has other shapes now, of which the workspace was not told."""
        self._checked_at = None

    # ---- running -------------------------------------------------------------------------------
    def run(self, times: int = 1) -> None:
        """Run the net.

        Raises:
            NetError: as `Plan.run`. No blob was written then.
        """
        with torch.no_grad():
            for _ in range(times):
                self._step()

    def _step(self) -> None:
        if self._made_at != self._epochs(lambda ws: ws.layout_epoch):
            self._plan._bind_again()
            self._fuse()
        if self._graph is None:
            self._plan.run()
            return
        now = self._epochs(lambda ws: ws.epoch)
        if now != self._checked_at and not self._known_shapes(self._graph):
            self._run_checked(self._graph)
        elif self._now is None or not self._now.run(self._run_flat):
            self._run_flat()
        self._checked_at = now

    def _run_flat(self) -> None:
        """Run it operator by operator."""
        graph = cast(Graph, self._graph)
        flat = self._flat or self._write_flat(graph)
        try:
            flat()
        except Exception as error:
            self._raise(self._failed(graph, error), error)

    def _known_shapes(self, graph: Graph) -> bool:
        """True if the net was checked with inputs of these types and shapes before."""
        self._now = self._checked.get(_signature(graph))
        return self._now is not None

    def _run_checked(self, graph: Graph) -> None:
        values: dict[Value, Any] = {}
        last = {value: node for node in graph.nodes for value in node.inputs}
        for node in graph.nodes:
            try:
                given = [values[v] if v.source is None else _read(v.source) for v in node.inputs]
                node.operator.check_inputs(given)
                made = node.operator.kernel(*given)
            except Exception as error:
                self._raise(node, error)
            values.update(
                zip(node.outputs, made if isinstance(made, (tuple, list)) else (made,), strict=False)
            )
            del made, given
            for value in (*node.inputs, *node.outputs):
                if value.source is None and not value.cells and last.get(value, node) is node:
                    values[value] = _outline(values.get(value))
        signature = _signature(graph)
        for value, held in values.items():
            for cell in value.cells:
                cell.value = held
        if len(self._checked) >= _MOST_SHAPES:
            self._checked.clear()
        self._now = self._checked[signature] = Blocked(graph, values, self._nets, self._wanted)

    def _write_flat(self, graph: Graph) -> Callable[[], None]:
        self._flat = _Writer(graph).write()
        return self._flat

    def _failed(self, graph: Graph, error: BaseException) -> Node:
        trace = error.__traceback__
        while trace is not None:
            if self._flat is not None and trace.tb_frame.f_code is self._flat.__code__:
                return graph.nodes[min(trace.tb_lineno - 2, len(graph.nodes) - 1)]
            trace = trace.tb_next
        raise error

    def _raise(self, node: Node, error: Exception) -> NoReturn:
        op = self.net.ops[node.positions[0]]
        if not isinstance(error, FreshpotError):
            known = [f"'{v.name}' {describe(v.source.value)}" for v in node.inputs if v.source is not None]
            explained: FreshpotError = KernelError(
                f"{type(error).__name__}: {error} Inputs from outside: {', '.join(known) or 'none'}.",
                net=self.net.name,
                op=str(op),
            )
            explained.position = node.positions[0]
            raise explained from error
        error.op = str(op) if error.op == str(node.operator.op) else error.op
        error.at(net=self.net.name, op=str(op))
        if error.position is None:
            error.position = node.positions[0]
        raise error


def _read(blob: Blob) -> Any:
    value = blob.value
    if value is EMPTY:
        raise MissingBlobError(
            f"input blob '{blob.name}' holds nothing yet: feed it, or run the net that writes it.",
            blob=blob.name,
        )
    return value


def _outline(value: Any) -> Any:
    """A tensor's size, type and device, without its memory."""
    return value.new_empty(()).expand(value.shape) if isinstance(value, torch.Tensor) else value


def _outside(graph: Graph) -> Iterator[Blob]:
    seen: set[int] = set()
    for node in graph.nodes:
        for value in node.inputs:
            if value.source is not None and id(value.source) not in seen:
                seen.add(id(value.source))
                yield value.source


def _signature(graph: Graph) -> Signature:
    """Types and shapes of what the net reads from outside."""
    return tuple(
        (value.dtype, value.device, tuple(value.shape))
        if isinstance(value := blob.value, torch.Tensor)
        else type(value)
        for blob in _outside(graph)
    )


class _Writer:
    """Writes the flat function; line n + 2 of its source is node n, the blobs are written after the last one."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._names: dict[str, Any] = {"first": first}
        self._locals: dict[Value, str] = {}
        self._last_reader = {value: node for node in graph.nodes for value in node.inputs}

    def write(self) -> Callable[[], None]:
        """Compile the function."""
        lines = ["def run():"]
        for i, node in enumerate(self._graph.nodes):
            lines.append("    " + self._line(i, node))
        for node in self._graph.nodes:
            lines += [f"    {line}" for value in node.outputs for line in self._deliver(value)]
        lines.append("    return None")
        exec(compile("\n".join(lines), "<prediction>", "exec"), self._names)
        return self._names["run"]

    def _line(self, i: int, node: Node) -> str:
        dying = {v for v in node.inputs if self._dies(v, node)}
        self._names[f"k{i}"] = self._kernel(node, dying)
        call = f"k{i}({', '.join(self._given(v) for v in node.inputs)})"
        targets = []
        for value in node.outputs:
            self._locals[value] = f"v{len(self._locals)}"
            targets.append(self._locals[value])
        ports = node.operator.outputs
        if len(targets) != 1 or len(ports) != 1 or ports[0].many:
            comma = "," if len(targets) == 1 else ""
            line = f"{', '.join(targets)}{comma} = first({call}, {len(targets)})"
        else:
            line = f"{targets[0]} = {call}"
        gone = [
            self._locals[v] for v in (*dying, *node.outputs) if not v.cells and (v in dying or not v.readers)
        ]
        return f"{line}; del {', '.join(gone)}" if gone else line

    def _given(self, value: Value) -> str:
        if value.source is None:
            return self._locals[value]
        return self._cell(value.source)

    def _cell(self, blob: Blob) -> str:
        name = f"b{id(blob)}"
        self._names[name] = blob
        return f"{name}.value"

    def _dies(self, value: Value, node: Node) -> bool:
        return value.source is None and not value.cells and self._last_reader[value] is node

    def _kernel(self, node: Node, dying: set[Value]) -> Callable[..., Any]:
        """The kernel that overwrites, where what it overwrites is not needed after."""
        operator = node.operator
        pairs = operator.inplace
        if operator.kernel_inplace is None or operator.must_inplace or isinstance(pairs, str) or not pairs:
            return operator.kernel
        for i, j in pairs:
            if i >= len(node.inputs) or j >= len(node.outputs):
                return operator.kernel
            value = node.inputs[i]
            if value not in dying or node.inputs.count(value) > 1:
                return operator.kernel
        return operator.kernel_inplace

    def _deliver(self, value: Value) -> list[str]:
        return [f"{self._cell(cell)} = {self._locals[value]}" for cell in value.cells]
