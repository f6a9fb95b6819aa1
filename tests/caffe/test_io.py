"""caffe.io beyond the recorded programs: image files, resizing, messages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
from freshpot.data.resample import axis_weights, resize
from freshpot.errors import ArgumentError, FormatError, ShapeError

RGBA = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10


# ---- image files -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stored", "color", "wanted"),
    [
        (RGBA[..., :3], True, RGBA[..., :3] / 255),
        (RGBA, True, RGBA[..., :3] / 255),
        (RGBA[..., 0], True, np.repeat(RGBA[..., :1], 3, axis=2) / 255),
        (RGBA[..., 0], False, RGBA[..., :1] / 255),
        (RGBA[..., :3], False, (RGBA[..., :3] @ [0.2125, 0.7154, 0.0721])[..., None] / 255),
        (RGBA[..., 0] > 50, False, (RGBA[..., :1] > 50) * 1.0),
        (RGBA[..., 0].astype(np.uint16) * 256, False, RGBA[..., :1] * 256.0 / 65535),
    ],
)
def test_load_image(tmp_path: Path, stored: np.ndarray, color: bool, wanted: np.ndarray) -> None:
    Image.fromarray(stored).save(tmp_path / "image.png")
    found = caffe.io.load_image(str(tmp_path / "image.png"), color)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_load_image_of_a_palette(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.uint8([255, 0, 0]), (4, 4, 1))).convert("P").save(tmp_path / "image.png")
    assert caffe.io.load_image(tmp_path / "image.png")[0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("keep", [0, 20, 45])
def test_a_broken_image(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(RGBA).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError, match=f"^{re.escape(str(path))}: not an image that can be read: [^<]*$"):
        caffe.io.load_image(path)


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        caffe.io.load_image(tmp_path / "none.png")


# ---- resizing ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(("old", "new"), [((7, 5), (12, 9)), ((9, 11), (4, 5)), ((1, 6), (3, 1))])
def test_resizing_is_scipys(order: int, corners: bool, old: tuple[int, int], new: tuple[int, int]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.RandomState(0).rand(*old, 2)
    factors = np.array([*new, 2]) / image.shape
    if corners:
        wanted = ndimage.zoom(image, factors, order=order)
    else:
        blur = np.maximum(0, (1 / factors - 1) / 2)
        image = ndimage.gaussian_filter(image, blur, mode="grid-constant")
        wanted = ndimage.zoom(image, factors, order=order, mode="grid-constant", grid_mode=True)
        image = np.random.RandomState(0).rand(*old, 2)
    np.testing.assert_allclose(resize(image, new, order, corners=corners), wanted, atol=1e-10)


def test_weights_of_a_line() -> None:
    assert axis_weights(2, 4).tolist() == [[0.75, 0], [0.75, 0.25], [0.25, 0.75], [0, 0.75]]
    assert axis_weights(2, 3, corners=True).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]


def test_an_image_of_any_number_of_channels() -> None:
    image = np.random.RandomState(1).rand(3, 4, 5)
    made = caffe.io.resize_image(image, (6, 8))
    assert (made.shape, made.dtype) == ((6, 8, 5), np.float32)
    np.testing.assert_allclose(
        made[[0, 0, -1, -1], [0, -1, 0, -1]], image[[0, 0, -1, -1], [0, -1, 0, -1]], 1e-6
    )


@pytest.mark.parametrize(
    ("shape", "size", "order", "error", "words"),
    [
        (
            (4, 4),
            (2, 2),
            1,
            ShapeError,
            "an image to resize has shape (height, width, channels), got (4, 4).",
        ),
        ((4, 4, 2), (0, 2), 1, ShapeError, "an image cannot be resized to 0 x 2 pixels."),
        ((4, 4, 2), (2, 2), 6, ArgumentError, "interpolation is of order 0 to 5, got 6."),
    ],
)
def test_resizing_refusals(
    shape: tuple[int, ...], size: tuple[int, int], order: int, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        caffe.io.resize_image(np.random.RandomState(0).rand(*shape), size, order)
    assert str(caught.value) == words


# ---- Transformer -------------------------------------------------------------------------------------
def full_transformer() -> caffe.io.Transformer:
    made = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 0, 1))
    made.set_raw_scale("data", 255)
    made.set_mean("data", np.array([100.0, 110.0, 120.0]))
    made.set_input_scale("data", 0.5)
    return made


def test_preprocess() -> None:
    image = np.random.RandomState(0).rand(4, 5, 3).astype(np.float32)
    made = full_transformer().preprocess("data", image.copy())
    wanted = (image.transpose(2, 0, 1)[[2, 0, 1]] * 255 - np.array([100, 110, 120])[:, None, None]) * 0.5
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-4)


def test_deprocess_is_the_way_back() -> None:
    image = np.random.RandomState(0).rand(4, 5, 3).astype(np.float32)
    transformer = full_transformer()
    made = transformer.deprocess("data", transformer.preprocess("data", image.copy())[None])
    np.testing.assert_allclose(made, image, atol=1e-6)


def test_a_constant_mean_image_is_resized() -> None:
    made = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    made.set_mean("data", np.full((3, 2, 2), 7.0))
    assert made.mean["data"].shape == (3, 4, 5)
    assert (made.mean["data"] == 7).all()


# ---- messages ----------------------------------------------------------------------------------------
def test_a_datum_with_a_compressed_image() -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.random.RandomState(0).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    datum = caffe.proto.caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", image)[1].tobytes())
    assert np.array_equal(caffe.io.datum_to_array(datum), image.transpose(2, 0, 1))


def test_a_datum_can_be_written_to() -> None:
    datum = caffe.io.array_to_datum(np.zeros((1, 2, 2), np.uint8))
    caffe.io.datum_to_array(datum)[...] = 1
    assert datum.data == bytes(4)


def test_a_blob_of_doubles() -> None:
    blob = caffe.proto.caffe_pb2.BlobProto(double_data=[1, 2])
    blob.shape.dim.append(2)
    assert caffe.io.blobproto_to_array(blob).tolist() == [1, 2]


def test_bytes_that_are_no_vector_of_blobs() -> None:
    with pytest.raises(FormatError):
        caffe.io.blobprotovector_str_to_arraylist(b"\x0a\xff")
