"""Calls that wait until operators are asked for.

Source: caffe2/python/lazy.py.
"""

from __future__ import annotations

from collections.abc import Callable

_calls: list[Callable[[], object]] = []


def RegisterLazyImport(lazy: Callable[[], object]) -> None:
    """Have a function called at each `TriggerLazyImport`."""
    _calls.append(lazy)


def TriggerLazyImport() -> None:
    """Call them."""
    for lazy in _calls:
        lazy()
