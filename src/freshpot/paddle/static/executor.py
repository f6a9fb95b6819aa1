"""Executor: runs programs on what it is fed and gives arrays."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError, DTypeError, NotSupportedError, ShapeError, near_matches
from freshpot.paddle._state import to_device
from freshpot.paddle._tensor import Parameter, Tensor, to_tensor
from freshpot.paddle.jit._translated import TranslatedLayer
from freshpot.paddle.static.planned import run
from freshpot.paddle.static.program import Program, Update, Variable, default_main_program

__all__ = [
    "BuildStrategy", "CompiledProgram", "ExecutionStrategy", "Executor", "Scope", "append_backward", "global_scope",
    "gradients", "scope_guard",
]  # fmt: skip


class _Strategy(types.SimpleNamespace):
    """Wishes of how to run a program: kept, and without effect on what it computes."""


class BuildStrategy(_Strategy):
    """Wishes of how to build a program: kept, and without effect on what it computes."""

    ReduceStrategy = types.SimpleNamespace(AllReduce=0, Reduce=1)
    GradientScaleStrategy = types.SimpleNamespace(CoeffNumDevice=0, One=1, Customized=2)


class ExecutionStrategy(_Strategy):
    """Wishes of how to run a program: kept, and without effect on what it computes."""


class CompiledProgram:
    """A program, with wishes. ``with_data_parallel`` runs it in this one process all the same."""

    def __init__(self, program_or_graph: Any, build_strategy: Any = None) -> None:
        self.program = program_or_graph

    def with_data_parallel(self, *args: Any, **keywords: Any) -> CompiledProgram:
        """Itself."""
        return self


class _Held:
    """A parameter as a scope has it."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def get_tensor(self) -> _Held:
        """Itself: an array is made of it by ``numpy.array``."""
        return self

    def set(self, value: Any, place: Any = None) -> None:
        """Overwrite the values."""
        self._tensor.set_value(value)

    def shape(self) -> list[int]:
        """Sizes."""
        return self._tensor.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._tensor.__array__(dtype)


class Scope:
    """Where the original keeps parameters. Here programs keep their own; a scope finds those of the current one."""

    def find_var(self, name: str) -> _Held | None:
        """A parameter of the current main program, or None."""
        found = default_main_program().block.vars.get(name)
        return _Held(found) if isinstance(found, Tensor) and not isinstance(found, Variable) else None

    var = find_var


_scope = Scope()


def global_scope() -> Scope:
    """The scope."""
    return _scope


@contextlib.contextmanager
def scope_guard(scope: Scope) -> Iterator[None]:
    """Nothing changes: a program's parameters are its own, whatever the scope."""
    yield


class Executor:
    """Runs programs.

    Args:
        place: where new tensors are made from here on; None: where they are made now.
    """

    def __init__(self, place: Any = None) -> None:
        self.place = None if place is None else to_device(place)

    def run(
        self,
        program: Any = None,
        feed: Any = None,
        fetch_list: Any = None,
        feed_var_name: str = "feed",
        fetch_var_name: str = "fetch",
        scope: Any = None,
        return_numpy: bool = True,
        use_program_cache: bool = False,
        return_merged: bool = True,
        use_prune: bool = False,
    ) -> list[Any]:
        """Run a program once.

        Args:
            program: the default main program when not given; a startup program fills parameters anew.
            feed: values by name of what :func:`data` made; or, as a DataLoader gives it, one such dictionary in a list.
            fetch_list: variables, parameters or names; a gradient is ``<parameter>@GRAD``.

        Returns:
            an array (a tensor, unless ``return_numpy``) for each.

        Raises:
            ArgumentError: an unknown name, or something that is not fed. ShapeError, DTypeError: it does not fit.
        """
        if isinstance(feed, (list, tuple)):
            if len(feed) != 1 or not isinstance(feed[0], dict):
                raise ArgumentError(
                    "Executor.run: feed must be values by name; programs run in one process here"
                )
            feed = feed[0]
        program = default_main_program() if program is None else program
        program = program.program if isinstance(program, CompiledProgram) else program
        several = isinstance(fetch_list, (list, tuple))
        fetch: list[Any] = list(fetch_list) if several else [] if fetch_list is None else [fetch_list]
        if isinstance(program, TranslatedLayer):
            made = _run_loaded(program, feed or {}, fetch)
        elif isinstance(program, Program):
            _begin(program)
            made = _run(program, feed or {}, fetch)
        else:
            raise ArgumentError(f"Executor.run: {type(program).__name__} is no Program")
        return [value.numpy() for value in made] if return_numpy else made

    def close(self) -> None:
        """Nothing is held."""

    def train_from_dataset(self, *args: Any, **keywords: Any) -> None:
        """Raises:
        NotSupportedError: data sets of the original's own readers are not done here.
        """
        raise NotSupportedError("Executor.train_from_dataset is not done here; feed batches to run()")

    infer_from_dataset = train_from_dataset


def _begin(program: Program) -> None:
    if program.begins and program.random_seed:
        torch.manual_seed(program.random_seed)
    for parameter, begin in program.begins:
        with torch.no_grad():
            begin(parameter)


