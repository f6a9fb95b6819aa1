"""Imports of modules that the original had and freshpot has not: an error that says what to use instead.

Owned here: the hook. Who calls it: Python's import system, when no module of that name was found; nothing
is read before that. The names are in modules_not_supported.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_PACKAGE = __name__.rpartition(".")[0] + "."
_LIST = Path(__file__).with_name("modules_not_supported.txt")


def modules() -> dict[str, str]:
    """Name of a module, below this package -> what to use instead."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return {name: instead for name, _, instead in pairs}


class _NotSupported:
    """A finder that finds nothing, and says why."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> None:
        """Raise ImportError if the module is in the list."""
        if not fullname.startswith(_PACKAGE):
            return
        name = fullname[len(_PACKAGE) :]
        instead = modules().get(name)
        if instead is not None:
            # not a ModuleNotFoundError: `from caffe2.python import …` would replace it by a message of its own
            raise ImportError(
                f"{fullname} is not supported by freshpot yet. Instead: {instead}.", name=fullname
            )


def install() -> None:
    """Ask the hook after all other finders, once."""
    if _NotSupported not in sys.meta_path:
        sys.meta_path.append(_NotSupported)
