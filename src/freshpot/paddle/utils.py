"""``paddle.utils``: the names that parts get."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

from freshpot.paddle.nn import layer

__all__ = ["unique_name"]


@contextlib.contextmanager
def _guard(new_generator: Any = None) -> Iterator[None]:
    before = layer.switch_names()
    try:
        yield
    finally:
        layer.switch_names(before)


#: ``generate(key)``: ``key_0``, ``key_1`` …; ``guard()``: within it, counting starts anew
unique_name = types.SimpleNamespace(
    generate=layer.unique_name, guard=_guard, switch=lambda new_generator=None: layer.switch_names()
)
