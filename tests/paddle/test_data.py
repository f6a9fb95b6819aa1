"""Data sets from files, worker processes, changes of pictures by chance."""

from __future__ import annotations

import io
import pickle
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import freshpot.paddle as paddle
from freshpot.errors import DataError, FormatError
from freshpot.formats.idx import write_idx

T, D = paddle.vision.transforms, paddle.vision.datasets


def picture(*shape: int) -> Any:
    return (np.arange(int(np.prod(shape))) * 37 % 251).astype(np.uint8).reshape(shape)


# ---- files ---------------------------------------------------------------------------------------------
def idx_files(folder: Path, count: int = 5) -> dict[str, str]:
    write_idx(folder / "images", picture(count, 28, 28))
    write_idx(folder / "labels", np.arange(count, dtype=np.uint8))
    return {"image_path": str(folder / "images"), "label_path": str(folder / "labels")}


def test_mnist(tmp_path: Path) -> None:
    files = idx_files(tmp_path)
    beta = D.MNIST(**files)
    image, label = beta[3]
    assert (len(beta), image.shape, image.dtype, label.tolist()) == (5, (1, 28, 28), np.float32, [3])
    pixels = picture(5, 28, 28)[3].astype(np.float32)
    np.testing.assert_array_equal(image[0], pixels / np.float32(255) * np.float32(2) - np.float32(1))
    assert D.MNIST(**files, chw_format=False)[0][0].shape == (784,)
    pil = D.MNIST(**files, backend="pil")[3][0]
    assert isinstance(pil, Image.Image)
    np.testing.assert_array_equal(np.asarray(pil), pixels)
    np.testing.assert_array_equal(D.MNIST(**files, backend="cv2")[3][0], pixels)
    assert D.FashionMNIST(**files, transform=T.ToTensor())[3][0].shape == [1, 28, 28]
    write_idx(tmp_path / "labels", np.arange(4, dtype=np.uint8))
    with pytest.raises(DataError, match="do not fit together"):
        D.MNIST(**files)


def test_a_loader_reads_mnist_in_batches(tmp_path: Path) -> None:
    data = D.MNIST(**idx_files(tmp_path))
    batch = next(iter(paddle.io.DataLoader(data, batch_size=3)))
    np.testing.assert_array_equal(batch[0].numpy(), np.stack([data[i][0] for i in range(3)]))
    assert batch[1].shape == [3, 1]


def cifar(path: Path, batch: Any, name: str = "cifar-10-batches-py/data_batch_1") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        data = pickle.dumps(batch, 2)
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return path


def test_cifar(tmp_path: Path) -> None:
    path = cifar(tmp_path / "c.tar.gz", {"data": picture(2, 3072), "labels": [7, 1], "fine_labels": [70, 10]})
    data = D.Cifar10(path)
    image, label = data[1]
    assert (len(data), image.size, int(label)) == (2, (32, 32), 1)
    np.testing.assert_array_equal(
        np.asarray(image), picture(2, 3072)[1].reshape(3, 32, 32).transpose(1, 2, 0)
    )
    assert D.Cifar10(path, backend="cv2")[0][0].dtype == np.float32
    other = cifar(tmp_path / "100.tar.gz", {"data": picture(1, 3072), "fine_labels": [70]}, "x/train")
    assert int(D.Cifar100(other)[0][1]) == 70


