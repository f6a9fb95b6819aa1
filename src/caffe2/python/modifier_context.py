"""Named modifiers (optimizers, regularizers, normalizers) in force inside a ``with`` block.

Source: caffe2/python/modifier_context.py.
"""

from __future__ import annotations

from typing import Any

DEFAULT_MODIFIER = "DEFAULT"


class ModifierContext:
    """A stack of name -> modifier maps; the latest map that has a name decides."""

    def __init__(self) -> None:
        self._modifiers_list: list[dict[str, Any]] = []

    def _has_modifier(self, name: str) -> bool:
        return any(name in modifiers for modifiers in self._modifiers_list)

    def _get_modifier(self, name: str) -> Any:
        return next((m[name] for m in reversed(self._modifiers_list) if name in m), None)

    def _get_required(self, name: str, what: str) -> Any:
        if not self._has_modifier(name):
            known = ", ".join({n for m in self._modifiers_list for n in m}) or "none"
            raise KeyError(f"no {what} named '{name}' is in use here; known: {known}.")
        return self._get_modifier(name)

    def push_modifiers(self, modifiers: dict[str, Any]) -> None:
        """Put modifiers in force, over those of the same names."""
        self._modifiers_list.append(modifiers)

    def pop_modifiers(self) -> None:
        """Take back the latest `push_modifiers`."""
        if not self._modifiers_list:
            raise RuntimeError("no modifiers are in use.")
        self._modifiers_list.pop()


class UseModifierBase:
    """A ``with`` block in which one modifier (as ``DEFAULT``) or a dict of modifiers is in force."""

    def __init__(self, modifier_or_dict: Any) -> None:
        named = isinstance(modifier_or_dict, dict)
        self._modifiers = modifier_or_dict if named else {DEFAULT_MODIFIER: modifier_or_dict}

    def _context_class(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say which context it belongs to.")

    def __enter__(self) -> UseModifierBase:
        self._context_class().current().push_modifiers(self._modifiers)
        return self

    def __exit__(self, *unused: object) -> None:
        self._context_class().current().pop_modifiers()
