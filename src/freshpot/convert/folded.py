"""A net whose operators over parameters alone are done beforehand.

Owned here: which operators these may be. Who calls it: the writers of nets for use (`freshpot.torch._files`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from freshpot.net import Net, registry

#: operators that always make the same of the same: moved elements, and arithmetic
FOLDED = {
    "Add", "Cast", "Concat", "Copy", "Div", "ExpandDims", "Flatten", "Mul", "Reshape", "Scale", "Slice", "Sqrt",
    "Squeeze", "Sub", "Transpose",
}  # fmt: skip


def folded(
    net: Net, parameters: Mapping[str, torch.Tensor], outputs: Iterable[str]
) -> tuple[Net, dict[str, torch.Tensor]]:
    """The net without such operators, and the parameters that it still reads, with those that were computed."""
    values, ops = dict(parameters), []
    written = Counter(blob for op in net.ops for blob in op.outputs)
    kept = {*outputs, *net.inputs}
    for op in net.ops:
        once = all(written[blob] == 1 and blob not in kept for blob in op.outputs)
        fixed = bool(op.inputs) and all(blob in values and not written[blob] for blob in op.inputs)
        if op.type not in FOLDED or not once or not fixed:
            ops.append(op)
            continue
        with torch.no_grad():
            made: Any = registry.get(op.type)(op).kernel(*[values[blob] for blob in op.inputs])
        made = made if isinstance(made, (tuple, list)) else (made,)
        values.update(zip(op.outputs, made, strict=False))
        for blob in op.outputs:
            written[blob] = 0
    read = {blob for op in ops for blob in op.inputs} | set(outputs)
    values = {blob: value for blob, value in values.items() if blob in read}
    data = [blob for blob in net.inputs if blob not in parameters]
    return Net(net.name, ops, [*data, *values], list(net.outputs)), values
