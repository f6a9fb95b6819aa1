"""Shapes and types of every blob of a net, without data.

Owned here: walking a net with tensors that have no data. Who calls it: doors (`InferShapesAndTypes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from freshpot.errors import NetError
from freshpot.net import registry
from freshpot.net.net import Net

#: shape and type (a torch type) of a blob
Spec = tuple[tuple[int, ...], torch.dtype]

_META = torch.device("meta")
#: operators whose last output says how their inputs were joined
_JOINING = ("Concat", "DepthConcat")


def infer_shapes(net: Net, known: Mapping[str, Spec]) -> dict[str, Spec]:
    """Shapes and types of the blobs of ``net``, given those of some of its inputs.

    Blobs whose shape cannot be known without data (or that are no tensors) are left out, as is what
    follows from them alone.

    Raises:
        NetError: the known shapes do not fit an operator; says which.
    """
    specs: dict[str, Any] = {
        name: torch.empty(shape, dtype=dtype, device=_META) for name, (shape, dtype) in known.items()
    }
    joined: dict[str, list[Any]] = {}
    for op in net.ops:
        made = None
        if op.type in _JOINING and all(name in specs for name in op.inputs):
            joined[op.outputs[-1]] = [specs[name] for name in op.inputs]
        updated: dict[str, Any] = {}
        definition = registry.find(op.type)
        empty = definition.may_be_empty if definition else ()
        if all(name in specs or i in empty for i, name in enumerate(op.inputs)):
            operator = registry.get(op.type)(op, _META)
            values = [specs.get(name) for name in op.inputs]
            try:
                if all(value is not None for value in values):
                    operator.check_inputs(values)
                made = operator.infer(*values)
            except NetError as error:
                error.at(net=net.name, op=str(op))
                raise
            except (RuntimeError, NotImplementedError, ValueError, TypeError):
                made = None  # the kernel needs the data to know
            updated = {
                op.outputs[j]: specs[op.inputs[i]]
                for i, j in operator.must_inplace
                if j < len(op.outputs) and op.inputs[i] in specs
            }
        if made is None and op.is_gradient and len(op.inputs) == 2 and op.inputs[1] in joined:
            made = joined[op.inputs[1]]  # the gradients of what was joined have its shapes
        for i, name in enumerate(op.outputs):
            specs.pop(name, None)
            if name in updated:  # written in place: as it was, whatever the data
                specs[name] = updated[name]
            if made is not None and i < len(made) and isinstance(made[i], torch.Tensor):
                specs[name] = made[i]
    return {name: (tuple(t.shape), t.dtype) for name, t in specs.items()}
