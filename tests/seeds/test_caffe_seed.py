"""The pycaffe tutorial, cell by cell, unchanged, on the real MNIST: what it shows and what it learns.

The tutorial is a notebook of Python 2: prints are statements, ``7 / 2`` is 3, and lines with ``!`` are commands.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from freshpot.cli import main
from freshpot.legacy import python2
from freshpot.legacy.cells import Cell
from freshpot.legacy.magics import MAGIC, SHELL
from freshpot.legacy.modernize import python3

sys.path.insert(0, str(Path(__file__).parent))
from cells import read_cells

pyplot = pytest.importorskip("matplotlib.pyplot", reason="the tutorial draws with matplotlib")


# ---- a notebook of Python 2 ----------------------------------------------------------------------------
@dataclass
class Notebook:
    """The tutorial after it ran: per cell what it printed, drew, and the value of its last line; all names."""

    printed: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    drawn: list[list[Any]] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)

    def run(self, cell: Cell) -> None:
        tree = ast.parse(python3(cell.source))
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(tree, str(cell.path), "exec"), self.names)
            shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
            self.values.append(eval(compile(shown, str(cell.path), "eval"), self.names) if shown else None)
        self.printed.append(out.getvalue())
        figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
        self.drawn.append([axes for figure in figures for axes in figure.axes])
        pyplot.close("all")


# ---- its surroundings ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def seed(shared: Path) -> Path:
    return shared / "seeds" / "caffe_python_lenet.md"


def output_after(seed: Path, line: str) -> str:
    """What the tutorial shows below the cell that holds ``line``: the next indented lines."""
    text = seed.read_text(encoding="utf-8")
    below = text[text.index("```", text.index(line)) + 3 :]
    shown = re.search(r"(?:^    .*\n|^\s*\n)+", below, flags=re.M)
    assert shown is not None
    return re.sub(r"^    ", "", shown[0], flags=re.M).strip("\n") + "\n"


@pytest.fixture(scope="module")
def caffe_root(shared: Path, seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caffe's folder as the tutorial needs it: the solver's file; databases come with the tutorial's commands."""
    root = tmp_path_factory.mktemp("caffe")
    (root / "examples" / "mnist").mkdir(parents=True)
    solver = output_after(seed, "!cat mnist/lenet_auto_solver.prototxt")
    (root / "examples/mnist/lenet_auto_solver.prototxt").write_text(solver)
    return root


@pytest.fixture(scope="module")
def notebook(shared: Path, seed: Path, caffe_root: Path) -> Iterator[Notebook]:
    """The tutorial, run. Its folder is ours, and its two commands are freshpot's."""
    change, before = os.chdir, os.getcwd()

    def chdir(path: str) -> None:
        change(re.sub("^/home/ldy/workspace/caffe/?", f"{caffe_root}/", path))

    def system(command: str) -> None:
        words = shlex.split(command)
        if words[0] == "cat":
            print(Path(words[1]).read_text(), end="")
        elif words[0] == "examples/mnist/create_mnist.sh":
            source, out = str(shared / "mnist"), "examples/mnist"
            assert main(["data", "mnist", "--format", "caffe-lmdb", "--data", source, "--out", out]) == 0
        else:
            assert command == "data/mnist/get_mnist.sh"  # there already

    made = Notebook(
        names={"__name__": "__main__", MAGIC: lambda *words: None, SHELL: system, **python2.names()}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "chdir", chdir)
        patch.setattr(sys, "path", list(sys.path))
        pyplot.switch_backend("Agg")
        try:
            import caffe

            caffe.set_random_seed(1)
            for cell in read_cells(seed):
                made.run(cell)
            yield made
        finally:
            change(before)
            pyplot.close("all")
            caffe.set_mode_cpu()


def numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"\d+\.", text)]


def cell_with(seed: Path, line: str) -> int:
    return next(i for i, cell in enumerate(read_cells(seed)) if line in cell.source)


