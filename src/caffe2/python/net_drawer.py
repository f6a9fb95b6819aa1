"""Pictures of nets and plans: the original's functions, drawn with or without Graphviz.

Graphs are :class:`freshpot.viz.dot.Dot`, which has pydot's methods (``create_png()``, ``write_svg(path)``,
``to_string()``, ``get_nodes()`` …) without needing pydot.

Source: pytorch/pytorch caffe2/python/net_drawer.py (behaviour).
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from freshpot.errors import FormatError, FreshpotError
from freshpot.formats.atomic import write_bytes
from freshpot.viz.dot import Dot, Edge, Node
from freshpot.viz.graph import BLOB_STYLE, OP_STYLE, blob_node, dependency_graph, net_graph, op_node, quoted

__all__ = [
    "BLOB_STYLE",
    "OP_STYLE",
    "GetBlobNodeProducer",
    "GetGraphInJson",
    "GetGraphPngSafe",
    "GetOpNodeProducer",
    "GetOperatorMapForPlan",
    "GetPlanGraph",
    "GetPydotGraph",
    "GetPydotGraphMinimal",
    "main",
]

logger = logging.getLogger(__name__)

_MOST_PARALLEL_STEPS = 3  # drawn of a concurrent step; the others are counted

# One white, transparent pixel: what GetGraphPngSafe gives when drawing fails.
_EMPTY_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63f8ffff3f030008fc02fe8c0b3fae0000000049454e44ae426082"
)


def GetOpNodeProducer(append_output: bool, **kwargs: Any) -> Callable[[Any, int], Node]:
    """A maker of operator nodes; ``append_output`` lists the outputs below the operator's type."""
    return op_node(append_output, **kwargs)


def GetBlobNodeProducer(**kwargs: Any) -> Callable[..., Node]:
    """A maker of blob nodes from (node_name, label)."""
    return lambda node_name, label: blob_node(**kwargs)(node_name, label=label)


def GetPydotGraph(
    operators_or_net: Any,
    name: str | None = None,
    rankdir: str = "LR",
    op_node_producer: Callable[[Any, int], Node] | None = None,
    blob_node_producer: Callable[..., Node] | None = None,
) -> Dot:
    """Operators and blobs of a net.

    Args:
        operators_or_net: operators, a NetDef, or a ``core.Net``.
        name: of the graph; default the net's name, or "unnamed" for bare operators.
        rankdir: "LR" (left to right), "TB", "RL" or "BT".
        op_node_producer: makes an operator's node from (operator, index).
        blob_node_producer: makes a blob's node from (unique name, label=...).
    """
    operators, name = _operators_and_name(operators_or_net, name)
    return net_graph(operators, name, rankdir, op_node_producer, blob_node_producer)


def GetPydotGraphMinimal(
    operators_or_net: Any,
    name: str | None = None,
    rankdir: str = "LR",
    minimal_dependency: bool = False,
    op_node_producer: Callable[[Any, int], Node] | None = None,
) -> Dot:
    """Operators only, an edge from each blob's writer to its readers.

    ``minimal_dependency`` leaves out an edge where a longer way between the same operators says as much.
    The other arguments are those of :func:`GetPydotGraph`.
    """
    operators, name = _operators_and_name(operators_or_net, name)
    return dependency_graph(operators, name, rankdir, minimal_dependency, op_node_producer)


def GetOperatorMapForPlan(plan_def: caffe2_pb2.PlanDef) -> dict[str, Any]:
    """The operators of each net in a plan, under "plan_net", or "plan_network_3" for a net without a name."""
    return {
        f"{plan_def.name}_{net.name}" if net.HasField("name") else f"{plan_def.name}_network_{index}": net.op
        for index, net in enumerate(plan_def.network)
    }


def GetPlanGraph(plan_def: caffe2_pb2.PlanDef, name: str | None = None, rankdir: str = "TB") -> Dot:
    """Steps and nets of a plan; dashed edges lead from a step to what it runs.

    Raises:
        ValueError: a step that has neither nets nor substeps.
    """
    graph = Dot(name, rankdir=rankdir)
    _draw_steps(plan_def.execution_step, graph)
    return graph


def GetGraphInJson(operators_or_net: Any, output_filepath: str) -> None:
    """Write ``{"nodes": [...], "edges": [...]}`` for a viewer; nodes are numbered, edges are source and target."""
    operators, _ = _operators_and_name(operators_or_net, None)
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, int]] = []
    ids: dict[tuple[str, int], int] = {}
    versions: Counter[str] = Counter()

    def blob_id(blob: str) -> int:
        key = blob, versions[blob]
        if key not in ids:
            ids[key] = len(nodes)
            nodes.append({"id": ids[key], "label": blob, "type": "blob"})
        return ids[key]

    for index, op in enumerate(operators):
        op_id = len(nodes)
        label = f"{op.name}/{op.type}" if op.name else op.type
        nodes.append({"id": op_id, "label": label, "op_id": index, "type": "op"})
        edges += [{"source": blob_id(blob), "target": op_id} for blob in op.input]
        for blob in op.output:
            versions[blob] += (blob, versions[blob]) in ids
            edges.append({"source": op_id, "target": blob_id(blob)})
    write_bytes(output_filepath, json.dumps({"nodes": nodes, "edges": edges}).encode())


