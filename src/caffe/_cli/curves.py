"""The curves of a training run: as a table, as a picture, as TensorBoard's events.

Owned here: keeping the points and writing them when training ends. Who calls it: ``caffe train``.
"""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes

#: the most points that are kept of one curve; then every second one is dropped
_MOST = 200_000


class Curve:
    """Points (iteration, value). When there are too many, every second one goes."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._every = 1
        self._seen = 0

    def add(self, iteration: int, value: float) -> None:
        """Append a point."""
        if self._seen % self._every == 0:
            self.points.append((iteration, value))
            if len(self.points) >= _MOST:
                self.points, self._every = self.points[::2], self._every * 2
        self._seen += 1


class Curves:
    """What is asked for of a run's curves; an empty name asks for nothing.

    Raises:
        DataError: a file cannot be written, found out before training begins.
    """

    def __init__(self, table: str = "", picture: str = "", events: str = "") -> None:
        self._table, self._picture, self._events = table, picture, events
        self._curves: dict[str, Curve] = {}
        for path in (table, picture):
            folder = os.path.dirname(path) or "."
            if path and not os.access(folder, os.W_OK):
                raise DataError(
                    f"{path}: cannot be written: is there a folder '{folder}' that may be written to?"
                )

    @property
    def wanted(self) -> bool:
        """True if anything is asked for."""
        return bool(self._table or self._picture or self._events)

    def iteration(self, iteration: int, loss: float, rate: float) -> None:
        """Take in an iteration of training."""
        self._add("train loss", iteration, loss)
        self._add("learning rate", iteration, rate)

    def test(self, iteration: int, net: int, scores: dict[str, float]) -> None:
        """Take in the scores of a test."""
        for name, value in scores.items():
            self._add(f"test {name}" if net == 0 else f"test {name} #{net}", iteration, value)

    def _add(self, name: str, iteration: int, value: float) -> None:
        self._curves.setdefault(name, Curve()).add(iteration, value)

    def finish(self) -> None:
        """Write what was asked for."""
        if not self._curves:
            return
        if self._table:
            write_bytes(self._table, self._as_table().encode())
        if self._picture:
            write_bytes(self._picture, self._as_picture())
        if self._events:
            from caffe._cli.events import write_events

            write_events(Path(self._events), {name: curve.points for name, curve in self._curves.items()})

    def _as_table(self) -> str:
        rows: dict[int, dict[str, Any]] = {}
        for name, curve in self._curves.items():
            for iteration, value in curve.points:
                rows.setdefault(iteration, {"iteration": iteration})[name] = f"{value:.8g}"
        out = io.StringIO()
        writer = csv.DictWriter(out, ["iteration", *self._curves], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[i] for i in sorted(rows))
        return out.getvalue()

    def _as_picture(self) -> bytes:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3 * len(self._panels())), layout="constrained")
        FigureCanvasAgg(figure)
        for i, (title, names) in enumerate(self._panels().items()):
            axes = figure.add_subplot(len(self._panels()), 1, i + 1)
            for name in names:
                points = [p for p in self._curves[name].points if math.isfinite(p[1])]
                axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 50 else "")
            axes.set(title=title, xlabel="iteration")
            axes.legend()
            axes.grid(alpha=0.3)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=120)
        return out.getvalue()

    def _panels(self) -> dict[str, list[str]]:
        """Losses together, then scores that are none, then the learning rate."""
        panels: dict[str, list[str]] = {"loss": [], "test scores": [], "learning rate": []}
        for name, curve in self._curves.items():
            if not any(math.isfinite(value) for _, value in curve.points):
                continue
            kind = "learning rate" if name == "learning rate" else "loss" if "loss" in name else "test scores"
            panels[kind].append(name)
        return {title: names for title, names in panels.items() if names}
