"""The seeds under ``freshpot run``, unmodified, from the first cell to the last, each in a process of its own."""

from __future__ import annotations

import operator
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest


class Wanted(NamedTuple):
    """What a seed is made of and shows."""

    cells: int
    fragments: int
    outputs: int
    others: int
    figures: int
    notes: tuple[str, ...]


ROUTED = "http://download.caffe2.ai/databases/mnist-lmdb.zip: databases made from MNIST"
RANDOM = "SqueezeNet with random weights in place of the trained ones: its answers mean nothing"
DRAWN = "a drawing of the same size in place of the photograph"

SEEDS = {
    "caffe2_mnist.md": Wanted(20, 0, 8, 0, 9, (ROUTED,)),
    "caffe2_tutorials.md": Wanted(
        *(73, 13, 11, 2, 26),
        (
            ROUTED,
            "written for Python 2: 12 of 73 cells were modernised",
            "pyplot: used in cell 11 but imported only in line 224; that line was run first",
            f"/usr/local/caffe2/python/models/squeezenet/init_net.pb: {RANDOM}",
            *(f"images/{name}: {DRAWN}" for name in ("cat.jpg", "cell-tower.jpg", "mirror-image.jpg")),
            *(f"images/{name}: {DRAWN}" for name in ("Cellsx128.png", "flower.jpg")),
        ),
    ),
    "caffe_python_lenet.md": Wanted(
        *(18, 0, 11, 0, 21),
        (
            "written for Python 2: 6 of 18 cells were modernised",
            "/home/ldy/workspace/caffe/: an empty Caffe folder (data, examples)",
            "examples/mnist/create_mnist.sh: done by freshpot, from MNIST",
            "mnist/lenet_auto_solver.prototxt: made of what the document shows as its text",
        ),
    ),
    "paddle_mnist_lenet.rst": Wanted(9, 0, 8, 0, 1, ()),
    "pytorch_mnist.md": Wanted(
        17, 0, 1, 0, 7, ("line 246: x has 4 values, y 5: the last 4 are drawn",)
    ),  # its text tests once more than it counts
}


#: accuracies that the texts print, in the form in which they do; at least so much of the last ones
REACHED = {
    "caffe2_mnist.md": (r"test_accuracy: ([\d.]+)", [0.92]),
    "caffe2_tutorials.md": (r"test_accuracy: ([\d.]+)", [0.92]),
    "caffe_python_lenet.md": (r"'Test Accuracy: ([\d.]+)'", [0.9]),
    # no seed is set, and the text's loss takes the softmax of a softmax: now and then the net never learns one of the
    # ten classes, and stays at 0.88
    "paddle_mnist_lenet.rst": (r"step 157/157 - .*acc_top1: (0\.\d{4}) - acc_top2: 0\.\d{4} - ", [0.85]),
    # after each of eight epochs, by the program in the last cell
    "pytorch_mnist.md": (
        r"\nTest set: Avg\. loss: 0\.\d{4}, Accuracy: (\d+)/10000 \(\d\d%\)\n\n",
        [9000, 9500, 9600, 9600, 9700, 9700, 9750, 9780],
    ),
}


def run(seed: Path, folder: Path, *options: str) -> tuple[int, str]:
    """Exit status and all that was printed; home, cache and working folder are below ``folder``."""
    (folder / "home").mkdir()
    more = {
        "FRESHPOT_DATA": str(seed.parent.parent / "mnist"),
        "FRESHPOT_OFFLINE": "1",
        "HOME": str(folder / "home"),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, "-m", "freshpot", "run", *options, "--out", "shown", str(seed)],
        cwd=folder,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-6000:], done.stderr[-3000:])
    return done.returncode, done.stdout


def check(name: str, wanted: Wanted, status: int, text: str, folder: Path) -> None:
    """Every cell ran, and the table says what was counted and what stood in."""
    ran = re.search(r"^(\d+) of (\d+) cells ran, .*$", text, flags=re.M)
    assert ran is not None
    print(f"{name}: {ran[0]}")
    assert (int(ran[1]), int(ran[2])) == (wanted.cells, wanted.cells)
    assert status == 0
    counts = {"fragments": wanted.fragments, "blocks of output": wanted.outputs}
    counts["blocks in other languages"] = wanted.others
    for what, count in counts.items():
        assert (f"{count} {what}" if count else what) in ran[0] or (not count and what not in ran[0])
    notes = re.findall(r"^  \* (.*)$", text, flags=re.M)
    assert set(wanted.notes) <= set(notes)
    assert len(list((folder / "shown").glob("cell*.png"))) == wanted.figures


@pytest.mark.parametrize("name", SEEDS)
def test_every_cell_runs(name: str, shared: Path, tmp_path: Path) -> None:
    """With trainings shortened by the runner's own option."""
    steps = 3 if name == "pytorch_mnist.md" else 20  # its test batches have 1000 pictures
    status, text = run(shared / "seeds" / name, tmp_path, "--quick", str(steps))
    check(name, SEEDS[name], status, text, tmp_path)
    assert f"were stopped after {steps} steps" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_every_cell_runs_in_full(name: str, shared: Path, tmp_path: Path) -> None:
    status, text = run(shared / "seeds" / name, tmp_path)
    check(name, SEEDS[name], status, text, tmp_path)
    assert "--quick" not in text
    pattern, wanted = REACHED[name]
    found = [float(number) for number in re.findall(pattern, text)]
    assert len(found) >= len(wanted)
    assert all(map(operator.ge, found[-len(wanted) :], wanted)), found


def test_what_the_tutorials_show(shared: Path, tmp_path: Path) -> None:
    """Printed lines of the Caffe seed, against what the seed itself shows."""
    seed = shared / "seeds" / "caffe_python_lenet.md"
    _, text = run(seed, tmp_path, "--quick", "2")
    shown = seed.read_text(encoding="utf-8")
    for line in ("[('data', (64, 1, 28, 28)),", "('score', (64, 10)),", "('fc1', (500, 800)),"):
        assert line in text
        assert line in shown
    assert "train labels: [5. 0. 4. 1. 9. 2. 1. 3.]" in text
    assert "test labels: [7. 2. 1. 0. 4. 1. 4. 9.]" in text
