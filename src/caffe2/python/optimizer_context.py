"""The optimizers in force where a parameter is created. Source: caffe2/python/optimizer_context.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import context
from caffe2.python.modifier_context import DEFAULT_MODIFIER, ModifierContext, UseModifierBase

DEFAULT_OPTIM = DEFAULT_MODIFIER


class OptimizerContext(ModifierContext, context.DefaultManaged):
    """Maps names (or parameter tags) to optimizers."""

    def has_optimizer(self, name: str) -> bool:
        """True if a optimizer of that name is in force."""
        return self._has_modifier(name)

    def get_optimizer(self, name: str) -> Any:
        """The optimizer of that name; raises KeyError if there is none."""
        return self._get_required(name, "optimizer")


class UseOptimizer(UseModifierBase):
    """A ``with`` block in which one optimizer, or a dict of them, is in force."""

    def _context_class(self) -> type[OptimizerContext]:
        return OptimizerContext
