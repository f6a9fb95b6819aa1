"""Programs: calls that are written down while a network is put together, and run by an Executor later.

Within the static mode a value that comes from :func:`data` is a :class:`Variable`; every function of the door that is
given one appends its call to the current program, and gives a Variable. Sizes and types follow from running the call
on tensors without data, twice, with two batches: a size that differs between them is open (-1).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch

from freshpot.errors import ArgumentError, FreshpotError, NotSupportedError, ShapeError, near_matches
from freshpot.paddle import _state, _tensor
from freshpot.paddle._refusals import was_refused
from freshpot.paddle._tensor import Parameter, Symbolic, Tensor
from freshpot.paddle.nn import layer as _layers
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "Block",
    "Program",
    "Variable",
    "data",
    "default_main_program",
    "default_startup_program",
    "disable",
    "each",
    "enable",
    "is_static",
    "program_guard",
]

#: what an open size is tried as
_TRIES = (12, 24)


class Variable(Symbolic):
    """A value of a program: what it will look like, not what it is.

    Attributes:
        shape: sizes, -1 where open.
        lod_level: 0.
    """

    lod_level = 0

    def __init__(self, shape: list[int], dtype: torch.dtype, name: str, program: Program) -> None:
        self._shape, self._dtype, self._name, self.program = shape, dtype, name, program
        self.persistable = False
        self._stop = True
        self.is_data = False

    @property
    def data_(self) -> NoReturn:  # type: ignore[override]
        raise NotSupportedError(
            f"variable '{self.name}' of a static program has no value before an Executor runs it; what asks for one is "
            "not done in the static mode here"
        )

    shape = property(lambda self: list(self._shape))
    dtype = property(lambda self: _state._BY_TORCH[self._dtype])
    place = property(lambda self: _state.place_of(_state.current_device()))
    ndim = property(lambda self: len(self._shape))
    size = property(lambda self: -1 if -1 in self._shape else int(torch.Size(self._shape).numel()))
    is_leaf = property(lambda self: self.is_data)

    @property
    def stop_gradient(self) -> bool:
        """True: no gradient flows through it."""
        return self._stop

    @stop_gradient.setter
    def stop_gradient(self, value: bool) -> None:
        self._stop = bool(value)
        if value:
            self.program.blocked.add(self.name)
        else:
            self.program.blocked.discard(self.name)

    def tries(self) -> list[torch.Tensor]:
        """Tensors without data that look like it, for each batch that is tried."""
        shapes = [[size if n < 0 else n for n in self._shape] for size in _TRIES]
        return [torch.empty(shape, dtype=self._dtype, device="meta") for shape in shapes]

    def __repr__(self) -> str:
        look = f"shape{tuple(self._shape)}.dtype({self.dtype.name}).stop_gradient({self._stop})"
        return f"var {self.name} : LOD_TENSOR.{look}"

    __str__ = __repr__

    def __len__(self) -> int:
        if not self._shape or self._shape[0] < 0:
            raise NotSupportedError(f"len() of variable '{self.name}', whose first size is open")
        return self._shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return iter([self[place] for place in range(len(self))])

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise NotSupportedError(f"writing into variable '{self.name}' of a static program is not done here")

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        return self


@dataclass
class Step:
    """One call: a function over Tensors, its arguments, the names of what it gives (in the shape in which it comes)."""

    function: Callable[..., Any]
    args: Any
    keywords: dict[str, Any]
    outputs: Any


@dataclass
class Update:
    """What ``minimize`` and ``append_backward`` append: gradients of a loss, and what changes the parameters."""

    loss: str
    parameters: list[Parameter]
    optimizer: Any = None


@dataclass
class Effect:
    """What changes something beside the program's variables, at every run: a function without arguments."""

    function: Callable[[], None]


@dataclass
class Block:
    """A program's steps and variables. Programs here have one."""

    program: Program
    idx: int = 0
    ops: list[Any] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)

    def var(self, name: str) -> Any:
        """A variable or parameter.

        Raises:
            ArgumentError: there is none of that name.
        """
        if name not in self.vars:
            raise ArgumentError(f"the program has no variable '{name}'.{near_matches(name, self.vars)}")
        return self.vars[name]

    def create_var(
        self, name: str | None = None, shape: Any = (), dtype: Any = "float32", **keywords: Any
    ) -> Variable:
        """A variable that a step will fill, such as :func:`freshpot.paddle.static.py_func`'s."""
        sizes = [-1 if size is None else int(size) for size in shape]
        made = Variable(sizes, _state.to_dtype(dtype), name or self.program.fresh("var"), self.program)
        self.vars[made.name] = made
        return made

    def has_var(self, name: str) -> bool:
        """Whether there is a variable of that name."""
        return name in self.vars

    def all_parameters(self) -> list[Parameter]:
        """The parameters, in the order in which they were made."""
        return [value for value in self.vars.values() if isinstance(value, Parameter)]