def _name(wanted: Any) -> str:
    if isinstance(wanted, (Tensor, str)):
        return wanted if isinstance(wanted, str) else wanted.name
    raise ArgumentError(f"fetch_list: {type(wanted).__name__} is neither variable nor name")


def _run(program: Program, feed: dict[str, Any], fetch: list[Any]) -> list[Tensor]:
    known = program.block.vars
    given = {name: _fed(name, known, value) for name, value in feed.items()}
    names = [_name(one) for one in fetch]
    for name, one in zip(names, fetch, strict=True):
        base = name.removesuffix("@GRAD")
        if base not in known and not (isinstance(one, Tensor) and not isinstance(one, Variable)):
            raise ArgumentError(f"fetch_list: the program has no '{base}'.{near_matches(base, known)}")
    values = run(program, given, set(names))
    return [_found(name, one, values, known) for name, one in zip(names, fetch, strict=True)]


def _found(name: str, one: Any, values: dict[str, Any], known: dict[str, Any]) -> Tensor:
    if name in values:
        made: Tensor = values[name]
        return made
    held = known.get(name, one)
    if isinstance(held, Tensor) and not isinstance(held, Variable):
        return held
    raise ArgumentError(f"fetch_list: '{name}' has no value: it was not fed, or nothing computes it")


def _fed(name: str, known: dict[str, Any], value: Any) -> Tensor:
    if name not in known:
        raise ArgumentError(f"feed: the program has no '{name}'.{near_matches(name, known)}")
    made = value if isinstance(value, Tensor) else to_tensor(np.asarray(value))
    wanted = known[name]
    if not isinstance(wanted, Variable):
        return made
    sizes = wanted.shape
    if len(sizes) != made.ndim or any(a not in (-1, b) for a, b in zip(sizes, made.shape, strict=True)):
        raise ShapeError(f"feed: '{name}' must be {sizes}, got {made.shape}")
    if made.dtype != wanted.dtype:
        raise DTypeError(f"feed: '{name}' must be {wanted.dtype.name}, got {made.dtype.name}")
    return made


def _run_loaded(program: TranslatedLayer, feed: dict[str, Any], fetch: list[Any]) -> list[Tensor]:
    missing = [name for name in program.input_names if name not in feed]
    if missing:
        raise ArgumentError(
            f"feed: the program needs {', '.join(program.input_names)}; missing: {', '.join(missing)}"
        )
    with torch.no_grad():
        made = program(*[feed[name] for name in program.input_names])
    values = dict(zip(program.output_names, made if isinstance(made, list) else [made], strict=True))
    names = [_name(one) for one in fetch]
    for name in names:
        if name not in values:
            raise ArgumentError(f"fetch_list: the program gives {', '.join(values)}, not '{name}'")
    return [values[name] for name in names]


# ---- gradients ----------------------------------------------------------------------------------------------
def _parameters(program: Program, chosen: Any, left_out: Any) -> list[Parameter]:
    names = None if chosen is None else {_name(one) for one in chosen}
    without = {_name(one) for one in left_out or ()}
    return [
        p
        for p in program.all_parameters()
        if not p.stop_gradient and p.name not in without and (names is None or p.name in names)
    ]


def append_backward(
    loss: Variable, parameter_list: Any = None, no_grad_set: Any = None, callbacks: Any = None
) -> list[tuple[Parameter, Variable]]:
    """Append the gradients of a loss; pairs of parameter and gradient."""
    program = loss.program
    parameters = _parameters(program, parameter_list, no_grad_set)
    program.block.ops.append(Update(loss.name, parameters))
    return [(p, _gradient_of(program, p)) for p in parameters]


def _gradient_of(program: Program, of: Any) -> Variable:
    made = Variable(of.shape, of.dtype.torch, f"{of.name}@GRAD", program)
    program.block.vars[made.name] = made
    return made


def minimize(optimizer: Any, loss: Variable, parameter_list: Any, no_grad_set: Any) -> Any:
    """Append the gradients of a loss and an optimizer's step; called by :meth:`Optimizer.minimize`."""
    program = loss.program
    parameters = _parameters(program, parameter_list, no_grad_set)
    if not parameters:
        raise ArgumentError(f"minimize: '{loss.name}' belongs to a program without parameters that learn")
    optimizer.take(parameters)
    program.block.ops.append(Update(loss.name, parameters, optimizer))
    return [], [(p, _gradient_of(program, p)) for p in parameters]


def gradients(
    targets: Any, inputs: Any, target_gradients: Any = None, no_grad_set: Any = None
) -> list[Variable]:
    """Variables that are the gradients of the sum of ``targets`` with respect to parameters.

    Raises:
        NotSupportedError: inputs that are no parameters, several targets, or weights of targets.
    """
    tops = targets if isinstance(targets, (list, tuple)) else [targets]
    leaves = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    if len(tops) != 1 or target_gradients is not None or not all(isinstance(x, Parameter) for x in leaves):
        raise NotSupportedError("static.gradients: only of one target with respect to parameters, unweighted")
    found = {p.name: g for p, g in append_backward(tops[0], leaves, no_grad_set)}
    return [found[x.name] for x in leaves]