# ---- what it shows -------------------------------------------------------------------------------------
def test_every_cell_is_found(seed: Path) -> None:
    assert len(read_cells(seed)) == 18


def test_the_net_is_printed(notebook: Notebook, seed: Path) -> None:
    line = "!cat mnist/lenet_auto_train.prototxt"
    found, wanted = (
        text_format.Parse(text, caffe_pb2.NetParameter())
        for text in (notebook.printed[cell_with(seed, line)], output_after(seed, line))
    )
    assert found == wanted
    assert len(found.layer) == 9


@pytest.mark.parametrize("line", ["solver.net.blobs.items()]", "solver.net.params.items()]"])
def test_shapes(notebook: Notebook, seed: Path, line: str) -> None:
    assert notebook.values[cell_with(seed, line)] == ast.literal_eval(output_after(seed, line))


def test_the_first_loss(notebook: Notebook, seed: Path) -> None:
    found = notebook.values[cell_with(seed, "solver.test_nets[0].forward()  # test net")]
    assert list(found) == ["loss"]
    assert (found["loss"].shape, found["loss"].dtype) == ((), np.float32)


@pytest.mark.parametrize(
    ("line", "labels"),
    [("print 'train labels:'", [5, 0, 4, 1, 9, 2, 1, 3]), ("print 'test labels:'", [7, 2, 1, 0, 4, 1, 4, 9])],
)
def test_labels(notebook: Notebook, seed: Path, line: str, labels: list[int]) -> None:
    printed = notebook.printed[cell_with(seed, line)]
    assert printed.startswith(line.removeprefix("print '").removesuffix("'"))
    assert numbers(printed) == numbers(output_after(seed, line)) == labels


def test_the_net_learns(notebook: Notebook, seed: Path) -> None:
    line = "output = zeros((niter, 8, 10))"
    assert notebook.printed[cell_with(seed, line)] == (
        "".join(f"Iteration {it} testing...\n" for it in range(0, 200, 25))
    )
    titles = [axes.get_title() for axes in notebook.drawn[cell_with(seed, "ax2.set_title('Test")]]
    assert float(titles[1].removeprefix("Test Accuracy: ")) > 0.9


def test_what_it_draws(notebook: Notebook, seed: Path) -> None:
    (axes,) = notebook.drawn[cell_with(seed, "solver.net.params['conv1'][0].diff")]
    filters = axes.get_images()[0].get_array()
    assert filters.shape == (20, 25)
    assert np.abs(filters).max() > 0
    assert len(notebook.drawn[cell_with(seed, "imshow(output[:50, i].T")]) == 16


def test_the_net_of_ones_own(notebook: Notebook) -> None:
    names = notebook.names
    assert type(names["solver"]).__name__ == "SGDSolver"
    assert names["solver"].iter == names["niter"] == 250
    assert (names["test_interval"], names["test_acc"].shape) == (25, (10,))
    assert 2.2 < names["train_loss"][0] < 3
    assert names["test_acc"][-1] > 0.85
    assert notebook.printed[-1] == "".join(f"Iteration {it} testing...\n" for it in range(0, 250, 25))


@pytest.mark.slow
def test_ten_thousand_iterations(notebook: Notebook, caffe_root: Path) -> None:
    """The solver that the tutorial writes, to its end: a linear classifier reaches 0.91."""
    import caffe

    os.chdir("/home/ldy/workspace/caffe/examples")
    solver = caffe.get_solver("mnist/custom_auto_solver.prototxt")
    solver.solve()
    right = 0.0
    for _ in range(100):
        solver.test_nets[0].forward()
        scores, labels = (solver.test_nets[0].blobs[name].data for name in ("score", "label"))
        right += float((scores.argmax(1) == labels).sum())
    assert right / 1e4 > 0.9
    assert (caffe_root / "examples/mnist/custom_net_iter_10000.caffemodel").exists()
