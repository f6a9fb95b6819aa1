"""WindowData: the windows are the right pixels, and whatever a window file says wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from feeding import layer, mean_file, net

from freshpot.data.images import encode_image
from freshpot.errors import ArgumentError, DataError, FormatError, ShapeError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def window_layer(rest: str = "", crop: int = 6, transform: str = "", source: str = "w.txt") -> str:
    return layer(
        "WindowData",
        f'window_data_param {{ source: "{source}" batch_size: 4 fg_fraction: 0.5 {rest} }} '
        f"transform_param {{ crop_size: {crop} {transform} }}",
    )


def window_file(*windows: str, channels: int = 3) -> None:
    image = np.tile(np.arange(12, dtype=np.uint8) * 10, (3, 10, 1))
    Path("w.png").write_bytes(encode_image(image, "png"))
    text = f"# 0\nw.png\n{channels}\n10\n12\n{len(windows)}\n" + "".join(f"{w}\n" for w in windows)
    Path("w.txt").write_text(text)


def test_windows_come_background_first(here: Path) -> None:
    window_file("3 0.9 2 2 7 7", "1 0.1 0 0 5 5")
    made = net(window_layer())
    made.forward()
    assert made.blobs["label"].data.tolist() == [0, 0, 3, 3]
    expected = [np.arange(6) * 10, np.arange(6) * 10, np.arange(2, 8) * 10, np.arange(2, 8) * 10]
    for got, row in zip(made.blobs["data"].data, expected, strict=True):
        np.testing.assert_array_equal(got, np.broadcast_to(row, (3, 6, 6)))


def test_windows_are_flipped_scaled_and_shifted(here: Path) -> None:
    window_file("3 0.9 2 2 7 7", "1 0.1 2 2 7 7")
    made = net(window_layer("scale: 0.5 cache_images: true", transform="mirror: true mean_value: 20"))
    rows = set()
    for _ in range(8):
        rows.update(tuple(image[0, 0]) for image in made.forward()["data"])
    up = tuple(float(v) for v in (np.arange(2, 8) * 10 - 20) / 2)
    assert rows == {up, up[::-1]}


def test_context_outside_the_image_is_zero(here: Path) -> None:
    window_file("3 0.9 0 0 5 5", "1 0.1 0 0 5 5")
    made = net(window_layer("context_pad: 2", crop=10))
    image = made.forward()["data"][0, 0]
    assert (image[:2] == 0).all()
    assert (image[:, :2] == 0).all()
    assert (image[2:, 4:] > 0).all()


def test_square_windows_of_the_whole_width(here: Path) -> None:
    window_file("3 0.9 4 1 7 8", "1 0.1 4 1 7 8")
    made = net(window_layer('crop_mode: "square"', crop=9))
    image = made.forward()["data"][2, 0]
    np.testing.assert_array_equal(image[0], np.arange(2, 11) * 10)


def test_the_mean_image_goes_with_the_middle(here: Path) -> None:
    window_file("3 0.9 0 0 5 5", "1 0.1 0 0 5 5")
    mean = np.zeros((3, 8, 8))
    mean[:, 1:7, 1:7] = np.arange(6) * 10
    mean_file("mean", mean)
    made = net(window_layer(transform='mean_file: "mean"'))
    assert not made.forward()["data"].any()


GOOD = ("3 0.9 0 0 5 5", "1 0.1 0 0 5 5")


@pytest.mark.parametrize(
    ("windows", "text", "error", "message"),
    [
        (GOOD, window_layer(crop=0), ArgumentError, "crop_size of transform_param must be given"),
        (GOOD, window_layer(source="none"), DataError, "none: cannot be read"),
        (GOOD, window_layer(source="empty"), DataError, "empty: the window file is empty"),
        (GOOD, window_layer(source="cut"), FormatError, "cut: ends where a height should follow"),
        (
            GOOD,
            window_layer(source="second"),
            FormatError,
            "second: line 1: image 1; images are numbered from 0",
        ),
        (GOOD, window_layer(source="word"), FormatError, "word: line 1: expected '#', found 'x'"),
        (GOOD, window_layer("context_pad: 3"), ArgumentError, "context_pad 3 on each side leaves nothing"),
        (
            GOOD,
            window_layer(transform="mean_value: 1 mean_value: 2"),
            ArgumentError,
            "2 mean_value for images",
        ),
        (GOOD, window_layer(transform='mean_file: "m" mean_value: 1'), ArgumentError, "exclude each other"),
        (
            GOOD,
            window_layer(transform='mean_file: "small"'),
            ShapeError,
            "the mean image has shape (3, 5, 5)",
        ),
        (GOOD, window_layer('root_folder: "none/"'), DataError, "none/w.png: cannot be read"),
        (
            GOOD,
            window_layer('root_folder: "none/" cache_images: true'),
            DataError,
            "none/w.png: cannot be read",
        ),
        (GOOD[:1], window_layer(), DataError, "no window is background; check the overlap thresholds"),
        (GOOD[1:], window_layer(), DataError, "no window is object; check the overlap thresholds"),
        (("0 0.9 0 0 5 5", GOOD[1]), window_layer(), FormatError, "line 7: an object of class 0"),
        (("1 x 0 0 5 5", GOOD[1]), window_layer(), FormatError, "line 7: expected an overlap, found 'x'"),
        (("1 0.9 0 0.5 5 5", GOOD[1]), window_layer(), FormatError, "line 7: expected y1, found 0.5"),
        (
            ("1 0.9 0 0 55 5", GOOD[1]),
            window_layer(),
            FormatError,
            "lies outside its image of 12 x 10 pixels",
        ),
        (("1 0.9 5 0 0 5", GOOD[1]), window_layer(), FormatError, "w.png: window (5, 0, 0, 5) lies outside"),
        (
            GOOD,
            window_layer().replace("fg_fraction: 0.5", "fg_fraction: 2"),
            ArgumentError,
            "from 0 to 1, got 2",
        ),
    ],
)
def test_refusals_of_window_data(
    here: Path, windows: tuple[str, ...], text: str, error: type[Exception], message: str
) -> None:
    window_file(*windows)
    Path("empty").touch()
    Path("cut").write_text("# 0\nw.png 3")
    Path("second").write_text("# 1 w.png 3 4 4 0\n")
    Path("word").write_text("x 0")
    mean_file("small", np.zeros((3, 5, 5)))
    with pytest.raises(error, match=re.escape(message)):
        net(text).forward()


def test_window_files_of_other_channels_are_refused(here: Path) -> None:
    window_file(*GOOD, channels=1)
    with pytest.raises(ArgumentError, match="says 1 channels; images are read with 3"):
        net(window_layer())
