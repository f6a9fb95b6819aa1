"""Compressed images: pixels, sizes, and databases of them as the original's tool writes them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshpot.data import images
from freshpot.data.datum import datum_decoder
from freshpot.data.image_list import ImageLine, read_image_list
from freshpot.data.image_list_db import image_to_datum, write_image_list_db
from freshpot.data.reader import open_db
from freshpot.errors import DataError, FormatError, FreshpotError, NotSupportedError
from freshpot.formats import protobuf


def picture(shape: tuple[int, int, int] = (3, 7, 5), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 7, 5), (4, 3, 3)])
def test_png_keeps_every_pixel(shape: tuple[int, int, int]) -> None:
    data = images.encode_image(picture(shape), "png")
    np.testing.assert_array_equal(images.decode_image(data, None), picture(shape))
    assert images.decode_image(data, True).shape == (3, *shape[1:])
    assert images.decode_image(data, False).shape == (1, *shape[1:])


def test_the_first_channel_is_blue(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (2, 3), (255, 10, 20)).save(tmp_path / "red.png")
    made = images.read_image(tmp_path / "red.png")
    assert made[:, 0, 0].tolist() == [20, 10, 255]


def test_resizing_gives_the_size_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode_image(picture(), "png"))
    assert images.read_image(tmp_path / "a.png", height=4, width=9, color=False).shape == (1, 4, 9)
    assert images.read_image(tmp_path / "a.png", height=4).shape == (3, 7, 5)
    flat = images.resize_image(np.full((3, 5, 5), 77, np.uint8), 8, 3)
    assert (flat == 77).all()


def long_chunk() -> bytes:
    """A small PNG that claims to be large: OpenCV would take 4 GiB for it."""
    data = images.encode_image(picture(), "png")
    return data[:33] + b"\xff\xff\xff\xff" + data[37:]


def sixteen_bits() -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", np.zeros((2, 2), np.uint16))[1].tobytes())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: images.decode_image(b"", where="record 3"), FormatError, "record 3: 0 bytes are no image"),
        (lambda: images.decode_image(b"hello", path="x"), FormatError, "x: 5 bytes are no image that OpenCV"),
        (lambda: images.decode_image(sixteen_bits(), None), FormatError, "uint16 channels; expected 8 bits"),
        (
            lambda: images.decode_image(long_chunk(), where="record 3"),
            FormatError,
            "record 3: a PNG whose chunk at byte 33 is said to have 4294967295 bytes",
        ),
        (lambda: images.read_image("none.png"), DataError, "none.png: cannot be read: No such file"),
        (lambda: images.encode_image(picture(), "xyz"), DataError, "cannot be written as 'xyz'"),
        (
            lambda: images.encode_image(picture((2, 3, 3)), "png"),
            DataError,
            "shape (2, 3, 3) cannot be written",
        ),
        (
            lambda: images.resize_image(picture((3, 0, 4)), 2, 2),
            FormatError,
            "(3, 0, 4) cannot be resized to 2 x",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_any_cut_of_a_file_is_refused_or_read() -> None:
    data = images.encode_image(picture(), "jpg")
    refused = 0
    for size in range(0, len(data), 7):
        try:
            assert images.decode_image(data[:size]).shape == (3, 7, 5)
        except FormatError:
            refused += 1
    assert refused


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    images.opencv.cache_clear()
    with pytest.raises(NotSupportedError, match=r"need OpenCV .*: pip install 'freshpot\[images\]'"):
        images.decode_image(b"x")


# ------------------------------------------------------------------------------------ databases

DATUM = protobuf.load("caffe").Datum


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("convert_imageset", {}),
        ("convert_imageset_gray_resize", {"color": False, "height": 4, "width": 5}),
        ("convert_imageset_encoded", {"encoded": True}),
    ],
)
def test_records_are_the_originals(tmp_path: Path, shared: Path, case: str, options: dict[str, Any]) -> None:
    folder = shared / "reference" / "caffe"
    wanted = json.loads((folder / "files" / "index.json").read_text())[case]["records"]
    aux = f"{folder / 'layers' / 'aux'}/"
    lines = read_image_list(aux + "img_list.txt")
    said: list[int] = []
    write_image_list_db("lmdb", tmp_path / "db", lines, aux, on_progress=said.append, **options)
    found = []
    with open_db("lmdb", tmp_path / "db") as database:
        for key, value in database.cursor():
            d = DATUM.FromString(value)
            found.append([key.decode(), d.channels, d.height, d.width, d.label, len(d.data), d.encoded])
            assert d.HasField("encoded")
    assert found == wanted
    assert said == [5]


def test_a_file_of_the_kind_asked_for_goes_in_as_it_is(tmp_path: Path) -> None:
    data = images.encode_image(picture(), "jpg")
    (tmp_path / "a.JPEG").write_bytes(data)
    as_it_is = DATUM.FromString(image_to_datum(tmp_path / "a.JPEG", 3, encoding="jpg"))
    assert (as_it_is.data, as_it_is.label, as_it_is.encoded) == (data, 3, True)
    again = DATUM.FromString(image_to_datum(tmp_path / "a.JPEG", 3, encoding="png"))
    np.testing.assert_array_equal(images.decode_image(again.data), images.decode_image(data))
    pixels = datum_decoder().decode([(b"", image_to_datum(tmp_path / "a.JPEG", 3))])[0][0]
    np.testing.assert_array_equal(pixels, images.decode_image(data))


def test_unreadable_images_are_skipped_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode_image(picture(), "png"))
    (tmp_path / "b.png").write_bytes(b"not an image")
    lines = [ImageLine("b.png", 0), ImageLine("none.png", 1), ImageLine("a.png", 2)]
    skipped: list[tuple[str, FreshpotError]] = []
    count = write_image_list_db(
        "lmdb",
        tmp_path / "db",
        lines,
        f"{tmp_path}/",
        on_skip=lambda line, why: skipped.append((line.name, why)),
    )
    assert count == 1
    assert [(name, type(why)) for name, why in skipped] == [("b.png", FormatError), ("none.png", DataError)]
    with open_db("lmdb", tmp_path / "db") as database:
        assert [key for key, _ in database.cursor()] == [b"00000002_a.png"]
    with pytest.raises(FormatError, match="no image that OpenCV knows"):
        write_image_list_db("lmdb", tmp_path / "other", lines, f"{tmp_path}/")
    assert not (tmp_path / "other").exists()


def test_check_size_wants_equal_sizes(tmp_path: Path) -> None:
    for name, shape in [("a.png", (3, 4, 4)), ("b.png", (3, 4, 5))]:
        (tmp_path / name).write_bytes(images.encode_image(picture(shape), "png"))
    same = [ImageLine("a.png", 0), ImageLine("a.png", 1000)]
    assert write_image_list_db("lmdb", tmp_path / "same", same, f"{tmp_path}/", check_size=True) == 2
    lines = [ImageLine("a.png", 0), ImageLine("b.png", 1)]
    with pytest.raises(DataError, match=r"b.png: 60 bytes of data, the first image has 48"):
        write_image_list_db("lmdb", tmp_path / "db", lines, f"{tmp_path}/", check_size=True)
