"""One set of parameters for all devices, on the CPU.

Owned here: that. Who calls it: `build`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from caffe2.python._data_parallel.blobs import prefix_of, stripBlobName


def prune_parameters(model: Any) -> None:
    """Keep the first device's parameters alone, so that others are not updated."""
    model.params = model.GetParams(prefix_of(model, model._devices[0]))
    kept = set(model.params)
    model.param_to_grad = {p: g for p, g in model.param_to_grad.items() if p in kept}
    model.weights = [w for w in model.weights if w in kept]
    model.biases = [b for b in model.biases if b in kept]


def remap_parameters(model: Any, all_params: Collection[Any]) -> None:
    """Let all operators read the first device's parameters, and drop those that make the others'."""
    prefix = prefix_of(model, model._devices[0])
    others = {str(p) for p in all_params} - {str(p) for p in model.GetParams()}
    for net in (model.param_init_net, model.net):
        kept = []
        for op in net.Proto().op:
            if any(name in others for name in op.output):
                continue
            for j, name in enumerate(op.input):
                if name in others:
                    op.input[j] = prefix + stripBlobName(name)
            kept.append(op)
        del net.Proto().op[:]
        net.Proto().op.extend(kept)