def GetGraphPngSafe(func: Callable[..., Dot], *args: Any, **kwargs: Any) -> bytes:
    """``func(*args, **kwargs)`` as PNG; where anything fails, the reason is logged and the PNG is one empty pixel."""
    try:
        graph = func(*args, **kwargs)
        if not isinstance(graph, Dot):
            raise ValueError(
                f"expected a function that returns a graph (Dot), it returned {type(graph).__name__}"
            )
        return graph.create_png()
    except Exception as error:  # the point of this function
        logger.error("Failed to draw graph: %s", error)
        return _EMPTY_PNG


def main(argv: Sequence[str] | None = None) -> None:
    """Draw a text-format NetDef or PlanDef: one .dot and one .pdf file a net, in the current folder."""
    args = _parser().parse_args(argv)
    for name, operators in _read(args.input).items():
        make_op = GetOpNodeProducer(args.append_output, **OP_STYLE)
        if args.minimal or args.minimal_dependency:
            graph = GetPydotGraphMinimal(operators, name, args.rankdir, args.minimal_dependency, make_op)
        else:
            graph = GetPydotGraph(operators, name, args.rankdir, make_op)
        stem = f"{args.output_prefix}{graph.get_name()}"
        graph.write(f"{stem}.dot", format="raw")
        graph.write_pdf(f"{stem}.pdf")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="net_drawer", description="Draw Caffe2 nets.")
    parser.add_argument("--input", required=True, help="text-format NetDef or PlanDef")
    parser.add_argument("--output_prefix", default="", help="put before the names of the files written")
    parser.add_argument("--minimal", action="store_true", help="operators only, no blobs")
    parser.add_argument(
        "--minimal_dependency", action="store_true", help="operators, and only necessary edges"
    )
    parser.add_argument("--append_output", action="store_true", help="list outputs in the operators' boxes")
    parser.add_argument("--rankdir", default="LR", help="LR, TB, RL or BT")
    return parser


def _read(path: str) -> dict[str, Any]:
    """The operators of each net in a text-format file, by name."""
    from google.protobuf import text_format

    with open(path, encoding="utf-8") as file:
        content = file.read()
    reasons = []
    for message in (caffe2_pb2.PlanDef(), caffe2_pb2.NetDef()):
        try:
            text_format.Parse(content, message)
        except text_format.ParseError as error:
            reasons.append(f"not a {message.DESCRIPTOR.name}: {error}")
            continue
        return (
            GetOperatorMapForPlan(message)
            if message.DESCRIPTOR.name == "PlanDef"
            else {message.name: message.op}
        )
    raise FormatError("; ".join(reasons), path=path)


def _operators_and_name(operators_or_net: Any, name: str | None) -> tuple[Iterable[Any], str]:
    """Operators and graph name of anything that the drawing functions take."""
    net = operators_or_net
    if not isinstance(net, caffe2_pb2.NetDef) and hasattr(net, "Proto"):
        net = net.Proto()
        if not isinstance(net, caffe2_pb2.NetDef):
            raise RuntimeError(f"Expecting NetDef, but got {type(net)}")
    if isinstance(net, caffe2_pb2.NetDef):
        return net.op, net.name if name is None else name
    return net, "unnamed" if name is None else name


def _step_label(step: Any) -> str:
    lines = [f"{step.name}\n"]
    lines += [f"Reporter: {step.report_net}"] if step.report_net else []
    lines += [f"Stopper: {step.should_stop_blob}"] if step.should_stop_blob else []
    lines += ["Concurrent"] if step.concurrent_substeps else []
    lines += ["Once"] if step.only_once else []
    return "\n".join(lines)


def _draw_steps(steps: Iterable[Any], graph: Dot, chained: bool = True) -> list[Node]:
    """Add steps and all below them; the nodes of the steps themselves."""
    nodes: list[Node] = []
    for step in steps:
        node = Node(quoted(_step_label(step)), **OP_STYLE)
        graph.add_node(node)
        if nodes and chained:
            graph.add_edge(Edge(nodes[-1], node))
        nodes.append(node)
        children = _draw_children(step, graph)
        for child in children if step.concurrent_substeps else children[:1]:
            graph.add_edge(_down(node, child))
        if step.concurrent_substeps and len(step.substep) > _MOST_PARALLEL_STEPS:
            more = Node(f"{len(step.substep) - _MOST_PARALLEL_STEPS} more steps", **OP_STYLE)
            graph.add_node(more)
            graph.add_edge(_down(node, more))
    return nodes


def _draw_children(step: Any, graph: Dot) -> list[Node]:
    if step.network:
        return _draw_nets(step.network, graph)
    if step.substep and step.concurrent_substeps:
        return _draw_steps(step.substep[:_MOST_PARALLEL_STEPS], graph, chained=False)
    if step.substep:
        return _draw_steps(step.substep, graph)
    raise ValueError(f"execution step '{step.name}' has neither nets nor substeps")


def _draw_nets(names: Iterable[str], graph: Dot) -> list[Node]:
    nodes: list[Node] = []
    for name in names:
        node = Node(quoted(name))
        graph.add_node(node)
        if nodes:
            graph.add_edge(Edge(nodes[-1], node))
        nodes.append(node)
    return nodes


def _down(step: Node, child: Node) -> Edge:
    return Edge(step, child, arrowhead="dot", style="dashed")


if __name__ == "__main__":
    try:
        main()
    except FreshpotError as error:
        raise SystemExit(f"net_drawer: {error}") from None
