"""The results as one Markdown table and one plot.

Owned here: how figures are written. Who calls it: `suite`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freshpot.bench.machine import cores, cpu_model, versions
from freshpot.bench.rows import Curve, Options, Row
from freshpot.formats.atomic import write_bytes

__all__ = ["Section", "markdown", "one_row", "write"]

_HEAD = "| work | competitor | competitor's | ours | ratio | aim | |"
_OURS, _AIM, _OTHER = "#0f9d58", "#d9730d", "#8a929b"


@dataclass
class Section:
    """What one benchmark gave."""

    title: str
    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


def write(
    folder: Path, sections: Sequence[Section], options: Options, started: float, *, complete: bool
) -> None:
    """Write ``bench.md`` and ``bench.svg``."""
    text = markdown(sections, options, started, complete=complete)
    picture = _plot(sections)
    if picture is not None:
        write_bytes(folder / "bench.svg", picture)
        text += "\n![Ratios, and how cost grows](bench.svg)\n"
    write_bytes(folder / "bench.md", text.encode())


def markdown(sections: Sequence[Section], options: Options, started: float, *, complete: bool) -> str:
    """The table, after a line about the machine."""
    day = time.strftime("%Y-%m-%d", time.localtime(started))
    threads = f"{options.threads} thread{'s' if options.threads != 1 else ''}"
    about = [f"{name} {version}" for name, version in versions().items()]
    lines = [
        f"{day}, {cpu_model()}, {cores()} cores, {threads}; {', '.join(about)}.",
        "",
        "Medians of alternating runs; the ratio is ours over theirs, smaller is better.",
        "",
    ]
    if options.quick:
        lines += ["Made with --quick: too short for figures, it only shows that all works.", ""]
    if not complete:
        lines += ["The run was not finished; this is what it measured.", ""]
    lines += [_HEAD, "|---|---|---:|---:|---:|---:|---|"]
    lines += [_line(row) for section in sections for row in section.rows]
    return "\n".join(lines) + "\n"


def one_row(row: Row) -> str:
    """A row in one line, for a terminal."""
    if row.ratio is None:
        return f"{row.what} | {row.competitor}: {row.note}"
    theirs, ours = _figure(row.theirs, row.unit), _figure(row.ours, row.unit)
    return f"{row.what} | {row.competitor} {theirs}, ours {ours}: {_ratio(row)}"


def _line(row: Row) -> str:
    aim = (
        ""
        if row.most is None
        else f"≤ {'+ ' + _figure(row.most, row.unit) if row.added else format(row.most, 'g')}"
    )
    if row.met is not None:
        aim += " ✓" if row.met else " ✗"
    cells = [
        row.what,
        row.competitor,
        _figure(row.theirs, row.unit),
        _figure(row.ours, row.unit),
        _ratio(row),
        aim,
        row.note,
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return "–"
    if not row.added:
        return f"{row.ratio:.2f}"
    return f"{'+' if row.ratio >= 0 else '−'} {_figure(abs(row.ratio), row.unit)}"


def _figure(value: float | None, unit: str) -> str:
    """A number with its unit, three digits."""
    if value is None:
        return "–"
    if unit != "s":
        return f"{value:.0f} {unit}"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or name == "µs":
            return f"{_digits(value * factor)} {name}"
    raise AssertionError


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


# ------------------------------------------------------------------------------------ the plot


def _plot(sections: Sequence[Section]) -> bytes | None:
    """Ratios as bars on a logarithmic axis, with the aims; below them the curves. None: nothing to show."""
    rows = [row for section in sections for row in section.rows if row.ratio is not None and not row.added]
    curves: dict[str, list[Curve]] = {}
    for section in sections:
        for curve in section.curves:
            curves.setdefault(curve.plot, []).append(curve)
    grown = set(curves)
    rows = [row for row in rows if not any(row.what.startswith(plot) for plot in grown)]
    if not rows and not curves:
        return None
    import matplotlib
    from matplotlib.figure import Figure

    high = max(1.5, 0.26 * len(rows)) if rows else 0
    heights = ([high] if rows else []) + ([3.2] if curves else [])
    with matplotlib.rc_context({"svg.hashsalt": "freshpot", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(10, sum(heights) + 0.8), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if rows:
            _bars(parts[0].subplots(), rows)
        if curves:
            for axes, (plot, lines) in zip(
                parts[-1].subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
            ):
                _lines(axes, plot, lines)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _bars(axes: Any, rows: list[Row]) -> None:
    ratios = [row.ratio or 1.0 for row in rows]
    places = range(len(rows))
    axes.barh(places, [r - 1 for r in ratios], left=1, color=[_OURS if r <= 1 else _OTHER for r in ratios])
    for place, row in zip(places, rows, strict=True):
        if row.most is not None:
            axes.plot([row.most] * 2, [place - 0.45, place + 0.45], color=_AIM, linewidth=2)
    axes.set_yticks(places, [f"{row.what}  /  {row.competitor}" for row in rows])
    axes.set_xscale("log")
    axes.set_xlim(min(0.05, *ratios) * 0.9, max(2.0, *ratios) * 1.1)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("ours / theirs; left of 1 we are faster (or smaller), orange: the aim")


def _lines(axes: Any, plot: str, curves: list[Curve]) -> None:
    for curve in curves:
        ours = curve.name == "freshpot"
        axes.plot(
            curve.x,
            [1e3 * s for s in curve.seconds],
            marker="o",
            markersize=3,
            linewidth=2 if ours else 1,
            color=_OURS if ours else None,
            label=curve.name,
        )
    axes.set_title(plot)
    axes.set_xlabel(curves[0].over)
    axes.set_ylabel("ms")
    axes.set_yscale("log")
    if max(curves[0].x) > 20 * min(curves[0].x):
        axes.set_xscale("log", base=4)
    axes.legend()
