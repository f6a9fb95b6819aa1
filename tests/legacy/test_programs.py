"""Programs of the kinds that people have, under ``freshpot run``: what each prints, and that all of it ran."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from freshpot.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


class Program(NamedTuple):
    """A file, words of the command line, and what must be printed; ``alone``: in a process of its own."""

    name: str
    text: str
    shown: tuple[str, ...]
    options: tuple[str, ...] = ()
    stdin: str = ""
    encoding: str = "utf-8"
    alone: bool = False


def notebook(*cells: str, old: bool = False) -> str:
    """Cells as a notebook of format 4, or of format 3."""
    made = []
    for text in cells:
        lines = text.splitlines(keepends=True)
        if old:
            made.append({"cell_type": "code", "collapsed": False, "input": lines, "language": "python"})
        else:
            made.append({"cell_type": "code", "execution_count": 1, "metadata": {}, "source": lines})
        made[-1]["outputs"] = []
    if old:
        book: dict[str, Any] = {"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": made}]}
    else:
        language = {"kernelspec": {"display_name": "Python 2", "language": "python", "name": "python2"}}
        book = {"nbformat": 4, "nbformat_minor": 1, "metadata": language, "cells": made}
    return json.dumps(book, indent=1)


CAFFE2 = (
    """%matplotlib inline
from __future__ import absolute_import, division, print_function, unicode_literals
from matplotlib import pyplot
import numpy as np
import time
from caffe2.python import core, workspace
from caffe2.proto import caffe2_pb2""",
    """print("Current blobs in the workspace: {}".format(workspace.Blobs()))
X = np.random.randn(2, 3).astype(np.float32)
workspace.FeedBlob("X", X)
print("Workspace has blob 'X'? {}".format(workspace.HasBlob("X")))""",
    """net = core.Net("my_first_net")
X = net.GaussianFill([], ["X"], mean=0.0, std=1.0, shape=[2, 3], run_once=0)
W = net.GaussianFill([], ["W"], mean=0.0, std=1.0, shape=[5, 3], run_once=0)
b = net.ConstantFill([], ["b"], shape=[5,], value=1.0, run_once=0)
Y = X.FC([W, b], ["Y"])
workspace.ResetWorkspace()
workspace.RunNetOnce(net)
for name in workspace.Blobs():
    print("{}: {}".format(name, workspace.FetchBlob(name).shape))
pyplot.plot(workspace.FetchBlob("Y")[0])""",
)
PRINTED = ("Workspace has blob 'X'? True", "Y: (2, 5)", "b: (5,)")

CLASSIFY = (
    """import numpy as np
import matplotlib.pyplot as plt
%matplotlib inline
plt.rcParams['image.interpolation'] = 'nearest'""",
    """# The caffe module needs to be on the Python path
import sys
caffe_root = '../'  # this file should be run from {caffe_root}/examples
sys.path.insert(0, caffe_root + 'python')
import caffe, os""",
    """caffe.set_mode_cpu()
