"""Pass: normalisations with constant statistics become one factor and one addend a channel."""

from __future__ import annotations

from freshpot.engine.passes.graph import Graph, Node, Value, unread
from freshpot.net.op import Op
from freshpot.ops.normalization._affine import PARAMETERS


def fold_normalizations(graph: Graph) -> None:
    """BatchNorm, Scale, Bias and SpatialBN of the test phase become `ChannelAffine`; neighbours become one."""
    for node in list(graph.nodes):
        kind = _kind(node)
        if kind is None:
            continue
        for value, source in zip(node.outputs[1:], node.inputs[1:], strict=False):
            if node.op.type == "BatchNorm" and value.name == source.name:
                _stays(value, source)
        if not unread(node.outputs[1:]):
            continue
        eps = float(getattr(node.operator, "eps", 0.0) or getattr(node.operator, "epsilon", 0.0))
        args = {"norms": [kind], "eps": [eps], "order": _order(node)}
        op = Op(
            "ChannelAffine",
            list(node.op.inputs),
            node.op.outputs[:1],
            args,
            node.op.device,
            name=node.op.name,
        )
        graph.replace(node, op, node.inputs)
    _join_neighbours(graph)


def _join_neighbours(graph: Graph) -> None:
    for node in list(graph.nodes):
        if node.op.type != "ChannelAffine":
            continue
        before = node.inputs[0].maker
        if before is None or before.op.type != "ChannelAffine" or node.inputs[0].only_reader is not node:
            continue
        if node.inputs[0].shown:  # it could not be computed again from what the two amount to
            continue
        first, second = before.op.args, node.op.args
        if first["order"] != second["order"]:
            continue
        args = {**first, "norms": [*first["norms"], *second["norms"]], "eps": [*first["eps"], *second["eps"]]}  # type: ignore[misc]
        inputs = [*before.inputs, *node.inputs[1:]]
        op = Op(
            "ChannelAffine",
            [*before.op.inputs, *node.op.inputs[1:]],
            node.op.outputs,
            args,
            node.op.device,
            name=before.op.name,
        )
        graph.join(before, node, op, inputs)


def _stays(value: Value, source: Value) -> None:
    """A statistic that the operator hands on as it is: whoever reads it reads the parameter."""
    for reader in dict.fromkeys(value.readers):
        reader.inputs = [source if v is value else v for v in reader.inputs]
    source.readers += value.readers
    value.readers, value.cells = [], []


def _order(node: Node) -> str:
    return str(getattr(node.operator, "order", "NCHW"))


def _kind(node: Node) -> str | None:
    """What `ChannelAffine` calls the operator, if it can stand for it."""
    operator, type = node.operator, node.op.type
    kind: str | None = None
    if type in ("BatchNorm", "SpatialBN") and (
        operator.use_global_stats if type == "BatchNorm" else operator.is_test
    ):
        kind = type
    elif type in ("CaffeScale", "Bias") and operator.axis == 1:
        kind = "CaffeScale+bias" if type == "CaffeScale" and len(node.inputs) == 3 else type
    if kind is None or len(node.inputs) <= PARAMETERS[kind]:
        return None
    parameters = [value.parameter for value in node.inputs[1 : 1 + PARAMETERS[kind]]]
    if len(node.inputs) != 1 + PARAMETERS[kind] or any(p is None or p.dim() != 1 for p in parameters):
        return None
    return kind