class Program:
    """Calls in the order in which they were written down, and their variables.

    Attributes:
        for_test: dropout passes and batch norms take what they have learnt.
        random_seed: 0, or what random numbers begin from at each run of the startup program.
    """

    def __init__(self) -> None:
        self.block = Block(self)
        self.for_test = False
        self.random_seed = 0
        #: names through which no gradient flows
        self.blocked: set[str] = set()
        #: of a startup program: the parameters that it fills, and with what
        self.begins: list[tuple[Parameter, Any]] = []
        self._numbers = itertools.count()
        #: how often it ran, and how: by what it was fed and what was fetched (see :mod:`.planned`)
        self.kinds: dict[Any, Any] = {}

    # ---- as the original has it ----
    def global_block(self) -> Block:
        """The block."""
        return self.block

    def current_block(self) -> Block:
        """The block."""
        return self.block

    num_blocks = 1

    @property
    def blocks(self) -> list[Block]:
        """The block, in a list."""
        return [self.block]

    def list_vars(self) -> Iterator[Any]:
        """All variables and parameters."""
        return iter(list(self.block.vars.values()))

    def all_parameters(self) -> list[Parameter]:
        """The parameters."""
        return self.block.all_parameters()

    def clone(self, for_test: bool = False) -> Program:
        """The same calls in a program of their own; for a test without what changes parameters."""
        made = Program()
        made.for_test = for_test or self.for_test
        made.random_seed = self.random_seed
        made.blocked = set(self.blocked)
        kept = [step for step in self.block.ops if not (for_test and isinstance(step, (Update, Effect)))]
        made.block.ops, made.block.vars = kept, dict(self.block.vars)
        made.begins = list(self.begins)
        made._numbers = self._numbers
        return made

    def state_dict(self, mode: str = "all", scope: Any = None) -> dict[str, Tensor]:
        """Values of parameters ("param"), of what optimizers keep ("opt"), or both, by name."""
        made: dict[str, Tensor] = {}
        if mode in ("all", "param"):
            made.update({p.name: p for p in self.all_parameters()})
        if mode in ("all", "opt"):
            for step in self.block.ops:
                if isinstance(step, Update) and step.optimizer is not None:
                    made.update(
                        {k: v for k, v in step.optimizer.state_dict().items() if isinstance(v, Tensor)}
                    )
        return made

    def set_state_dict(self, state_dict: dict[str, Any], scope: Any = None) -> None:
        """Overwrite parameters, and what optimizers keep, by name."""
        for parameter in self.all_parameters():
            if parameter.name in state_dict:
                parameter.set_value(state_dict[parameter.name])
        for step in self.block.ops:
            if isinstance(step, Update) and step.optimizer is not None:
                step.optimizer.set_state_dict(state_dict)

    def to_string(self, throw_on_error: bool = False, with_details: bool = False) -> str:
        """Variables and calls in words."""
        lines = [f"    {value!r}" if isinstance(value, Variable) else f"    param {name} : {value.shape}"
                 for name, value in self.block.vars.items()]  # fmt: skip
        calls = [f"    {_described(step)}" for step in self.block.ops]
        return "\n".join(["{ // block 0", *lines, "", *calls, "}"])

    __str__ = to_string

    # ---- writing down ----
    def fresh(self, start: str) -> str:
        """A name that no variable has."""
        while (name := f"{start}_{next(self._numbers)}.tmp_0") in self.block.vars:
            pass
        return name

    def variable(self, tensors: list[torch.Tensor], start: str) -> Variable:
        """A new variable that looks like these, one for each batch that was tried."""
        first, second = tensors
        shape = [a if a == b else -1 for a, b in zip(first.shape, second.shape, strict=True)]
        made = Variable(shape, first.dtype, self.fresh(start), self)
        self.block.vars[made.name] = made
        return made


def _described(step: Any) -> str:
    if isinstance(step, Effect):
        return "an average"
    if isinstance(step, Update):
        return f"{'minimize' if step.optimizer else 'backward'} {step.loss}"
    return f"{_names(step.outputs)} = {getattr(step.function, '__name__', 'call')}"


def _names(value: Any) -> str:
    return ", ".join(map(_names, value)) if isinstance(value, (list, tuple)) else str(value)


