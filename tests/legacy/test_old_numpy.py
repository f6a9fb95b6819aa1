"""Old numpy, and modules of a program that are Python 2."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from freshpot.cli import main

Capture = pytest.CaptureFixture[str]

LINES = {
    "np.zeros(2, np.float).dtype, np.array([1.5]).astype(np.int)": "float64 [1]",
    "np.array([1], dtype=np.object).dtype, np.bool(1) == True": "object True",
    "np.float_(2), np.NaN != np.NaN, np.Inf": "2.0 True inf",
    "np.fromstring('ab', dtype=np.uint8)": "[97 98]",
    "np.fromstring('1 2', sep=' ')": "[1. 2.]",
    "list(np.loadtxt('names.txt', str, delimiter='\\n'))[1] == 'Long Exposure'": "True",
    "np.asscalar(np.ones(1)), np.product([2, 3]), np.rank(np.ones((2, 2)))": "1.0 6 2",
    "np.in1d([1, 2], [2]), np.alltrue([1, 0]), np.msort([2, 1])": "[False  True] False [1 2]",
    "sorted(set(np.random.random_integers(2, size=99)))": "[1, 2]",
    "round(np.array([2.6])), round(np.array([[1.26]]), 1), round(2.5), round(7.123, 2)": "3 1.3 2 7.12",
    "np.trapz([0, 2]), np.row_stack([[1], [2]]).shape": "1.0 (2, 1)",
}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("Detailed\nLong Exposure\n")


def _plain(text: str) -> str:
    """Without what versions of numpy print differently."""
    return re.sub(r"np\.\w+\(|[ )]", "", text)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.filterwarnings("ignore")
def test_names_and_calls(line: str, capsys: Capture) -> None:
    Path("a.py").write_text(f"import numpy as np\nnp.set_printoptions(legacy='1.13')\nprint({line})\n")
    before = np.fromstring, np.loadtxt, "Inf" in vars(np)
    options = np.get_printoptions()
    try:
        assert main(["run", "a.py"]) == 0
    finally:
        np.set_printoptions(**options)
    said = capsys.readouterr().out.splitlines()[0]
    assert _plain(said) == _plain(LINES[line])
    assert (np.fromstring, np.loadtxt, "Inf" in vars(np)) == before


def test_modules_of_the_program_are_modernised(capsys: Capture) -> None:
    Path("tools").mkdir()
    Path("tools/__init__.py").write_text("from .more import half\n")
    Path("tools/more.py").write_text("print 'loaded'\ndef half(n):\n    return n / 2, map(str, range(n))\n")
    Path("new.py").write_text("def half(n):\n    return n / 2\n")
    Path("a.py").write_text("import tools, new\nprint tools.half(3), new.half(3)\n")
    before = list(sys.meta_path)
    assert main(["run", "a.py"]) == 0
    out = capsys.readouterr().out
    assert "loaded\n(1, ['0', '1', '2']) 1.5\n" in out
    assert "* module tools.more: written for Python 2, modernised" in out
    assert sys.meta_path == before
    assert not list(Path("tools").rglob("more*.pyc"))


def test_modules_import_what_lies_beside_them(capsys: Capture) -> None:
    """As Python 2 did; a module of the same name elsewhere is not hidden by one beside."""
    Path("parts").mkdir()
    Path("parts/__init__.py").write_text("")
    Path("parts/beside_it.py").write_text("one = 1\n")
    Path("parts/json.py").write_text("raise RuntimeError('hides the library')\n")
    Path("parts/user.py").write_text(
        "import beside_it, json\nif True:\n    from beside_it import one\nprint one, beside_it.one, json.dumps(2)\n"
    )
    Path("a.py").write_text("import parts.user\n")
    try:
        assert main(["run", "a.py"]) == 0
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "parts"]:
            del sys.modules[name]
    assert "1 1 2\n" in capsys.readouterr().out


def test_a_module_that_is_neither(capsys: Capture) -> None:
    Path("broken.py").write_text("x = = 1\n")
    Path("a.py").write_text("import broken\n")
    assert main(["run", "a.py"]) == 1
    assert "SyntaxError: invalid syntax" in capsys.readouterr().out


def test_python_layers_of_python_2(capsys: Capture) -> None:
    """The module that a net's Python layer names is found and modernised too."""
    Path("my_layers.py").write_text(
        "import caffe\nclass Twice(caffe.Layer):\n    def setup(self, bottom, top):\n        print 'setup'\n"
        "    def reshape(self, bottom, top):\n        top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top):\n        top[0].data[...] = 2 * bottom[0].data\n"
        "    def backward(self, top, propagate_down, bottom):\n        pass\n"
    )
    Path("net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 } } }\n'
        'layer { name: "t" type: "Python" bottom: "d" top: "t" python_param { module: "my_layers" layer: "Twice" } }\n'
    )
    Path("a.py").write_text(
        "import caffe\nnet = caffe.Net('net.prototxt', caffe.TEST)\nnet.blobs['d'].data[...] = 3\n"
        "print net.forward()['t']\n"
    )
    assert main(["run", "a.py"]) == 0
    assert "setup\n[6. 6.]" in capsys.readouterr().out
