"""A net whose operators over parameters alone are done beforehand.

Owned here: which operators these may be. Who calls it: the writers of nets for use (`freshpot.torch._files`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from freshpot.convert._table import UNFIT
from freshpot.engine import infer_shapes
from freshpot.errors import FreshpotError
from freshpot.net import Net, Op, registry

#: operators that always make the same of the same: moved elements, and arithmetic
FOLDED = {
    "Add", "Cast", "Concat", "Copy", "Div", "ExpandDims", "Flatten", "Mul", "Reshape", "Scale", "Slice", "Sqrt",
    "Squeeze", "Sub", "Transpose",
}  # fmt: skip

#: elements that may be made beforehand, beside four times as many as there are parameters
_ROOM = 1 << 24


def folded(
    net: Net, parameters: Mapping[str, torch.Tensor], outputs: Iterable[str]
) -> tuple[Net, dict[str, torch.Tensor]]:
    """The net without such operators, and the parameters that it still reads, with those that were computed."""
    values, ops = dict(parameters), []
    written = Counter(blob for op in net.ops for blob in op.outputs)
    kept = {*outputs, *net.inputs}
    room = _ROOM + 4 * sum(value.numel() for value in values.values())
    for op in net.ops:
        once = all(written[blob] == 1 and blob not in kept for blob in op.outputs)
        fixed = bool(op.inputs) and all(blob in values and not written[blob] for blob in op.inputs)
        if op.type not in FOLDED or not once or not fixed:
            ops.append(op)
            continue
        room -= _size(op, values)
        if room < 0:
            ops.append(op)
            continue
        try:
            with torch.no_grad():
                made: Any = registry.get(op.type)(op).kernel(*[values[blob] for blob in op.inputs])
        except FreshpotError:
            raise
        except UNFIT:  # whoever writes the net says what is wrong
            ops.append(op)
            continue
        made = made if isinstance(made, (tuple, list)) else (made,)
        values.update(zip(op.outputs, made, strict=False))
        for blob in op.outputs:
            written[blob] = 0
    read = {blob for op in ops for blob in op.inputs} | set(outputs)
    values = {blob: value for blob, value in values.items() if blob in read}
    data = [blob for blob in net.inputs if blob not in parameters]
    return Net(net.name, ops, [*data, *values], list(net.outputs)), values


def _size(op: Op, values: Mapping[str, torch.Tensor]) -> int:
    """How many elements the operator makes of parameters; raises what is wrong with them."""
    known = {blob: (tuple(values[blob].shape), values[blob].dtype) for blob in op.inputs}
    found = infer_shapes(Net(ops=[op]), known)
    return sum(math.prod(found[blob][0]) for blob in op.outputs if blob in found)
