"""Gradients of operators with nets inside: the same operator over the gradient of its net.

Owned here: the rules of Do, If and While. Names and forms are those of caffe2/python/control_ops_grad.py;
where the original goes through a set, order of first appearance is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from freshpot.errors import GradientError
from freshpot.net.gradient import backward
from freshpot.net.grads import GradientMaker
from freshpot.net.net import Net
from freshpot.net.op import Op

#: ends the names, inside, of gradients that come from outside
_INNER = "/_DO_OPERATOR_INNER_GRAD_"
#: ends the names, inside, of gradients that go outside
_INNER_COPY = "/_DO_OPERATOR_INNER_GRAD_COPY_"


def do_gradient(g: GradientMaker) -> list[Op]:
    """A Do over the backward net, in the workspace that the forward run left in the scope."""
    g.copy_arguments = False
    copies, given = _dense_grads(g)
    net, scope = _net(g, "net"), g.op.outputs[-1]
    to_inner, to_outer = _bindings(g.op)
    from_outside = {to_inner[o] + _INNER: grad for o, grad in given.items() if o != scope}
    ops, grads = _backward(net, {name.removesuffix(_INNER): name for name in from_outside})
    bound: dict[str, str] = {}
    inputs, saved = _bind_reads(ops, {**from_outside, **to_outer}, bound)
    outputs: list[str] = []
    read_as = {outer: inner for inner, outer in bound.items()}
    last: list[Op] = []
    for i, outer in enumerate(g.op.inputs[:-1]):
        inner = to_inner[outer]
        if inner in grads:
            made, grad = inner + _INNER_COPY, g.GI(i)
            ops.append(Op("Copy", [grads[inner]], [made]))
            outputs.append(grad)
            if grad in read_as:  # a loop's body: the gradient comes in and goes out under one name
                last.append(Op("Copy", [made], [read_as[grad]]))
            else:
                bound[made] = grad
    ops += last
    places = [*inputs, *outputs]
    return [
        *copies,
        _like(
            g.op,
            [*inputs, scope],
            [*outputs, scope],
            net=_gradient_net(net, ops),
            inner_blobs=list(bound),
            outer_blobs_idx=[places.index(outer) for outer in bound.values()],
            saved_fwd_blobs=saved,
        ),
    ]


def if_gradient(g: GradientMaker) -> list[Op]:
    """An If over the two backward nets; gradients that only one of them makes are zeros in the other."""
    g.copy_arguments = False
    copies, given = _dense_grads(g)
    then_net, else_net = _net(g, "then_net"), g.op.args.get("else_net")
    then_ops, then_grads = _backward(then_net, given)
    else_ops, else_grads = _backward(else_net, given) if isinstance(else_net, Net) else ([], {})
    then_reads, then_writes = _reads_and_writes(then_ops)
    else_reads, else_writes = _reads_and_writes(else_ops)
    grads = _merge(g, then_grads, else_grads, given)
    else_ops = else_ops + _zeros(then_grads, [w for w in then_writes if w not in else_writes], given)
    then_ops = then_ops + _zeros(else_grads, [w for w in else_writes if w not in then_writes], given)
    nets = {"then_net": _gradient_net(then_net, then_ops)}
    if isinstance(else_net, Net):
        nets["else_net"] = _gradient_net(else_net, else_ops)
    elif else_ops:
        auto = _gradient_net(then_net, else_ops)
        nets["else_net"] = replace(auto, name=auto.name and auto.name + "_auto_else_zero_blobs_")
    _set_grads(g, grads)
    condition = g.I(0)
    reads = [name for name in dict.fromkeys([*then_reads, *else_reads]) if name != condition]
    return [
        *copies,
        _like(g.op, [condition, *reads], list(dict.fromkeys([*then_writes, *else_writes])), **nets),
    ]


def while_gradient(g: GradientMaker) -> list[Op]:
    """A While over the backward body, as long as the scope holds forward runs."""
    g.copy_arguments = False
    copies, given = _dense_grads(g)
    net = _net(g, "loop_net")
    if len(net.ops) != 1 or net.ops[0].type != "Do" or net.ops[0].args.get("reuse_workspace"):
        raise GradientError(
            "loop_net must be a single Do without reuse_workspace for the gradient to be made.", op=str(g.op)
        )
    scope = net.ops[0].outputs[-1]
    ops, grads = _backward(net, given)
    reads, writes = _reads_and_writes(ops)
    decide = Net("gradient_loop_cond_net")
    condition = f"{decide.name}/cond"
    first = Op("HasScope", [scope], [condition])
    decide.ops.append(replace(first))
    before = [*copies, first]
    for blob, grad in given.items():
        if (made := grads.get(blob, grad)) != grad:
            decide.ops.append(Op("Copy", [made], [grad]))
            before.append(Op("Copy", [grad], [made]))
    _set_grads(g, grads)
    nets = {"loop_net": _gradient_net(net, ops), "cond_net": decide}
    return [*before, _like(g.op, [condition, *reads], writes, **nets)]


# ---- parts -------------------------------------------------------------------------------------------
def _net(g: GradientMaker, name: str) -> Net:
    net = g.op.args.get(name)
    if not isinstance(net, Net):
        raise GradientError(f"argument '{name}' (a net) is required.", op=str(g.op))
    return net


def _like(op: Op, inputs: list[str], outputs: list[str], **args: object) -> Op:
    """The gradient operator: the forward one with other blobs and arguments."""
    return Op(op.type, inputs, outputs, dict(args), name=op.name and op.name + "_grad")


def _gradient_net(net: Net, ops: list[Op]) -> Net:
    return replace(net, name=net.name and net.name + "_grad", ops=ops, inputs=[], outputs=[])


def _dense_grads(g: GradientMaker) -> tuple[list[Op], dict[str, str]]:
    """The output gradients by output; one that two outputs share is copied, so that names stay apart."""
    given: dict[str, str] = {}
    copies = []
    for i, output in enumerate(g.op.outputs):
        if i >= len(g.output_grads) or g.output_grads[i] is None or output in given:
            continue
        grad = g.GO(i)
        if grad in given.values():
            copies.append(Op("Copy", [grad], [f"{output}_{grad}_DEDUP"]))
            grad = copies[-1].outputs[0]
        given[output] = grad
    if not given:
        raise GradientError("none of its outputs has a gradient.", op=str(g.op))
    return copies, given


def _backward(net: Net, given: Mapping[str, str]) -> tuple[list[Op], dict[str, str]]:
    ops, grads = backward(net.ops, dict(given))
    return ops, {blob: grad for blob, grad in grads.items() if isinstance(grad, str)}


def _bindings(op: Op) -> tuple[dict[str, str], dict[str, str]]:
    """A Do's blobs: outer name -> inner name, and the other way round."""
    outer = [*op.inputs[:-1], *op.outputs[:-1]]
    inner: list[str] = list(op.args.get("inner_blobs", []))  # type: ignore[call-overload]
    places: list[int] = list(op.args.get("outer_blobs_idx", []))  # type: ignore[call-overload]
    to_outer = {name: outer[i] for name, i in zip(inner, places, strict=True)}
    return {o: i for i, o in to_outer.items()}, to_outer


