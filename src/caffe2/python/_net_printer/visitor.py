"""Functions chosen by the type of an object.

Owned here: `Visitor`. Who calls it: the printer and the analyzer beside this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from caffe2.python._errors import require


class Visitor:
    """Called with an object, it calls the function that is registered for the object's type.

    Each class that derives from it directly has functions of its own.
    """

    visitors: ClassVar[dict[type, Callable[..., Any]]]

    @classmethod
    def register(cls, Type: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: the function for objects of a type, called with visitor, object and further arguments.

        Raises:
            MisuseError: there is one already.
        """
        if not hasattr(cls, "visitors"):
            cls.visitors = {}
        require(
            Type not in cls.visitors, f"{cls.__name__} has a function for {Type.__name__} already registered."
        )

        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            cls.visitors[Type] = function
            return function

        return keep

    def __call__(self, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Visit an object; None is passed over.

        Raises:
            TypeError: no function is registered for its type or a base of it.
        """
        if obj is None:
            return None
        for kind in type(obj).__mro__:
            if kind in self.visitors:
                return self.visitors[kind](self, obj, *args, **kwargs)
        known = ", ".join(kind.__name__ for kind in self.visitors)
        name = type(self).__name__
        raise TypeError(f"{name}: unsupported object type: {type(obj).__name__}; it takes {known}.")
