"""Programs run: the steps that what is wanted depends on, one after the other, by the door's functions."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError, GradientError
from freshpot.paddle import _tensor
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static.program import Effect, Program, Step, Update, Variable, each

__all__ = ["flat", "leading_to", "learn", "needed", "read_by", "run", "run_step", "tensors"]


def tensors(values: Any) -> list[Tensor]:
    """The tensors in a nest."""
    if isinstance(values, Tensor):
        return [values]
    return [t for part in values for t in tensors(part)] if isinstance(values, (list, tuple)) else []


def needed(program: Program, wanted: set[str]) -> list[Any]:
    """The steps that some of these names, or a change of parameters, depend on."""
    return leading_to(program.block.ops, wanted)


def leading_to(steps: list[Any], wanted: set[str]) -> list[Any]:
    """Those of the steps that some of these names, or a change of parameters, depend on."""
    kept: list[Any] = []
    wanted = set(wanted)
    for step in reversed(steps):
        if isinstance(step, Effect):
            kept.append(step)
            continue
        if isinstance(step, Update):
            wanted.add(step.loss)
            kept.append(step)
            continue
        names = set(flat(step.outputs))
        if names & wanted:
            kept.append(step)
            wanted.update(tensor.name for tensor in read_by(step))
    return kept[::-1]


def read_by(step: Step) -> list[Tensor]:
    """The variables and tensors that a call is given."""
    return tensors([step.args, list(step.keywords.values())])


def flat(names: Any) -> Iterator[str]:
    """The names in a nest."""
    if isinstance(names, list):
        for part in names:
            yield from flat(part)
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

    before, _tensor.recorder = _tensor.recorder, None
    try:
        with contextlib.nullcontext() if captured else torch.set_grad_enabled(learning):
            for place, step in enumerate(steps):
                if isinstance(step, Update):
                    _learn(step, values, any(isinstance(later, Update) for later in steps[place + 1 :]))
                else:
                    _run_step(program, step, values)
    finally:
        _tensor.recorder = before
    return values


@torch.no_grad()
def run_step(program: Program, step: Any, values: dict[str, Any]) -> None:
    """A single call or effect, without gradients; what it gives joins ``values``."""
    before, _tensor.recorder = _tensor.recorder, None
    try:
        _run_step(program, step, values)
    finally:
        _tensor.recorder = before


def _run_step(program: Program, step: Any, values: dict[str, Any]) -> None:
    def value(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Variable):
            return tensor
        if tensor.name not in values:
            raise ArgumentError(f"the program needs '{tensor.name}', which was not fed")
        return values[tensor.name]

    if isinstance(step, Effect):
        step.function()
    else:
        _put(step.outputs, _call(step, value, program.for_test), values, program.blocked)


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
    learn(step, learning, grads, values)


def learn(
    step: Update, learning: Sequence[Any], grads: Sequence[torch.Tensor | None], values: dict[str, Any]
) -> None:
    """A step with these gradients, which join ``values`` as ``<name>@GRAD``."""
    for parameter, grad in zip(learning, grads, strict=True):
        parameter.data_.grad = grad
        if grad is not None:
            values[f"{parameter.name}@GRAD"] = Tensor(grad)
    if step.optimizer is not None:
        with torch.no_grad():
            step.optimizer.step()
        for parameter in learning:
            parameter.data_.grad = None