net = caffe.Net(caffe_root + 'deploy.prototxt', caffe.TEST)
transformer = caffe.io.Transformer({'data': net.blobs['data'].data.shape})
transformer.set_transpose('data', (2,0,1))
transformer.set_mean('data', np.array([1., 2., 3.]))
transformer.set_raw_scale('data', 255)
transformer.set_channel_swap('data', (2,1,0))
image = np.ones((8, 8, 3)) / 2
net.blobs['data'].data[...] = transformer.preprocess('data', image)
output = net.forward()
print 'predicted class is:', output['prob'][0].argmax() >= 0""",
    """for layer_name, blob in net.blobs.iteritems():
    print layer_name + '\\t' + str(blob.data.shape)""",
)
DEPLOY = """name: "small"
input: "data"
input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }
"""

PROGRAMS = {
    "a Caffe2 notebook": Program("a.ipynb", notebook(*CAFFE2), PRINTED),
    "a Caffe2 notebook of format 3": Program("a.ipynb", notebook(*CAFFE2, old=True), PRINTED),
    "classification with caffe": Program(
        "examples/classify.ipynb",
        notebook(*CLASSIFY, old=True),
        ("predicted class is: True", "data\t(1, 3, 6, 6)", "caffe: freshpot's, not the one in "),
        alone=True,
    ),
    "extensions": Program(
        "a.ipynb",
        notebook(
            "%load_ext autoreload\n%autoreload 2\n%config InlineBackend.figure_format = 'retina'\n%xmode Plain",
            "%%writefile made.py\nx = 3\nprint 'made', x / 2",
            "%run made.py one two\nprint x",
            "%timeit -n 3 -r 1 x + 1\nx?\n%time x",
            "%%timeit -n 10 y = 1\ny += x",
            "files = !cat made.py\nprint files[0]",
        ),
        ("Writing made.py", "made 1\n", "\n3\n", "x = 3\n"),
    ),
    "addresses that are gone": Program(
        "a.ipynb",
        notebook(
            "!wget -q http://yann.lecun.com/exdb/mnist/t10k-labels-idx1-ubyte.gz -P data/",
            "!curl -o l.gz http://yann.lecun.com/exdb/mnist/t10k-labels-idx1-ubyte.gz",
            "from gzip import open\na, b = open('data/t10k-labels-idx1-ubyte.gz'), open('l.gz')\na.read() == b.read()",
        ).replace("data/", "made/"),
        ("saved, ", "True\n", "a file made from synthetic digits"),
    ),
    "shell with leave": Program(
        "a.ipynb",
        notebook("%%bash\necho one two", "!echo three\nwords = !echo four\nwords"),
        ("one two\n", "three\n", "['four']"),
        ("--allow-shell",),
    ),
    "a notebook saved as a script": Program(
        "a.py",
        "# coding: utf-8\n\n# In[1]:\n\nget_ipython().magic(u'matplotlib inline')\n"
        "get_ipython().run_line_magic('load_ext', 'autoreload')\n"
        "get_ipython().run_cell_magic('writefile', 'b.txt', 'hello\\n')\n"
        "get_ipython().system(u'cat b.txt')\n"
        "from IPython import get_ipython as g\nfrom IPython.display import display\n"
        "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\nprint g() is get_ipython(), "
        "get_ipython().getoutput('cat b.txt')\n",
        ("Writing b.txt", "hello\n", "True ['hello']", "a-shown"),
        ("--out", "a-shown"),
    ),
    "Python 2": Program(
        "a.py",
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nimport sys\nreload(sys)\nsys.setdefaultencoding('utf-8')\n"
        "import urllib2, cPickle as pickle\nfrom StringIO import StringIO\nfrom urllib import urlretrieve, quote\n"
        "from itertools import izip, imap\nimport string, commands\n"
        "d = {'a': 1, 'b': 2}\n"
        "for k, v in sorted(d.iteritems()):\n\tprint '%s -> %d' % (k, v),\nprint\n"
        "name = raw_input('Name: ')\nprint >>sys.stdout, 'Hello', name\n"
        "print 7 / 2, -7 / 2, 7 / 2., 0777, 0xFFL, `1`, 1 <> 2\n"
        "print 'x' * 3, \"%s and %s\" % ('a', u'b'), d.has_key('a'), sys.maxint > 2 ** 31, string.letters[:3]\n"
        "print map(None, [1], [2]) if False else map(str, [1, 2]), zip([1], [2]), d.keys() == ['a', 'b']\n"
        "print sorted({1: 2, 3: 1}.items(), key=lambda (k, v): v)[0], reduce(max, [1, 2]), "
        "quote('a b'), list(izip([1], [2]))\n"
        "try:\n    raise ValueError, 'bad'\nexcept ValueError, e:\n    print 'caught', e\n"
        "exec 'y = 5'\nprint y, pickle.loads(pickle.dumps([1])), StringIO('s').read()\n"
        "n = 10\nn /= 4\nprint n, range(3) + [3], filter(None, [0, 1]), xrange(2)[1], unichr(97), cmp(1, 2)\n",
        (
            "a -> 1 b -> 2 \n",
            "Hello Ann\n",
            "3 -4 3.5 511 255 1 True\n",
            "xxx a and b True True abc\n",
            "['1', '2'] [(1, 2)] True\n",
            "(3, 1) 2 a%20b [(1, 2)]\n",
            "caught bad\n",
            "5 [1] s\n",
            "2 [0, 1, 2, 3] [1] 1 a -1\n",
        ),
        stdin="Ann\n",
    ),
    "told by its imports": Program(
        "a.py",
        "import urllib, itertools\nfrom urllib import urlencode\nprint(7 / 2, urllib.unquote('a%20b'))\n"
        "print(list(itertools.izip([1], 'a')), urlencode({'a': 1}))\n",
        ("3 a b\n", "[(1, 'a')] a=1\n"),
    ),
    "for both Pythons": Program(
        "a.py",
        "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle\n"
        "try:\n    from urllib import urlretrieve\nexcept ImportError:\n    from urllib.request import urlretrieve\n"
        "print(7 / 2, urlretrieve.__name__)\n",
        ("3.5 urlretrieve\n",),
    ),
    "a script with words of its own": Program(
        "train.py",
        "from __future__ import print_function\nimport argparse, time\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float, default=0.1)\nparser.add_argument('--gpu', action='store_true')\n"
        "parser.add_argument('files', nargs='*')\n"
        "def main():\n    args = parser.parse_args()\n"
        "    start = time.clock()\n    print(args.lr, args.gpu, args.files)\n"
        "if __name__ == '__main__':\n    main()\n",
        ("0.5 True ['a', 'b']\n",),
        ("--", "--lr", "0.5", "a", "b", "--gpu"),
    ),
    "Latin": Program(
        "a.py",
        "# vim: set fileencoding=latin-1-unix :\nprint 'caf\u00e9'\n",
        ("caf\u00e9\n",),
        encoding="latin-1",
    ),
    "Chinese": Program("a.py", "# coding=gbk\nprint '\u8bad\u7ec3'\n", ("\u8bad\u7ec3\n",), encoding="gbk"),
    "a mark in front": Program("a.py", "print('x')\n", ("x\n",), encoding="utf-8-sig"),
    "tabs and spaces": Program(
        "a.py", "def f(x):\n    if x:\n\treturn 1 / 2\n    return 3\nprint f(0), f(1)\n", ("3 0\n",)
    ),
    "lines of Windows": Program("a.py", "def f():\r\n    print 'x'\r\n\r\nf()\r\n", ("x\n",)),
    "text of yesterday": Program(
        "a.md", "```python\nimport re\nx = 3\nprint re.sub('\\d', 'n', 'a1'), x is 3\n```\n", ("an True\n",)
    ),
    "files beside it": Program(
        "a.py",
        "import pickle\npickle.dump({'a': 1}, open('a.pkl', 'w'))\nprint pickle.load(open('a.pkl'))['a']\n"
        "open('t.txt', 'w').write('one\\ntwo\\n')\nfor line in open('t.txt').xreadlines():\n    print line.strip(),\n",
        ("1\n", "one two"),
    ),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Caffe checkout of 2015 whose own package cannot be loaded; no MNIST anywhere."""
    root = tmp_path / "caffe"
    (root / "python/caffe").mkdir(parents=True)
    (root / "python/caffe/__init__.py").write_text("print 'the old one'\nfrom ._caffe import Net\n")
    (root / "examples").mkdir()
    (root / "made").mkdir()
    (root / "deploy.prototxt").write_text(DEPLOY)
    monkeypatch.chdir(root)
    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FRESHPOT_DATA", raising=False)
    from freshpot.data.mnist import load_mnist

    for module in ("routes", "caffe_folder"):
        monkeypatch.setattr(
            f"freshpot.legacy.{module}.load_mnist",
            lambda folder, split, limit=20: load_mnist("synthetic", split, limit=limit),
        )
    return root


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = PROGRAMS[name]
    path = Path(program.name)
    monkeypatch.setattr(sys, "stdin", io.StringIO(program.stdin))
    path.write_bytes(program.text.encode(program.encoding))
    monkeypatch.chdir(path.parent)
    words = ["run", path.name, *program.options]
    if program.alone:
        status = subprocess.run([sys.executable, "-m", "freshpot", *words], check=False).returncode
    else:
        status = main(words)
    out = capfd.readouterr().out
    print(out)
    assert status == 0
    for line in program.shown:
        assert line in out
    assert "the old one" not in out


def test_an_old_checkout_stays_out_of_a_later_import(place: Path) -> None:
    """Outside ``freshpot run`` nothing is decided: ``sys.path`` is."""
    Path("a.py").write_text("import sys\nsys.path.insert(0, 'python')\nimport caffe\n")
    before = list(sys.meta_path), list(sys.path)
    assert main(["run", "a.py"]) == 0
    assert (list(sys.meta_path), list(sys.path)) == before
