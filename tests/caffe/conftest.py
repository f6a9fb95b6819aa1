"""What tests of the Caffe door share: working folders with the reference databases, and the device.

``FRESHPOT_TEST_DEVICE=far`` runs every test here on a GPU made of CPU tensors (`far_device`), ``cuda`` on a real one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import caffe
from caffe import _mode
from far_device import Traffic, far_device


@pytest.fixture(autouse=True)
def device_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run on the device that FRESHPOT_TEST_DEVICE names, and leave no test's mode to the next."""
    for name in ("mode", "device", "place"):
        monkeypatch.setattr(_mode, name, getattr(_mode, name))
    wanted = os.environ.get("FRESHPOT_TEST_DEVICE", "cpu")
    if wanted == "far":
        with far_device(monkeypatch):
            caffe.set_mode_gpu()
            yield
        return
    if wanted == "cuda":
        use_cuda(monkeypatch)
    yield


def use_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPU mode on a real GPU, with the originals' precision."""
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    caffe.set_mode_gpu()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPU mode on a real GPU, or skip the test."""
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that torch can use")
    use_cuda(monkeypatch)


@pytest.fixture
def far(traffic: Traffic) -> Traffic:
    """GPU mode on a GPU made of CPU tensors; what goes there and back."""
    caffe.set_mode_gpu()
    return traffic


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def place(shared: Path, folder: Path) -> Path:
    """A working folder with the small database."""
    shutil.copytree(shared / "reference/caffe/files/mnist_200_lmdb", folder / "mnist_200_lmdb")
    return folder


@pytest.fixture(scope="session")
def mnist_lmdb(shared, tmp_path_factory):
    """The real MNIST as `convert_mnist_data` writes it: train and test databases."""
    from freshpot.cli import main

    out = tmp_path_factory.mktemp("mnist")
    source = shared / "mnist"
    if not source.is_dir():
        pytest.skip("MNIST is not in the shared folder")
    assert main(["data", "mnist", "--format", "caffe-lmdb", "--data", str(source), "--out", str(out)]) == 0
    return out
