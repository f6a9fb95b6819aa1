"""A scene as pixels, painted with Pillow at twice the size and reduced, which smooths all lines."""

from __future__ import annotations

import io
from typing import Any

from freshpot.viz.layout import Point
from freshpot.viz.scene import FONT_SIZE, LINE_HEIGHT, Box, Line, Scene, font
from freshpot.viz.svg import DOT_RADIUS, arrow, corners, dot_centre, head_ends

__all__ = ["scene_to_image"]

DPI = 96.0
_MOST_PIXELS = 24e6  # of the finished picture; larger graphs are drawn smaller
_MOST_SIDE = 30_000
_SMOOTH = 2
_CURVE_STEPS = 10


def scene_to_image(scene: Scene, format: str = "png", dpi: float = DPI) -> bytes:
    """The picture in a format that Pillow writes (png, jpg, gif, pdf …)."""
    from PIL import Image, ImageDraw

    scale = dpi / 72
    scale = min(scale, (_MOST_PIXELS / max(scene.width * scene.height, 1)) ** 0.5)
    scale = min(scale, _MOST_SIDE / max(scene.width, scene.height, 1))
    width, height = max(round(scene.width * scale), 1), max(round(scene.height * scale), 1)
    fine = scale * _SMOOTH
    image = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), "white")
    pen = _Pen(ImageDraw.Draw(image), fine)
    for line in scene.lines:
        pen.line(line)
    for box in scene.boxes:
        pen.box(box)
    image = image.reduce(_SMOOTH)
    if format in ("png", "gif") and len(scene.boxes) > 500:
        image = image.quantize(64)  # large graphs have few colours; files stay small
    out = io.BytesIO()
    image.save(out, {"jpg": "JPEG"}.get(format, format.upper()), **_options(format, dpi))
    return out.getvalue()


def _options(format: str, dpi: float) -> dict[str, Any]:
    if format == "pdf":
        return {"resolution": dpi}
    if format in ("jpg", "jpeg"):
        return {"quality": 92, "dpi": (dpi, dpi)}
    return {"dpi": (dpi, dpi)} if format == "png" else {}


class _Pen:
    """Draws shapes given in points onto a canvas of ``scale`` pixels a point."""

    def __init__(self, draw: Any, scale: float) -> None:
        self.draw = draw
        self.scale = scale
        self.width = max(round(1.2 * scale), 1)

    def at(self, points: list[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def line(self, line: Line) -> None:
        points = self.at(_flatten(line.points))
        for piece in _dashes(points, 5 * self.scale, 4 * self.scale) if line.dashed else [points]:
            self.draw.line(piece, fill=line.colour, width=self.width, joint="curve")
        if line.head == "dot":
            (x, y), r = dot_centre(line), DOT_RADIUS
            self.draw.ellipse(self.at([(x - r, y - r), (x + r, y + r)]), fill=line.colour)
        elif line.head != "none":
            self.draw.polygon(self.at(arrow(*head_ends(line))), fill=line.colour)

    def box(self, box: Box) -> None:
        (x, y), (w, h) = box.centre, box.size
        frame = self.at([(x - w / 2, y - h / 2), (x + w / 2, y + h / 2)])
        if box.shape == "box":
            self.draw.rounded_rectangle(
                frame, 4 * self.scale, fill=box.fill, outline=box.line, width=self.width
            )
        elif box.shape == "octagon":
            self.draw.polygon(self.at(corners(box)), fill=box.fill, outline=box.line, width=self.width)
        else:
            self.draw.ellipse(frame, fill=box.fill, outline=box.line, width=self.width)
        self.text(box)

    def text(self, box: Box) -> None:
        size = FONT_SIZE * self.scale
        if size < 3:  # nobody could read it
            return
        x, y = box.centre
        top = y - (len(box.text) - 1) * LINE_HEIGHT / 2
        for i, line in enumerate(box.text):
            place = self.at([(x, top + i * LINE_HEIGHT)])[0]
            self.draw.text(place, line, fill=box.ink, font=font(size), anchor="mm")


def _flatten(points: list[Point]) -> list[Point]:
    """Bezier pieces as short straight ones."""
    flat = [points[0]]
    for i in range(0, len(points) - 1, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points[i : i + 4]
        if abs(x0 - x3) < 0.1 or abs(y0 - y3) < 0.1:
            flat.append((x3, y3))
            continue
        for step in range(1, _CURVE_STEPS + 1):
            t = step / _CURVE_STEPS
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            flat.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return flat


def _dashes(points: list[Point], on: float, off: float) -> list[list[Point]]:
    """Cut a line into dashes."""
    pieces: list[list[Point]] = []
    ink, left = True, on
    current = [points[0]]
    for target in points[1:]:
        x, y = current[-1]
        length = ((target[0] - x) ** 2 + (target[1] - y) ** 2) ** 0.5
        while length > left:
            x, y = x + (target[0] - x) * left / length, y + (target[1] - y) * left / length
            length -= left
            current.append((x, y))
            if ink:
                pieces.append(current)
            ink, left, current = not ink, off if ink else on, [(x, y)]
        left -= length
        current.append(target)
    return [*pieces, current] if ink and len(current) > 1 else pieces
