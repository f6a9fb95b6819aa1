"""The normalizers in force where a parameter is created. Source: caffe2/python/normalizer_context.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import context
from caffe2.python.modifier_context import ModifierContext, UseModifierBase


class NormalizerContext(ModifierContext, context.DefaultManaged):
    """Maps names (or parameter tags) to normalizers."""

    def has_normalizer(self, name: str) -> bool:
        """True if a normalizer of that name is in force."""
        return self._has_modifier(name)

    def get_normalizer(self, name: str) -> Any:
        """The normalizer of that name; raises KeyError if there is none."""
        return self._get_required(name, "normalizer")


class UseNormalizer(UseModifierBase):
    """A ``with`` block in which one normalizer, or a dict of them, is in force."""

    def _context_class(self) -> type[NormalizerContext]:
        return NormalizerContext
