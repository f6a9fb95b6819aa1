"""Python 2 to Python 3, line for line, on the grammar and fixers of `fissix`.

A program counts as Python 2 when one of its cells does: it parses as Python 2 only, or uses what Python 3 lacks
(``xrange``, ``d.iteritems()``, ``print("%d") % x`` …). Then all of its cells are rewritten; those that call
``print`` as a function keep that reading. Modules that moved (``urllib2``, ``StringIO`` …) are not renamed: they are
bound while the program runs (:mod:`binding`), and so are names such as ``cmp`` (:mod:`python2`).
"""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from freshpot.errors import FormatError
from freshpot.legacy import magics, old_modules

__all__ = ["Modernized", "is_python2", "modernize", "parse", "python3"]

_FIXERS = (
    *("apply", "basestring", "dict", "except", "exec", "filter", "funcattrs", "getcwdu", "has_key", "input"),
    *("itertools", "itertools_imports", "long", "map", "metaclass", "methodattrs", "ne", "next", "nonzero"),
    *("numliterals", "paren", "print", "raise", "raw_input", "renames", "repr", "standarderror", "sys_exc"),
    *("throw", "tuple_params", "types", "unicode", "xrange", "xreadlines", "zip"),
)
_ERA = {
    *("absolute_import", "division", "generators", "nested_scopes", "print_function", "unicode_literals"),
    "with_statement",
}
_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]*)[ \t]*;?", re.MULTILINE)
_NAMES = {
    *("apply", "basestring", "cmp", "execfile", "file", "intern", "long", "raw_input", "reduce", "reload"),
    *("unichr", "unicode", "xrange"),
}
#: what ast.parse raises for text that is no program, or one nested too deeply
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
#: what modules had in Python 2 only, and the modules that are gone: marks unless a ``try`` stands around the import
_GONE = {
    (module.__name__, name)
    for module, names in old_modules.GONE
    for name in names
    if not hasattr(module, name) and module.__name__ != "time"
}
_METHODS = {"has_key", "iteritems", "iterkeys", "itervalues"}


@dataclass(frozen=True)
class Modernized:
    """One cell as Python 3.

    Attributes:
        text: what is run, line for line as in the file.
        changed: it differs from what was written by more than magics.
        error: why the cell is neither Python 3 nor Python 2; its text is as written then.
    """

    text: str
    changed: bool = False
    error: SyntaxError | None = None


def modernize(sources: Iterable[str]) -> tuple[list[Modernized], bool]:
    """All cells of a program as Python 3, and whether it was a program of Python 2."""
    stripped = [_without_futures(magics.translate(source)) for source in sources]
    old = any(is_python2(text) for text, _ in stripped)
    futures: set[str] = set()
    done = []
    for text, names in stripped:
        futures |= names
        done.append(_modernize(text, futures) if old else _checked(text, text))
    return done, old


def parse(text: str) -> ast.Module:
    """``ast.parse`` without the warnings that today's Python has for yesterday's text (``'\\d'``, ``x is 1``).

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is no Python, or nested too deeply.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def python3(source: str) -> str:
    """One piece of a program, alone, as Python 3.

    Raises:
        SyntaxError: it is neither Python 3 nor Python 2.
    """
    (cell,), _ = modernize([source])
    if cell.error is not None:
        raise cell.error
    return cell.text


def is_python2(text: str) -> bool:
    """True for Python that Python 3 cannot read, or that uses what Python 3 lacks, or whose first line asks for it."""
    if re.match(r"#!.*\bpython2", text):
        return True
    try:
        return _has_marks(parse(text))
    except _UNREADABLE:
        pass
    try:
        parse(_rewrite(text, print_function=False, division=True))
    except (FormatError, *_UNREADABLE):
        return False
    return True


def _has_marks(tree: ast.Module) -> bool:
    nodes = list(ast.walk(tree))
    tried = {id(node) for n in nodes if isinstance(n, ast.Try) for node in ast.walk(n)}
    if any(_is_old_import(node) for node in nodes if id(node) not in tried):
        return True
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {
        alias.asname or alias.name
        for n in nodes
        if isinstance(n, ast.Import | ast.ImportFrom)
        for alias in n.names
    }
    bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    return any(_is_mark(node, bound) for node in nodes)


def _is_old_import(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name in old_modules.renamed for alias in node.names)
    if isinstance(node, ast.ImportFrom) and not node.level:
        return node.module in old_modules.renamed or any(
            (node.module, alias.name) in _GONE for alias in node.names
        )
    return False


def _is_mark(node: ast.AST, bound: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _NAMES and node.id not in bound
    if isinstance(node, ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        return node.attr in _METHODS or (owner, node.attr) in _GONE
    return _is_print_slip(node)


def _is_print_slip(node: ast.AST) -> bool:
    """``print("%d") % x``, ``print (a).shape, b``, ``print >>file, x``: of Python 2, and read otherwise by Python 3."""
    if not isinstance(node, ast.Expr):
        return False
    first = node.value.elts[0] if isinstance(node.value, ast.Tuple) and node.value.elts else node.value
    return not _is_print_call(first) and _starts_with_print(first)


def _is_print_tuple(node: ast.AST) -> bool:
    """``print (a), b``: a statement if the program is one of Python 2."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Tuple) or not node.value.elts:
        return False
    return _is_print_call(node.value.elts[0]) and not any(map(_is_print_call, node.value.elts[1:]))


