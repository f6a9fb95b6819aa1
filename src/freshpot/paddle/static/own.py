"""py_func: a function of the user's own, over arrays, as a step of a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError, ShapeError
from freshpot.paddle._tensor import Tensor, to_tensor
from freshpot.paddle.autograd import PyLayer
from freshpot.paddle.static.program import Step, Variable, default_main_program

__all__ = ["py_func"]


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


def py_func(
    func: Callable[..., Any],
    x: Any,
    out: Any,
    backward_func: Callable[..., Any] | None = None,
    skip_vars_in_backward_input: Any = None,
) -> Any:
    """Append a call of ``func`` to the program: what it makes of the arrays of ``x`` becomes ``out``.

    Args:
        out: variables made beforehand, whose element types and sizes the results have.
        backward_func: takes the arrays of ``x``, those of ``out``, then the gradients of ``out``, and gives those of
            ``x``; without one no gradient flows.
        skip_vars_in_backward_input: variables of ``x`` and ``out`` that it does not take.

    Raises:
        ArgumentError: ``x`` or ``out`` are no variables. ShapeError (at a run): a result of another shape than said.
    """
    sources, targets = _listed(x), _listed(out)
    if not all(isinstance(v, Tensor) for v in sources) or not all(isinstance(v, Variable) for v in targets):
        raise ArgumentError("py_func: x and out must be variables of the program")
    skipped = {v.name for v in _listed(skip_vars_in_backward_input)}
    kept = [v.name not in skipped for v in (*sources, *targets)]

    def arrays(tensors: Any) -> list[np.ndarray[Any, Any]]:
        return [tensor.numpy() for tensor in tensors]

    class Own(PyLayer):
        """The function, with its own gradient."""

        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            made = [to_tensor(np.asarray(part)) for part in _listed(func(*arrays(inputs)))]
            _check(made, targets)
            made = [part.astype(target.dtype) for part, target in zip(made, targets, strict=True)]
            ctx.save_for_backward(*inputs, *made)
            return made[0] if len(made) == 1 else tuple(made)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            known = [t for t, keep in zip(ctx.saved_tensor(), kept, strict=True) if keep]
            found = _listed(backward_func(*arrays(known), *arrays(grads))) if backward_func else []
            made = [None if grad is None else to_tensor(np.asarray(grad)) for grad in found]
            return tuple(made) if len(made) != 1 else made[0]

    def call(*inputs: Any) -> list[Any]:
        return _listed(Own.apply(*inputs))

    program = default_main_program()
    if backward_func is None:
        program.blocked.update(target.name for target in targets)
    program.block.ops.append(Step(call, tuple(sources), {}, [target.name for target in targets]))
    for target in targets:
        program.block.vars.setdefault(target.name, target)
        target._stop = backward_func is None
    return out


def _check(made: list[Tensor], targets: list[Any]) -> None:
    if len(made) != len(targets):
        raise ShapeError(f"py_func: the function gave {len(made)} results, {len(targets)} are wanted")
    for part, target in zip(made, targets, strict=True):
        sizes = target.shape
        if len(sizes) != part.ndim or any(a not in (-1, b) for a, b in zip(sizes, part.shape, strict=True)):
            raise ShapeError(f"py_func: '{target.name}' must be {sizes}, the function gave {part.shape}")
