"""The Paddle tutorial, cell by cell, unchanged; short by a smaller data set, whole in the slow suite."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freshpot.paddle
from freshpot.paddle.vision import datasets

pytest.importorskip("matplotlib")


def cells(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code:: ipython3\n\n((?:    .*\n|\s*\n)+)", text, flags=re.M)
    return [re.sub("^    ", "", cell, flags=re.M) for cell in found]


def run(
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
    after: Callable[[str, dict[str, Any]], None] = lambda cell, names: None,
) -> tuple[str, int]:
    """What the cells print, and how many there are; ``after`` is called after each with the names it left."""
    for name in [name for name in sys.modules if name.startswith("freshpot.paddle")]:
        monkeypatch.setitem(
            sys.modules, name.removeprefix("freshpot."), sys.modules[name]
        )  # gone when it ends
    monkeypatch.setitem(sys.modules, "paddle.callbacks", freshpot.paddle.callbacks)
    freshpot.paddle.install(force=True)
    monkeypatch.setenv("FRESHPOT_DATA", str(shared / "mnist"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    load = datasets.load_mnist
    monkeypatch.setattr(datasets, "load_mnist", lambda split: load(split=split, limit=limit))
    freshpot.paddle.seed(2)
    np.random.seed(2)
    names: dict[str, Any] = {"__name__": "__main__"}
    found = cells(shared / "seeds" / "paddle_mnist_lenet.rst")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for cell in found:
            exec(compile(cell, "paddle_mnist_lenet.rst", "exec"), names)
            after(cell, names)
    return out.getvalue(), len(found)


def test_every_cell_runs(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, count = run(shared, monkeypatch, 640)
    assert count == 9
    assert printed.startswith("2.0.0-beta0\n")
    assert "train_data0 label is: [5]\n" in printed
    assert re.search(r"^epoch: 0, batch_id: 0, loss is: \[2\.\d+\], acc is: \[0\.\d+\]$", printed, re.M)
    assert re.search(
        r"^step 10/10 - loss: \d\.\d{4} - acc_top1: \d\.\d{4} - acc_top2: .* - \d+ms/step$", printed, re.M
    )
    assert printed.endswith("Eval samples: 640\n")


@pytest.mark.slow
def test_documented_results(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, two epochs each: as good as the original in the same program (0.973 to 0.979 in three runs).

    This seed gives 0.975 and 0.974; one of eight left a digit unlearnt after two epochs (0.88), since the tutorial
    takes the softmax twice. The tutorial shows 0.9838; its first line of training already has 0.9829, so its cells
    had been run before.
    """
    found: dict[str, float] = {}

    def measure(cell: str, names: dict[str, Any]) -> None:
        if "test(model)" in cell:
            model = freshpot.paddle.Model(names["model"])
            model.prepare(metrics=freshpot.paddle.metric.Accuracy())
            found["loop"] = model.evaluate(names["test_dataset"], batch_size=64, verbose=0)["acc"]

    printed, _ = run(shared, monkeypatch, None, measure)
    lines = re.findall(r"step 157/157 .* acc_top1: (\d\.\d+) - acc_top2: (\d\.\d+)", printed)
    found["fit"], second = (float(number) for number in lines[-1])
    print(f"test accuracy after two epochs: {found}")
    assert min(found.values()) > 0.97, found
    assert second > 0.99
    assert (
        len(re.findall(r"^epoch: [01], batch_id: \d+, loss is: \[\d\.\d+\], acc is: ", printed, re.M)) == 20
    )
