"""The stand-in for torchvision: data sets, transforms, grids."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import freshpot.torchvision
from freshpot.errors import DataError, FormatError, NotSupportedError
from freshpot.formats.idx import write_idx
from freshpot.torchvision import datasets, install, transforms, uninstall, utils
from freshpot.torchvision.transforms import functional as F

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
GREY = Image.fromarray(PIXELS)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with four pictures of each kind; freshpot's own places are empty."""
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FRESHPOT_DATA", raising=False)
    rng = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for stem, count in (("train", 4), ("t10k", 2)):
            write_idx(
                raw / f"{stem}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
            )
            write_idx(raw / f"{stem}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8))
    return tmp_path


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST])
def test_data_sets(files: Path, kind: Any) -> None:
    train, test = kind(files), kind(str(files), train=False, transform=transforms.ToTensor())
    assert (len(train), len(test)) == (4, 2)
    assert (train.data.shape, train.data.dtype, train.targets.dtype) == (
        (4, 28, 28),
        torch.uint8,
        torch.int64,
    )
    picture, target = train[3]
    assert (picture.mode, picture.size, target) == ("L", (28, 28), 3)
    assert torch.equal(test[1][0], test.data[1][None] / 255)
    assert len(train.classes) == len(train.class_to_idx) == 10
    assert repr(test).startswith(f"Dataset {kind.__name__}\n    Number of datapoints: 2\n    Root location:")


def test_target_transform(files: Path) -> None:
    made = datasets.MNIST(files, target_transform=lambda label: label + 10)
    assert [label for _, label in (made[i] for i in range(4))] == [10, 11, 12, 13]


# ---- batches -------------------------------------------------------------------------------------------
class Mirrored(datasets.MNIST):
    """A program's own data set."""

    def __getitem__(self, index: int) -> Any:
        picture, target = super().__getitem__(index)
        return picture.flip(-1), target


class Brighter(transforms.ToTensor):
    """A program's own transform."""

    def __call__(self, pic: Any) -> Any:
        return super().__call__(pic) * 2


NORMAL = transforms.Normalize((0.1307,), (0.3081,))
TENSOR = transforms.ToTensor()


def noisy(x: Any) -> Any:
    return x + torch.rand(())


def labelled(target: int) -> float:
    return target + float(torch.rand(()))


def targets_as_list(data: Any) -> None:
    data.targets = data.targets.tolist()


def pictures_as_floats(data: Any) -> None:
    data.data = data.data.float()


def both_transformed(data: Any) -> None:
    data.transforms = lambda picture, target: (TENSOR(picture), -target)


BATCHES: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "the tutorial's": (datasets.MNIST, {"transform": transforms.Compose([TENSOR, NORMAL])}, None),
    "bytes as floats": (datasets.MNIST, {"transform": TENSOR}, None),
    "bytes": (datasets.MNIST, {"transform": transforms.PILToTensor()}, None),
    "nested": (
        datasets.MNIST,
        {"transform": transforms.Compose([transforms.Compose([TENSOR]), NORMAL])},
        None,
    ),
    "in place, twice": (
        datasets.MNIST,
        {"transform": transforms.Compose([TENSOR, transforms.Normalize([0.5], [0.5], inplace=True), NORMAL])},
        None,
    ),
    "random at the end": (
        datasets.MNIST,
        {"transform": transforms.Compose([TENSOR, transforms.RandomHorizontalFlip(), noisy, NORMAL])},
        None,
    ),
    "random targets": (datasets.MNIST, {"transform": TENSOR, "target_transform": labelled}, None),
    "both random": (
        datasets.MNIST,
        {"transform": transforms.Compose([TENSOR, noisy]), "target_transform": labelled},
        None,
    ),
    "PIL first": (
        datasets.MNIST,
        {"transform": transforms.Compose([transforms.RandomCrop(28, padding=2), TENSOR, NORMAL])},
        None,
    ),
    "a function": (datasets.MNIST, {"transform": lambda picture: TENSOR(picture) + 1}, None),
    "no normalizing at all": (datasets.MNIST, {"transform": transforms.Compose([Brighter(), NORMAL])}, None),
    "derived": (Mirrored, {"transform": TENSOR}, None),
    "targets replaced": (datasets.MNIST, {"transform": TENSOR}, targets_as_list),
    "pictures replaced": (datasets.MNIST, {"transform": transforms.Compose([TENSOR])}, pictures_as_floats),
    "transforms of both": (datasets.MNIST, {}, both_transformed),
}


