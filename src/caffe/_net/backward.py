"""The backward operators of one layer, from its forward operators' gradient rules.

Owned here: reversing a layer's few operators. Who calls it: `_net.layer`.
"""

from __future__ import annotations

from collections.abc import Mapping

from freshpot.errors import GradientError
from freshpot.net import Op, registry
from freshpot.net.gradient import gradient_of


def reverse(
    ops: list[Op], seeds: Mapping[str, str], wanted: Mapping[str, str], summed: Mapping[str, str]
) -> list[Op]:
    """Operators that compute gradients of a layer.

    Args:
        ops: the forward operators.
        seeds: top blob -> blob that holds its gradient.
        wanted: bottom blob -> blob to write its gradient to.
        summed: parameter blob -> blob to add its gradient to.

    Raises:
        GradientError: an operator on the way has no gradient.
    """
    made, grads = _chain(ops, dict(seeds))
    fixed = set(seeds.values())
    for blob, diff in wanted.items():
        grad = grads.get(blob)
        if grad is None or grad == diff:
            continue
        if grad not in fixed and _renamed(made, grad, diff):
            fixed.add(diff)
            grads = {b: diff if g == grad else g for b, g in grads.items()}
        else:
            made.append(Op("Copy", [grad], [diff]))
    for blob, diff in summed.items():
        if blob in grads:
            made.append(Op("Sum", [diff, grads[blob]], [diff]))
    return _prune(made, {*wanted.values(), *summed.values()})


def _renamed(ops: list[Op], old: str, new: str) -> bool:
    """Let operators write ``new`` where they wrote ``old``; False (and nothing changed) where one may not.

    An operator that reads ``new`` (the layer runs in place) may write it only in the places it allows.
    """
    for op in ops:
        if old in op.outputs and new in op.inputs:
            allowed = registry.get(op.type).inplace
            pair = (op.inputs.index(new), op.outputs.index(old))
            if not isinstance(allowed, str) and pair not in allowed:
                return False
    for op in ops:
        op.outputs = [new if name == old else name for name in op.outputs]
        op.inputs = [new if name == old else name for name in op.inputs]
    return True


def _chain(ops: list[Op], grads: dict[str, str]) -> tuple[list[Op], dict[str, str]]:
    """Walk the operators backwards; returns gradient operators and blob -> gradient at the start."""
    made: list[Op] = []
    given = set(grads.values())
    for op in reversed(ops):
        output_grads = [grads.get(o) for o in op.outputs]
        if not any(output_grads):
            continue
        for output in op.outputs:
            grads.pop(output, None)
        result = gradient_of(op, output_grads)
        fresh = {
            o: f"{o}#{len(made)}"
            for grad_op in result.ops
            for o in grad_op.outputs
            if o not in op.inputs + op.outputs
        }
        for grad_op in result.ops:
            seen = set(grad_op.outputs)
            grad_op.inputs = [
                fresh[i] if i in fresh and i not in given and i not in seen else i for i in grad_op.inputs
            ]
            grad_op.outputs = [fresh.get(o, o) for o in grad_op.outputs]
        made += result.ops
        for blob, grad in zip(op.inputs, result.input_grads, strict=True):
            if grad is None:
                continue
            if not isinstance(grad, str):
                raise GradientError(
                    f"the gradient of '{blob}' is sparse, which layers cannot take.", op=str(op)
                )
            name = fresh.get(grad, grad)
            if blob in grads and blob not in op.outputs:
                total = f"{blob}_grad#sum{len(made)}"
                made.append(Op("Sum", [grads[blob], name], [total]))
                name = total
            grads[blob] = name
    return made, grads


def _prune(ops: list[Op], kept: set[str]) -> list[Op]:
    """Drop operators, and trailing optional outputs, that nothing reads."""
    needed = set(kept)
    made: list[Op] = []
    for op in reversed(ops):
        if not needed.intersection(op.outputs):
            continue
        ports = registry.get(op.type).outputs
        while (
            len(op.outputs) > 1
            and op.outputs[-1] not in needed
            and ports[min(len(op.outputs), len(ports)) - 1].optional
        ):
            op.outputs.pop()
        needed.update(op.inputs)
        made.append(op)
    return made[::-1]
