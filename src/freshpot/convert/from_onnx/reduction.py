"""Reductions, extremes, and the products of several dimensions."""

from __future__ import annotations

from freshpot.convert.from_onnx._graph import Graph, Node, onnx

_PLAIN = {
    "ReduceSum": "ReduceSum",
    "ReduceMean": "ReduceMean",
    "ReduceMax": "ReduceMax",
    "ReduceMin": "ReduceMin",
    "ReduceL1": "ReduceL1",
    "ReduceL2": "ReduceL2",
}


@onnx(*_PLAIN, "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def reduce(graph: Graph, node: Node) -> None:
    x, made, ndim = graph.blob(node.inputs[0]), node.only_output(), len(node.shape())
    axes = sorted({node.place(a, ndim) for a in node.ints(1, "axes", [])})
    keep = int(node.attribute("keepdims", 1))
    if not axes and node.attribute("noop_with_empty_axes", 0):
        graph.pass_on(node.inputs[0], made)
        return
    axes = axes or list(range(ndim))
    if node.type in _PLAIN:
        graph.op(_PLAIN[node.type], [x], made, axes=axes, keepdims=keep)
    elif node.type == "ReduceSumSquare":
        graph.op(
            "ReduceSum",
            [graph.op("Sqr", [x], graph.fresh(f"{made}_squares"))],
            made,
            axes=axes,
            keepdims=keep,
        )
    elif node.type == "ReduceLogSum":
        total = graph.op("ReduceSum", [x], graph.fresh(f"{made}_sum"), axes=axes, keepdims=keep)
        graph.op("Log", [total], made)
    else:
        most = graph.op("ReduceMax", [x], graph.fresh(f"{made}_max"), axes=axes, keepdims=1)
        fixed = graph.op("StopGradient", [most], graph.fresh(f"{made}_fixed"))
        powers = graph.op(
            "Exp", [graph.op("Sub", [x, fixed], graph.fresh(f"{made}_less"))], graph.fresh(f"{made}_exp")
        )
        total = graph.op("ReduceSum", [powers], graph.fresh(f"{made}_sum"), axes=axes, keepdims=1)
        logs = graph.op("Log", [total], graph.fresh(f"{made}_log"))
        if keep:
            graph.op("Add", [logs, fixed], made)
        else:
            whole = graph.op("Add", [logs, fixed], graph.fresh(f"{made}_whole"))
            graph.op("Squeeze", [whole], made, dims=axes)


@onnx("ArgMax", "ArgMin")
def arg(graph: Graph, node: Node) -> None:
    if node.attribute("select_last_index", 0):
        node.refuse("select_last_index is not converted.")
    keep = int(node.attribute("keepdims", 1))
    graph.op(node.type, [graph.blob(node.inputs[0])], node.only_output(), axis=node.axis(0), keepdims=keep)


@onnx("TopK")
def top_k(graph: Graph, node: Node) -> None:
    if not node.attribute("largest", 1) or not node.attribute("sorted", 1):
        node.refuse("only the largest, sorted, are converted.")
    k = node.ints(1, "k")[0]
    axis = node.axis(-1)
    if not 0 < k <= node.shape()[axis]:
        node.refuse(f"there are no {k} of {node.shape()[axis]} elements.")
    names = [name or graph.fresh(f"{node.type}_{i}") for i, name in enumerate(node.places)]
    graph.op("TopK", [graph.blob(node.inputs[0])], names, k=k, axis=axis)
