"""Layers with weights and the plumbing of nets."""

from __future__ import annotations

import math

from caffe._net.blob import DIFF
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArityError


@layer("Input", bottoms=0, tops=(1, None))
def input_(low: Lowering) -> None:
    shapes = low.param.input_param.shape
    if len(shapes) not in (0, 1, len(low.top)):
        low.refuse(f"give one shape, or one a top: {len(low.top)} tops, {len(shapes)} shapes.", ArityError)
    first_time = not low.layer.state
    for i in range(len(low.top) if shapes and first_time else 0):
        low.shape_top(i, shapes[0 if len(shapes) == 1 else i].dim)
    low.layer.state = True
    low.host(lambda: None)


@layer("Split", bottoms=1, tops=(1, None))
def split(low: Lowering) -> None:
    source = low.layer.bottoms[0]
    for top in low.layer.tops:
        low.workspace.link(top.name, source.data_cell)
        top.share_data(source)
    low.backward_op("Sum", [DIFF.format(top) for top in low.top], [DIFF.format(low.bottom[0])])


@layer("InnerProduct")
def inner_product(low: Lowering) -> None:
    p = low.param.inner_product_param
    axis = low.axis(p.axis)
    K = math.prod(low.shapes[0][axis:])
    W = low.weight((K, p.num_output) if p.transpose else (p.num_output, K), p.weight_filler)
    b = [low.weight((p.num_output,), p.bias_filler)] if p.bias_term else []
    low.op("FC", [low.bottom[0], W, *b], low.top, axis=axis)
