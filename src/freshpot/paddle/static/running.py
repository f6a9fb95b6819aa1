"""Programs run: the steps that what is wanted depends on, one after the other, by the door's functions."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch

from freshpot.errors import ArgumentError, GradientError
from freshpot.paddle import _tensor
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static.program import Effect, Program, Step, Update, Variable, each

__all__ = ["needed", "run", "tensors"]


def tensors(values: Any) -> list[Tensor]:
    """The tensors in a nest."""
    if isinstance(values, Tensor):
        return [values]
    return [t for part in values for t in tensors(part)] if isinstance(values, (list, tuple)) else []


def needed(program: Program, wanted: set[str]) -> list[Any]:
    """The steps that some of these names, or a change of parameters, depend on."""
    kept: list[Any] = []
    wanted = set(wanted)
    for step in reversed(program.block.ops):
        if isinstance(step, Effect):
            kept.append(step)
            continue
        if isinstance(step, Update):
            wanted.add(step.loss)
            kept.append(step)
            continue
        names = set(_flat(step.outputs))
        if names & wanted:
            kept.append(step)
            wanted.update(tensor.name for tensor in tensors([step.args, list(step.keywords.values())]))
    return kept[::-1]


def _flat(names: Any) -> Iterator[str]:
    if isinstance(names, list):
        for part in names:
            yield from _flat(part)
    elif names is not None:
        yield names


def run(
    program: Program, given: dict[str, Tensor], wanted: set[str], captured: bool = False
) -> dict[str, Any]:
    """Run the steps that are needed; values by name, gradients as ``<name>@GRAD``.

    Args:
        captured: the run is watched by an exporter, which takes no switching of gradients.

    Raises:
        ArgumentError: data that a step needs was not fed.
    """
    values: dict[str, Any] = dict(given)
    steps = needed(program, {name.removesuffix("@GRAD") for name in wanted})
    learning = any(isinstance(step, Update) for step in steps)

    def value(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Variable):
            return tensor
        if tensor.name not in values:
            raise ArgumentError(f"the program needs '{tensor.name}', which was not fed")
        return values[tensor.name]

    before, _tensor.recorder = _tensor.recorder, None
    try:
        with contextlib.nullcontext() if captured else torch.set_grad_enabled(learning):
            for place, step in enumerate(steps):
                if isinstance(step, Effect):
                    step.function()
                elif isinstance(step, Update):
                    _learn(step, values, any(isinstance(later, Update) for later in steps[place + 1 :]))
                else:
                    made = _call(step, value, program.for_test)
                    _put(step.outputs, made, values, program.blocked)
    finally:
        _tensor.recorder = before
    return values


def _call(step: Step, value: Callable[[Tensor], Tensor], for_test: bool) -> Any:
    args = each(step.args, value)
    keywords = {key: each(part, value) for key, part in step.keywords.items()}
    if not for_test:
        return step.function(*args, **keywords)
    owner = args[0] if args and isinstance(args[0], Layer) else None
    if owner is not None:
        modes = [(part, part.training) for part in owner.sublayers(include_self=True)]
        owner.eval()
        try:
            return step.function(*args, **keywords)
        finally:
            for part, mode in modes:
                part.training = mode
    signature = inspect.signature(step.function)
    if "training" in signature.parameters:
        bound = signature.bind(*args, **keywords)
        bound.arguments["training"] = False
        args, keywords = bound.args, bound.kwargs
    return step.function(*args, **keywords)


def _put(names: Any, made: Any, values: dict[str, Any], blocked: set[str]) -> None:
    if isinstance(names, list):
        for name, part in zip(names, made, strict=True):
            _put(name, part, values, blocked)
    elif names is not None:
        values[names] = Tensor(made.data_.detach()) if names in blocked else made


def _learn(step: Update, values: dict[str, Any], again: bool) -> None:
    """Gradients, and a step; the graph is kept where another loss may need it ``again``."""
    loss = values[step.loss].data_
    if not loss.requires_grad:
        raise GradientError(f"minimize: '{step.loss}' depends on no parameter that learns")
    learning = [p for p in step.parameters if not p.stop_gradient]
    grads = torch.autograd.grad(
        loss.sum(), [p.data_ for p in learning], retain_graph=again, allow_unused=True
    )
    for parameter, grad in zip(learning, grads, strict=True):
        parameter.data_.grad = grad
        if grad is not None:
            values[f"{parameter.name}@GRAD"] = Tensor(grad)
    if step.optimizer is not None:
        with torch.no_grad():
            step.optimizer.step()
        for parameter in learning:
            parameter.data_.grad = None
