"""Operators that do one thing in training and another in use: both forms of a call.

Owned here: ``module.train()`` and ``module.eval()`` for operators. Who calls it: `_module`.
"""

from __future__ import annotations

from dataclasses import replace

from freshpot.net import Op

#: operators whose argument ``is_test`` says which form a call has, and how many outputs each form has
_IS_TEST = {"SpatialBN": (5, 1), "Dropout": (2, 1)}


def in_mode(op: Op, training: bool) -> Op:
    """The call as it is in that mode; the same one where the operator has no modes."""
    if op.type == "BatchNorm":
        return replace(op, args={**op.args, "use_global_stats": int(not training)})
    if op.type not in _IS_TEST:
        return op
    outputs = list(op.outputs)
    if op.type == "SpatialBN":
        outputs = [op.outputs[0], op.inputs[3], op.inputs[4]]
    own = [f"{op.outputs[0]}@{op.type}{i}" for i in range(len(outputs), _IS_TEST[op.type][0])]
    outputs = (outputs + own)[: _IS_TEST[op.type][0 if training else 1]]
    return replace(op, outputs=outputs, args={**op.args, "is_test": int(not training)})


def is_for_use(ops: list[Op]) -> bool:
    """True if the net was written for use rather than for training."""
    return any(op.args.get("is_test") or op.args.get("use_global_stats") for op in ops)
