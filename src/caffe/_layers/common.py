"""Layers with weights and the plumbing of nets."""

from __future__ import annotations

import math

from caffe._net.blob import DIFF
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArityError


@layer("Input", bottoms=0, tops=(1, None))
def input_(l: Lowering) -> None:
    shapes = l.param.input_param.shape
    if len(shapes) not in (0, 1, len(l.top)):
        l.refuse(f"give one shape, or one a top: {len(l.top)} tops, {len(shapes)} shapes.", ArityError)
    first_time = not l.layer.state
    for i in range(len(l.top) if shapes and first_time else 0):
        l.shape_top(i, shapes[0 if len(shapes) == 1 else i].dim)
    l.layer.state = True
    l.host(lambda: None)


@layer("Split", bottoms=1, tops=(1, None))
def split(l: Lowering) -> None:
    source = l.layer.bottoms[0]
    for top in l.layer.tops:
        l.workspace.link(top.name, source.data_cell)
        top.share_data(source)
    l.backward_op("Sum", [DIFF.format(top) for top in l.top], [DIFF.format(l.bottom[0])])


@layer("InnerProduct")
def inner_product(l: Lowering) -> None:
    p = l.param.inner_product_param
    axis = l.axis(p.axis)
    K = math.prod(l.shapes[0][axis:])
    W = l.weight((K, p.num_output) if p.transpose else (p.num_output, K), p.weight_filler)
    b = [l.weight((p.num_output,), p.bias_filler)] if p.bias_term else []
    l.op("FC", [l.bottom[0], W, *b], l.top, axis=axis)


@layer("ReLU")
def relu(l: Lowering) -> None:
    l.op("Relu", l.bottom, l.top)
