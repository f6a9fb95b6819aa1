"""Tensor: Paddle's face of a ``torch.Tensor``; ``lifted`` makes functions over torch tensors take and give it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch

from freshpot.errors import ArgumentError, DTypeError, GradientError
from freshpot.paddle import _state
from freshpot.paddle._index import parts_of, plain_index
from freshpot.paddle._layout import Layout
from freshpot.paddle._missing import missing
from freshpot.paddle._print import format_values
from freshpot.paddle._refusals import refuse
from freshpot.paddle._state import DType, Place, place_of, to_device, to_dtype

__all__ = ["Parameter", "Tensor", "lifted", "to_tensor", "unwrap", "wrap"]

_numbers = itertools.count()


def _later(method: Any) -> Any:
    """A method of Tensor that is written down where the tensor is symbolic."""

    @functools.wraps(method)
    def call(self: Tensor, *args: Any, **keywords: Any) -> Any:
        if recorder is not None and isinstance(self, Symbolic):
            return recorder(call, (self, *args), keywords)
        return method(self, *args, **keywords)

    return call


class Tensor(Layout):
    """An array that remembers how it was computed.

    ``shape`` is a list; ``stop_gradient`` (True for data, False for parameters) is the opposite of torch's
    ``requires_grad``. The methods that compute are those of :mod:`freshpot.paddle.tensor`.

    Attributes:
        data_: the ``torch.Tensor`` beneath.
        name: made when not given: ``generated_tensor_0``.
        persistable: True for parameters and buffers.
    """

    __slots__ = ("_hooks", "_name", "data_", "persistable")
    __array_priority__ = 100

    def __init__(self, data: torch.Tensor, name: str | None = None, persistable: bool = False) -> None:
        self.data_ = data
        self._name = name
        self.persistable = persistable

    # ---- what it is ----
    @property
    def name(self) -> str:
        """Its name, made on the first question."""
        if self._name is None:
            self._name = f"generated_tensor_{next(_numbers)}"
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def shape(self) -> list[int]:
        """Sizes along each axis."""
        return list(self.data_.shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return _state.dtype_of(self.data_)

    @property
    def place(self) -> Place:
        """Where it lies."""
        return place_of(self.data_.device)

    @property
    def ndim(self) -> int:
        """How many axes."""
        return self.data_.dim()

    dim = property(lambda self: self.data_.dim)
    rank = dim

    @property
    def size(self) -> int:
        """How many elements."""
        return self.data_.numel()

    @property
    @_later
    def T(self) -> Tensor:
        """Axes in reverse order."""
        return wrap(self.data_.permute(*range(self.data_.dim() - 1, -1, -1)))

    @property
    def is_leaf(self) -> bool:
        """True when no operation made it."""
        return self.data_.is_leaf

    # ---- gradients ----
    @property
    def stop_gradient(self) -> bool:
        """True: no gradient flows to it."""
        return not (self.data_.requires_grad or self.wanted)

    @stop_gradient.setter
    def stop_gradient(self, value: bool) -> None:
        if value and not self.data_.is_leaf:
            self.data_ = self.data_.detach()
        elif self.data_.is_floating_point() or self.data_.is_complex():
            self.data_.requires_grad_(not value)
        else:
            self.wanted = not value

    @property
    def grad(self) -> Tensor | None:
        """The gradient, or None."""
        if self.data_.grad is None:
            return wrap(torch.zeros_like(self.data_)) if self.cleared else None
        return wrap(self.data_.grad)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        self.data_.grad = unwrap(value)
        self.cleared = False

    def gradient(self) -> np.ndarray[Any, Any] | None:
        """The gradient as an array, or None."""
        found = self.grad
        return None if found is None else found.numpy()

    def backward(self, grad_tensor: Tensor | None = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor (of its sum, unless ``grad_tensor`` weighs it) to every leaf's ``grad``.

        A tensor that depends on nothing that learns has nothing to do.

        Raises:
            GradientError: the graph was used up by an earlier call, or the weights' shape is another.
        """
        if not self.data_.requires_grad:
            return
        start = unwrap(grad_tensor) if grad_tensor is not None else torch.ones_like(self.data_)
        try:
            self.data_.backward(start, retain_graph=retain_graph)
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            raise GradientError(
                f"backward from {self._brief()}: {why} Call backward(retain_graph=True) to go back twice."
            ) from error

    #: a gradient was asked for, of numbers that have none: whole ones
    wanted = False
    #: the gradient counts as zeros: it was cleared, and no backward has been since
    cleared = False

    def clear_grad(self, set_to_zero: bool = True) -> None:
        """Make the gradient zeros, or forget it. Zeros are written nowhere until somebody asks for them."""
        self.cleared = set_to_zero and (self.cleared or self.data_.grad is not None)
        self.data_.grad = None

    clear_gradient = clear_grad

    def retain_grads(self) -> None:
        """Keep the gradient of a tensor that an operation made."""
        self.data_.retain_grad()

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``hook`` with the gradient when it is known; what it returns replaces it. ``.remove()`` ends that."""
        return self.data_.register_hook(lambda grad: unwrap(hook(wrap(grad))))

    @_later
    def detach(self) -> Tensor:
        """The same memory, without its history."""
        return wrap(self.data_.detach())

    # ---- values out and in ----
    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as an array of its own: what happens to the tensor later does not change it."""
        data = self.data_.detach()
        if data.dtype == torch.bfloat16:
            data = data.float()
        return data.cpu().numpy().copy()

    def item(self, *index: int) -> Any:
        """One value as a Python number.

        Raises:
            ArgumentError: more than one element, and no index.
        """
        if index:
            return self.data_.flatten()[index[0]].item() if len(index) == 1 else self.data_[index].item()
        if self.data_.numel() != 1:
            raise ArgumentError(f"item() of {self._brief()}: it has {self.size} elements; give an index")
        return self.data_.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.data_.tolist()

    def set_value(self, value: Any) -> None:
        """Overwrite the values.

        Raises:
            ArgumentError: another shape.
        """
        new = unwrap(to_tensor(value, dtype=self.dtype, place=self.place))
        if new.shape != self.data_.shape and not (new.numel() == self.data_.numel() == 1):
            raise ArgumentError(f"set_value on {self._brief()}: the value has shape {list(new.shape)}")
        with torch.no_grad():
            self.data_.copy_(new.reshape(self.data_.shape))

    def copy_(self, other: Tensor, blocking: bool = True) -> Tensor:
        """Overwrite the values with another tensor's."""
        self.set_value(other)
        return self

    def element_size(self) -> int:
        """How many bytes an element takes."""
        return self.data_.element_size()

    @_later
    def astype(self, dtype: Any) -> Tensor:
        """Converted to another element type."""
        return wrap(self.data_.to(to_dtype(dtype)))

    cast = astype

    def cpu(self) -> Tensor:
        """In the processor's memory."""
        return wrap(self.data_.cpu())

    def cuda(self, device_id: int = 0, blocking: bool = True) -> Tensor:
        """In a GPU's memory."""
        return wrap(self.data_.to(to_device(f"gpu:{device_id}")))

    def to(self, target: Any, dtype: Any = None, blocking: bool | None = None) -> Tensor:
        """Elsewhere, or of another element type."""
        try:
            data = self.data_.to(to_dtype(target))
        except TypeError:
            data = self.data_.to(to_device(target))
        return wrap(data if dtype is None else data.to(to_dtype(dtype)))

    # ---- as Python sees it ----
    def __len__(self) -> int:
        if not self.data_.dim():
            raise DTypeError(f"len() of {self._brief()}, which is a single number")
        return self.data_.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return iter([wrap(part) for part in self.data_])

    def __bool__(self) -> bool:
        if self.data_.numel() != 1:
            raise ArgumentError(f"{self._brief()} is neither true nor false: ask paddle.any or paddle.all")
        return bool(self.data_)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    __index__ = __int__

    def __hash__(self) -> int:
        return id(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        values = self.numpy()
        return values if dtype is None else values.astype(dtype)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 or (spec and self.size == 1) else str(self)

    def contiguous(self) -> Tensor:
        """Its elements in order in memory."""
        return wrap(self.data_.contiguous())

    def is_contiguous(self) -> bool:
        """Whether its elements lie in order in memory."""
        return self.data_.is_contiguous()

    def value(self) -> Tensor:
        """Itself (in 2.0 the variable beneath)."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        data = self.data_.detach().clone().requires_grad_(self.data_.requires_grad)
        Tensor.__init__(made, data, self._name, self.persistable)
        return made

    def __pos__(self) -> Tensor:
        return self

    @_later
    def __getitem__(self, index: Any) -> Tensor:
        try:
            return wrap(parts_of(self.data_, plain_index(index)))
        except Exception as error:
            refuse(f"index of {self._brief()}", [index], {}, error)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.data_.is_leaf and self.data_.requires_grad and torch.is_grad_enabled():
            raise GradientError(f"{self._brief()} learns: change its parts within paddle.no_grad()")
        try:
            new = value.data_ if isinstance(value, Tensor) else torch.as_tensor(value)
            self.data_[plain_index(index)] = new.to(self.data_)
        except Exception as error:
            refuse(f"writing into {self._brief()}", [index, value], {}, error)

    def __repr__(self) -> str:
        values = format_values(self.numpy(), 7)
        return (
            f"{self._kind}(shape={self.shape}, dtype={self.dtype.name}, place={self.place}, "
            f"stop_gradient={self.stop_gradient},\n       {values})"
        )

    __str__ = __repr__
    _kind = "Tensor"

    def _brief(self) -> str:
        return f"a tensor of shape {self.shape}, {self.dtype.name}"

    def __getattr__(self, name: str) -> Any:
        raise missing("Tensor", name, dir(type(self)))


class Parameter(Tensor):
    """A tensor that learns.

    Attributes:
        trainable: the opposite of ``stop_gradient``.
        optimize_attr: ``{"learning_rate": factor}``.
        regularizer: a decay of its own, or None.
        need_clip: whether gradient clipping counts it.
        sparse: it is an Embedding's that was made with ``sparse=True``.
    """

    _kind = "Parameter containing:\nTensor"

    def __init__(self, data: torch.Tensor, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(data.requires_grad_(trainable), name, persistable=True)
        self.optimize_attr: dict[str, float] = {"learning_rate": 1.0}
        self.regularizer: Any = None
        self.need_clip = True
        self.is_distributed = False
        self.sparse = False

    @property
    def trainable(self) -> bool:
        """Whether it learns."""
        return not self.stop_gradient

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.stop_gradient = not value


def wrap(data: torch.Tensor) -> Tensor:
    """A Tensor around torch's; a single number gets shape [1] where Paddle 2.0's rule holds."""
    if data.dim() == 0 and _state.scalars_are_1d():
        data = data.reshape(1)
    return Tensor(data)


def unwrap(value: Any) -> Any:
    """torch's tensor within a Tensor (also within lists and tuples); anything else as it is."""
    if isinstance(value, Tensor):
        return value.data_
    if type(value) in (list, tuple):
        return type(value)(map(unwrap, value))
    return value


def _wrap_all(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return wrap(value)
    if isinstance(value, (list, tuple)):
        return (
            type(value)(map(_wrap_all, value))
            if type(value) in (list, tuple)
            else list(map(_wrap_all, value))
        )
    return value


FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

#: in the static mode: takes a function over Tensors and its arguments, and writes the call down (see static.program)
recorder: Callable[..., Any] | None = None


class Symbolic(Tensor):
    """A value that is not there yet: functions that are given one are written down instead of being run."""


def _is_symbolic(values: Any) -> bool:
    return any(
        isinstance(value, Symbolic) or (isinstance(value, (list, tuple)) and _is_symbolic(value))
        for value in values
    )


def recorded(function: FunctionT) -> FunctionT:
    """Make a function over Tensors one that is written down where one of them is symbolic."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        if recorder is not None and (_is_symbolic(args) or _is_symbolic(keywords.values())):
            return recorder(call, args, keywords)
        return function(*args, **keywords)

    return call  # type: ignore[return-value]


def drawn(function: FunctionT) -> FunctionT:
    """Make a function that draws random numbers one that is written down in the static mode."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        if recorder is not None:
            return recorder(call, args, keywords)
        return function(*args, **keywords)

    return call  # type: ignore[return-value]


def lifted(function: FunctionT) -> FunctionT:
    """Make a function over torch tensors one over Tensors."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        if recorder is not None and (_is_symbolic(args) or _is_symbolic(keywords.values())):
            return recorder(call, args, keywords)
        plain, named = [unwrap(a) for a in args], {key: unwrap(a) for key, a in keywords.items()}
        try:
            return _wrap_all(function(*plain, **named))
        except Exception as error:
            refuse(call.__name__, plain, named, error)

    return call  # type: ignore[return-value]


def to_tensor(data: Any, dtype: Any = None, place: Any = None, stop_gradient: bool = True) -> Tensor:
    """A new tensor with the values of numbers, lists, an array or a tensor.

    Python floats take the default element type, Python integers int64; arrays keep theirs.

    Raises:
        ArgumentError: values that make no rectangle, or are no numbers.
    """
    device = to_device(place)
    if isinstance(data, Tensor):
        made = data.data_.detach().clone()
    elif isinstance(data, torch.Tensor):
        made = data.detach().clone()
    else:
        made = _from_python(data)
    made = made.to(device=device, dtype=made.dtype if dtype is None else to_dtype(dtype))
    result = wrap(made)
    result.stop_gradient = stop_gradient
    return result


def _from_python(data: Any) -> torch.Tensor:
    plain = not isinstance(data, (np.ndarray, np.generic))
    if isinstance(data, (list, tuple)) and any(isinstance(part, Tensor) for part in data):
        data = [part.numpy().reshape(part.shape) if isinstance(part, Tensor) else part for part in data]
    try:
        array = np.array(data)
    except ValueError as error:
        raise ArgumentError(f"to_tensor: rows of unequal length: {error}") from error
    if array.dtype.kind not in "biufc":
        raise ArgumentError(f"to_tensor: {type(data).__name__} holds {array.dtype}, which are no numbers")
    if plain and array.dtype.kind == "c":
        array = array.astype(np.complex128 if _state.default_float() == torch.float64 else np.complex64)
    if array.dtype.kind == "u" and array.itemsize > 1:
        array = array.astype(np.int64)
    made = torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    return made.to(_state.default_float()) if plain and array.dtype.kind == "f" else made
