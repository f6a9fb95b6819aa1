"""Small charts as SVG text: curves, bars, a confusion matrix. Colours are CSS variables, so a page's theme applies.

On its own (outside a page that sets the variables) a chart falls back to the light theme's colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import DataError

__all__ = ["Curve", "bar_chart", "confusion_chart", "curve_chart", "smooth"]

_WIDE, _HIGH = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 14, 40
_MOST_POINTS = 600
INK, MUTED, RULE = "var(--ink,#1f2328)", "var(--muted,#656d76)", "var(--rule,#e3e6ea)"
ACCENTS = ("var(--accent,#0b8049)", "var(--accent2,#3367d6)", "var(--accent3,#d9730d)")


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: for the legend.
        values: (N,), numbers; what is not finite is left out.
        x: (N,), where each value belongs; default 1, 2, 3 …
        points: mark single values instead of smoothing a noisy line.
    """

    name: str
    values: NDArray[Any]
    x: NDArray[Any] | None = None
    points: bool = False

    def places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Finite (x, y)."""
        y = np.asarray(self.values, dtype=np.float64).ravel()
        x = np.arange(1.0, len(y) + 1) if self.x is None else np.asarray(self.x, dtype=np.float64).ravel()
        if len(x) != len(y):
            raise DataError(f"curve '{self.name}' has {len(y)} values at {len(x)} places")
        good = np.isfinite(x) & np.isfinite(y)
        return x[good], y[good]


def smooth(values: NDArray[Any], window: int) -> NDArray[np.float64]:
    """Mean over a window around each value, narrower at both ends; as long as ``values``."""
    values = np.asarray(values, dtype=np.float64)
    half = max(window // 2, 0)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def curve_chart(
    curves: Sequence[Curve], *, x_label: str = "iteration", log: bool = False, percent: bool = False
) -> str:
    """Lines over a common x axis. A long noisy line is drawn faintly with its running mean on top.

    Args:
        curves: at least one with at least one finite value.
        x_label: below the axis.
        log: logarithmic y axis; values that are not positive are left out.
        percent: y values are shares, shown as percent.

    Raises:
        DataError: nothing to draw.
    """
    places = [curve.places() for curve in curves]
    if log:
        places = [(x[y > 0], y[y > 0]) for x, y in places]
    if not any(len(x) for x, _ in places):
        raise DataError("there is no finite value to draw a curve of")
    scale = _Scale(places, log, percent)
    told = [_told(curve.name, y, percent) for curve, (_, y) in zip(curves, places, strict=True)]
    parts = [_svg_open(_WIDE, _HIGH, "; ".join(told)), scale.axes(x_label)]
    for i, (curve, (x, y)) in enumerate(zip(curves, places, strict=True)):
        if len(x):
            parts.append(_curve(curve, x, y, scale, ACCENTS[i % len(ACCENTS)]))
    parts.append(_legend(curves) if len(curves) > 1 else "")
    return "".join([*parts, "</svg>"])


def _told(name: str, y: NDArray[Any], percent: bool) -> str:
    """A curve in words, for who cannot see it."""
    if not len(y):
        return f"{name}: none"
    first, last = (f"{value:.1%}" if percent else f"{value:.4g}" for value in (y[0], y[-1]))
    return f"{name}: {last}" if len(y) == 1 else f"{name}: from {first} to {last}"


class _Scale:
    """From values to places on the chart, with round tick marks."""

    def __init__(self, places: Sequence[tuple[Any, Any]], log: bool, percent: bool) -> None:
        self.log, self.percent = log, percent
        xs = np.concatenate([x for x, _ in places])
        ys = np.concatenate([y for _, y in places])
        self.x_low, self.x_high = float(xs.min()), float(xs.max())
        if self.x_low == self.x_high:
            self.x_low -= 1
        self.y_ticks = _log_ticks(ys) if log else _ticks(float(ys.min()), float(ys.max()))
        self.y_low = min(self.y_ticks[0], float(ys.min()))
        self.y_high = max(self.y_ticks[-1], float(ys.max()))

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (_WIDE - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_low, self.y_high
        if self.log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return _HIGH - _BOTTOM - (value - low) / (high - low) * (_HIGH - _TOP - _BOTTOM)

    def axes(self, x_label: str) -> str:
        parts = []
        for tick in self.y_ticks:
            y = self.y(tick)
            text = f"{tick * 100:g}%" if self.percent else f"{tick:g}"
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDE - _RIGHT}" stroke="{RULE}"/>')
            parts.append(_label(_LEFT - 8, y + 4, text, "end"))
        for tick in _ticks(self.x_low, self.x_high):
            if self.x_low <= tick <= self.x_high:
                parts.append(_label(self.x(tick), _HIGH - _BOTTOM + 18, f"{tick:g}", "middle"))
        parts.append(_label(_WIDE - _RIGHT, _HIGH - 6, x_label, "end"))
        return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from below ``low`` to above ``high``."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(values: NDArray[np.float64]) -> list[float]:
    """Powers of ten, with 2 and 5 times them where they are few, from below the values to above them."""
    low, high = float(values.min()), float(values.max())
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = max((last - first) // 5, 1)
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + every, every) for step in steps]
    below = max((tick for tick in ticks if tick <= low), default=ticks[0])
    above = min((tick for tick in ticks if tick >= high), default=ticks[-1])
    return [tick for tick in ticks if below <= tick <= above]


def _curve(curve: Curve, x: NDArray[Any], y: NDArray[Any], scale: _Scale, colour: str) -> str:
    if curve.points:
        dots = [
            f'<circle cx="{scale.x(a):.1f}" cy="{scale.y(b):.1f}" r="3.5" fill="{colour}"/>'
            for a, b in zip(x, y, strict=True)
        ]
        return _path(x, y, scale, colour, 1.6) + "".join(dots)
    if len(x) < 60:
        return _path(x, y, scale, colour, 2.2)
    return _path(x, y, scale, colour, 1.0, 0.3) + _path(x, smooth(y, len(y) // 25), scale, colour, 2.4)


def _path(
    x: NDArray[Any], y: NDArray[Any], scale: _Scale, colour: str, width: float, opacity: float = 1.0
) -> str:
    step = max(len(x) // _MOST_POINTS, 1)
    keep = np.unique(np.append(np.arange(0, len(x), step), len(x) - 1))
    line = "L".join(f"{scale.x(a):.1f} {scale.y(b):.1f}" for a, b in zip(x[keep], y[keep], strict=True))
    return (
        f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-opacity="{opacity:g}" stroke-linejoin="round" stroke-linecap="round"/>'
    )


def _legend(curves: Sequence[Curve]) -> str:
    parts, at = [], float(_LEFT)
    for i, curve in enumerate(curves):
        colour = ACCENTS[i % len(ACCENTS)]
        parts.append(f'<rect x="{at:.0f}" y="{_HIGH - 12}" width="14" height="4" rx="2" fill="{colour}"/>')
        parts.append(_label(at + 20, _HIGH - 6, curve.name, "start"))
        at += 34 + 7.2 * len(curve.name)
    return "".join(parts)


def bar_chart(shares: Sequence[float], names: Sequence[str], *, highlight: int | None = None) -> str:
    """Horizontal bars of shares (0 to 1), such as a softmax; ``highlight`` is the bar in the accent colour."""
    row, left, wide = 26, 34, 560
    high = row * len(shares) + 8
    told = ", ".join(f"{name} {share * 100:.1f}%" for share, name in zip(shares, names, strict=True))
    parts = [_svg_open(wide, high, f"probabilities: {told}")]
    for i, (share, name) in enumerate(zip(shares, names, strict=True)):
        y = 4 + i * row
        length = max(float(share), 0.0) * (wide - left - 70)
        colour = ACCENTS[0] if i == highlight else MUTED
        parts.append(_label(left - 10, y + 17, name, "end"))
        parts.append(
            f'<rect x="{left}" y="{y + 4}" width="{wide - left - 70}" height="{row - 8}" rx="4" fill="{RULE}"/>'
        )
        if length >= 0.5:
            parts.append(
                f'<rect x="{left}" y="{y + 4}" width="{max(length, 4):.1f}" height="{row - 8}" rx="4" fill="{colour}"/>'
            )
        parts.append(_label(wide - 62, y + 17, f"{share * 100:.1f}%", "start"))
    return "".join([*parts, "</svg>"])


def confusion_chart(counts: NDArray[Any], names: Sequence[str] | None = None) -> str:
    """A confusion matrix (K, K): rows are the truth, columns the answer; shades go by the row's share."""
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise DataError(f"a confusion matrix is square, got shape {counts.shape}")
    names = names or [str(i) for i in range(len(counts))]
    cell, left, top = 46, 44, 34
    side = cell * len(counts)
    told = f"confusion matrix: {np.trace(counts)} of {counts.sum()} right"
    parts = [_svg_open(left + side + 6, top + side + 6, told + _most_often(counts, names))]
    parts.append(_label(left + side / 2, 12, "the net says", "middle"))
    parts.append(
        f'<g transform="translate(12 {top + side / 2}) rotate(-90)">{_label(0, 0, "the label says", "middle")}</g>'
    )
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        parts.append(_label(left + middle, top - 8, name, "middle"))
        parts.append(_label(left - 10, top + middle + 4, name, "end"))
    totals = np.maximum(counts.sum(1), 1)
    for (i, j), count in np.ndenumerate(counts):
        parts.append(_cell(left + j * cell, top + i * cell, cell, int(count), count / totals[i], i == j))
    return "".join([*parts, "</svg>"])