def _is_print_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _starts_with_print(node: ast.AST) -> bool:
    """The leftmost name of an expression with operators, attributes, indices or calls is ``print``."""
    deeper = True
    while deeper:
        deeper = False
        for kind, part in _LEFTMOST:
            if isinstance(node, kind):
                node = getattr(node, part)
                deeper = True
    return isinstance(node, ast.Name) and node.id == "print"


_LEFTMOST: tuple[tuple[type[ast.expr], str], ...] = (
    (ast.Attribute, "value"),
    (ast.BinOp, "left"),
    (ast.Call, "func"),
    (ast.Compare, "left"),
    (ast.Subscript, "value"),
)


def _without_futures(text: str) -> tuple[str, set[str]]:
    """The text without imports of ``__future__`` that Python 3 has built in, and their names."""
    names: set[str] = set()

    def drop(hit: re.Match[str]) -> str:
        found = {word.split()[0] for word in hit[1].strip("()\n ").split(",") if word.split()}
        if not found <= _ERA:
            return hit[0]
        names.update(found)
        return "\n" * hit[0].count("\n")

    return _FUTURE.sub(drop, text), names


def _modernize(text: str, futures: set[str]) -> Modernized:
    try:
        function = not any(_is_print_slip(node) or _is_print_tuple(node) for node in ast.walk(parse(text)))
    except _UNREADABLE:
        function = "print_function" in futures
    try:
        new = _rewrite(text, print_function=function, division="division" not in futures)
    except (FormatError, RecursionError, MemoryError):
        return _checked(text, text)
    return _checked(new, text)


def _checked(new: str, old: str) -> Modernized:
    """The new text if it parses; else the old one and why."""
    try:
        parse(new)
        return Modernized(new, changed=new != old)
    except SyntaxError as error:
        problem = error
    except (ValueError, RecursionError, MemoryError) as error:
        problem = SyntaxError(str(error) or "nested too deeply")
    return Modernized(old, error=problem)


def _rewrite(text: str, *, print_function: bool, division: bool) -> str:
    """Python 2 as Python 3.

    Raises:
        FormatError: it is not Python 2.
    """
    from fissix.pgen2.parse import ParseError
    from fissix.pgen2.tokenize import TokenError

    text = "\n".join(_leading_spaces(line) for line in text.split("\n"))
    try:
        tree = _tool(print_function, division).refactor_string(text + "\n", "cell")
    except (ParseError, TokenError, IndentationError, AttributeError, LookupError) as error:
        raise FormatError(f"is not Python 2: {error}") from None
    new = str(tree)
    return new[:-1] if new.endswith("\n") else new


def _leading_spaces(line: str) -> str:
    """Indentation in spaces: Python 2 let tabs, of eight columns, mix with them."""
    body = line.lstrip(" \t")
    indent = line[: len(line) - len(body)]
    return indent.expandtabs(8) + body if "\t" in indent else line


@functools.cache
def _tool(print_function: bool, division: bool) -> Any:
    """The refactoring tool for one reading of ``print`` and of ``/``."""
    import logging

    from fissix.refactor import RefactoringTool

    logging.getLogger("RefactoringTool").setLevel(logging.ERROR)
    logging.getLogger("fissix").setLevel(logging.ERROR)
    fixers = [f"fissix.fixes.fix_{name}" for name in _FIXERS]
    if division:
        fixers.append("freshpot.legacy.fix_division")
    return RefactoringTool(fixers, {"print_function": print_function})
