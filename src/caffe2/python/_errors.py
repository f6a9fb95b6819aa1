"""Errors of the Caffe2 door that have no place in freshpot's own tree.

Owned here: misuse of the Python API. Who calls it: every module of this package.
"""

from __future__ import annotations

from freshpot.errors import FreshpotError


class MisuseError(FreshpotError, AssertionError):
    """A call that cannot be meant. It is an ``AssertionError`` because the original asserted here."""


def require(condition: object, message: str) -> None:
    """Raise `MisuseError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise MisuseError(message)
