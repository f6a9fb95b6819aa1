"""A fixer for fissix: ``a / b`` becomes ``old_div(a, b)`` where Python 2 might have divided whole numbers.

Divisions with a float literal or a call of ``float`` in them divide as in Python 3 and are left alone.
"""

from __future__ import annotations

import re
from typing import Any

from fissix import fixer_base
from fissix.fixer_util import Call, Name
from fissix.pgen2 import token
from fissix.pygram import python_symbols as syms
from fissix.pytree import Leaf, Node

__all__ = ["FixDivision"]

_FLOAT = re.compile(r"^(\d+\.\d*|\.\d+|\d+)(e[+-]?\d+)?$", re.IGNORECASE)


class FixDivision(fixer_base.BaseFix):
    """``a / b`` and ``a /= b``."""

    BM_compatible = False
    order = "post"
    run_order = 8  # after the fixers that look for calls

    def match(self, node: Any) -> bool:
        """True for a chain of factors with a division in it, and for ``/=``."""
        operator = {syms.term: token.SLASH, syms.expr_stmt: token.SLASHEQUAL}.get(node.type)
        return operator is not None and any(child.type == operator for child in node.children)

    def transform(self, node: Any, results: Any) -> Any:
        """The node that takes the place."""
        return _in_place(node) if node.type == syms.expr_stmt else _chain(node)


def _in_place(node: Any) -> Any:
    target, _, value = node.children
    if _is_float(value):
        return None
    prefix = node.prefix
    copy = target.clone()
    copy.prefix = ""
    new_value = value.clone()
    new_value.prefix = " "
    call = Call(Name("old_idiv"), [copy, Leaf(token.COMMA, ","), new_value])
    call.prefix = " "
    left = target.clone()
    left.prefix = prefix
    return Node(syms.expr_stmt, [left, Leaf(token.EQUAL, "=", prefix=" "), call])


def _chain(node: Any) -> Any:
    """``a * b / c`` from the left: what stands before a division becomes its first argument."""
    prefix = node.prefix
    parts = [child.clone() for child in node.children]
    parts[0].prefix = ""
    done: list[Any] = [parts[0]]
    real = _is_float(parts[0])
    for operator, operand in zip(parts[1::2], parts[2::2], strict=True):
        real = real or _is_float(operand)
        if operator.type == token.SLASH and not real:
            left = done[0] if len(done) == 1 else Node(syms.term, done)
            operand.prefix = " "
            done = [Call(Name("old_div"), [left, Leaf(token.COMMA, ","), operand])]
        else:
            done += [operator, operand]
            real = real and operator.type in (token.SLASH, token.STAR)
    new = done[0] if len(done) == 1 else Node(syms.term, done)
    new.prefix = prefix
    return new


def _is_float(node: Any) -> bool:
    """True for what is a float whatever happens: ``1.``, ``float(x)``, ``-.5``."""
    if node.type == syms.factor:
        return _is_float(node.children[-1])
    if node.type == token.NUMBER:
        return _FLOAT.match(node.value) is not None and not node.value.isdigit()
    if node.type != syms.power or len(node.children) != 2:
        return False
    name, trailer = node.children
    return name.type == token.NAME and name.value == "float" and trailer.children[0].type == token.LPAR
