"""The base class of every operator: one definition from which everything else is derived.

Owned here: what a definition is and how it is bound to one call of it in a net.
Who calls it: every module in this folder (it subclasses), and the engine (it binds and runs).

A definition is a class whose name is the operator's type::

    class Elu(Operator):
        '''Y = X where X > 0, else alpha * (exp(X) - 1), elementwise.'''

        inputs = (Port("X", FLOAT),)
        outputs = (Port("Y"),)
        args = (Arg("alpha", float, 1.0, "scale of the negative side"),)
        inplace = ((0, 0),)

        def kernel(self, X):
            return torch.where(X > 0, X, self.alpha * torch.expm1(X))

        @gradient("Y dY -> dX", inplace=((1, 0),))
        def backward(self, Y, dY):
            return torch.where(Y > 0, dY, dY * (Y + self.alpha))

From these lines come the schema, argument checking, shape and type inference (the kernel run on
tensors without data), the gradient operator ``EluGradient`` and the rule that makes it, the
catalogue entry, and the list of reference cases that test it.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import torch
from torch import Tensor

from freshpot.errors import ArityError, DTypeError, NetError, ShapeError
from freshpot.net import registry
from freshpot.net.grads import same_name_rule
from freshpot.net.op import Op
from freshpot.net.schema import Arg, Port, arity, check_arity
from freshpot.ops.dtypes import TORCH, describe, name_of

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

Values = Sequence[Any]

#: a function, its arguments, its keyword arguments
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_CPU = torch.device("cpu")


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Call:
    """A call for `Operator.calls`."""
    return function, args, kwargs


#: for `Operator.inplace`: every output may be the same blob as any input
ANY_PAIR = "any"


class Operator:
    """One operator type. Subclasses declare; an instance is one call of it, bound to its arguments.

    A subclass gives a ``kernel`` - a pure function of its inputs - or, where an operator works on
    the workspace itself (control flow, files, databases), a ``run``.

    **Kernels.** ``kernel(self, *inputs)`` takes what the input blobs hold, in order (left-out
    optional inputs are not passed), and returns the output, or a tuple of outputs (extra ones are
    dropped). It changes no input and returns fresh tensors, never a view of an input. Arguments are
    attributes under their own names. ``kernel_inplace`` may be given for operators whose outputs
    overwrite their inputs: it is used where the net names the same blob on both sides of every
    ``inplace`` pair, writes into those inputs, and returns them.

    **Calls in memory.** ``calls(self, inputs, outputs)`` may be given for operators that small nets are
    made of: a list of `call`, which together compute the outputs from these very tensors into these very
    tensors, whatever the inputs hold when they are made; or None if it has none for such tensors. The
    engine asks once, after the kernel ran on these inputs; the outputs are CPU tensors of the kernel's
    shapes, types and strides, apart from the inputs and from each other, except that where the engine chose
    ``kernel_inplace`` the overwritten inputs stand among the outputs. From then on it makes these calls
    instead of calling the kernel, as long as the blobs hold these tensors. So calls read shapes when they
    are listed and data when they are made, write to nothing but the outputs and memory of their own, and
    what they compute is what the kernel computes, up to rounding. ``same_every_run`` may be set (in ``setup``)
    where the outputs depend on nothing but the inputs' shapes: then the calls are made once.
    ``calls_together(self, inputs, outputs)`` may be given for updates: the same for several calls of the
    operator with the same arguments, none of which reads what another writes; a list of inputs a call.
    An operator with ``run`` may give ``calls``, too: then objects that are no tensors stand among the inputs and
    outputs as they are, those of the outputs for the calls to change, and neither ``run`` nor the calls keep a tensor.

    **Checks.** Ports state element types and shapes; ``check`` adds what they cannot say. Both run
    when the inputs' shapes or types are new, not at every run.
    """

    #: the operator's type; the class name unless set
    type: ClassVar[str]
    inputs: ClassVar[tuple[Port, ...]] = ()
    outputs: ClassVar[tuple[Port, ...]] = ()
    args: ClassVar[tuple[Arg, ...]] = ()
    #: pairs (input, output) that may be the same blob; ANY_PAIR allows all
    inplace: ClassVar[tuple[tuple[int, int], ...] | str] = ()
    #: pairs (input, output) that must be the same blob
    must_inplace: ClassVar[tuple[tuple[int, int], ...]] = ()
    #: inputs that may hold nothing yet, of operators with ``run``, which then looks for itself
    may_be_empty: ClassVar[tuple[int, ...]] = ()
    #: rule that makes the gradient operators, if there are any
    gradient_rule: ClassVar[Any] = None  # a Rule: a function, or a staticmethod of one
    #: why there is no gradient, if there is none
    no_gradient: ClassVar[str] = "the original defines none either"
    #: True where the gradient simply does not flow: asking for it yields none instead of an error
    gradient_stops: ClassVar[bool] = False
    #: True if the outputs depend on the arguments and the inputs' shapes alone, as of a fill with a constant
    same_every_run: bool = False
    #: outputs that depend on the inputs' shapes alone, and inputs that must be such for `calls`, which read them once
    lasting_outputs: ClassVar[tuple[int, ...]] = ()
    lasting_inputs: ClassVar[tuple[int, ...]] = ()
    #: True if what it computes depends on earlier calls of the same instance, as with ``run`` it usually does
    remembers: ClassVar[bool] = False
    #: of an operator with ``run``: True if it reads and writes no blobs but its own, and leaves the workspace alone
    own_blobs_only: ClassVar[bool] = False
    #: of an operator with ``run``: True if it changes tensors where they are, and keeps none of them
    changes_in_place: ClassVar[bool] = False
    #: inputs (by their ports) of one number that may lie on the host while the others are on a device: the kernel
    #: takes them on the device, too, and then reads no number on the host (`engine.graph`)
    device_numbers: ClassVar[tuple[str, ...]] = ()
    #: where it comes from: the original's file, a paper
    source: ClassVar[str] = ""

    op: Op
    device: torch.device

    #: derived from the declarations, once a class: how many inputs and outputs there may be, whether
    #: every input has a port of its own, the arguments by name, and what stands in for those not given
    _blob_counts: ClassVar[tuple[range, range]]
    _one_port_each: ClassVar[bool]
    _declared_args: ClassVar[dict[str, Arg]]
    _required_args: ClassVar[tuple[Arg, ...]]
    _default_values: ClassVar[dict[str, Any]]

    if TYPE_CHECKING:

        def __getattr__(self, argument: str) -> Any:
            """Arguments are attributes."""

    kernel: Callable[..., Any]
    kernel_inplace: Callable[..., Any] | None = None
    calls: Callable[[Sequence[Tensor], Sequence[Tensor]], list[Call] | None] | None = None
    calls_together: (
        Callable[[Sequence[Sequence[Tensor]], Sequence[Sequence[Tensor]]], list[Call] | None] | None
    ) = None
    run: Callable[[Workspace, Sequence[Blob], Sequence[Blob]], None] | None = None
    #: of an operator with ``run``: a kernel that does the same on a device, where it is recorded (`engine.graph`)
    recorded: Callable[..., Any] | None = None

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kernel" in cls.__dict__ and "calls" not in cls.__dict__:
            cls.calls = None  # those of a base compute what its kernel does
        if abstract:
            return
        if "type" not in cls.__dict__:
            cls.type = cls.__name__
        for member in cls._own_members().values():
            if isinstance(member, _GradientMethod):
                member.attach(cls)
        cls._derive()
        registry.add(cls)

    @classmethod
    def _own_members(cls) -> dict[str, Any]:
        """What stands in the class and in its abstract bases; operators that it derives from keep theirs."""
        bases = itertools.takewhile(lambda base: "type" not in base.__dict__, cls.__mro__[1:])
        own: dict[str, Any] = {}
        for base in (cls, *bases):
            own = {**base.__dict__, **own}
        return own

    @classmethod
    def _derive(cls) -> None:
        """Work out, once, what every instance needs."""
        cls._blob_counts = (_count_range(cls.inputs), _count_range(cls.outputs))
        cls._one_port_each = not any(port.many for port in cls.inputs)
        cls._declared_args = {arg.name: arg for arg in cls.args}
        cls._required_args = tuple(arg for arg in cls.args if arg.required)
        cls._default_values = {arg.name: arg.default for arg in cls.args if not arg.required}

    def __init__(self, op: Op, device: torch.device | None = None) -> None:
        self.op = op
        self.device = device or _CPU
        self.num_inputs = len(op.inputs)
        self.num_outputs = len(op.outputs)
        inputs, outputs = self._blob_counts
        if self.num_inputs not in inputs or self.num_outputs not in outputs:
            check_arity(op, self.inputs, self.outputs)  # says it in words
        self._check_inplace(op)
        self._read_arguments(op)
        self.setup()

    def _read_arguments(self, op: Op) -> None:
        own = self.__dict__
        for name, default in self._default_values.items():
            own[name] = default.copy() if type(default) is list else default
        for name in op.args:
            arg = self._declared_args.get(name)
            if arg is not None:
                own[name] = arg.read(op)
        for arg in self._required_args:
            if arg.name not in own:
                arg.read(op)  # says that it is missing

    # ---- holes for subclasses ------------------------------------------------------------------
    def setup(self) -> None:
        """Called once, after the arguments are set: derive what the kernel needs, check arguments."""

    def check(self, *inputs: Any) -> None:
        """Raise a typed error if the inputs' shapes, types or number do not fit (no data is read)."""

    def infer(self, *inputs: Any) -> Values | None:
        """Outputs as tensors without data (device ``meta``) for such inputs; None where not knowable.

        Derived from the kernel; override it where the kernel reads the data to know the shape.
        """
        if self.run is not None:
            return None
        made = self.kernel(*inputs)
        return made if isinstance(made, (tuple, list)) else (made,)

    def saves_without_last(self) -> bool:
        """True if the kernel does much less where the net leaves the last output out, as it does then."""
        return False

    # ---- for subclasses ------------------------------------------------------------------------
    def has(self, argument: str) -> bool:
        """True if the net gives this argument, rather than leaving its default."""
        return argument in self.op.args

    def refuse(self, message: str, error: Callable[..., NetError] = ShapeError) -> NoReturn:
        """Raise ``error`` (a ShapeError unless said otherwise), naming this operator."""
        raise error(message, op=str(self.op))

    @property
    def generator(self) -> torch.Generator | None:
        """Source of random numbers: the device option's seed, if one is given; None: torch's own."""
        seed = self.op.device.random_seed if self.op.device else None
        if not seed:
            return None
        if not hasattr(self, "_generator"):
            self._generator = torch.Generator(self.device).manual_seed(seed)
        return self._generator

    # ---- for the engine ------------------------------------------------------------------------
    def check_inputs(self, values: Values) -> None:
        """Check the inputs against the ports, then against ``check``.

        Raises:
            DTypeError, ShapeError: with the port, the blob, what came and what is wanted.
        """
        symbols: dict[str, tuple[int, str]] = {}
        ports = self.inputs if self._one_port_each else expand(self.inputs, len(values))
        for port, blob, value in zip(ports, self.op.inputs, values, strict=False):
            if port.dtypes:
                self._check_dtype(port, blob, value)
            if port.shape != "...":
                self._check_shape(port, blob, value, symbols)
        self.check(*values)

    def _check_dtype(self, port: Port, blob: str, value: Any) -> None:
        found = name_of(value)
        if found not in port.dtypes:
            raise DTypeError(
                f"input {port.name} must be {' or '.join(port.dtypes)}, but blob '{blob}' is {describe(value)}."
                + (" Use Cast to convert it." if found in TORCH else ""),
                op=str(self.op),
                blob=blob,
            )

    def _check_shape(self, port: Port, blob: str, value: Any, symbols: dict[str, tuple[int, str]]) -> None:
        shape = list(value.shape)
        wanted = port.shape.split()
        if "..." in wanted:
            at = wanted.index("...")
            rest = len(wanted) - 1
            if len(shape) >= rest:
                shape = shape[:at] + shape[len(shape) - (rest - at) :] if rest else []
                wanted.pop(at)
        if len(shape) == len(wanted) and all(
            _agrees(symbol, size, symbols, port.name) for symbol, size in zip(wanted, shape, strict=True)
        ):
            return
        known = "; ".join(f"{s} = {n} (from {whose})" for s, (n, whose) in symbols.items() if s in wanted)
        raise ShapeError(
            f"input {port.name} must have shape ({', '.join(port.shape.split())})"
            + (f" with {known}" if known else "")
            + f", but blob '{blob}' is {describe(value)}.",
            op=str(self.op),
            blob=blob,
        )

    def _check_inplace(self, op: Op) -> None:
        for i, j in self.must_inplace:
            if i < len(op.inputs) and j < len(op.outputs) and op.inputs[i] != op.outputs[j]:
                raise ArityError(
                    f"output {j} must be the same blob as input {i} ('{op.inputs[i]}'), got '{op.outputs[j]}'.",
                    op=str(op),
                )
        if self.inplace == ANY_PAIR or set(op.inputs).isdisjoint(op.outputs):
            return
        allowed = {*self.inplace, *self.must_inplace}
        for j, blob in enumerate(op.outputs):
            for i, other in enumerate(op.inputs):
                if blob == other and (i, j) not in allowed:
                    raise ArityError(
                        f"output {j} may not be the same blob as input {i} ('{blob}'). Give it another name.",
                        op=str(op),
                    )

    @classmethod
    def documentation(cls) -> str:
        """The definition's docstring, dedented."""
        return inspect.cleandoc(cls.__dict__.get("__doc__") or "")


