"""Libraries with operators of one's own.

Owned here: what freshpot says to a program that loads one. Who calls it: programs.
"""

from __future__ import annotations

import os

from freshpot.errors import NotSupportedError

_imported: set[str] = set()


def InitOpsLibrary(name: str, trigger_lazy: bool = True) -> None:
    """Load a library of operators. One that does not exist is ignored, with a word, as in the original:
    Caffe2's own operators need none.

    Raises:
        NotSupportedError: it exists: libraries built for the original cannot be loaded here.
    """
    if not os.path.exists(name):
        print(f"Ignoring {name} as it is not a valid file.")
        return
    raise NotSupportedError(
        f"{name}: a library built for the original Caffe2 cannot be loaded. "
        "Write the operator in Python: subclass freshpot.ops._operator.Operator, or use net.Python(f)."
    )


def GetImportedOpsLibraries() -> set[str]:
    """Libraries loaded so far: none."""
    return _imported
