"""Blobs as pictures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freshpot.errors import DataError
from freshpot.viz.blobs import (
    as_tiles,
    blob_grid,
    colourise,
    data_uri,
    feature_grid,
    filter_grid,
    png_bytes,
    tile,
    write_png,
)

RAMP = np.arange(2 * 5 * 3 * 4, dtype=np.float32).reshape(2, 5, 3, 4)


@pytest.mark.parametrize(
    ("shape", "order", "expected"),
    [
        ((3, 4), "NCHW", (1, 3, 4)),
        ((6, 3, 4), "NCHW", (6, 3, 4)),
        ((2, 5, 3, 4), "NCHW", (10, 3, 4)),
        ((2, 3, 4, 5), "NHWC", (10, 3, 4)),
        ((2, 3, 6, 4), "NCHW", (2, 6, 4, 3)),
        ((2, 6, 4, 3), "NHWC", (2, 6, 4, 3)),
    ],
)
def test_tiles_of_any_blob(shape: tuple[int, ...], order: str, expected: tuple[int, ...]) -> None:
    assert as_tiles(np.zeros(shape), order).shape == expected  # type: ignore[arg-type]


def test_channels_of_an_image_stay_together() -> None:
    np.testing.assert_array_equal(as_tiles(RAMP)[:5], RAMP[0])
    np.testing.assert_array_equal(as_tiles(np.moveaxis(RAMP, 1, -1), "NHWC"), as_tiles(RAMP))


def test_grid_layout() -> None:
    grid = blob_grid(RAMP, columns=4, gap=2)
    assert grid.shape == (3 * 3 + 2 * 2, 4 * 4 + 3 * 2, 3)
    assert (grid[3:5] == 32).all()
    assert grid[0, 0].tolist() == [0, 0, 0]
    assert grid[5 * 2 + 2, 4 + 2 + 3].tolist() == [255, 255, 255]  # the last pixel of the tenth tile


def test_colours() -> None:
    values = np.array([[[-2.0, 0.0, 1.0]]])
    assert colourise(values)[0, 0].tolist() == [[0, 0, 0], [170, 170, 170], [255, 255, 255]]
    negative, zero, positive = colourise(values, "diverging")[0, 0].astype(int)
    assert negative[2] > negative[0] + 50  # blue
    assert positive[0] > positive[2] + 50  # red
    assert zero.min() > 240
    assert colourise(values, limits=(0, 1))[0, 0, 0].tolist() == [0, 0, 0]
    assert np.isfinite(colourise(np.array([[[np.nan, np.inf, 1.0]]]))).all()
    assert colourise(np.zeros((1, 2, 2)), "diverging").shape == (1, 2, 2, 3)


def test_filters_and_features() -> None:
    rng = np.random.default_rng(0)
    assert filter_grid(rng.normal(size=(20, 1, 5, 5)), columns=10).shape == (11, 59, 3)
    assert filter_grid(rng.normal(size=(4, 3, 5, 5))).shape == (11, 11, 3)
    maps = np.zeros((2, 4, 6, 6))
    maps[1, 2, 0, 0] = 9
    assert feature_grid(maps, 1).shape == (13, 13, 3)
    np.testing.assert_array_equal(feature_grid(maps, 1), feature_grid(maps[1]))
    assert (feature_grid(maps, 0) != feature_grid(maps, 1)).any()


def test_png(tmp_path: Path) -> None:
    pixels = colourise(RAMP[0])[0]
    write_png(tmp_path / "a.png", pixels, scale=3)
    image = np.asarray(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(image[::3, ::3], pixels)
    head, _, body = data_uri(pixels).partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))), pixels)
    assert png_bytes(pixels[..., 0]).startswith(b"\x89PNG")


def test_pyplot_is_left_alone() -> None:
    """Colour tables come from matplotlib, but no figure appears and the backend is not chosen."""
    import matplotlib
    from matplotlib import _pylab_helpers

    before = dict(matplotlib.rcParams), len(_pylab_helpers.Gcf.figs)
    filter_grid(RAMP)
    feature_grid(RAMP)
    assert (dict(matplotlib.rcParams), len(_pylab_helpers.Gcf.figs)) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: as_tiles(np.zeros(3)), r"2 to 4 axes .* got shape \(3,\)"),
        (lambda: as_tiles(np.zeros((0, 3, 3))), "not empty"),
        (lambda: colourise(RAMP[0], "pink"), "unknown colours 'pink'; choose gray, viridis, diverging"),
        (lambda: feature_grid(np.zeros((3, 3))), r"got \(3, 3\)"),
        (lambda: tile(colourise(RAMP[0]), columns=0), "cannot tile 5 pictures in 0 columns"),
    ],
)
def test_complaints(call: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()  # type: ignore[operator]
