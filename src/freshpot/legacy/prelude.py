"""The first lines of a modernised program: what ``freshpot run`` puts around it, until the process ends."""

from __future__ import annotations

import atexit
import contextlib
import sys
from pathlib import Path
from typing import Any

from freshpot.legacy import magics
from freshpot.legacy import python2 as python2_
from freshpot.legacy.surroundings import Surroundings

__all__ = ["start"]


def start(names: dict[str, Any], *, python2: bool = False, folder: str | Path | None = None) -> None:
    """Serve old modules, addresses and files to a namespace.

    Args:
        names: ``globals()`` of the program.
        python2: it was written for Python 2.
        folder: for figures and stand-ins; default ``freshpot-run``.
    """
    path = Path(names.get("__file__", "notebook"))
    text = path.read_text(encoding="utf-8") if path.is_file() else "matplotlib caffe2.python.models"
    around = Surroundings(path, Path(folder or "freshpot-run"), text, python2=python2)
    around.module = sys.modules["__main__"]
    stack = contextlib.ExitStack()
    stack.enter_context(around.installed())
    atexit.register(stack.close)
    around.shell.bind(names)
    names.update({magics.MAGIC: around.shell.magic, magics.SHELL: around.shell.run})
    if python2:
        names.update(python2_.names())
