"""Names that a text uses before the cell that imports them: authors ran their cells in another order."""

from __future__ import annotations

import ast
from collections.abc import Sequence

__all__ = ["imports_ahead"]


def imports_ahead(
    trees: Sequence[ast.Module | None], index: int, known: set[str]
) -> dict[str, tuple[int, ast.stmt]]:
    """Imports of later cells for names that a cell needs at once and that nobody has bound.

    Args:
        trees: the cells; None for one that does not parse.
        index: the cell that is about to run.
        known: names bound so far, and the built-in ones.

    Returns:
        For each such name: the later cell, and its import statement.
    """
    tree = trees[index]
    missing = _loads(tree) - _stores(tree) - known if tree is not None else set()
    found: dict[str, tuple[int, ast.stmt]] = {}
    for later in range(index + 1, len(trees)):
        body = getattr(trees[later], "body", [])
        for statement in body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for alias in statement.names:
                    name = (alias.asname or alias.name).partition(".")[0]
                    if name in missing and name not in found:
                        found[name] = (later, statement)
    return found


def _loads(tree: ast.AST) -> set[str]:
    """Names read when the cell runs: not those in bodies of functions, which run later."""
    names: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += [*getattr(node, "decorator_list", []), *node.args.defaults]
        else:
            todo += ast.iter_child_nodes(node)
    return names


def _stores(tree: ast.AST) -> set[str]:
    """Names that the cell itself binds."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names