BROKEN: dict[str, Any] = {
    "labels that are missing": ({"data": picture(2, 3072)}, "expected data"),
    "other shapes": ({"data": picture(2, 30), "labels": [1, 2]}, "expected data"),
    "too few labels": ({"data": picture(2, 3072), "labels": [1]}, "2 pictures, 1 labels"),
    "something else": ([1, 2], "expected data"),
    "an object": ({"data": random.Random(1), "labels": []}, "not data"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_cifar(tmp_path: Path, name: str) -> None:
    batch, said = BROKEN[name]
    with pytest.raises(FormatError, match=said):
        D.Cifar10(cifar(tmp_path / "c.tar.gz", batch))


def test_cifar_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "c.tar.gz").write_bytes(b"no archive")
    with pytest.raises(FormatError, match="no archive that can be read"):
        D.Cifar10(tmp_path / "c.tar.gz")
    with pytest.raises(DataError, match="no test_batch in it"):
        D.Cifar10(cifar(tmp_path / "d.tar.gz", {}), mode="test")


def test_folders(tmp_path: Path) -> None:
    for name in ("dog/2.png", "cat/1.png", "cat/deep/0.png", "cat/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("png"):
            Image.fromarray(picture(4, 6)).save(tmp_path / name)
        else:
            (tmp_path / name).write_text("no picture")
    data = D.DatasetFolder(str(tmp_path), transform=T.ToTensor())
    assert (data.classes, data.class_to_idx, data.targets) == (
        ["cat", "dog"],
        {"cat": 0, "dog": 1},
        [0, 0, 1],
    )
    assert (data[2][0].shape, data[2][1]) == ([3, 4, 6], 1)
    flat = D.ImageFolder(str(tmp_path))
    assert (len(flat), flat[0][0].size) == (3, (6, 4))
    (tmp_path / "cat/bad.png").write_bytes(b"no picture")
    with pytest.raises(FormatError, match=r"bad.png: no picture"):
        list(D.ImageFolder(str(tmp_path)))
    with pytest.raises(DataError, match="no files"):
        D.DatasetFolder(str(tmp_path), extensions=(".gif",))
    assert paddle.vision.image_load(tmp_path / "dog/2.png").size == (6, 4)
    assert paddle.vision.image_load(tmp_path / "dog/2.png", "cv2").shape == (4, 6, 3)


# ---- workers -------------------------------------------------------------------------------------------
class Who(paddle.io.Dataset):  # type: ignore[misc, name-defined]
    """Each sample says which worker read it."""

    def __getitem__(self, number: int) -> Any:
        worker = paddle.io.get_worker_info()
        return np.array([number, -1 if worker is None else worker.id])

    def __len__(self) -> int:
        return 8


class Shared(paddle.io.IterableDataset):  # type: ignore[misc, name-defined]
    """Each worker gives its share."""

    def __iter__(self) -> Iterator[Any]:
        worker = paddle.io.get_worker_info()
        own, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        yield from (np.array([number]) for number in range(own, 6, count))


def test_workers_read_in_order() -> None:
    alone = [batch.numpy() for batch in paddle.io.DataLoader(Who(), batch_size=3)]
    shared = [batch.numpy() for batch in paddle.io.DataLoader(Who(), batch_size=3, num_workers=2)]
    assert [part[:, 0].tolist() for part in shared] == [part[:, 0].tolist() for part in alone]
    assert {int(part[0, 1]) for part in shared} == {0, 1}
    assert paddle.io.get_worker_info() is None


def test_workers_that_go_on_and_begin_with_a_function(tmp_path: Path) -> None:
    def begin(number: int) -> None:
        (tmp_path / str(number)).touch()

    loader = paddle.io.DataLoader(
        Who(), batch_size=2, num_workers=2, worker_init_fn=begin, persistent_workers=True, shuffle=True
    )
    for _ in range(2):
        assert sorted(int(n) for batch in loader for n in batch.numpy()[:, 0]) == list(range(8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_workers_of_a_stream() -> None:
    loader = paddle.io.DataLoader(Shared(), batch_size=2, num_workers=2)
    assert sorted(int(n) for batch in loader for n in batch.numpy().ravel()) == list(range(6))


def test_an_error_in_a_worker_is_told() -> None:
    class Bad(Who):
        def __getitem__(self, number: int) -> Any:
            raise ValueError("a broken sample")

    with pytest.raises(ValueError, match="a broken sample"):
        list(paddle.io.DataLoader(Bad(), batch_size=2, num_workers=1))


def test_fields_by_name() -> None:
    loader = paddle.io.DataLoader([(1.0, 2)], feed_list=["x", "y"], return_list=False)
    (fields,) = next(iter(loader))
    assert {key: float(value) for key, value in fields.items()} == {"x": 1.0, "y": 2.0}


def test_orders_follow_numpy() -> None:
    orders = []
    for _ in range(2):
        np.random.seed(5)
        orders.append(
            [list(paddle.io.RandomSampler(range(9))), paddle.io.random_split(range(9), [4, 5])[0].indices]
        )
    assert orders[0] == orders[1]
    assert list(paddle.io.RandomSampler(range(9), generator=iter([3, 1, 2]))) == [3, 1, 2]


# ---- changes by chance ---------------------------------------------------------------------------------
CHANCE = {
    "RandomCrop": lambda: T.RandomCrop((4, 5)),
    "RandomCrop with a border": lambda: T.RandomCrop(9, padding=2, padding_mode="edge"),
    "RandomCrop of what is small": lambda: T.RandomCrop((12, 14), pad_if_needed=True),
    "RandomResizedCrop": lambda: T.RandomResizedCrop((6, 7)),
    "RandomRotation": lambda: T.RandomRotation(45, "bilinear"),
    "RandomErasing": lambda: T.RandomErasing(1.0),
    "RandomErasing with noise": lambda: T.RandomErasing(1.0, value="random"),
    "ColorJitter": lambda: T.ColorJitter(0.4, 0.4, 0.4, 0.2),
    "flips": lambda: T.Compose([T.RandomHorizontalFlip(), T.RandomVerticalFlip()]),
}
SIZES = {
    "RandomCrop": (4, 5),
    "RandomCrop with a border": (9, 9),
    "RandomCrop of what is small": (12, 14),
    "RandomResizedCrop": (6, 7),
}


@pytest.mark.parametrize("name", CHANCE)
def test_changes_by_chance(name: str) -> None:
    """Repeated by the seeds of Python and numpy, of the size asked for, and different from time to time."""
    random.seed(1)
    np.random.seed(1)
    image, change = Image.fromarray(picture(9, 12, 3)), CHANCE[name]()
    made = [np.asarray(change(image)) for _ in range(8)]
    random.seed(1)
    np.random.seed(1)
    np.testing.assert_array_equal(np.asarray(change(image)), made[0])
    assert {part.shape[:2] for part in made} == {SIZES.get(name, (9, 12))}
    assert len({part.tobytes() for part in made}) > 2


@pytest.mark.parametrize("change", [T.Resize((4, 6)), T.CenterCrop(5), T.Pad(2), T.RandomHorizontalFlip(1.0)])
def test_arrays_and_tensors_change_as_pictures_do(change: Any) -> None:
    pixels = picture(9, 12, 3)
    wanted = np.asarray(change(Image.fromarray(pixels)))
    np.testing.assert_array_equal(change(pixels), wanted)
    tensor = change(paddle.to_tensor(pixels.transpose(2, 0, 1).astype(np.float32)))
    assert np.abs(tensor.numpy().transpose(1, 2, 0) - wanted).max() <= 1.0


def test_fields_that_are_changed() -> None:
    class Both(T.BaseTransform):  # type: ignore[misc, name-defined]
        def _get_params(self, inputs: Any) -> Any:
            return len(inputs)

        def _apply_image(self, image: Any) -> Any:
            return image + self.params

        def _apply_mask(self, mask: Any) -> Any:
            return -mask

    assert Both(keys=("image", "mask"))((1, 2, "label")) == (4, -2, "label")
    assert str(T.Compose([T.ToTensor()])).startswith("Compose(\n    <")
