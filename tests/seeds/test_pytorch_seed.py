"""The PyTorch tutorial as it stands: every cell, on MNIST, with the stand-in where torchvision is absent.

The short run gives the data sets fewer pictures; the full one is marked slow. The last cell is the whole
program again; the cells before it are the program in steps.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from freshpot.formats.idx import read_idx, write_idx
from freshpot.torchvision import install, uninstall

pyplot = pytest.importorskip("matplotlib.pyplot", reason="the tutorial draws with matplotlib")

TRAIN_LINE = r"Train Epoch: \d+ \[\d+/{n} \(\d+%\)\]\tLoss: \d+\.\d{{6}}\n"
TEST_LINE = r"\nTest set: Avg\. loss: (\d+\.\d{4}), Accuracy: (\d+)/(\d+) \(\d+%\)\n"


def read_cells(path: Path) -> list[str]:
    """The tutorial's code cells."""
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    return re.findall(r"^```py *\n(.*?)^``` *$", text, flags=re.M | re.S)


@pytest.fixture(scope="module")
def cells(shared: Path) -> list[str]:
    return read_cells(shared / "seeds" / "pytorch_mnist.md")


@contextlib.contextmanager
def surroundings(folder: Path, shared: Path, limit: int | None) -> Iterator[None]:
    """A folder to run in, with MNIST where the program looks for it, or the first pictures of it."""
    raw = folder / "data/MNIST/raw"
    raw.mkdir(parents=True)
    for path in sorted((shared / "mnist").glob("*-ubyte*")):
        write_idx(raw / path.name.removesuffix(".gz"), np.ascontiguousarray(read_idx(path)[:limit]))
    installed = install()
    pyplot.switch_backend("Agg")
    with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else _chdir(folder):
        try:
            yield
        finally:
            pyplot.close("all")
            if installed:
                uninstall()


@contextlib.contextmanager
def _chdir(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def run(cells: list[str], failing: str | None = None) -> tuple[list[str], list[int], dict[str, Any]]:
    """Run cells; what each printed, how many axes each drew, and the names they left.

    ``failing``: the message of an error that one cell must end with.
    """
    printed, drawn, names = [], [], {"__name__": "__main__"}
    failed = []
    for i, cell in enumerate(cells):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                exec(compile(cell, f"<cell {i}>", "exec"), names)
            except ValueError as error:
                failed.append(str(error))
        printed.append(out.getvalue())
        drawn.append(sum(len(pyplot.figure(n).axes) for n in pyplot.get_fignums()))
        pyplot.close("all")
    assert failed == ([failing] if failing else [])
    return printed, drawn, names


def accuracies(text: str) -> list[float]:
    return [int(hit[2]) / int(hit[3]) for hit in re.finditer(TEST_LINE, text)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_cell_runs(cells: list[str], shared: Path, tmp_path: Path) -> None:
    with surroundings(tmp_path, shared, limit=1280):
        # Its own text calls test() once more than test_counter counts, so the curve cannot be drawn, on any
        # PyTorch; the whole program in the last cell mends it.
        printed, drawn, names = run(cells[:-1], failing="x and y must be the same size")
    assert len(cells) == 17
    text = "".join(printed)
    assert "torch.Size([1000, 1, 28, 28])" in text
    # train: one by hand, three, then five from the checkpoint; test: two by hand, three, five
    assert len(re.findall(TRAIN_LINE.format(n=1280), text)) == 9 * 2
    assert len(accuracies(text)) == 10
    assert drawn.count(6) == 2
    assert set(names["continued_network"].state_dict()) == set(torch.load(tmp_path / "model.pth"))
    assert names["test_counter"][-1] == 8 * 1280
    losses = names["test_losses"]
    assert losses[-1] < losses[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_whole_program_runs(cells: list[str], shared: Path, tmp_path: Path) -> None:
    with surroundings(tmp_path, shared, limit=1280):
        printed, _, names = run(cells[-1:])
    assert len(accuracies(printed[0])) == 8
    assert len(names["test_counter"]) == len(names["test_losses"]) == 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_documented_accuracy(cells: list[str], shared: Path, tmp_path: Path) -> None:
    """0.97 after three epochs, and better when the training goes on to the eighth."""
    with surroundings(tmp_path, shared, limit=None):
        printed, _, _ = run(cells[-1:])
    found = accuracies(printed[0])
    assert found[2] > 0.96
    assert found[-1] > found[2]
    assert found[-1] > 0.98
