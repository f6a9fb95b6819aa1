"""Old matplotlib: names and forms of calls of 2016, and that today's stay as they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from freshpot.cli import main

#: what a program says, and what it prints
LINES = {
    "plt.hold(True), ax.hold(False), plt.ishold()": "(True, True, True)",
    "plt.imshow(x, cmap=plt.cm.spectral).get_cmap().name": "'nipy_spectral'",
    "plt.get_cmap('spectral')(0.0) == plt.get_cmap('nipy_spectral')(0.0)": "True",
    "plt.axes(axisbg='red').get_facecolor()": "(1.0, 0.0, 0.0, 1.0)",
    "plt.subplot(1, 2, 1, axisbg='red').get_axis_bgcolor()": "(1.0, 0.0, 0.0, 1.0)",
    "plt.figure().add_axes([0, 0, 1, 1], axisbg='red').get_facecolor()": "(1.0, 0.0, 0.0, 1.0)",
    "plt.hist([1, 2, 2, 4], bins=2, normed=True)[0].sum()": "0.666667",
    "plt.hist([1, 2, 2, 4], bins=2, density=True)[0].sum()": "0.666667",
    "plt.figure().gca(projection='polar').name, plt.figure().gca().name": "('polar', 'rectilinear')",
    "plt.tick_params(labelbottom='off'), ax.xaxis.get_tick_params()['labelbottom']": "(None, False)",
    "plt.grid('off'), ax.xaxis.get_gridlines()[0].get_visible()": "(None, False)",
    "mlab.normpdf(0, 0, 2).round(4)": "0.1995",
}


@pytest.mark.parametrize("line", LINES)
def test_names_and_calls(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from matplotlib import axes, cm, colormaps, figure, pyplot

    before = (
        axes.Axes.hist,
        figure.Figure.gca,
        hasattr(pyplot, "hold"),
        hasattr(cm, "spectral"),
        list(colormaps),
    )
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text(
        "import numpy as np\nimport matplotlib.pyplot as plt\nfrom matplotlib import mlab\n"
        "np.set_printoptions(precision=6)\nx = np.ones((2, 2))\nax = plt.gca()\n"
        f"said = {line}\nprint(round(said, 6).__repr__().replace('np.float64(', '').strip(')') "
        "if isinstance(said, float) else repr(said))\n"
    )
    assert main(["run", "a.py"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == LINES[line]
    after = (
        axes.Axes.hist,
        figure.Figure.gca,
        hasattr(pyplot, "hold"),
        hasattr(cm, "spectral"),
        list(colormaps),
    )
    assert after == before


@pytest.mark.skipif(importlib.util.find_spec("skimage") is not None, reason="scikit-image itself is there")
def test_what_a_stand_in_lacks_is_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An import of a part that the small stand-in for scikit-image has not."""
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text("from skimage import exposure\n")
    assert main(["run", "a.py"]) == 1
    assert (
        "exposure' from 'skimage' (unknown location); install it: pip install scikit-image"
        in capsys.readouterr().out
    )
