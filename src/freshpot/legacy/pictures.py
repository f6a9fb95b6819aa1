"""Drawings in place of the photographs that tutorials load: same names, sizes and channels."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SIZES", "draw"]

#: file name -> width, height, mode
SIZES = {
    "cat.jpg": (480, 360, "RGB"),
    "flower.jpg": (640, 480, "RGB"),
    "cell-tower.jpg": (640, 427, "RGB"),
    "mirror-image.jpg": (640, 480, "RGB"),
    "Cellsx128.png": (128, 128, "RGBA"),
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
