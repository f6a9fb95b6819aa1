"""What every net has: inputs and splits."""

from __future__ import annotations

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
        top.share_data(source, low.workspace)
    low.backward_op("Sum", [DIFF.format(top) for top in low.top], [DIFF.format(low.bottom[0])])