@pytest.mark.parametrize(
    ("name", "workers"), [*((name, 0) for name in BATCHES), ("the tutorial's", 1), ("both random", 1)]
)
def test_batches_are_what_single_pictures_are(files: Path, name: str, workers: int) -> None:
    """Bit for bit, random numbers and strides included, in the order that the seed gives."""
    kind, options, change = BATCHES[name]
    data = kind(files / "MNIST" / "raw", **options)
    if change is not None:
        change(data)
    single = torch.utils.data.Subset(data, range(4))
    single.__getitems__ = None  # type: ignore[assignment,method-assign] - the loader then asks for one by one

    def given(of: Any) -> list[Any]:
        torch.manual_seed(7)
        return list(torch.utils.data.DataLoader(of, 3, shuffle=True, num_workers=workers))

    for (x, y), (wanted_x, wanted_y) in zip(given(data), given(single), strict=True):
        assert (x.dtype, x.stride(), y.dtype) == (wanted_x.dtype, wanted_x.stride(), wanted_y.dtype)
        assert torch.equal(x, wanted_x)
        assert torch.equal(y, wanted_y)


def test_a_batch_of_pairs(files: Path) -> None:
    data = datasets.MNIST(files, transform=TENSOR)
    pairs = data.__getitems__([2, -1, 2])
    assert [target for _, target in pairs] == [2, 3, 2]
    assert all(type(target) is int for _, target in pairs)
    pairs[0][0].zero_()
    assert torch.equal(pairs[2][0], data[2][0])
    assert pairs[1][0].stride() == data[3][0].stride()
    assert data.__getitems__([]) == []
    with pytest.raises(IndexError):
        data.__getitems__([0, 4])


def test_batches_refuse_what_single_pictures_refuse(files: Path) -> None:
    for transform, error in (
        (transforms.Compose([TENSOR, transforms.Normalize([0], [0])]), ValueError),
        (transforms.Compose([transforms.PILToTensor(), NORMAL]), TypeError),
        (transforms.Compose([TENSOR, transforms.Normalize([0, 0, 0], [1, 1, 1])]), RuntimeError),
    ):
        data = datasets.MNIST(files, transform=transform)
        with pytest.raises(error):
            data[0]
        with pytest.raises(error):
            data.__getitems__([0, 1])


@pytest.mark.parametrize(
    ("kind", "download", "words"),
    [
        (datasets.MNIST, False, "You can use download=True"),
        (datasets.KMNIST, False, "Put the four files of KMNIST there"),
        (datasets.FashionMNIST, True, "freshpot downloads MNIST only"),
    ],
)
def test_data_that_are_not_there(files: Path, kind: Any, download: bool, words: str) -> None:
    with pytest.raises(DataError, match=words):
        kind(files / "none", download=download)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("train-images-idx3-ubyte", np.zeros((4, 28), np.uint8), "expected uint8 pictures"),
        ("train-labels-idx1-ubyte.gz", np.zeros(3, np.uint8), "expected 4 uint8"),
        ("train-labels-idx1-ubyte.gz", np.full(4, 10, np.uint8), "labels up to 10"),
    ],
)
def test_files_that_do_not_fit(files: Path, name: str, array: Any, words: str) -> None:
    write_idx(files / "MNIST/raw" / name, array)
    with pytest.raises(DataError, match=words):
        datasets.MNIST(files)


def test_a_broken_file(files: Path) -> None:
    (files / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"no")
    with pytest.raises(FormatError, match="not an IDX file"):
        datasets.MNIST(files)


def test_both_kinds_of_transforms_are_refused(files: Path) -> None:
    with pytest.raises(ValueError, match="either transforms"):
        datasets.VisionDataset(files, transforms=min, transform=min)


