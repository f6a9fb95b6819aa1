"""The regularizers in force where a parameter is created. Source: caffe2/python/regularizer_context.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import context
from caffe2.python.modifier_context import ModifierContext, UseModifierBase


class RegularizerContext(ModifierContext, context.DefaultManaged):
    """Maps names (or parameter tags) to regularizers."""

    def has_regularizer(self, name: str) -> bool:
        """True if a regularizer of that name is in force."""
        return self._has_modifier(name)

    def get_regularizer(self, name: str) -> Any:
        """The regularizer of that name; raises KeyError if there is none."""
        return self._get_required(name, "regularizer")


class UseRegularizer(UseModifierBase):
    """A ``with`` block in which one regularizer, or a dict of them, is in force."""

    def _context_class(self) -> type[RegularizerContext]:
        return RegularizerContext
