"""Parameters that several name scopes share. Source: caffe2/python/modeling/parameter_sharing.py."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from caffe2.python import scope

logger = logging.getLogger(__name__)


class ParameterSharingContext:
    """The scopes that stand for other scopes when a parameter is named."""

    def __init__(self) -> None:
        self._contexts: list[dict[str, str]] = []

    @property
    def _overrides(self) -> dict[str, str]:
        return {old: new for shared in self._contexts for old, new in shared.items()}

    def _resolve(self, wanted: str, overrides: dict[str, str]) -> str:
        """Replace the longest overridden prefix of a scope, again and again until nothing applies."""
        separator = scope._NAMESCOPE_SEPARATOR
        parts = wanted.split(separator)
        for count in range(len(parts), 0, -1):
            prefix = separator.join(parts[:count]) + separator
            if prefix in overrides:
                if overrides[prefix] == wanted:
                    return wanted
                return self._resolve(overrides[prefix], overrides) + separator.join(parts[count:])
        return wanted

    def get_parameter_name(self, name: str) -> str:
        """The full name of a parameter called ``name`` in the current scope."""
        current = scope.CurrentNameScope()
        resolved = self._resolve(current, self._overrides)
        if resolved != current:
            logger.info("parameters of scope %s are those of scope %s", current, resolved)
        return resolved + name

    def add_scope_overrides(self, shared_scopes: dict[str, str]) -> None:
        """Let each key stand for its value until `pop`."""
        self._contexts.append(shared_scopes)

    def pop(self) -> None:
        """Take back the latest `add_scope_overrides`."""
        if not self._contexts:
            raise RuntimeError("no parameter sharing is active.")
        self._contexts.pop()


parameter_sharing_context = ParameterSharingContext()


def _with_separator(namescope: str) -> str:
    separator = scope._NAMESCOPE_SEPARATOR
    return namescope if not namescope or namescope.endswith(separator) else namescope + separator


@contextlib.contextmanager
def ParameterSharing(shared_scopes: dict[str, str]) -> Iterator[None]:
    """Inside, parameters made in scope ``key`` are those of scope ``value``; both are below the current scope.

    Raises ValueError if a scope would be replaced by one of its own children, which has no end.
    """
    if not isinstance(shared_scopes, dict):
        raise TypeError(f"ParameterSharing takes a dict of scopes; got {type(shared_scopes).__name__}.")
    current = scope.CurrentNameScope()
    for old, new in shared_scopes.items():
        if new.startswith(old):
            raise ValueError(f"scope '{old}' cannot share the parameters of '{new}': it is a prefix of it.")
    overrides = {
        _with_separator(current + old): _with_separator(current + new) for old, new in shared_scopes.items()
    }
    parameter_sharing_context.add_scope_overrides(overrides)
    try:
        yield
    finally:
        parameter_sharing_context.pop()
