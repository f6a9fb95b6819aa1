"""What is said of a name that is asked for and not there: known in the original, or known nowhere.

The original's public names are in original_names.txt, written by scripts/record_paddle.py under paddlepaddle 2.6.2.
Called by the modules' ``__getattr__`` and by scripts/generate.py.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Iterable

from freshpot.errors import NotSupportedError, near_matches

__all__ = ["MissingNameError", "missing", "original_names"]


class MissingNameError(NotSupportedError, AttributeError):
    """A name of Paddle's that freshpot does not have."""


@functools.cache
def original_names() -> dict[str, frozenset[str]]:
    """The original's public names: "" for ``paddle``, "nn", "nn.functional", "Tensor" …"""
    text = (pkgutil.get_data("freshpot.paddle", "original_names.txt") or b"").decode()
    lines = [line.partition(":") for line in text.splitlines() if not line.startswith("#")]
    return {key: frozenset(names.split()) for key, _, names in lines}


def missing(place: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for ``paddle.<place>.<name>``."""
    full = f"paddle.{place}" if place else "paddle"
    inner = f"{place}.{name}" if place else name
    if name in original_names().get(place, ()) or inner in original_names():
        return MissingNameError(f"{full}.{name} is Paddle's, but not supported here; see docs/paddle.md")
    return AttributeError(f"{full} has no '{name}' here.{near_matches(name, known)}")
