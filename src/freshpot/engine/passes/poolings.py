"""Pass: max pooling of which only the maxima are wanted."""

from __future__ import annotations

from freshpot.engine.passes.graph import Graph, unread
from freshpot.net.op import Op

_FOR = {"MaxPool": "PixelMaxPool", "MaxPool2D": "PixelMaxPool", "CaffeMaxPool": "PixelCaffeMaxPool"}


def pool_pixels(graph: Graph) -> None:
    """Max pooling whose places nobody reads is done in the memory layout that convolutions leave."""
    for node in list(graph.nodes):
        if node.op.type in _FOR and unread(node.outputs[1:]):
            args, old = dict(node.op.args), node.op
            op = Op(_FOR[old.type], list(old.inputs), old.outputs[:1], args, old.device, name=old.name)
            graph.replace(node, op, node.inputs)
