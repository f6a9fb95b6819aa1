"""Pictures of nets: `draw_net_to_file(net_param, "net.png")`, with or without Graphviz.

Graphs are :class:`freshpot.viz.dot.Dot`, which has pydot's methods without needing pydot.

Source: BVLC/caffe python/caffe/draw.py (behaviour).
"""

from __future__ import annotations

import os
from typing import Any

from caffe.proto import caffe_pb2
from freshpot.formats.atomic import write_bytes
from freshpot.viz.dot import Dot, Edge, Node

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLORS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
_NO_LABEL = '""'


def get_pooling_types_dict() -> dict[int, str]:
    """Number -> name of the pooling methods."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: Any) -> str:
    """What stands at the arrows to a layer's tops: batch size, or number of outputs."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return _NO_LABEL


def get_layer_lr_mult(layer: Any) -> tuple[float, float]:
    """Learning rate factors of the weights and the biases.

    Raises:
        ValueError: a type of layer that has none, or more than two.
    """
    if layer.type not in _LEARNING:
        raise ValueError(f"{layer.type} layers do not have a learning rate multiplier")
    if len(layer.param) > 2:
        raise ValueError(
            f"layer '{layer.name}' has {len(layer.param)} learning rate multipliers, expected at most 2"
        )
    weights, biases = [*(spec.lr_mult for spec in layer.param), 1.0, 1.0][:2]
    return weights, biases


def get_layer_label(layer: Any, rankdir: str, display_lrm: bool = False) -> str:
    """The text in a layer's box, in quotes: name, type, and what its type is best known by.

    Args:
        rankdir: "LR" puts a line break between the parts, "TB" and "BT" a space.
        display_lrm: show learning rate factors.
    """
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    parts = [layer.name, f"({layer.type})"]
    if layer.type == "Pooling":
        p = layer.pooling_param
        parts[1] = f"(Pooling {get_pooling_types_dict()[p.pool]})"
        parts += _window(p.kernel_size, p.stride, p.pad)
    elif layer.type in ("Convolution", "Deconvolution"):
        p = layer.convolution_param
        parts += _window(
            *((list(v) or [none])[0] for v, none in ((p.kernel_size, 1), (p.stride, 1), (p.pad, 0)))
        )
    if display_lrm and layer.type in _LEARNING and any(get_layer_lr_mult(layer)):
        parts.append("lr mult: {:.1f}, {:.1f}".format(*get_layer_lr_mult(layer)))
    return f'"{separator.join(parts)}"'


def _window(kernel: int, stride: int, pad: int) -> list[str]:
    return [f"kernel size: {kernel}", f"stride: {stride}", f"pad: {pad}"]


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's box."""
    return _COLORS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: Any,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Dot:
    """The graph of a NetParameter: layers (boxes) and blobs (octagons).

    Args:
        rankdir: direction: "LR", "TB" or "BT".
        label_edges: write batch sizes and numbers of outputs at the arrows.
        phase: only layers of this phase; None: all.
        display_lrm: show learning rate factors.

    Raises:
        ValueError: a layer has both include and exclude rules (if ``phase`` is given).
    """
    graph = Dot(caffe_net.name or "Net", rankdir=rankdir)
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str, str]] = []
    for layer in caffe_net.layer:
        if phase is not None and not _in_phase(layer, phase):
            continue
        name = f"{layer.name}_{layer.type}"
        nodes[name] = Node(get_layer_label(layer, rankdir, display_lrm=display_lrm), **_style(layer))
        for blob in layer.bottom:
            nodes[f"{blob}_blob"] = Node(blob, **BLOB_STYLE)
            edges.append((f"{blob}_blob", name, _NO_LABEL))
        for blob in layer.top:
            nodes[f"{blob}_blob"] = Node(blob)
            edges.append((name, f"{blob}_blob", get_edge_label(layer) if label_edges else _NO_LABEL))
    for node in nodes.values():
        graph.add_node(node)
    for source, target, label in edges:
        graph.add_edge(Edge(nodes[source], nodes[target], label=label))
    return graph


def _style(layer: Any) -> dict[str, str]:
    if len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]:
        return NEURON_LAYER_STYLE
    return {**LAYER_STYLE_DEFAULT, "fillcolor": choose_color_by_layertype(layer.type)}


def _in_phase(layer: Any, phase: int) -> bool:
    """Whether the layer's rules let it into a phase; a rule that names no phase is met by both."""
    if layer.include and layer.exclude:
        raise ValueError(f"layer '{layer.name}' has both include and exclude rules; keep one kind")
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """The picture of a NetParameter as bytes of format ``ext``; see :func:`get_pydot_graph`.

    Raises:
        NotSupportedError: a format that needs Graphviz, which is not installed.
    """
    return get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).create(format=ext)


def draw_net_to_file(
    caffe_net: Any,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write the picture of a NetParameter in the format that the file's extension names; ``.raw`` is DOT text."""
    extension = os.fspath(filename).rpartition(".")[2]
    write_bytes(filename, draw_net(caffe_net, rankdir, extension, phase, display_lrm))
