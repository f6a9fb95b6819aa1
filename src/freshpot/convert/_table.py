"""What converters of every direction share: their register, their refusals, and what a net must come with.

Owned here: `Converters`, `Refused`, `UNFIT`, `need_values`. Who calls it: the packages beside this file, one a
direction, and `folded`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Container
from typing import Any, Generic, TypeVar

from freshpot.errors import MissingBlobError, NotSupportedError
from freshpot.net import Net

C = TypeVar("C", bound=Callable[..., Any])


class Refused(NotSupportedError):
    """A call that its converter does not take; kept until all are known."""


#: what a converter raises of a call whose parts do not fit each other: lists of other lengths, an output too few
UNFIT = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RuntimeError)


def unfit(call: object, error: Exception) -> str:
    """Such an error as the refusal of a call."""
    return f"{call}: what it says does not fit ({type(error).__name__}: {error})."


class Converters(Generic[C]):
    """The converters of one direction by operator type; called with types, it declares one.

    Args:
        package: whose modules declare them.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._table: dict[str, C] = {}
        self._is_whole = False

    def __call__(self, *types: str) -> Callable[[C], C]:
        """Declare the converter of these operators."""

        def register(converter: C) -> C:
            self._table.update(dict.fromkeys(types, converter))
            return converter

        return register

    def all(self) -> dict[str, C]:
        """All of them; the package's modules are loaded first."""
        if not self._is_whole:
            package = importlib.import_module(self._package)
            for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
                importlib.import_module(found.name)
            self._is_whole = True
        return self._table


def need_values(net: Net, parameters: Container[str], inputs: Container[str]) -> None:
    """Refuse a net with blobs that nothing is known of.

    Raises:
        MissingBlobError: a blob is neither made, nor data, nor fixed.
    """
    lost = [blob for blob in net.missing_inputs() if blob not in parameters and blob not in inputs]
    if lost:
        raise MissingBlobError(
            f"no value and no shape for {', '.join(lost)}. Give parameters or shapes.", net=net.name
        )
