"""Objects that are current inside a ``with`` block, one stack a class and thread.

Source: caffe2/python/context.py.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from caffe2.python._errors import MisuseError

_stacks = threading.local()


def _stack(cls: type) -> list[Any]:
    if not hasattr(_stacks, "of"):
        _stacks.of = {}
    return _stacks.of.setdefault(cls, [])


class Managed:
    """Base of classes whose objects are current while their ``with`` block runs.

    An object is current for its own class and for its base classes. It can also decorate a function.
    """

    @classmethod
    def _managed(cls) -> list[type]:
        return [c for c in cls.__mro__ if issubclass(c, Managed) and c not in (Managed, DefaultManaged)]

    @classmethod
    def current(cls, value: Any = None, required: bool = True) -> Any:
        """``value`` if given, else the current object.

        Raises MisuseError if there is none, it is required, and the class makes none by default.
        """
        if value is not None:
            if not isinstance(value, cls):
                raise TypeError(f"expected a {cls.__name__}; got {type(value).__name__}.")
            return value
        stack = _stack(cls)
        if not stack:
            if not required:
                return None
            if not issubclass(cls, DefaultManaged):
                raise MisuseError(f"no {cls.__name__} is active: use `with {cls.__name__}(): …`.")
            stack.append(cls())
        return stack[-1]

    def __enter__(self) -> Any:
        for cls in self._managed():
            _stack(cls).append(self)
        return self

    def __exit__(self, *unused: object) -> None:
        for cls in self._managed():
            if _stack(cls).pop() is not self:
                raise RuntimeError(f"`with` blocks of {cls.__name__} were left in the wrong order.")

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return wrapper


class DefaultManaged(Managed):
    """Like `Managed`, and `current` makes an object where there is none."""
