"""Caffe2's visualize: what is shown in the caller's pyplot, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot

from caffe2.python import visualize


@pytest.fixture(autouse=True)
def _figure() -> Iterator[None]:
    pyplot.figure()
    yield
    pyplot.close("all")


def shown() -> np.ndarray:
    return np.asarray(pyplot.gca().images[-1].get_array())


PATCHES = np.arange(5 * 2 * 3, dtype=np.float64).reshape(5, 2, 3)


def test_tiles_and_gaps() -> None:
    image = visualize.PatchVisualizer(gap=2).ShowMultiple(PATCHES, ncols=3, bg_func=np.min)
    assert image.shape == (2 * 4 - 2, 3 * 5 - 2)
    for index, patch in enumerate(PATCHES):
        top, left = index // 3 * 4, index % 3 * 5
        np.testing.assert_array_equal(image[top : top + 2, left : left + 3], patch)
    assert (image[2:4] == 0).all()
    np.testing.assert_array_equal(shown(), image)
    assert pyplot.gca().images[-1].get_cmap().name == "gray"
    assert not pyplot.gca().axison


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((7, 25), (17, 17)),
        ((7, 75), (17, 17, 3)),
        ((7, 4, 5, 1), (14, 17)),
        ((7, 4, 5, 3), (14, 17, 3)),
        ((1, 4, 5), (4, 5)),
    ],
)
def test_shapes(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert visualize.PatchVisualizer().ShowMultiple(np.zeros(shape)).shape == expected


def test_show_images_stretches_and_takes_integers() -> None:
    image = visualize.PatchVisualizer().ShowImages((PATCHES * 3).astype(np.uint8))
    assert (image.min(), image.max()) == (0.0, pytest.approx(1.0))


def test_channels_and_single() -> None:
    drawer = visualize.PatchVisualizer(gap=0)
    patch = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(drawer.ShowChannels(patch)[:2, 3:], patch[:, :, 1])
    assert drawer.ShowSingle(np.zeros(16)).shape == (4, 4)
    assert drawer.ShowSingle(np.zeros(12)).shape == (2, 2, 3)


def test_axes_move_and_two_axes_stay() -> None:
    array = np.zeros((2, 3, 4, 5))
    assert visualize.ChannelFirst(array).shape == (2, 5, 3, 4)
    assert visualize.ChannelLast(array).shape == (2, 4, 5, 3)
    assert visualize.ChannelLast(array[0, 0]).shape == (4, 5)
    assert visualize.ChannelFirst(array[0, 0]).shape == (4, 5)


@pytest.mark.parametrize("method", ["ShowMultiple", "ShowImages"])
def test_both_orders_show_the_same_and_return_nothing(method: str) -> None:
    batch = np.random.default_rng(0).random((6, 1, 5, 4))
    assert getattr(visualize.NCHW, method)(batch) is None
    first = shown()
    assert getattr(visualize.NHWC, method)(np.moveaxis(batch, 1, -1)) is None
    np.testing.assert_array_equal(shown(), first)


def test_one_patch_in_both_orders() -> None:
    patch = np.random.default_rng(0).random((3, 5, 4))
    for method in ("ShowSingle", "ShowChannels"):
        getattr(visualize.NCHW, method)(patch)
        first = shown()
        getattr(visualize.NHWC, method)(np.moveaxis(patch, 0, -1))
        np.testing.assert_array_equal(shown(), first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: v.ShowSingle(np.zeros((2, 2, 4))), r"isn't correct: expected .* got \(2, 2, 4\)"),
        (lambda v: v.ShowSingle(np.zeros(7)), "7 elements are no square"),
        (lambda v: v.ShowMultiple(np.zeros((2, 7))), "figure out the patch shape"),
        (lambda v: v.ShowMultiple(np.zeros((2, 3, 3, 2))), r"channels last, got 2 in \(2, 3, 3, 2\)"),
        (lambda v: v.ShowChannels(np.zeros((2, 2))), r"expected \(H, W, C\), got \(2, 2\)"),
    ],
)
def test_complaints(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(visualize.PatchVisualizer())  # type: ignore[operator]
