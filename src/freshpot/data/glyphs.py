"""Digits as signed distance fields: stroke-drawn by us, and outlines of the fonts matplotlib ships.

A field is a square grid over [-REACH, REACH] in both directions, in units of the digit's height, x to the
right and y down, origin at the digit's centre. A cell holds the distance to the edge of the ink, negative in
ink. Fields are smooth, so they can be warped by coarse interpolation, and a stroke is made thicker by adding
a number.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELLS", "REACH", "VARIANTS", "font_fields", "stroke_fields"]

Array = NDArray[np.float32]

CELLS = 40  # a side of the grid
REACH = 0.8
_HALF_STROKE = 0.062  # half the width of a pen stroke
_SPAN_STEPS = 4  # straight pieces between two neighbouring control points
_JITTER = 0.035  # standard deviation of a control point's place

# Each variant is a list of strokes; each stroke a curve through its points, in a box of width and height 1.
_STROKES: dict[int, list[list[list[tuple[float, float]]]]] = {
    0: [
        [
            [
                (0.55, 0),
                (0.22, 0.15),
                (0.1, 0.55),
                (0.3, 0.95),
                (0.62, 0.97),
                (0.88, 0.6),
                (0.8, 0.2),
                (0.52, 0.01),
            ]
        ],
        [
            [
                (0.6, 0.03),
                (0.35, 0.08),
                (0.22, 0.5),
                (0.33, 0.93),
                (0.6, 0.97),
                (0.76, 0.5),
                (0.68, 0.1),
                (0.45, 0.02),
            ]
        ],
        [
            [
                (0.4, 0.1),
                (0.15, 0.4),
                (0.2, 0.85),
                (0.55, 1),
                (0.88, 0.75),
                (0.85, 0.25),
                (0.6, 0.03),
                (0.3, 0.12),
            ]
        ],
    ],
    1: [
        [[(0.52, 0), (0.5, 0.5), (0.48, 1)]],
        [[(0.28, 0.22), (0.55, 0)], [(0.55, 0), (0.53, 0.5), (0.5, 1)]],
        [[(0.3, 0.18), (0.52, 0)], [(0.52, 0), (0.52, 1)], [(0.25, 1), (0.8, 1)]],
    ],
    2: [
        [
            [(0.13, 0.25), (0.42, 0), (0.78, 0.17), (0.68, 0.5), (0.35, 0.78), (0.1, 0.97)],
            [(0.1, 0.97), (0.92, 0.95)],
        ],
        [
            [(0.15, 0.2), (0.5, 0), (0.8, 0.22), (0.62, 0.6), (0.25, 0.95)],
            [(0.25, 0.95), (0.08, 0.86), (0.28, 0.74), (0.6, 0.92), (0.95, 0.88)],
        ],
        [[(0.2, 0.1), (0.6, 0), (0.82, 0.25), (0.5, 0.65), (0.15, 1)], [(0.15, 1), (0.5, 0.94), (0.9, 1)]],
    ],
    3: [
        [
            [(0.15, 0.12), (0.5, 0), (0.78, 0.2), (0.62, 0.42), (0.38, 0.47)],
            [(0.38, 0.47), (0.75, 0.55), (0.84, 0.8), (0.52, 1), (0.12, 0.88)],
        ],
        [
            [(0.15, 0.03), (0.8, 0.03)],
            [(0.8, 0.03), (0.45, 0.4)],
            [(0.45, 0.4), (0.82, 0.6), (0.72, 0.93), (0.1, 0.9)],
        ],
        [
            [(0.2, 0.05), (0.6, 0.02), (0.75, 0.22), (0.45, 0.45)],
            [(0.45, 0.45), (0.72, 0.68), (0.55, 0.95), (0.2, 1)],
        ],
    ],
    4: [
        [[(0.25, 0.05), (0.13, 0.55)], [(0.13, 0.55), (0.9, 0.52)], [(0.72, 0.1), (0.68, 1)]],
        [[(0.68, 0), (0.08, 0.65)], [(0.08, 0.65), (0.95, 0.65)], [(0.68, 0), (0.68, 1)]],
        [[(0.2, 0.05), (0.17, 0.4), (0.42, 0.53), (0.78, 0.4)], [(0.84, 0), (0.76, 0.5), (0.7, 1)]],
    ],
    5: [
        [
            [(0.88, 0.03), (0.3, 0.03)],
            [(0.3, 0.03), (0.22, 0.45)],
            [(0.22, 0.45), (0.55, 0.37), (0.86, 0.62), (0.68, 0.93), (0.35, 1), (0.1, 0.88)],
        ],
        [[(0.86, 0.04), (0.42, 0.06), (0.3, 0.3), (0.52, 0.45), (0.78, 0.68), (0.58, 0.96), (0.15, 0.95)]],
        [
            [(0.85, 0.0), (0.4, 0.05)],
            [(0.4, 0.05), (0.3, 0.42)],
            [(0.3, 0.42), (0.7, 0.5), (0.72, 0.8), (0.42, 0.99), (0.15, 0.97)],
        ],
    ],
    6: [
        [
            [
                (0.66, 0),
                (0.3, 0.3),
                (0.15, 0.7),
                (0.36, 0.98),
                (0.7, 0.9),
                (0.76, 0.66),
                (0.5, 0.52),
                (0.2, 0.7),
            ]
        ],
        [[(0.45, 0), (0.25, 0.4), (0.2, 0.8), (0.45, 1), (0.75, 0.82), (0.6, 0.57), (0.25, 0.68)]],
        [
            [
                (0.8, 0.05),
                (0.4, 0.12),
                (0.18, 0.55),
                (0.3, 0.92),
                (0.62, 0.97),
                (0.78, 0.72),
                (0.5, 0.55),
                (0.22, 0.72),
            ]
        ],
    ],
    7: [
        [[(0.1, 0.05), (0.88, 0.05)], [(0.88, 0.05), (0.55, 0.5), (0.38, 1)]],
        [[(0.1, 0.05), (0.88, 0.05)], [(0.88, 0.05), (0.6, 0.45), (0.42, 1)], [(0.3, 0.5), (0.82, 0.48)]],
        [
            [(0.12, 0.22), (0.12, 0.06)],
            [(0.12, 0.06), (0.5, 0.1), (0.9, 0.02)],
            [(0.9, 0.02), (0.62, 0.5), (0.55, 1)],
        ],
    ],
    8: [
        [
            [(0.74, 0.12), (0.45, 0), (0.2, 0.2), (0.5, 0.48), (0.8, 0.78), (0.5, 1)],
            [(0.5, 1), (0.18, 0.8), (0.5, 0.48), (0.8, 0.22), (0.74, 0.12)],
        ],
        [
            [(0.5, 0), (0.27, 0.2), (0.5, 0.45), (0.73, 0.2), (0.5, 0)],
            [(0.5, 0.45), (0.2, 0.72), (0.5, 1), (0.8, 0.72), (0.5, 0.45)],
        ],
        [
            [(0.85, 0.05), (0.5, 0.03), (0.25, 0.22), (0.5, 0.48), (0.7, 0.75), (0.45, 0.98)],
            [(0.45, 0.98), (0.22, 0.78), (0.45, 0.5), (0.8, 0.2), (0.88, 0.08)],
        ],
    ],
    9: [
        [
            [(0.8, 0.2), (0.5, 0.02), (0.18, 0.24), (0.35, 0.5), (0.7, 0.42), (0.82, 0.15)],
            [(0.82, 0.15), (0.78, 0.6), (0.64, 1)],
        ],
        [
            [(0.78, 0.2), (0.5, 0), (0.2, 0.24), (0.4, 0.48), (0.76, 0.35), (0.8, 0.12)],
            [(0.8, 0.12), (0.82, 0.7), (0.52, 1), (0.15, 0.9)],
        ],
        [[(0.75, 0.1), (0.4, 0.04), (0.22, 0.3), (0.5, 0.46), (0.76, 0.22)], [(0.76, 0.08), (0.72, 1)]],
    ],
}
VARIANTS = 3  # of each digit

_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
    "cmr10.ttf",
    "cmb10.ttf",
    "cmss10.ttf",
    "cmtt10.ttf",
    "cmti10.ttf",
)


def stroke_fields(digit: int, variant: int, count: int, rng: np.random.Generator) -> Array:
    """``count`` different hand-drawn versions of one variant: (count, CELLS, CELLS)."""
    starts, ends = [], []
    shape = rng.normal(1, 0.08, (count, 1, 2)) * [0.8, 1.0]  # digits are narrower than high
    for stroke in _STROKES[digit][variant]:
        points = np.array(stroke, dtype=np.float32) - 0.5
        moved = (points + rng.normal(0, _JITTER, (count, *points.shape))) * shape
        curve = _smooth_curve(moved.astype(np.float32))
        starts.append(curve[:, :-1])
        ends.append(curve[:, 1:])
    return _distance(np.concatenate(starts, 1), np.concatenate(ends, 1)) - np.float32(_HALF_STROKE)


@lru_cache(maxsize=1)
def font_fields() -> Array:
    """The digits of every font: (10, fonts, CELLS, CELLS). Drawn once per process."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return np.stack([np.stack([_font_field(folder / name, digit) for name in _FONTS]) for digit in range(10)])