# ---- transforms ----------------------------------------------------------------------------------------
def test_to_tensor() -> None:
    wanted = torch.from_numpy(PIXELS)[None] / 255
    assert torch.equal(transforms.ToTensor()(GREY), wanted)
    assert torch.equal(transforms.ToTensor()(PIXELS), wanted)
    assert transforms.ToTensor()(np.zeros((3, 4, 3), np.float64)).dtype == torch.float64
    assert transforms.ToTensor()(GREY.convert("RGB")).shape == (3, 3, 4)
    assert transforms.ToTensor()(GREY.convert("1")).unique().tolist() in ([0.0], [0.0, 1.0])
    assert transforms.PILToTensor()(GREY).dtype == torch.uint8


def test_there_and_back() -> None:
    assert np.array_equal(np.asarray(transforms.ToPILImage()(torch.from_numpy(PIXELS))), PIXELS)
    assert np.array_equal(np.asarray(transforms.ToPILImage()(transforms.ToTensor()(GREY))), PIXELS)
    assert transforms.ToPILImage("RGB")(PIXELS).mode == "RGB"


def test_normalize() -> None:
    x = torch.rand(3, 2, 2)
    made = transforms.Normalize((0.1, 0.2, 0.3), (1.0, 2.0, 4.0))(x)
    for c, (mean, std) in enumerate(((0.1, 1.0), (0.2, 2.0), (0.3, 4.0))):
        torch.testing.assert_close(made[c], (x[c] - mean) / std)


@pytest.mark.parametrize("of", [lambda p: p, lambda p: transforms.ToTensor()(p)], ids=["PIL", "tensor"])
@pytest.mark.parametrize(
    ("transform", "width_height"),
    [
        (transforms.Resize((6, 5)), [5, 6]),
        (transforms.Resize(6), [8, 6]),
        (transforms.Resize(6, max_size=7), [7, 5]),
        (transforms.Resize((6, 5), interpolation=0), [5, 6]),
        (transforms.CenterCrop(2), [2, 2]),
        (transforms.CenterCrop((5, 6)), [6, 5]),
        (transforms.Pad(1), [6, 5]),
        (transforms.Pad((1, 2, 3, 4)), [8, 9]),
        (transforms.RandomCrop(2), [2, 2]),
        (transforms.RandomCrop(4, padding=1), [4, 4]),
        (transforms.RandomHorizontalFlip(), [4, 3]),
    ],
)
def test_sizes(transform: Any, width_height: list[int], of: Any) -> None:
    assert F.get_image_size(transform(of(GREY))) == width_height


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (transforms.CenterCrop((1, 2)), PIXELS[1:2, 1:3]),
        (transforms.Pad((1, 0), fill=9), np.pad(PIXELS, ((0, 0), (1, 1)), constant_values=9)),
        (transforms.RandomHorizontalFlip(1.0), PIXELS[:, ::-1]),
        (transforms.RandomHorizontalFlip(0.0), PIXELS),
        (transforms.RandomVerticalFlip(1.0), PIXELS[::-1]),
        (transforms.RandomRotation((90, 90)), None),
        (transforms.Grayscale(), PIXELS),
        (transforms.Lambda(lambda p: p), PIXELS),
        (
            transforms.Compose([transforms.RandomHorizontalFlip(1.0), transforms.RandomVerticalFlip(1.0)]),
            PIXELS[::-1, ::-1],
        ),
    ],
)
def test_pixels(transform: Any, wanted: Any) -> None:
    made = np.asarray(transform(GREY))
    assert made.shape == PIXELS.shape if wanted is None else np.array_equal(made, wanted)
    if wanted is not None and not isinstance(transform, transforms.Grayscale):
        assert np.array_equal(transform(torch.from_numpy(PIXELS.copy())[None])[0].numpy(), wanted)


def test_random_transforms_repeat() -> None:
    def draw() -> list[float]:
        torch.manual_seed(3)
        return [float(transforms.RandomCrop(1)(torch.from_numpy(PIXELS)[None])) for _ in range(20)]

    assert draw() == draw()
    assert len(set(draw())) > 5


