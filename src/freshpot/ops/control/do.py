"""A net run in a workspace of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from freshpot.errors import ArgumentError, ArityError, MissingBlobError
from freshpot.net.net import Net
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.control._gradient import do_gradient
from freshpot.ops.control.scope import scope_of

if TYPE_CHECKING:
    from freshpot.engine.plan import Plan
    from freshpot.engine.workspace import Blob, Workspace


class Do(Operator):
    """Run a net in a workspace of its own that sees only the blobs bound to it.

    The last input and output is the scope (`CreateScope`) that keeps the workspaces of the runs. Blob
    ``inner_blobs[k]`` of the net is the outer blob number ``outer_blobs_idx[k]``, counted through the
    inputs and then the outputs, scope left out.

    Raises:   ArgumentError, ArityError if bindings do not name every outer blob once.
    Source:   caffe2/operators/do_op.h
    """

    inputs = (Port("blob", many=True, at_least=1),)
    outputs = (Port("blob", many=True, at_least=1),)
    args = (
        Arg("net", Net, doc="what to run"),
        Arg("inner_blobs", [str], [], "names inside"),
        Arg("outer_blobs_idx", [int], [], "which outer blob each of them is"),
        Arg("copy_external_blobs", bool, False, "keep copies of the bound blobs for the backward run"),
        Arg("reuse_workspace", bool, False, "use one workspace for all runs; there is no backward run then"),
    )
    inplace = ANY_PAIR
    gradient_rule = staticmethod(do_gradient)

    def setup(self) -> None:
        if self.op.is_gradient and self.reuse_workspace:
            self.refuse("a backward Do needs one workspace a run: leave reuse_workspace off.", ArgumentError)
        if self.copy_external_blobs and self.reuse_workspace:
            self.refuse("copy_external_blobs and reuse_workspace exclude each other.", ArgumentError)
        ins, outs = self.op.inputs, self.op.outputs
        if ins[-1] != outs[-1]:
            self.refuse(
                f"the last input '{ins[-1]}' and the last output '{outs[-1]}' must be one scope.", ArityError
            )
        self._check_bindings([*ins[:-1], *outs[:-1]])
        self._plans: dict[int, Plan] = {}

    def _check_bindings(self, outer: list[str]) -> None:
        inner, idx = self.inner_blobs, self.outer_blobs_idx
        if len(inner) != len(idx):
            self.refuse(
                f"{len(inner)} inner_blobs and {len(idx)} outer_blobs_idx must be equally many.",
                ArgumentError,
            )
        if any(not 0 <= i < len(outer) for i in idx):
            self.refuse(f"outer_blobs_idx {idx} must lie in [0, {len(outer)}).", ArgumentError)
        bound = [outer[i] for i in idx]
        if len(set(inner)) < len(inner) or len(set(bound)) < len(bound) or set(bound) != set(outer):
            self.refuse(
                f"each inner blob {inner} must be bound to another outer blob, and all of {sorted(set(outer))}"
                f" must be used; bound are {bound}.",
                ArgumentError,
            )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        scope = scope_of(self, outputs[-1])
        outer = [*inputs[:-1], *outputs[:-1]]
        bindings = dict(zip(self.inner_blobs, (outer[i] for i in self.outer_blobs_idx), strict=True))
        if self.op.is_gradient:
            if not len(scope):
                self.refuse(
                    f"scope '{outputs[-1].name}' has no forward run left: run the forward operator first.",
                    MissingBlobError,
                )
            inner = scope.pop(ws, bindings)
        else:
            inner = (scope.reuse if self.reuse_workspace else scope.push)(ws, bindings)
        plan = self._plans.get(id(inner))
        if plan is None or plan.workspace is not inner:
            plan = self._plans[id(inner)] = inner.plan(self.net)
        plan.step()
        if self.copy_external_blobs and not self.op.is_gradient:
            _keep_copies(inner, bindings)


def _keep_copies(inner: Workspace, bindings: Mapping[str, Blob]) -> None:
    """Replace bound blobs by copies, so that later writes outside do not reach the backward run."""
    for name, blob in bindings.items():
        if isinstance(blob.value, torch.Tensor):
            inner.remove(name)
            inner.create_local(name).value = blob.value.clone()
