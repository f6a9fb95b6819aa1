"""Libraries with operators of one's own, loaded when operators are asked for.

Source: caffe2/python/lazy_dyndep.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from caffe2.python import dyndep, lazy
from freshpot.errors import FreshpotError

__all__ = ["GetImportedOpsLibraries", "RegisterOpsLibrary", "SetErrorHandler"]

_waiting: set[str] = set()
_handler: Callable[[Exception], object] | None = None


def RegisterOpsLibrary(name: str) -> None:
    """Note a library; one that does not exist is ignored, with a word, as in the original."""
    if not os.path.exists(name):
        print(f"Ignoring {name} as it is not a valid file.")
        return
    _waiting.add(name)


def SetErrorHandler(handler: Callable[[Exception], object]) -> None:
    """Have a function called with the error of a library that cannot be loaded: none can, see `dyndep`."""
    global _handler
    _handler = handler


def GetImportedOpsLibraries() -> set[str]:
    """Libraries loaded so far, those that waited included."""
    _load()
    return dyndep.GetImportedOpsLibraries()


def _load() -> None:
    for name in sorted(_waiting):
        _waiting.discard(name)
        try:
            dyndep.InitOpsLibrary(name, trigger_lazy=False)
        except FreshpotError as error:
            if _handler is not None:
                _handler(error)


lazy.RegisterLazyImport(_load)