def _bind_reads(
    ops: Iterable[Op], outside: Mapping[str, str], bound: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Outer blobs that the backward net reads, and the blobs it finds in the forward run's workspace."""
    inputs: dict[str, None] = {}
    saved: dict[str, None] = {}
    written: set[str] = set()
    for op in ops:
        for name in op.inputs:
            if name in written:
                continue
            if name in outside:
                inputs[outside[name]] = None
                bound[name] = outside[name]
            else:
                saved[name] = None
        written.update(op.outputs)
    return list(inputs), list(saved)


def _reads_and_writes(ops: list[Op]) -> tuple[list[str], list[str]]:
    return Net(ops=ops).missing_inputs(), list(dict.fromkeys(name for op in ops for name in op.outputs))


def _merge(
    g: GradientMaker, then_grads: dict[str, str], else_grads: dict[str, str], given: dict[str, str]
) -> dict[str, str]:
    """The gradient of each blob after the If; a branch that does not touch a blob keeps its gradient."""
    grads = dict(then_grads)
    for blob, grad in else_grads.items():
        other = then_grads.get(blob, grad)
        if other == grad or other == given.get(blob):
            grads[blob] = grad
        elif grad != given.get(blob):
            raise GradientError(
                f"the gradient of '{blob}' is '{other}' in one branch and '{grad}' in the other.",
                op=str(g.op),
            )
    return grads


def _zeros(grads: dict[str, str], names: list[str], given: dict[str, str]) -> list[Op]:
    """For the branch that does not make these gradients: the one from outside, or zeros."""
    blob_of = {grad: blob for blob, grad in reversed(grads.items())}
    ops = []
    for name in names:
        blob = blob_of.get(name)
        if blob is None:
            continue
        if blob not in given:
            ops.append(Op("ConstantFill", [blob], [name], {"value": 0.0}))
        elif given[blob] != name:
            ops.append(Op("Copy", [given[blob]], [name]))
    return ops


def _set_grads(g: GradientMaker, grads: dict[str, str]) -> None:
    for i, name in enumerate(g.op.inputs):
        if name in grads:
            g.set_dense(i, grads[name])
