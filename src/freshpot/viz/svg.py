"""A scene as SVG text: small, readable, with classes (``fp-node``, ``fp-edge``) that a page's CSS may restyle."""

from __future__ import annotations

from html import escape

from freshpot.viz.scene import FONT_SIZE, LINE_HEIGHT, Box, Line, Scene

__all__ = ["scene_to_svg"]

DOT_RADIUS = 3.5  # of a round arrow head
_FONTS = "'DejaVu Sans', Verdana, 'Segoe UI', sans-serif"


def scene_to_svg(scene: Scene) -> str:
    """One ``<svg>`` element, edges first, nodes above them."""
    size = f'width="{scene.width:.0f}" height="{scene.height:.0f}"'
    box = f'viewBox="0 0 {scene.width:.1f} {scene.height:.1f}"'
    title = f"<title>{escape(scene.title)}</title>" if scene.title else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fp-graph" {size} {box} '
        f'font-family="{_FONTS}" font-size="{FONT_SIZE:g}" text-anchor="middle">{title}',
        f'<rect class="fp-paper" width="{scene.width:.1f}" height="{scene.height:.1f}" fill="#ffffff"/>',
    ]
    parts += [_line(line) for line in scene.lines]
    parts += [_box(box) for box in scene.boxes]
    return "\n".join([*parts, "</svg>", ""])


def _line(line: Line) -> str:
    first, *rest = [f"{x:.1f},{y:.1f}" for x, y in line.points]
    pieces = " ".join(f"C{' '.join(rest[i : i + 3])}" for i in range(0, len(rest), 3))
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    path = f'<path class="fp-edge" d="M{first} {pieces}" fill="none" stroke="{line.colour}" stroke-width="1.2"{dash}/>'
    return path + _head(line)


def _head(line: Line) -> str:
    if line.head == "dot":
        x, y = dot_centre(line)
        return f'<circle class="fp-head" cx="{x:.1f}" cy="{y:.1f}" r="{DOT_RADIUS}" fill="{line.colour}"/>'
    if line.head == "none":
        return ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in arrow(*head_ends(line)))
    return f'<polygon class="fp-head" points="{points}" fill="{line.colour}"/>'


def head_ends(line: Line) -> tuple[tuple[float, float], tuple[float, float]]:
    """The last two different points: where the head points from and to."""
    tip = line.points[-1]
    for point in reversed(line.points):
        if abs(point[0] - tip[0]) + abs(point[1] - tip[1]) > 0.5:
            return point, tip
    return (tip[0] - 1, tip[1]), tip


def dot_centre(line: Line) -> tuple[float, float]:
    """Where a round head is drawn, so that it touches the node."""
    (x0, y0), (x, y) = head_ends(line)
    back = DOT_RADIUS / max(((x - x0) ** 2 + (y - y0) ** 2) ** 0.5, 1e-6)
    return x - (x - x0) * back, y - (y - y0) * back


def arrow(
    start: tuple[float, float], tip: tuple[float, float], length: float = 8.0
) -> list[tuple[float, float]]:
    """The three corners of an arrow head."""
    dx, dy = tip[0] - start[0], tip[1] - start[1]
    scale = length / max((dx * dx + dy * dy) ** 0.5, 1e-6)
    dx, dy = dx * scale, dy * scale
    back = tip[0] - dx, tip[1] - dy
    return [tip, (back[0] - dy * 0.42, back[1] + dx * 0.42), (back[0] + dy * 0.42, back[1] - dx * 0.42)]


def corners(box: Box) -> list[tuple[float, float]]:
    """The corners of an octagon."""
    (x, y), (w, h) = box.centre, (box.size[0] / 2, box.size[1] / 2)
    cut = min(h * 0.58, w * 0.4)
    return [
        (x - w + cut, y - h),
        (x + w - cut, y - h),
        (x + w, y - h + cut),
        (x + w, y + h - cut),
        (x + w - cut, y + h),
        (x - w + cut, y + h),
        (x - w, y + h - cut),
        (x - w, y - h + cut),
    ]


def _box(box: Box) -> str:
    (x, y), (w, h) = box.centre, box.size
    dash = ' stroke-dasharray="5 4"' if box.dashed else ""
    look = f'class="fp-node fp-{box.shape}" fill="{box.fill}" stroke="{box.line}" stroke-width="1.2"{dash}'
    if box.shape == "box":
        shape = (
            f'<rect {look} x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="4"/>'
        )
    elif box.shape == "octagon":
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in corners(box))
        shape = f'<polygon {look} points="{points}"/>'
    else:
        shape = f'<ellipse {look} cx="{x:.1f}" cy="{y:.1f}" rx="{w / 2:.1f}" ry="{h / 2:.1f}"/>'
    return f"<g>{shape}{_text(box)}</g>"


def _text(box: Box) -> str:
    x, y = box.centre
    top = y - (len(box.text) - 1) * LINE_HEIGHT / 2 + FONT_SIZE * 0.36
    return "".join(
        f'<text class="fp-text fp-{box.shape}-text" x="{x:.1f}" y="{top + i * LINE_HEIGHT:.1f}" fill="{box.ink}">'
        f"{escape(line)}</text>"
        for i, line in enumerate(box.text)
        if line
    )