def _font_field(font: Path, digit: int) -> Array:
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import TextPath

    polygons: list[Any] = TextPath(
        (0, 0), str(digit), size=100, prop=FontProperties(fname=str(font))
    ).to_polygons()
    corners = np.concatenate(polygons)
    low, high = corners.min(0), corners.max(0)
    scale = np.array([1, -1]) / (high[1] - low[1])  # height 1, y down
    polygons = [(polygon - (low + high) / 2) * scale for polygon in polygons]
    starts = np.concatenate([polygon[:-1] for polygon in polygons])[None].astype(np.float32)
    ends = np.concatenate([polygon[1:] for polygon in polygons])[None].astype(np.float32)
    cells = _cells()
    # A point is in ink when an odd number of contours surround it: holes are contours too.
    inside = np.logical_xor.reduce([Outline(polygon).contains_points(cells) for polygon in polygons])
    distance = _distance(starts, ends)[0]
    return np.where(inside.reshape(CELLS, CELLS), -distance, distance).astype(np.float32)


def _cells() -> Array:
    """The (x, y) of every cell, row by row: (CELLS * CELLS, 2)."""
    axis = np.linspace(-REACH, REACH, CELLS, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], -1)


def _smooth_curve(points: Array) -> Array:
    """Catmull-Rom curves through (count, n, 2) points; two points give a straight line."""
    padded = np.concatenate(
        [2 * points[:, :1] - points[:, 1:2], points, 2 * points[:, -1:] - points[:, -2:-1]], 1
    )
    before, here, there, after = (padded[:, i : i + points.shape[1] - 1, None] for i in range(4))
    t = (np.arange(_SPAN_STEPS, dtype=np.float32) / _SPAN_STEPS)[:, None]
    curve = 0.5 * (
        2 * here
        + (there - before) * t
        + (2 * before - 5 * here + 4 * there - after) * t**2
        + (3 * here - before - 3 * there + after) * t**3
    )
    return np.concatenate([curve.reshape(len(points), -1, 2), points[:, -1:]], 1)


def _distance(starts: Array, ends: Array) -> Array:
    """Distance of every cell to the nearest of (count, n) line pieces: (count, CELLS, CELLS)."""
    cells = _cells()
    best = np.full((len(starts), len(cells)), np.inf, dtype=np.float32)
    along = ends - starts
    length2 = np.maximum((along**2).sum(-1), 1e-9)
    for i in range(starts.shape[1]):  # a loop over pieces keeps the arrays small enough for the CPU's cache
        dx = cells[:, 0] - starts[:, i, 0, None]
        dy = cells[:, 1] - starts[:, i, 1, None]
        ax, ay = along[:, i, 0, None], along[:, i, 1, None]
        t = np.clip((dx * ax + dy * ay) / length2[:, i, None], 0, 1)
        np.minimum(best, (dx - t * ax) ** 2 + (dy - t * ay) ** 2, out=best)
    return np.sqrt(best).reshape(-1, CELLS, CELLS)
