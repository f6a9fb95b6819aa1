"""Operators whose kernel is a Python function of the program."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpot.errors import ArgumentError, KernelError, NotSupportedError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.control.tensor_view import TensorView

if TYPE_CHECKING:
    from freshpot.engine.blob import Blob

Function = Callable[..., None]


@dataclass(slots=True)
class _Functions:
    """What a token stands for."""

    forward: Function
    backward: Function | None
    pass_workspace: bool = False


_by_token: dict[str, _Functions] = {}
_builders: dict[bytes, Callable[[], Function]] = {}
_registering = threading.Lock()


def register_python_function(f: Function, grad_f: Function | None, pass_workspace: bool) -> str:
    """Register a function ``f(inputs, outputs)`` and its gradient; returns the token that names them.

    The token is the function's name, with ``:1``, ``:2`` … where it repeats. Functions stay registered.
    """
    with _registering:
        name = getattr(f, "__name__", type(f).__name__)
        token, count = name, 0
        while token in _by_token:
            count += 1
            token = f"{name}:{count}"
        _by_token[token] = _Functions(f, grad_f, pass_workspace)
    return token


def register_python_builder(factory: Callable[..., Function], args: Any, kwargs: Any) -> bytes:
    """Register a call that makes a function; returns the text that names it in a net.

    The text is what the original writes, the pickled call. It is never unpickled: a net from elsewhere
    cannot bring code along.
    """
    key = pickle.dumps((factory, tuple(args), dict(kwargs)), protocol=2)
    _builders[key] = lambda: factory(*args, **kwargs)
    return key


def _failed(error: Exception, op: Op) -> Exception:
    """A KernelError that is also of the type that the program's function raised, where that can be."""
    message = f"the Python function raised {type(error).__name__}: {error}"
    kind: type[KernelError] = KernelError
    if not isinstance(error, KernelError):
        try:
            kind = type("PythonFunctionError", (KernelError, type(error)), {"__module__": __name__})
            return kind(message, op=str(op))
        except TypeError:  # a class that cannot be combined, or wants other arguments
            kind = KernelError
    return kind(message, op=str(op))


def _rule(maker: GradientMaker) -> list[Op]:
    op = maker.op

    def chosen(argument: str, count: int) -> list[int]:
        given: Any = op.args.get(argument)
        return given or list(range(count))

    outs = chosen("grad_output_indices", len(op.outputs))
    ins = chosen("grad_input_indices", len(op.inputs))
    inputs = [*op.inputs, *op.outputs, *(maker.GO(i) for i in outs)]
    return [maker.new(f"{op.type}Gradient", inputs, [maker.GI(i) for i in ins])]


class Python(Operator):
    """Calls a Python function with lists of the input and output tensors: f(inputs, outputs).

    The function reads ``inputs[i].data`` and writes ``outputs[j].feed(array)``, or
    ``outputs[j].reshape(shape)`` and then ``outputs[j].data[...]``. Tensors on a GPU are copied.

    Raises:   ArgumentError if the token names no function of this process. What the function raises is
              raised as a KernelError that is also of its type.
    Source:   caffe2/python/pybind_state.h (PythonOpBase)
    """

    inputs = (Port("inputs", many=True, at_least=0),)
    outputs = (Port("outputs", many=True, at_least=0),)
    args = (
        Arg("token", str, "", "names the registered functions"),
        Arg("pickled_builder", bytes, b"", "names the registered call that makes the function"),
        Arg("pickled_grad_builder", bytes, b"", "the same for the gradient"),
        Arg("pass_workspace", bool, False, "pass the workspace as a third argument"),
        Arg("grad_output_indices", [int], [], "outputs that have gradients; all if empty"),
        Arg("grad_input_indices", [int], [], "inputs that have gradients; all if empty"),
    )
    inplace = ANY_PAIR
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        self.function, self.with_workspace = self._find()

    def _find(self) -> tuple[Function, bool]:
        if self.pickled_builder:
            return self._built(self.pickled_builder), self.pass_workspace
        functions = self._registered()
        return functions.forward, functions.pass_workspace

    def _registered(self) -> _Functions:
        if self.token not in _by_token:
            self.refuse(
                f"no Python function is registered under the token '{self.token}' in this process. "
                "Build the net with net.Python(f) where it runs.",
                ArgumentError,
            )
        return _by_token[self.token]

    def _built(self, key: bytes) -> Function:
        if key not in _builders:
            raise NotSupportedError(
                f"{self.op}: its function is pickled and was not registered in this process; "
                "nothing is unpickled, because that could run foreign code. Build the net where it runs."
            )
        return _builders[key]()

    def run(self, ws: Any, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        made = [TensorView(blob) for blob in outputs]
        arguments = [[TensorView(blob) for blob in inputs], made]
        try:
            if self.with_workspace:
                self.function(*arguments, ws)
            else:
                self.function(*arguments)
        except Exception as error:
            raise _failed(error, self.op) from error
        for view in made:
            view.move_to(self.device)


class PythonGradient(Python):
    """Calls the gradient of a Python function: grad_f(inputs + outputs + output gradients, input gradients).

    Raises:   ArgumentError if no gradient was registered with the function.
    Source:   caffe2/python/pybind_state.h (PythonGradientOp)
    """

    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def _find(self) -> tuple[Function, bool]:
        if self.pickled_grad_builder:
            return self._built(self.pickled_grad_builder), self.pass_workspace
        functions = self._registered()
        if functions.backward is None:
            self.refuse(
                f"the function '{self.token}' was registered without a gradient; give grad_f to net.Python.",
                ArgumentError,
            )
        return functions.backward, functions.pass_workspace
