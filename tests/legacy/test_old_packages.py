"""Packages as they were, and what programs of Faster R-CNN compiled for themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from freshpot.cli import main
from freshpot.legacy import compiled

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(text: str, capsys: Capture) -> str:
    Path("a.py").write_text(text)
    assert main(["run", "a.py"]) == 0
    return capsys.readouterr().out


def test_yaml_without_a_loader(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    Path("yaml.py").write_text("SafeLoader = 'safe'\ndef load(stream, Loader):\n    return stream, Loader\n")
    try:
        out = run("import yaml\nprint(yaml.load('a'), yaml.load('a', Loader='own'))\n", capsys)
        assert "('a', 'safe') ('a', 'own')" in out
        with pytest.raises(TypeError):
            sys.modules["yaml"].load("a")
    finally:
        sys.modules.pop("yaml", None)


def test_a_package_that_is_another_of_that_name(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    Path("yaml.py").write_text("mine = 3\n")
    try:
        assert "3\n" in run("import yaml\nprint(yaml.mine)\n", capsys)
    finally:
        sys.modules.pop("yaml", None)


PICTURES = """
import numpy as np
from PIL import Image
a = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
print(Image.fromarray(a).resize((8, 8), Image.ANTIALIAS).size, len(Image.fromarray(a).tostring()))
from scipy import misc
import scipy.misc
from scipy.misc import imread, imresize, imsave
imsave('a.png', a)
print((imread('a.png') == a).all(), imread('a.png', flatten=True).dtype, imread('a.png', mode='L').shape)
print(imresize(a, 50).shape, imresize(a, 2.0, interp='cubic').shape, imresize(a, (3, 5)).shape)
print(misc.toimage(np.array([[0.0, 1.0]])).getpixel((1, 0)), misc is scipy.misc)
"""


def test_pictures(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    Image = pytest.importorskip("PIL.Image")
    before = hasattr(Image, "ANTIALIAS")
    if "scipy" not in sys.modules:
        Path("scipy").mkdir()
        Path("scipy/__init__.py").write_text("")
    out = run(PICTURES, capsys)
    assert "(8, 8) 48\n" in out
    assert "True float32 (4, 4)\n(2, 2, 3) (8, 8, 3) (3, 5, 3)\n255 True\n" in out
    assert hasattr(Image, "ANTIALIAS") == before
    assert "scipy.misc" not in sys.modules
    if Path("scipy").is_dir():
        sys.modules.pop("scipy")


BOXES = np.array(
    [[0, 0, 9, 9, 0.5], [0, 0, 9, 4, 0.9], [5, 5, 14, 14, 0.7], [40, 40, 49, 49, 0.1]], np.float32
)


def test_overlaps_of_boxes() -> None:
    got = compiled.bbox_overlaps(BOXES[:, :4], BOXES[:2, :4])
    np.testing.assert_allclose(got, [[1, 0.5], [0.5, 1], [25 / 175, 0], [0, 0]])
    assert got.dtype == np.float64


@pytest.mark.parametrize(
    ("module", "thresh", "kept"),
    [
        ("nms.cpu_nms.cpu_nms", 0.5, [1, 2, 3]),
        ("nms.gpu_nms.gpu_nms", 0.5, [1, 2, 0, 3]),
        ("utils.cython_nms.nms", 0.1, [1, 2, 3]),
        ("utils.cython_nms.nms", 0.9, [1, 2, 0, 3]),
    ],
)
def test_modules_that_a_program_compiled(
    module: str, thresh: float, kept: list[int], capsys: Capture
) -> None:
    """Equal overlap is too much on the CPU, and is not on the GPU."""
    package, name, function = module.split(".")
    Path(package).mkdir()
    Path(package, "__init__.py").write_text("")
    Path(package, {"cython_nms": "nms"}.get(name, name) + ".pyx").write_text("cdef int i\n")
    before = set(sys.modules)
    text = f"import numpy as np\nfrom {package}.{name} import {function}\nprint({function}(np.array(\n"
    try:
        out = run(f"{text}    {BOXES.tolist()}, np.float32), {thresh}))\n", capsys)
        assert f"{kept}\n" in out
        assert f"module {package}.{name}: not compiled; freshpot's own in its place" in out
        assert f"{package}.{name}" not in sys.modules
    finally:
        for new in set(sys.modules) - before:
            if new.partition(".")[0] == package:
                del sys.modules[new]


def test_a_module_without_its_source_is_not_there(capsys: Capture) -> None:
    Path("nms").mkdir()
    Path("nms/__init__.py").write_text("")
    Path("a.py").write_text("from nms.cpu_nms import cpu_nms\n")
    try:
        assert main(["run", "a.py"]) == 1
    finally:
        sys.modules.pop("nms", None)
    assert "No module named 'nms.cpu_nms'" in capsys.readouterr().out