def _most_often(counts: NDArray[Any], names: Sequence[str]) -> str:
    """The most frequent mistake in words."""
    wrong = counts - np.diag(np.diag(counts))
    i, j = divmod(int(wrong.argmax()), len(counts))
    return f"; most often {names[i]} is taken for {names[j]} ({wrong[i, j]} times)" if wrong[i, j] else ""


def _cell(x: float, y: float, size: int, count: int, share: float, right: bool) -> str:
    colour = ACCENTS[0] if right else "var(--bad,#cf222e)"
    # Mistakes are rare: their shade grows with the root of their share, or nothing would be seen.
    strength = share**2 * 0.9 if right else min(math.sqrt(share) * 1.6, 0.9)
    frame = f'<rect x="{x + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}" rx="5"'
    shade = f'{frame} fill="{RULE}" fill-opacity=".45"/>'
    if count:
        shade += f'{frame} fill="{colour}" fill-opacity="{strength:.3f}"/>'
    ink = "var(--on-fill,#fff)" if strength > 0.5 else INK
    text = _label(x + size / 2, y + size / 2 + 4.5, str(count), "middle", ink) if count else ""
    return shade + text


def _svg_open(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" class="chart" '
        f'style="max-width:{width:g}px" font-family="system-ui,sans-serif" font-size="12.5">'
        f"<title>{escape(title)}</title>"
    )


def _label(x: float, y: float, text: str, anchor: str, colour: str = MUTED) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
