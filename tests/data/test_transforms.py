"""Transformation of images: the arithmetic against a loop over pixels, the draws, the refusals."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshpot.data import transforms
from freshpot.data.transforms import ImageTransform
from freshpot.errors import ArgumentError, ShapeError

F = np.float32


def images(count: int = 5, shape: tuple[int, int, int] = (3, 8, 6), dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *shape)).astype(dtype)


def middle_crop(image: np.ndarray, size: int) -> tuple[slice, slice]:
    row, column = ((n - size) // 2 if size else 0 for n in image.shape[1:])
    height, width = (size, size) if size else image.shape[1:]
    return slice(row, row + height), slice(column, column + width)


@pytest.fixture(params=["all at once", "one by one"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to work a batch off; large images go one by one."""
    monkeypatch.setattr(transforms, "_LARGE", 1 << 20 if request.param == "all at once" else 0)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    scale=st.sampled_from([1.0, 0.00390625, 0.017]),
    mean=st.sampled_from(["none", "one", "each", "image"]),
    crop=st.sampled_from([0, 1, 4, 6]),
    dtype=st.sampled_from([np.uint8, np.float32]),
)
def test_while_testing_it_is_what_a_loop_over_pixels_gives(
    scale: float, mean: str, crop: int, dtype: Any
) -> None:
    batch = images(dtype=dtype)
    image_mean = np.random.default_rng(2).random(batch.shape[1:]).astype(F) * 255
    values = {"one": [100.5], "each": [104.0, 117.0, 123.25]}.get(mean, [])
    transform = ImageTransform(
        scale=scale, mean=image_mean if mean == "image" else None, mean_values=values, crop_size=crop
    )
    made = transform(batch)
    for image, got in zip(batch, made, strict=True):
        cut = middle_crop(image, crop)
        for channel, plane in enumerate(got):
            shift = F(values[channel % len(values)]) if values else F(0)
            shift = image_mean[channel][cut] if mean == "image" else shift
            np.testing.assert_array_equal(plane, (image[channel][cut].astype(F) - shift) * F(scale))
    assert made.dtype == np.float32
    assert made.shape[1:] == transform.shape(batch.shape[1:])
    assert made.flags.c_contiguous


def test_random_crops_are_parts_of_the_image_with_the_mean_of_their_place() -> None:
    batch = images(200)
    mean = np.arange(batch[0].size, dtype=F).reshape(batch[0].shape)
    made = ImageTransform(mean=mean, crop_size=4, train=True, seed=3)(batch)
    seen = set()
    for image, got in zip(batch, made, strict=True):
        shifted = image.astype(F) - mean
        places = [
            (row, column)
            for row in range(5)
            for column in range(3)
            if (shifted[:, row : row + 4, column : column + 4] == got).all()
        ]
        assert places
        seen.update(places)
    assert len(seen) == 15  # every place is drawn


@pytest.mark.parametrize("train", [True, False])
def test_mirroring_flips_about_half_of_the_images(train: bool) -> None:
    batch = images(400)
    made = ImageTransform(mirror=True, train=train, seed=4)(batch)
    same = (made == batch).all(axis=(1, 2, 3))
    flipped = (made == batch[..., ::-1]).all(axis=(1, 2, 3))
    assert (same | flipped).all()
    assert 140 < flipped.sum() < 260


def test_a_seed_repeats_the_draws() -> None:
    batch = images(50)
    first, again, other = (
        ImageTransform(mirror=True, crop_size=3, train=True, seed=seed)(batch) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_images_are_left_as_they_are() -> None:
    batch = images(dtype=np.float32)
    before = batch.copy()
    made = ImageTransform(mirror=True, seed=1)(batch)
    made += 1
    np.testing.assert_array_equal(batch, before)


@pytest.mark.parametrize(
    ("settings_", "error", "message"),
    [
        (
            {"mean": np.zeros((3, 8, 6), F), "mean_values": [1]},
            ArgumentError,
            "mean_file and mean_value exclude",
        ),
        ({"crop_size": -1}, ArgumentError, "crop_size must be at least 0, got -1"),
        ({"crop_size": 7}, ShapeError, "crop_size 7 is larger than an image of 8 x 6 pixels"),
        ({"mean": np.zeros((3, 8, 8), F)}, ShapeError, "shape (3, 8, 8), the images (3, 8, 6)"),
        ({"mean_values": [1, 2]}, ArgumentError, "2 mean_value for images of 3 channels: give one, or one a"),
    ],
)
def test_refusals(settings_: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        ImageTransform(**settings_)(images())


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("an image of shape (3, 0, 6) is empty")):
        ImageTransform()(images(2, (3, 0, 6)))
