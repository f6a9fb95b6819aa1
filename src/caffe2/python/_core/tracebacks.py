"""Where in a program each operator was added.

Owned here: the record. Who calls it: `Net` (writes), `workspace` (reads, when an operator fails).
"""

from __future__ import annotations

import sys
from collections import defaultdict

#: (file, line, function), the innermost first
Stack = list[tuple[str, int, str]]

#: net name -> number of the operator -> the stack that added it
operator_tracebacks: defaultdict[str, dict[int, Stack]] = defaultdict(dict)


def call_stack(skip: int = 3) -> Stack:
    """The stack of the caller, without the ``skip`` innermost frames; no file is read."""
    frame = sys._getframe(skip)
    stack: Stack = []
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back  # type: ignore[assignment]
    return stack