def each(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nest with every Tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(each(part, change) for part in value)
    return value


def record(function: Callable[..., Any], args: Any, keywords: dict[str, Any]) -> Any:
    """Append a call to the current program; what it will give."""
    program = default_main_program()
    made = [_tried(function, args, keywords, place) for place in range(len(_TRIES))]
    start = getattr(function, "__name__", "call").strip("_")
    learns = False

    def look(tensor: Tensor) -> Tensor:
        nonlocal learns
        learns = learns or not tensor.stop_gradient
        return tensor

    each([args, list(keywords.values())], look)

    def name(first: Any, second: Any) -> tuple[Any, Any]:
        if isinstance(first, Tensor):
            variable = program.variable([first.data_, second.data_], start)
            variable._stop = not (learns and first.data_.is_floating_point())
            return variable, variable.name
        if isinstance(first, (list, tuple)):
            parts = [name(a, b) for a, b in zip(first, second, strict=True)]
            return type(first)(p[0] for p in parts), [p[1] for p in parts]
        return first, None

    variables, names = name(*made)
    program.block.ops.append(Step(function, args, keywords, names))
    _adopt(program, [args, list(keywords.values())])
    return variables


def _adopt(program: Program, values: Any) -> None:
    """Parameters that a call reads belong to the program."""

    def look(tensor: Tensor) -> Tensor:
        if isinstance(tensor, Parameter):
            program.block.vars.setdefault(tensor.name, tensor)
        return tensor

    each(values, look)


def _tried(function: Callable[..., Any], args: Any, keywords: dict[str, Any], place: int) -> Any:
    """What a call gives for one of the batches that are tried: without data, or with zeros where it looks at them."""

    def without_data(tensor: Tensor) -> Tensor:
        if isinstance(tensor, Variable):
            return Tensor(tensor.tries()[place])
        return Tensor(torch.empty_like(tensor.data_, device="meta", requires_grad=False))

    def with_zeros(tensor: Tensor) -> Tensor:
        if isinstance(tensor, Variable):
            return Tensor(torch.zeros_like(tensor.tries()[place], device="cpu"))
        return Tensor(tensor.data_.detach().clone())

    def with_single(tensor: Tensor) -> Tensor:
        if isinstance(tensor, Variable):  # an open size may have to fit a known one
            return Tensor(torch.zeros([1 if n < 0 else n for n in tensor.shape], dtype=tensor._dtype))
        return with_zeros(tensor)

    before, _tensor.recorder = _tensor.recorder, None
    owner = getattr(function, "__self__", None) or (args[0] if args and isinstance(args[0], Layer) else None)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            ways = (with_zeros,) if isinstance(owner, Layer) else (without_data, with_zeros, with_single)
            failed: Exception | None = None
            for change in ways:
                try:
                    return function(*each(args, change), **{k: each(v, change) for k, v in keywords.items()})
                except (FreshpotError, RuntimeError, NotImplementedError) as error:
                    if isinstance(error, FreshpotError) and not was_refused(error):
                        raise
                    failed = error if change is not with_single else failed
            name = getattr(function, "__name__", "call")
            raise ShapeError(f"{name} in a static program: {str(failed).splitlines()[0]}") from failed
    finally:
        _tensor.recorder = before


# ---- current programs ---------------------------------------------------------------------------------------
_current: list[tuple[Program, Program]] = [(Program(), Program())]
_on = False


def default_main_program() -> Program:
    """The program that calls are appended to."""
    return _current[-1][0]


def default_startup_program() -> Program:
    """The program that fills new parameters."""
    return _current[-1][1]


@contextlib.contextmanager
def program_guard(main_program: Program, startup_program: Program | None = None) -> Iterator[None]:
    """Within it, calls are appended to these programs."""
    if not isinstance(main_program, Program):
        raise ArgumentError(f"program_guard: {type(main_program).__name__} is no Program")
    _current.append((main_program, startup_program or _current[-1][1]))
    try:
        yield
    finally:
        _current.pop()


def _parameter_made(parameter: Parameter, begin: Any) -> None:
    default_main_program().block.vars[parameter.name] = parameter
    default_startup_program().begins.append((parameter, begin))


def _parameter_known(name: str, shape: Any) -> Parameter | None:
    found = default_main_program().block.vars.get(name)
    return found if isinstance(found, Parameter) and found.shape == [int(size) for size in shape] else None


def enable() -> None:
    """From here on, functions of Variables are written down."""
    global _on
    _on = True
    _tensor.recorder = record
    _layers.parameter_made, _layers.parameter_known = _parameter_made, _parameter_known


def disable() -> None:
    """Functions run at once again."""
    global _on
    _on = False
    _tensor.recorder = _layers.parameter_made = _layers.parameter_known = None


def is_static() -> bool:
    """Whether the static mode is on."""
    return _on


def data(name: str, shape: Any, dtype: Any = None, lod_level: int = 0) -> Variable:
    """A variable that a run is fed.

    Args:
        shape: sizes; None or -1: any.

    Raises:
        ArgumentError: the static mode is off.
    """
    if not _on:
        raise ArgumentError("static.data: call paddle.enable_static() first")
    program = default_main_program()
    sizes = [-1 if size is None else int(size) for size in shape]
    kind = _state.default_float() if dtype is None else _state.to_dtype(dtype)
    made = Variable(sizes, kind, name, program)
    made.is_data = True
    program.block.vars[name] = made
    return made
