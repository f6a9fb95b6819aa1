"""A progress bar under the log of a training run, when standard error is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from caffe import _log
from caffe._solver.solver import Solver

_REFRESH_S = 0.1


class _Around:
    """A stream that takes a bar away before it writes a line, and puts it back."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def write(self, text: str) -> int:
        """Write text above the bar."""
        if text.strip("\n"):
            self._bar.write(text.rstrip("\n"), file=sys.stderr)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def progress_bar(solver: Solver) -> Iterator[None]:
    """Show iterations, loss, learning rate, images a second and the time left, while inside."""
    if not sys.stderr.isatty():
        yield
        return
    from tqdm import tqdm

    batch = _images(solver)
    total = solver.param.max_iter
    with tqdm(total=total, initial=solver.iter, unit="it", file=sys.stderr, dynamic_ncols=True) as bar:
        started, first, shown = time.monotonic(), solver.iter, 0.0

        def watch(iteration: int, loss: float, rate: float) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown < _REFRESH_S and iteration < total:
                return
            shown = now
            speed = (iteration - first) * batch / max(now - started, 1e-9)
            bar.set_postfix_str(f"loss {loss:.4g}, lr {rate:.3g}, {speed:.0f} images/s", refresh=False)
            bar.n = iteration
            bar.refresh()  # how often is decided above

        solver._watchers.append(watch)
        try:
            with _log.written_to(_Around(bar)):  # type: ignore[arg-type] # it has what print() needs
                yield
        finally:
            solver._watchers.remove(watch)


def _images(solver: Solver) -> int:
    """Images of one iteration: the first blob's, times iter_size."""
    blobs = list(solver.net.blobs.values())
    shape = blobs[0].shape if blobs else []
    return (shape[0] if shape else 1) * solver._iter_size
