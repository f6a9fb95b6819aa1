"""Passes: what follows a convolution is done by the convolution."""

from __future__ import annotations

from typing import Any

from freshpot.engine.passes.graph import Graph, Node, Value, unread
from freshpot.net.op import Op

_CONVOLUTIONS = frozenset(("Conv", "Conv2D", "ConvRelu", "FusedConv"))
_OWN_ARGS = ("bias", "norms", "eps", "sum", "activation")


def fold_into_convolutions(graph: Graph) -> None:
    """`ChannelAffine` right behind a convolution goes into its weight and bias."""
    for node in list(graph.nodes):
        before = _convolution_before(graph, node, 0) if node.op.type == "ChannelAffine" else None
        if node.inputs and node.inputs[0].shown:  # it could not be computed again from the folded weight
            continue
        if before is None or before.op.args.get("sum") or before.op.args.get("activation"):
            continue
        if before.op.type == "ConvRelu" or before.operator.order != node.operator.order:
            continue
        args = _args(before)
        args["norms"] = [*args["norms"], *node.operator.norms]
        args["eps"] = [*args["eps"], *node.operator.eps]
        args["activation"] = node.operator.activation
        _put(graph, before, node, args, [*before.inputs, *node.inputs[1:]])


def add_in_convolutions(graph: Graph) -> None:
    """A sum of a convolution's output and another value (a residual block's) is done by the convolution."""
    for node in list(graph.nodes):
        if not _is_sum(node) or node.inputs[0] is node.inputs[1]:
            continue
        for i in (1, 0):
            before = _convolution_before(graph, node, i)
            if before is None or before.op.type == "ConvRelu":
                continue
            args = _args(before)
            if args["sum"] or args["activation"]:
                continue
            args["sum"] = 1
            _put(graph, before, node, args, [*before.inputs, node.inputs[1 - i]])
            break


def rectify_in_convolutions(graph: Graph) -> None:
    """Relu right behind a convolution, or behind normalisations that stand alone, is done by them."""
    for node in list(graph.nodes):
        if node.op.type != "Relu":
            continue
        before = _convolution_before(graph, node, 0)
        if before is not None:
            args = _args(before)
            if not args["activation"]:
                args["activation"] = "relu"
                _put(graph, before, node, args, before.inputs)
            continue
        maker = node.inputs[0].maker
        if maker is not None and maker.op.type == "ChannelAffine" and node.inputs[0].only_reader is node:
            args = {**maker.op.args, "activation": "relu"}
            op = Op(
                "ChannelAffine",
                maker.op.inputs,
                node.op.outputs[:1],
                args,
                maker.op.device,
                name=maker.op.name,
            )
            graph.join(maker, node, op, maker.inputs)


def pack_convolutions(graph: Graph) -> None:
    """Convolutions that nothing was joined to get packed weights as well."""
    for node in list(graph.nodes):
        if node.op.type in ("Conv", "Conv2D", "ConvRelu") and _packs(node):
            args = _args(node)
            graph.replace(node, _op(node, args, node.inputs, node.op.outputs), node.inputs)


def _convolution_before(graph: Graph, node: Node, i: int) -> Node | None:
    """The convolution that makes input i, if nobody else sees what it makes."""
    value = node.inputs[i]
    maker = value.maker
    if maker is None or maker.op.type not in _CONVOLUTIONS or value.only_reader is not node:
        return None
    return maker if _packs(maker) and unread(node.outputs[1:]) else None


def _packs(node: Node) -> bool:
    W = node.inputs[1].parameter
    return W is not None and W.dim() == 4


def _is_sum(node: Node) -> bool:
    type, operator = node.op.type, node.operator
    if len(node.inputs) != 2 or type not in ("Sum", "Eltwise"):
        return False
    return type == "Sum" or (operator.operation == "SUM" and all(f == 1.0 for f in operator.factors))


def _args(node: Node) -> dict[str, Any]:
    """The arguments of the FusedConv that does what a convolution does."""
    args: dict[str, Any] = dict(node.op.args)
    if node.op.type != "FusedConv":
        args.pop("no_bias", None)
        args |= {"bias": int(len(node.inputs) == 3), "norms": [], "eps": [], "sum": 0}
        args["activation"] = "relu" if node.op.type == "ConvRelu" else ""
    return args


def _op(node: Node, args: dict[str, Any], inputs: list[Value], outputs: list[str]) -> Op:
    names = [value.name for value in inputs]
    return Op("FusedConv", names, outputs[:1], args, node.op.device, name=node.op.name)


def _put(graph: Graph, conv: Node, after: Node, args: dict[str, Any], inputs: list[Value]) -> None:
    graph.join(conv, after, _op(conv, args, inputs, after.op.outputs), inputs)
