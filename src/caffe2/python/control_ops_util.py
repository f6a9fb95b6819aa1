"""`If` and `While` operators from nets for their branches, bodies and conditions.

Source: caffe2/python/control_ops_util.py. Differs: blobs are listed in the order in which they first
appear; the original listed them in an order that varied from run to run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from caffe2.python import core
from caffe2.python._errors import require


def _unique(*groups: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def get_external_blob_names(net: Any, lexical_scope: Collection[Any]) -> tuple[list[str], list[str]]:
    """The blobs of the scope around a net that the net reads before writing, and those that it writes.

    Raises MisuseError if the net reads a blob that it did not write and that is not in the scope.
    """
    visible = {str(blob) for blob in lexical_scope}
    inputs: list[str] = []
    written: set[str] = set()
    for op in net.Proto().op:
        inputs.extend(name for name in [*op.input, *op.control_input] if name not in written)
        written.update(op.output)
    for name in inputs:
        require(
            name in visible,
            f"net '{net.Name()}' reads blob '{name}', which it does not write and which is not among the"
            " external blobs.",
        )
    outputs = (name for op in net.Proto().op for name in op.output if name in visible)
    return _unique(inputs), _unique(outputs)


class _Subnet:
    """A net wrapped in a `Do` operator that runs it in a workspace of its own."""

    def __init__(self, outer: Any, net: Any, do_name: str, suffix: str) -> None:
        self.outer, self.net, self.do_name = outer, net, do_name
        self.workspace = outer.NextScopedBlob(f"{outer.Name()}/workspace_{suffix}")
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def bind(self, inputs: list[str], outputs: list[str]) -> _Subnet:
        """Say which outer blobs it reads and writes."""
        self.inputs, self.outputs = inputs, outputs
        return self

    @property
    def blobs(self) -> tuple[list[str], list[str]]:
        """Inputs and outputs of the `Do` operator."""
        return [*self.inputs, str(self.workspace)], [*self.outputs, str(self.workspace)]

    def message(self, **kwargs: Any) -> Any:
        """The message of a net that holds the `Do` operator alone."""
        do_net = core.Net(self.do_name)
        inputs, outputs = (_references(names) for names in self.blobs)
        slots = [*self.inputs, *self.outputs]
        inner = _unique(slots)
        do_net.Do(
            inputs,
            outputs,
            net=self.net.Proto(),
            inner_blobs=inner,
            outer_blobs_idx=[slots.index(name) for name in inner],
            **kwargs,
        )
        do_net.AddExternalOutput(*outputs)
        return do_net.Proto()


def _references(names: Iterable[str]) -> list[Any]:
    return [core.BlobReference(name) for name in names]


def add_if_op(
    if_net: Any, cond_blob: Any, lexical_scope: Collection[Any], then_net: Any, else_net: Any = None
) -> None:
    """Add an `If` to ``if_net``: run ``then_net`` if the scalar bool ``cond_blob`` holds, else ``else_net``.

    Blobs named in ``lexical_scope`` are those around the operator; all others live and die in the branch.
    """
    nets = {"then": then_net, "else": else_net} if else_net else {"then": then_net}
    branches = {
        kind: _Subnet(if_net, net, f"do_{kind}_net", f"if_{kind}").bind(
            *get_external_blob_names(net, lexical_scope)
        )
        for kind, net in nets.items()
    }
    parts = branches.values()
    scopes = [str(part.workspace) for part in parts]
    inputs = [cond_blob, *_references([*_unique(*(part.inputs for part in parts)), *scopes])]
    outputs = _references([*_unique(*(part.outputs for part in parts)), *scopes])
    nets = {f"{kind}_net": part.message() for kind, part in branches.items()}
    for part in parts:
        if_net.CreateScope([], [part.workspace])
    if_net.If(inputs, outputs, **nets)
    if_net.AddExternalOutput(*outputs)


def add_while_op(
    while_net: Any,
    cond_blob: Any,
    lexical_scope: Collection[Any],
    loop_body_net: Any,
    condition_body_net: Any = None,
) -> None:
    """Add a `While` to ``while_net``: run ``loop_body_net`` while the scalar bool ``cond_blob`` holds.

    ``condition_body_net``, if given, computes the blob before the first and after each round.
    Blobs are found as in `add_if_op`.
    """
    reads, writes = get_external_blob_names(loop_body_net, lexical_scope)
    body = _Subnet(while_net, loop_body_net, "do_loop_body_net", "loop_body")
    body.bind(_unique(reads, writes), writes)  # the body may not run at all, so outputs are inputs, too
    parts = {"loop_net": (body, {"copy_external_blobs": True})}
    if condition_body_net:
        condition = _condition(while_net, cond_blob, lexical_scope, condition_body_net)
        parts["cond_net"] = (condition, {})
        if str(cond_blob) not in {str(blob) for blob in lexical_scope}:
            while_net.ConstantFill([], cond_blob, dtype=core.DataType.BOOL, value=False)
    ins = [name for part, _ in parts.values() for name in part.blobs[0]]
    outs = [name for part, _ in parts.values() for name in part.blobs[1]]
    outputs = _references(_unique(outs))
    nets = {name: part.message(**kwargs) for name, (part, kwargs) in parts.items()}
    for part, _ in parts.values():
        while_net.CreateScope([], [part.workspace])
    while_net.While([cond_blob, *_references(_unique(ins))], outputs, **nets)
    while_net.AddExternalOutput(*outputs)


def _condition(while_net: Any, cond_blob: Any, lexical_scope: Collection[Any], net: Any) -> _Subnet:
    require(
        any(str(cond_blob) in op.output for op in net.Proto().op),
        f"the condition net '{net.Name()}' does not write the condition blob '{cond_blob}'.",
    )
    reads, writes = get_external_blob_names(net, lexical_scope)
    part = _Subnet(while_net, net, "do_loop_condition_net", "loop_cond")
    return part.bind(reads, _unique(writes, [str(cond_blob)]))
