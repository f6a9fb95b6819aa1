"""What tests of the Caffe door share: working folders with the reference databases."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def place(shared, tmp_path, monkeypatch):
    """An empty working folder with the small database."""
    shutil.copytree(shared / "reference/caffe/files/mnist_200_lmdb", tmp_path / "mnist_200_lmdb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