def test_repr() -> None:
    made = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1,), (0.3,))])
    assert repr(made) == "Compose(\n    ToTensor()\n    Normalize(mean=(0.1,), std=(0.3,))\n)"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.to_tensor("x"), TypeError, "should be PIL Image or ndarray"),
        (lambda: F.to_tensor(np.zeros(3)), ValueError, "2/3 dimensional"),
        (lambda: F.pil_to_tensor(PIXELS), TypeError, "should be PIL Image"),
        (lambda: F.to_pil_image("x"), TypeError, "Tensor or ndarray"),
        (lambda: F.to_pil_image(torch.zeros(2)), ValueError, "2/3 dimensional"),
        (lambda: F.to_pil_image(torch.zeros(5, 2, 2)), ValueError, "1 to 4 channels"),
        (
            lambda: F.normalize(torch.zeros(1, 2, 2, dtype=torch.uint8), [0], [1]),
            TypeError,
            "tensor of floats",
        ),
        (lambda: F.normalize(torch.zeros(2), [0], [1]), ValueError, "C, H, W"),
        (lambda: F.normalize(torch.zeros(1, 2, 2), [0], [0]), ValueError, "division by zero"),
        (lambda: F.resize(GREY, 5, interpolation=99), NotSupportedError, "interpolation 99"),
        (lambda: transforms.RandomCrop(9)(GREY), ValueError, "does not fit"),
        (lambda: transforms.Lambda(3), TypeError, "wants a function"),
        (lambda: F.pair([1, 2, 3]), ValueError, "height and width"),
        (lambda: F.pad(GREY, [1, 2, 3]), ValueError, "1, 2 or 4"),
        (lambda: F.rotate(torch.zeros(1, 2, 2), 3), NotSupportedError, "PIL images"),
        (lambda: F.to_grayscale(torch.zeros(1, 2, 2)), NotSupportedError, "PIL images"),
        (lambda: utils.make_grid([1]), TypeError, "list of tensors expected"),
        (lambda: utils.save_image(torch.zeros(1, 2, 2), "a.xyz"), ValueError, "unknown file extension"),
    ],
)
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


# ---- grids ---------------------------------------------------------------------------------------------
def test_make_grid() -> None:
    pictures = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 2, 3)
    grid = utils.make_grid(pictures, nrow=3, padding=1, pad_value=9)
    assert grid.shape == (3, 2 * 3 + 1, 3 * 4 + 1)
    assert grid[0, 1].tolist() == [9, 0, 0, 0, 9, 1, 1, 1, 9, 2, 2, 2, 9]
    assert grid[2, 4].tolist() == [9, 3, 3, 3, 9, 4, 4, 4, 9, 9, 9, 9, 9]
    scaled = utils.make_grid(pictures, normalize=True)
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert utils.make_grid(torch.zeros(2, 3)).shape == (3, 2, 3)
    assert utils.make_grid(list(pictures), normalize=True, scale_each=True).max() == 0


def test_save_image(tmp_path: Path) -> None:
    utils.save_image(torch.tensor([[0.0, 1.0], [0.5, 2.0]]), tmp_path / "a.png")
    made = np.asarray(Image.open(tmp_path / "a.png"))
    assert made[:, :, 0].tolist() == [[0, 255], [128, 255]]
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# ---- the name ------------------------------------------------------------------------------------------
@pytest.fixture
def clean() -> Iterator[None]:
    before = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "torchvision"}
    for name in before:
        del sys.modules[name]
    yield
    uninstall()
    sys.modules.update(before)


@pytest.mark.usefixtures("clean")
def test_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install()
    assert install()
    import torchvision
    from torchvision.datasets import MNIST
    from torchvision.transforms import functional

    assert torchvision is freshpot.torchvision
    assert (MNIST, functional) == (datasets.MNIST, F)
    uninstall()
    assert "torchvision" not in sys.modules


@pytest.mark.usefixtures("clean")
def test_a_real_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert not install()
    assert "torchvision" not in sys.modules
