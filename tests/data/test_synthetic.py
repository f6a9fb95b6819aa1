"""Synthetic digits: the same bytes every time, shaped and placed as MNIST's, learnable but not trivial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freshpot.data import synthetic
from freshpot.data.synthetic import load_synthetic, make_digits
from freshpot.errors import DataError


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return make_digits(3000)


def test_deterministic_and_prefix_stable(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = make_digits(300)
    np.testing.assert_array_equal(images, digits[0][:300])
    np.testing.assert_array_equal(labels, digits[1][:300])


def test_seed_and_split_change_the_pictures(digits: tuple[np.ndarray, np.ndarray]) -> None:
    for other in (make_digits(50, seed=1), make_digits(50, split="test")):
        assert (other[0] != digits[0][:50]).any()
        assert (other[1] != digits[1][:50]).any()


def test_shapes_ink_and_classes(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert images.shape == (3000, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels, minlength=10).min() > 200
    assert 20 < images.mean() < 45  # MNIST: 33
    assert images.max() > 250
    assert len(np.unique(images, axis=0)) == 3000


def test_centred_by_mass(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images = digits[0].astype(np.float64)
    axis = np.arange(28)
    for sums in (images.sum(1), images.sum(2)):
        assert np.quantile(np.abs(sums @ axis / sums.sum(1) - 13.5), 0.99) < 0.6


def test_learnable_but_not_trivial(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """A linear classifier on 3000 digits must do far better than chance and far from perfectly."""
    x = digits[0].reshape(3000, -1) / 255.0
    test_images, test_labels = make_digits(1000, split="test")
    weights = np.linalg.solve(x.T @ x + 30 * np.eye(784), x.T @ np.eye(10)[digits[1]])
    accuracy = (np.argmax(test_images.reshape(1000, -1) / 255.0 @ weights, 1) == test_labels).mean()
    assert 0.7 < accuracy < 0.95


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A full set of 40 and an empty cache."""
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path))
    monkeypatch.setattr(synthetic, "FULL_SIZE", {"train": 40, "test": 20})
    return tmp_path / "synthetic-digits"


def test_the_full_set_is_kept(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = load_synthetic("train", 10)
    assert not small.exists()
    full, _ = load_synthetic("train")
    assert "drawing 40 synthetic digits" in capsys.readouterr().err
    assert len(list(small.iterdir())) == 2
    again, again_labels = load_synthetic("train", 10)
    np.testing.assert_array_equal(again, images)
    np.testing.assert_array_equal(again_labels, labels)
    np.testing.assert_array_equal(load_synthetic("train")[0], full)
    assert capsys.readouterr().err == ""


def test_a_damaged_cache_is_drawn_again(small: Path) -> None:
    full, _ = load_synthetic("test")
    for path in small.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(load_synthetic("test")[0], full)
    np.testing.assert_array_equal(synthetic._from_cache("test")[0], full)


def test_a_cache_that_cannot_be_written_is_not_fatal(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_text("a file where the folder should be")
    assert len(load_synthetic("test")[0]) == 20
    assert "could not be kept for next time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_digits(0), "at least 1, got 0"),
        (lambda: make_digits(5, split="dev"), "no split 'dev'"),
        (lambda: load_synthetic("dev"), "no split 'dev'"),
        (lambda: load_synthetic("test", 10_001), "has 10000 digits, asked for 10001"),
    ],
)
def test_complaints(call: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()  # type: ignore[operator]
