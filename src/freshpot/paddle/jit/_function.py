"""Functions and layers marked for the static mode. Here they run as they stand: what they give is the same.

What is kept is what saving needs: the inputs' specifications, said or seen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static.spec import InputSpec

__all__ = ["StaticFunction", "enable_to_static", "not_to_static", "to_static"]

_enabled = True


class StaticFunction:
    """A function that :func:`to_static` marked. Calling it calls the function.

    Attributes:
        input_spec: what was said of the inputs, else of those of the last call; None before.
    """

    def __init__(self, function: Callable[..., Any], input_spec: Any = None) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._said = None if input_spec is None else list(input_spec)
        self._seen: list[InputSpec] | None = None

    @property
    def input_spec(self) -> list[Any] | None:
        """Specifications of the inputs."""
        return self._said if self._said is not None else self._seen

    def __get__(self, instance: Any, owner: Any) -> Any:
        """A method: one marked function for each object, which remembers its own inputs."""
        if instance is None:
            return self
        kept = instance.__dict__.setdefault("_static_functions", {})
        if self not in kept:
            kept[self] = StaticFunction(MethodType(self.function, instance), self._said)
        return kept[self]

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        tensors = [value for value in (*args, *keywords.values()) if isinstance(value, Tensor)]
        if all(
            isinstance(size, int) for tensor in tensors for size in tensor.data_.shape
        ):  # not while it is traced
            self._seen = [InputSpec.from_tensor(tensor) for tensor in tensors]
        return self.function(*args, **keywords)

    def rollback(self) -> Callable[..., Any]:
        """The function as it was."""
        return self.function


def to_static(
    function: Any = None,
    input_spec: Any = None,
    build_strategy: Any = None,
    backend: Any = None,
    **kwargs: Any,
) -> Any:
    """Mark a function, a method or a layer; also as a decorator, with or without arguments.

    Args:
        input_spec: an :class:`InputSpec` (or tensor) for each input, for saving.

    Raises:
        ArgumentError: something that cannot be called.
    """
    if function is None:
        return lambda later: to_static(later, input_spec)
    if not _enabled:
        return function
    if isinstance(function, Layer):
        function.forward = _marked(function.forward, input_spec)  # type: ignore[method-assign]
        return function
    if isinstance(function, StaticFunction) or callable(function):
        return _marked(function, input_spec)
    raise ArgumentError(f"to_static: {type(function).__name__} is no function and no layer")


def _marked(function: Any, input_spec: Any) -> StaticFunction:
    inner = function.function if isinstance(function, StaticFunction) else function
    return StaticFunction(inner, input_spec)


def not_to_static(func: Any = None) -> Any:
    """Leave a function as it is; also as a decorator."""
    return not_to_static if func is None else func


def enable_to_static(enable_to_static_bool: bool) -> None:
    """Whether :func:`to_static` marks anything."""
    global _enabled
    _enabled = bool(enable_to_static_bool)