def as_first(operator: Operator, first: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
    """`Operator.infer` where all outputs have the first input's shape and type: from the sizes alone. Asked about
    tensors without data, many of PyTorch's functions load its compiler first, which takes seconds."""
    return tuple(
        torch.empty(first.shape, dtype=first.dtype, device="meta") for _ in range(operator.num_outputs)
    )


def _count_range(ports: tuple[Port, ...]) -> range:
    """The numbers of blobs that these ports take."""
    fewest, most = arity(ports)
    return range(fewest, sys.maxsize if most is None else most + 1)


def expand(ports: tuple[Port, ...], count: int) -> Iterable[Port]:
    """One port for each of ``count`` blobs: a port that stands for many is repeated as needed."""
    fixed = sum(1 for p in ports if not p.many)
    for port in ports:
        yield from [port] * (max(0, count - fixed) if port.many else 1)


def _agrees(symbol: str, size: int, symbols: dict[str, tuple[int, str]], port: str) -> bool:
    if symbol == "*":
        return True
    if symbol.isdigit():
        return int(symbol) == size
    return symbols.setdefault(symbol, (size, port))[0] == size


class _GradientMethod:
    """A kernel for the gradient operator, written as a method of the forward operator."""

    def __init__(self, method: Callable[..., Any], signature: str, options: dict[str, Any]) -> None:
        self.method = method
        self.signature = signature
        self.options = options

    def attach(self, forward: type[Operator]) -> None:
        """Define the gradient operator and give the forward operator its rule."""
        name = self.options.get("type") or f"{forward.type}Gradient"
        inputs, _, outputs = self.signature.partition("->")
        names = ([p.name for p in forward.inputs], [p.name for p in forward.outputs])
        if forward.__dict__.get("gradient_rule") is None:
            forward.gradient_rule = staticmethod(same_name_rule(name, inputs, outputs, names))
        members = {
            "__doc__": f"Gradient of {forward.type}.",
            "__module__": forward.__module__,
            "type": name,
            "inputs": tuple(_gradient_port(forward, n) for n in inputs.split()),
            "outputs": tuple(Port(n, optional=i > 0) for i, n in enumerate(outputs.split())),
            "inplace": self.options.get("inplace", ()),
            "kernel": self.method,
            "kernel_inplace": None,
            "calls": self.options.get("calls"),
            "calls_together": None,
            "same_every_run": False,
            "check": self.options.get("check") or Operator.check,
            "infer": Operator.infer,
            "gradient_rule": None,
            "no_gradient": "it is itself a gradient",
        }
        type(name, (forward,), members)


def _gradient_port(forward: type[Operator], name: str) -> Port:
    """Port of a gradient operator: like the forward port of that name, or (``dX``) like X."""
    ports = {p.name: p for p in (*forward.outputs, *forward.inputs)}
    if name in ports:
        found = ports[name]
    else:
        found = ports.get(name.removeprefix("d"), Port(name))
    return Port(name, found.dtypes, optional=found.optional, many=found.many, at_least=found.at_least)


def gradient(signature: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Mark a method as the kernel of the gradient operator.

    ``signature`` says what it takes and makes, by port names, in the original's order:
    ``"X W dY -> dW db dX"``. Options: ``type`` (default: the forward's type + "Gradient"),
    ``inplace`` (pairs of the gradient operator), ``check`` (its extra checks), ``calls`` (its calls in memory).

    The gradient operator has the forward's arguments and methods. If the forward operator sets
    ``gradient_rule`` itself, that rule is kept and only the operator is defined. A mark in an abstract
    base serves every operator of the family, as if it stood in each.
    """

    def mark(method: Callable[..., Any]) -> Any:
        return _GradientMethod(method, signature, options)

    return mark
