"""What a program of Python 2 finds in its namespace: built-in names that are gone, old division, old files."""

from __future__ import annotations

import builtins
import codecs
import decimal
import functools
import importlib
import io
import math
import operator
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["is_text", "names", "native", "old_div", "old_idiv", "open_", "round_any"]


def _is_whole(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return kind in ("i", "u", "b") if isinstance(value, np.ndarray | np.generic) else isinstance(value, int)


def old_div(a: Any, b: Any) -> Any:
    """``a / b`` as in Python 2: whole numbers, and arrays of them, give whole numbers."""
    return operator.floordiv(a, b) if _is_whole(a) and _is_whole(b) else operator.truediv(a, b)


def old_idiv(a: Any, b: Any) -> Any:
    """``a /= b`` as in Python 2; returns the new a."""
    return operator.ifloordiv(a, b) if _is_whole(a) and _is_whole(b) else operator.itruediv(a, b)


def cmp(a: Any, b: Any) -> int:
    """-1, 0 or 1."""
    return (a > b) - (a < b)


def execfile(path: str, globals: dict[str, Any] | None = None, locals: dict[str, Any] | None = None) -> None:
    """Run a file in a namespace; default that of the caller."""
    from freshpot.legacy.modernize import python3

    if globals is None:
        globals = sys._getframe(1).f_globals
    with builtins.open(path, encoding="utf-8") as file:
        text = python3(file.read())
    exec(compile(text, path, "exec", dont_inherit=True), globals, locals)


def reload(module: Any) -> Any:
    """Load a module anew; ``reload(sys)``, which was done for ``setdefaultencoding``, does nothing."""
    return module if module is sys else importlib.reload(module)


# ---- one type for text and bytes -----------------------------------------------------------------------
_named_temporary_file = tempfile.NamedTemporaryFile
_CONTROL = frozenset(range(32)) - set(b"\t\n\r\f\v\b\x1b")


def is_text(data: bytes) -> bool:
    """True for UTF-8 without control characters; False for what was never meant to be read."""
    if any(byte in _CONTROL for byte in data[: 1 << 16]):
        return False
    try:
        codecs.utf_8_decode(data, "strict", True)
    except UnicodeDecodeError:
        return False
    return True


def native(data: bytes) -> str | bytes:
    """What Python 2's ``str`` is today: text where the bytes are text, else the bytes."""
    return data.decode() if is_text(data) else data


class _Writer(io.TextIOWrapper):
    """A text file that takes bytes too."""

    def write(self, data: Any) -> int:
        if isinstance(data, bytes | bytearray):
            self.flush()
            self.buffer.write(bytes(data))
            return len(data)
        return super().write(data)


class _BytesWriter(io.BufferedWriter):
    """A binary file that takes text too."""

    def write(self, data: Any) -> int:
        return super().write(data.encode() if isinstance(data, str) else data)


def open_(path: Any, mode: str = "r", *args: Any, **keywords: Any) -> Any:
    """``open`` of Python 2: text mode reads a binary file as bytes; each mode writes both text and bytes."""
    mode = mode.replace("U", "") or "r"
    if mode in ("wb", "bw", "ab") and not args and not keywords:
        return _BytesWriter(builtins.open(path, mode, buffering=0))
    if "b" in mode or args or keywords or isinstance(path, int):
        return builtins.open(path, mode, *args, **keywords)
    if mode[0] == "r":
        with builtins.open(path, "rb") as file:
            binary = not is_text(file.read())
        return builtins.open(path, mode + "b") if binary else builtins.open(path, mode, encoding="utf-8")
    raw = builtins.open(path, mode.replace("t", "") + "b")  # noqa: SIM115 - handed to the program
    return _Writer(raw, encoding="utf-8")


def named_temporary_file(*args: Any, **keywords: Any) -> Any:
    """``tempfile.NamedTemporaryFile`` whose binary modes (also the default one) take text too."""
    made = _named_temporary_file(*args, **keywords)
    plain = made.write
    if "b" in made.file.mode:
        vars(made)["write"] = lambda data: plain(data.encode() if isinstance(data, str) else data)
    return made


def round_(value: Any, digits: int = 0) -> float:
    """A float, halves away from zero; an array of one element is its element."""
    number = float(_element(value))
    if not math.isfinite(number):
        return number
    with decimal.localcontext(decimal.Context(prec=700)):
        step = decimal.Decimal(1).scaleb(-digits)
        return float(decimal.Decimal(number).quantize(step, decimal.ROUND_HALF_UP))


def round_any(value: Any, digits: int | None = None) -> Any:
    """Today's ``round``, which takes an array of one element, too, as that of Python 2 did."""
    return builtins.round(_element(value), digits)


def _element(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def names() -> dict[str, Any]:
    """All of it, by the names that programs use."""
    gone: dict[str, Callable[..., Any] | type] = {
        "cmp": cmp,
        "execfile": execfile,
        "file": open_,
        "intern": sys.intern,
        "open": open_,
        "reduce": functools.reduce,
        "reload": reload,
        "round": round_,
        "unichr": chr,
        "buffer": memoryview,
        "old_div": old_div,
        "old_idiv": old_idiv,
    }
    return {**gone, "getcwdu": os.getcwd}
