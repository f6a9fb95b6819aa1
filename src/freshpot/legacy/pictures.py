"""Drawings in place of the photographs that tutorials load: same names, sizes and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["SIZES", "draw", "draw_style"]

#: file name -> width, height, mode
SIZES = {
    "cat.jpg": (480, 360, "RGB"),
    "flower.jpg": (640, 480, "RGB"),
    "cell-tower.jpg": (640, 427, "RGB"),
    "mirror-image.jpg": (640, 480, "RGB"),
    "Cellsx128.png": (128, 128, "RGBA"),
    "cat_gray.jpg": (480, 360, "L"),
    "fish-bike.jpg": (481, 323, "RGB"),
    "sky1024px.jpg": (1024, 575, "RGB"),
    "flowers.jpg": (320, 240, "RGB"),
    "cat gray.jpg": (480, 360, "L"),
}


def draw(name: str, path: Path) -> None:
    """Draw the stand-in for a known photograph."""
    from PIL import Image, ImageDraw

    width, height, mode = SIZES[name]
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (across, down, Image.new("L", (width, height), 96)))
    pen = ImageDraw.Draw(picture)
    pen.ellipse(
        (width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=(240, 200, 60), outline="black"
    )
    pen.text((8, 8), f"stand-in for {name}", fill="white")
    if name == "mirror-image.jpg":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if name == "cell-tower.jpg":
        picture = picture.rotate(-90, expand=True).resize((width, height))
    picture.convert(mode).save(path)


def draw_style(path: Path, style: int, number: int) -> None:
    """Draw a picture of 256 x 256 pixels whose colour, and the size of whose spots, are those of a style (0 to 4)."""
    from PIL import Image, ImageDraw

    random = np.random.default_rng(number)
    picture = Image.new("HSV", (256, 256), (51 * style, 120, int(random.integers(60, 160))))
    pen = ImageDraw.Draw(picture)
    for x, y, hue in random.integers((0, 0, -12), (256, 256, 13), (40, 3)).tolist():
        size = 6 + 6 * style
        pen.ellipse((x - size, y - size, x + size, y + size), fill=((51 * style + hue) % 256, 200, 220))
    picture.convert("RGB").save(path)
