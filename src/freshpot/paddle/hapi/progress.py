"""The lines of progress that ``Model`` prints, by :class:`ProgBarLogger`."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["ProgressBar"]


class ProgressBar:
    """``step 200/938 - loss: 1.5219 - acc: 0.9829 - 14ms/step``, or with ``verbose`` 1 a bar in one line.

    Args:
        total: steps in all, if known.
        verbose: 1: a bar that is overwritten; 2 or 3: a line each time.
    """

    def __init__(self, total: int | None, verbose: int) -> None:
        columns = shutil.get_terminal_size().columns or 80
        self._width = min(30, int(columns * 0.6), columns - 50)
        self._total, self._verbose = total, verbose
        self._began, self._shown = time.time(), 0

    def update(self, done: int, values: Sequence[tuple[str, Any]]) -> None:
        """Show where it stands."""
        each = (time.time() - self._began) / done if done else 0.0
        info = "".join(f" - {name}:{_numbers(value)}" for name, value in values)
        if self._verbose != 1:
            sys.stdout.write(f"{self._count(done)}{info} - {_pace(each)}/step\n")
        else:
            self._bar(done, info, each)
        sys.stdout.flush()

    def _count(self, done: int) -> str:
        if not self._total:
            return f"step {done:3d}"
        return f"step {done:{len(str(self._total))}d}/{self._total}"

    def _bar(self, done: int, info: str, each: float) -> None:
        head = self._count(done)
        if self._total:
            filled = int(self._width * done / self._total)
            bar = "=" * (filled - 1) + (">" if done < self._total else "=") if filled > 0 else ""
            head += f" [{bar}{'.' * (self._width - filled)}]"
        if self._total and done < self._total:
            info += f" - ETA: {_left(int(each * (self._total - done)))}"
        info += f" - {_pace(each)}/step"
        before, self._shown = self._shown, len(head) + len(info)
        end = "" if self._total and done < self._total else "\n"
        sys.stdout.write("\b" * before + "\r" + head + info + " " * (before - self._shown) + end)


def _numbers(value: Any) -> str:
    return "".join(f" {_number(one)}" for one in (value if isinstance(value, list) else [value]))


def _number(value: Any) -> str:
    if not isinstance(value, (float, np.floating)):
        return str(value)
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _pace(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _left(seconds: int) -> str:
    if seconds > 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds > 60 else f"{seconds}s"
