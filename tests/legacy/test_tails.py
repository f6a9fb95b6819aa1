"""x and y of unequal length under ``freshpot run``: the common tail is drawn, and nothing else is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshpot.cli import main
from freshpot.legacy import tails

pytest.importorskip("matplotlib")
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def said() -> Iterator[list[str]]:
    words: list[str] = []
    with tails.cut(words.append):
        yield words


def points(axes: Axes) -> list[list[list[float]]]:
    """The points of all curves."""
    return [np.asarray(line.get_xydata()).tolist() for line in axes.lines]


X = [1, 2, 3, 4]
SHORT = "x has 4 values, y 2: the last 2 are drawn"
DRAWN: dict[str, tuple[tuple[Any, ...], list[list[list[float]]], list[str]]] = {
    "equal": ((X[:2], [5, 6]), [[[1, 5], [2, 6]]], []),
    "longer x": ((X, [5, 6]), [[[3, 5], [4, 6]]], [SHORT]),
    "longer y": (([8], X, "r--"), [[[8, 4]]], ["x has 1 values, y 4: the last 1 are drawn"]),
    "arrays": ((np.array(X), np.array([5, 6])), [[[3, 5], [4, 6]]], [SHORT]),
    "range": ((range(4), [5, 6]), [[[2, 5], [3, 6]]], ["x has 4 values, y 2: the last 2 are drawn"]),
    "y alone": (([5, 6],), [[[0, 5], [1, 6]]], []),
    "y and a format": (([5, 6], "o"), [[[0, 5], [1, 6]]], []),
    "several": ((X, X, "r", X, [5, 6], "b"), [[[v, v] for v in X], [[3, 5], [4, 6]]], [SHORT]),
    "several without formats": ((X[:1], X[:1], X, [5, 6]), [[[1, 1]], [[3, 5], [4, 6]]], [SHORT]),
    "columns": ((X, np.ones((2, 2))), [[[3, 1], [4, 1]]] * 2, [SHORT]),
    "single values": ((3, 4), [[[3, 4]]], []),
}


@pytest.mark.parametrize("name", DRAWN)
def test_plot(name: str, said: list[str]) -> None:
    args, wanted, words = DRAWN[name]
    axes = Figure().subplots()
    axes.plot(*args)
    assert points(axes) == wanted
    assert said == words


def test_scatter(said: list[str]) -> None:
    axes = Figure().subplots()
    axes.scatter(X, [5, 6], s=[1, 2, 3, 4], c=[7, 8])
    axes.scatter(x=X, y=[5, 6], color="red")
    axes.scatter(X, X, c=X)
    first, second, third = axes.collections
    assert (
        np.asarray(first.get_offsets()).tolist()
        == np.asarray(second.get_offsets()).tolist()
        == [[3, 5], [4, 6]]
    )
    assert (first.get_sizes().tolist(), first.get_array().tolist()) == ([3, 4], [7, 8])
    assert len(third.get_offsets()) == 4
    assert said == [SHORT, SHORT]


@pytest.mark.parametrize("args", [([], X), (X, [])])
def test_nothing_is_drawn_of_nothing(args: Any, said: list[str]) -> None:
    with pytest.raises(ValueError, match="x and y must"):
        Figure().subplots().plot(*args)
    with pytest.raises(ValueError, match="x and y must"):
        Figure().subplots().scatter(*args)
    assert said == []


def test_names_of_columns_are_left_alone(said: list[str]) -> None:
    axes = Figure().subplots()
    axes.plot("a", "bb", data={"a": [1, 2], "bb": [3, 4]})
    assert points(axes) == [[[1, 3], [2, 4]]]
    assert said == []


def test_only_meanwhile() -> None:
    before = Axes.plot, Axes.scatter
    with tails.cut(print):
        assert before[0] is not Axes.plot
    assert before == (Axes.plot, Axes.scatter)
    with pytest.raises(ValueError, match="same first dimension"):
        Figure().subplots().plot(X, [1])


PROGRAM = """# A text

```python
from matplotlib import pyplot as plt
def draw(y):
    plt.scatter([1, 2, 3, 4], y)

draw([1, 2, 3, 4, 5])
plt.plot([1], [2])
```
"""


def test_under_freshpot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.md").write_text(PROGRAM, encoding="utf-8")
    assert main(["run", "--out", "shown", "a.md"]) == 0
    out, err = capsys.readouterr()
    words = "line 6: x has 4 values, y 5: the last 4 are drawn"
    assert f"\n  * {words}\n" in out
    assert err == f"freshpot: {words}\n"
    assert Path("shown/cell01-1.png").is_file()
    assert mpl.axes.Axes.plot.__module__ == "matplotlib.axes._axes"
