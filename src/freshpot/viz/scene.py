"""A drawn graph as a list of plain shapes, which SVG and PNG writers paint alike.

Node text is measured in DejaVu Sans, which comes with matplotlib, so boxes fit on every machine.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from freshpot.viz.dot import Dot, Edge, Node
from freshpot.viz.layout import Layout, Point, layered_layout

__all__ = ["FONT_SIZE", "LINE_HEIGHT", "Box", "Line", "Scene", "font", "make_scene"]

FONT_SIZE = 13.0
LINE_HEIGHT = 17.0
_PAD_X, _PAD_Y = 10.0, 6.0
_INK, _LINE = "#1f2328", "#57606a"


@dataclass(frozen=True)
class Box:
    """A node: shape, place, colours and lines of text."""

    shape: str  # "box", "octagon", "ellipse" or "none"
    centre: Point
    size: Point
    text: list[str]
    fill: str | None
    line: str
    ink: str
    dashed: bool


@dataclass(frozen=True)
class Line:
    """An edge: cubic Bezier pieces (each 3 points after the first), and its head."""

    points: list[Point]
    colour: str
    dashed: bool
    head: str  # "normal", "dot" or "none"


@dataclass(frozen=True)
class Scene:
    """The whole picture, in points (1/72 inch), origin at the top left."""

    title: str
    width: float
    height: float
    lines: list[Line]
    boxes: list[Box]


def make_scene(graph: Dot) -> Scene:
    """Lay ``graph`` out and give everything its look."""
    nodes = list(graph.unique_nodes())
    number = {node.name: i for i, node in enumerate(nodes)}
    edges = graph.get_edges()
    sizes = [_size(node) for node in nodes]
    pairs = [(number[edge.source], number[edge.target]) for edge in edges]
    layout = layered_layout(sizes, pairs, str(graph.get("rankdir") or "TB").upper())
    return Scene(
        title=graph.name or "",
        width=layout.width,
        height=layout.height,
        lines=_unique_lines(edges, layout),
        boxes=[_box(*each) for each in zip(nodes, layout.centres, sizes, strict=True)],
    )


@lru_cache(maxsize=8)
def font(size: float) -> Any:
    """DejaVu Sans for Pillow, in pixels."""
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)


def _size(node: Node) -> Point:
    lines = _lines(node)
    wide = max(font(FONT_SIZE).getlength(line) for line in lines) + 2 * _PAD_X
    high = len(lines) * LINE_HEIGHT + 2 * _PAD_Y
    shape = node.get("shape") or "ellipse"
    if shape == "octagon":
        return wide + 6, high
    return (wide * 1.2 + 8, high * 1.25) if shape in ("ellipse", "oval", "circle") else (wide, high)


def _lines(node: Node) -> list[str]:
    """The lines of a node's text; a last line break ends a line and begins none, as in Graphviz."""
    return node.text.removesuffix("\n").split("\n")


def _box(node: Node, centre: Point, size: Point) -> Box:
    shape = {"box": "box", "rect": "box", "rectangle": "box", "square": "box", "octagon": "octagon"}
    styles = str(node.get("style") or "").split(",")
    colour = node.get("color")
    filled = "filled" in styles
    fill = (node.get("fillcolor") or colour or "lightgrey") if filled else "#ffffff"
    return Box(
        shape=shape.get(str(node.get("shape") or ""), "ellipse"),
        centre=centre,
        size=size,
        text=_lines(node),
        fill=_plain(fill),
        line=_plain(colour or _LINE),
        ink=_plain(node.get("fontcolor") or _INK),
        dashed="dashed" in styles,
    )


def _unique_lines(edges: list[Edge], layout: Layout) -> list[Line]:
    """Edges as curves; those that would lie exactly on each other are drawn once."""
    seen: set[tuple[str, str, str, str]] = set()
    lines = []
    for edge, route in zip(edges, layout.routes, strict=True):
        head = str(edge.get("arrowhead") or "normal")
        key = edge.source, edge.target, str(edge.get("style")), head
        if not route or key in seen:
            continue
        seen.add(key)
        dashed = "dashed" in str(edge.get("style") or "")
        lines.append(
            Line(_curve(route, layout.horizontal), _plain(edge.get("color") or "#8b949e"), dashed, head)
        )
    return lines


def _curve(route: list[Point], horizontal: bool) -> list[Point]:
    """Bezier pieces: straight within layers, an S from one layer to the next."""
    across = 1 if horizontal else 0
    corners = [route[0]]
    for here, then in itertools.pairwise(route[1:]):
        if not corners[-1][across] == here[across] == then[across]:  # else it lies on a straight line
            corners.append(here)
    points = [route[0]]
    for a, b in itertools.pairwise([*corners, route[-1]]):
        if horizontal:
            middle = (a[0] + b[0]) / 2
            points += [(middle, a[1]), (middle, b[1]), b]
        else:
            middle = (a[1] + b[1]) / 2
            points += [(a[0], middle), (b[0], middle), b]
    return points


def _plain(colour: object) -> str:
    """A colour that both SVG and Pillow know; grey for what neither does."""
    from PIL import ImageColor

    text = str(colour).strip('"')
    try:
        ImageColor.getrgb(text)
    except ValueError:
        return _LINE
    return text
