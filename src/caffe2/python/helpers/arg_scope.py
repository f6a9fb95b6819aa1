"""Default arguments for helpers inside a ``with`` block. Source: caffe2/python/helpers/arg_scope.py."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

_scopes = threading.local()


def get_current_scope() -> dict[str, dict[str, Any]]:
    """Helper name -> default arguments in force in this thread."""
    if not hasattr(_scopes, "current"):
        _scopes.current = {}
    return _scopes.current


@contextlib.contextmanager
def arg_scope(
    single_helper_or_list: Callable[..., Any] | list[Callable[..., Any]], **kwargs: Any
) -> Iterator[None]:
    """Inside, ``kwargs`` are default arguments of the helpers: ``with brew.arg_scope([brew.conv], pad=1):``.

    Blocks may be nested; an argument given in a call wins, then the innermost block.
    """
    helpers = single_helper_or_list if isinstance(single_helper_or_list, list) else [single_helper_or_list]
    if not all(callable(helper) for helper in helpers):
        raise TypeError("brew.arg_scope takes one helper function, or a list of them.")
    outer = get_current_scope()
    inner = dict(outer)
    for helper in helpers:
        inner[helper.__name__] = {**inner.get(helper.__name__, {}), **kwargs}
    _scopes.current = inner
    try:
        yield
    finally:
        _scopes.current = outer
