"""``paddle.static``: programs of the static mode."""

from __future__ import annotations

from typing import NoReturn

from freshpot.paddle._missing import missing
from freshpot.paddle.static.spec import InputSpec

__all__ = ["InputSpec"]


def __getattr__(name: str) -> NoReturn:
    raise missing("static", name, __all__)
