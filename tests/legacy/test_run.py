"""``freshpot run``: statuses, errors with their lines, what is shown, what is written, what is never executed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from freshpot.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    return tmp_path


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def markdown(*cells: str) -> str:
    return "".join(f"```python\n{cell}\n```\n\n" for cell in cells)


def table(text: str) -> list[list[str]]:
    """Rows of the table: cell, line, status, and the error's words."""
    rows = re.findall(r"^ +(\d+) +(\d+)  (ok|failed|not run) *(?:[\d.]+ s)? *(.*)$", text, flags=re.M)
    return [list(row) for row in rows]


def test_a_program_that_runs(capsys: Capture) -> None:
    assert main(["run", write("a.py", "import sys\nprint(__name__, sys.argv)\n")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("__main__ ['a.py']\n")
    assert table(out) == [["1", "1", "ok", ""]]
    assert "1 of 1 cells ran" in out


def test_cells_share_names_and_show_values(capsys: Capture) -> None:
    assert main(["run", write("a.md", markdown("x = [1]", "x", "x;", "None", "print x, 3 / 2"))]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"line \d+ ---\n(.*)\n", out) == ["", "[1]", "", "", "[1] 1"]
    assert "written for Python 2: 1 of 5 cells were modernised" in out


def test_stops_at_the_first_failure(capsys: Capture) -> None:
    file = write("a.md", "t\n\n" + markdown("x = 1", "def f():\n    return 1 / 0\n\nf()", "x = 2"))
    assert main(["run", file]) == 1
    out, err = capsys.readouterr()
    assert table(out) == [
        ["1", "4", "ok", ""],
        ["2", "8", "failed", "line 9: ZeroDivisionError: division by zero"],
        ["3", "15", "not run", ""],
    ]
    assert 'File "a.md", line 11' in err
    assert "runner.py" not in err


def test_a_notebook_on_one_line(capsys: Capture) -> None:
    """Lines are those of the cell, and the traceback shows them."""
    cells = ["import math\ndef f(x):\n    return math.sqrt(x)\n", "x = -1\n\nf(x)", "x = = 1", "y\nimport y"]
    book = {"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4}
    Path("y.py").write_text("")
    assert main(["run", "--keep-going", write("a.ipynb", json.dumps(book))]) == 1
    out, err = capsys.readouterr()
    errors = [row[3] for row in table(out)]
    assert errors[1].startswith("line 3 of the cell: ValueError: ")
    assert errors[2].startswith("line 1 of the cell: SyntaxError: invalid syntax")
    assert 'File "a.ipynb, cell 2", line 3, in <module>\n    f(x)\n' in err
    assert 'File "a.ipynb, cell 1", line 3, in f\n    return math.sqrt(x)\n' in err


def test_keeps_going(capsys: Capture) -> None:
    file = write("a.md", markdown("1 / 0", "print('here')", "raise SystemExit(3)", "raise SystemExit"))
    assert main(["run", "--keep-going", file]) == 1
    assert [row[2] for row in table(capsys.readouterr().out)] == ["failed", "ok", "failed", "ok"]


ERRORS = {
    "syntax": ("x = = 1", "line 2: SyntaxError: invalid syntax; neither Python 3 nor Python 2"),
    "Python 2 too broken": ("print 'x\nprint 2", "line 2: SyntaxError: "),
    "missing data file": (
        "open('data.csv')",
        "line 2: FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'",
    ),
    "missing module": (
        "\nimport nowhere_at_all",
        "line 3: ModuleNotFoundError: No module named 'nowhere_at_all'",
    ),
    "missing name": ("nothing", "line 2: NameError: name 'nothing' is not defined"),
    "shell": ("!touch made", "line 2: NotSupportedError: 'touch made' is a shell command; add --allow-shell"),
    "magic": ("%lprun f", "line 2: NotSupportedError: the magic %lprun is not supported"),
    "caffe": ("import caffe\ncaffe.Net('none.prototxt', 1)", "line 3: "),
    "caffe2": (
        "from caffe2.python import workspace\nworkspace.FetchBlob('no')",
        "line 3: MissingBlobError: ",
    ),
    "endless recursion": (
        "def f(n):\n    return f(n + 1)\n\nf(0)",
        "line 3: RecursionError: maximum recursion",
    ),
    "an endless list": ("x = [0] * 10 ** 18", "line 2: MemoryError"),
    "nested too deeply": ("(" * 5000 + ")" * 5000, "line 2: SyntaxError: "),
    "sys.exit": ("import sys\nsys.exit(3)", "line 3: SystemExit: 3"),
    "sys.exit with words": ("import sys\nsys.exit('no data')", "line 3: SystemExit: no data"),
    "os._exit": ("import os\nos._exit(4)", "line 3: SystemExit: 4"),
    "an error of its own": ("class E(Exception): pass\nraise E", "line 3: E"),
    "an error that cannot be shown": (
        "class E(Exception):\n    def __str__(self): 1 / 0\nraise E()",
        "line 4: E: (an error that cannot be shown)",
    ),
    "a notebook to run": (
        "%run a.ipynb",
        "line 2: NotSupportedError: %run a.ipynb: freshpot runs Python files",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_their_line(name: str, capsys: Capture) -> None:
    text, message = ERRORS[name]
    assert main(["run", write("a.md", markdown(text))]) == 1
    ((_, _, status, error),) = table(capsys.readouterr().out)
    assert status == "failed"
    assert error.startswith(message)
    assert not Path("made").exists()


NEVER = {
    "syntax error in Python": ("a.py", "open('made', 'w')\nx = = 1\n", 1),
    "notebook that is none": ("a.ipynb", "open('made', 'w')\n", 2),
    "undecodable": ("a.py", "open('made', 'w')  # \udcff\n", 2),
    "fragments": ("a.md", "```python\nx = 1\n```\nso\n\n    open('made', 'w')\n", 0),
    "other languages": ("a.md", "```python\nx = 1\n```\n```bash\ntouch made\n```\n", 0),
    "shell": ("a.md", markdown("!touch made"), 1),
    "shell cell": ("a.md", markdown("%%bash\ntouch made"), 1),
}


@pytest.mark.parametrize("name", NEVER)
def test_never_executed(name: str, capsys: Capture) -> None:
    file, text, status = NEVER[name]
    Path(file).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["run", file]) == status
    assert not Path("made").exists()
    if status == 2:
        assert capsys.readouterr().err.startswith(f"freshpot: {file}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.py"], "nothing.py: No such file or directory"),
        (["a.py", "--quick", "0"], "--quick must be at least 1, got 0."),
        (["a.py", "--to", "b.txt"], "--to writes .py or .ipynb, not 'b.txt'."),
    ],
)
def test_wrong_use(arguments: list[str], message: str, capsys: Capture) -> None:
    write("a.py", "x = 1\n")
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err


# ---- ends ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "end", ["import sys; sys.exit()", "import os; os._exit(0)", "quit()", "raise SystemExit(0)"]
)
def test_a_program_that_ends_itself(end: str, capsys: Capture) -> None:
    """What follows is not run, and that is no success; a script that ends itself at its end is one."""
    assert main(["run", write("a.md", markdown("x = 1", end, "x = 2")), "--keep-going"]) == 1
    out = capsys.readouterr().out
    assert [row[2] for row in table(out)] == ["ok", "ok", "not run"]
    assert "line 6: the program ended itself here" in out
    assert main(["run", write("a.py", end)]) == 0
    assert "ended itself" not in capsys.readouterr().out


def test_processes_of_the_program_end_as_they_like() -> None:
    text = (
        "import os\npid = os.fork()\nif not pid:\n    os._exit(7)\nassert os.waitpid(pid, 0)[1] >> 8 == 7\n"
    )
    assert main(["run", write("a.py", text)]) == 0


def test_a_thread_that_ends_the_process() -> None:
    """It has no way to end the program alone, so the process ends, and it is said why."""
    text = "import os, threading\nprint('here')\nthreading.Thread(target=os._exit, args=(5,)).start()\n"
    text += "threading.Event().wait()\n"
    command = [sys.executable, "-m", "freshpot", "run", write("a.py", text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (5, "here\n")
    assert done.stderr == "freshpot: the program ended with os._exit(5) in a thread\n"


def test_interrupted(capsys: Capture) -> None:
    """The table is there all the same, and nothing more is run."""
    cells = ["x = 1", "def f():\n    raise KeyboardInterrupt\n\nf()", "print('more')"]
    assert main(["run", "--keep-going", write("a.md", markdown(*cells))]) == 130
    out = capsys.readouterr().out
    assert table(out)[1:] == [["2", "6", "failed", "line 7: KeyboardInterrupt"], ["3", "13", "not run", ""]]
    assert "1 of 3 cells ran" in out


def test_endless_output_can_be_interrupted() -> None:
    """By Ctrl-C, in a process of its own, whose output nobody keeps."""
    file = write("a.py", "import itertools\nfor i in itertools.count():\n    print(i, flush=True)\n")
    command = [sys.executable, "-m", "freshpot", "run", file]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell's background job ignores it
    )
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        process.send_signal(signal.SIGINT)
        last = process.stdout.read()[-300:]
    watchdog.cancel()
    assert process.returncode == 130
    assert "KeyboardInterrupt" in last
    assert "0 of 1 cells ran" in last


def test_a_reader_that_goes_away() -> None:
    """``freshpot run … | head``: the program stops, without a word."""
    file = write("a.py", "while True:\n    print('x' * 1000)\n")
    command = f"'{sys.executable}' -m freshpot run {file} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "x" * 1000 + "\n"
    assert "Traceback" not in done.stderr


# ---- figures -------------------------------------------------------------------------------------------
def test_a_folder_for_figures_that_is_none(capsys: Capture) -> None:
    """Said before the program runs."""
    Path("taken").write_text("mine")
    file = write("a.md", markdown("open('made', 'w')"))
    assert main(["run", "--out", "taken/shown", file]) == 2
    assert "taken is no folder" in capsys.readouterr().err
    assert not Path("made").exists()


def test_a_folder_for_figures_that_is_not_writable(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["run", "--out", "shown", write("a.md", markdown("x = 1"))]) == 2
    assert "is not writable" in capsys.readouterr().err


def test_a_figure_that_cannot_be_saved(capsys: Capture) -> None:
    Path("freshpot-run").write_text("mine")
    file = write("a.md", markdown("from matplotlib import pyplot as plt\nplt.plot([1])\nplt.show()", "x = 1"))
    assert main(["run", "--keep-going", file]) == 1
    (first, second) = table(capsys.readouterr().out)
    assert first[3].startswith("line 4: DataError: cannot save the figure ")
    assert "freshpot-run/a/cell01-1.png: " in first[3]
    assert first[3].endswith("Name another folder with --out.")
    assert second[2] == "ok"
    assert Path("freshpot-run").read_text() == "mine"


def test_figures_are_saved(capsys: Capture) -> None:
    cells = [
        "from pylab import *\n%matplotlib inline",
        "plot([1, 2])\nfigure()\nplot([3])",
        "plot([1]); show(); x = 1",
    ]
    assert main(["run", "--out", "shown", write("a.md", markdown(*cells))]) == 0
    names = ["cell02-1.png", "cell02-2.png", "cell03-1.png"]
    assert sorted(path.name for path in Path("shown").glob("*.png")) == names
    assert all(Path("shown", name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert "3 figures in" in capsys.readouterr().out


def test_figures_of_a_script_are_those_it_shows(capsys: Capture) -> None:
    text = "import matplotlib\nmatplotlib.use('TkAgg')\nfrom matplotlib import pyplot\npyplot.plot([1])\n"
    assert main(["run", "--out", "one", write("a.py", text)]) == 0
    assert main(["run", "--out", "two", write("a.py", text + "pyplot.show()\n")]) == 0
    assert (Path("one").exists(), len(list(Path("two").glob("*.png")))) == (False, 1)


def test_pictures_of_ipython(capsys: Capture) -> None:
    cells = [
        "from IPython import display",
        "display.Image(data=b'\\x89PNG\\r\\n\\x1a\\nrest')",
        "display.HTML('<b>')",
    ]
    assert main(["run", "--out", "shown", write("a.md", markdown(*cells))]) == 0
    assert Path("shown/cell02-1.png").read_bytes().endswith(b"rest")


def test_time_is_printed(capsys: Capture) -> None:
    assert main(["run", write("a.md", markdown("%%time\nx = 1"))]) == 0
    assert "Wall time: " in capsys.readouterr().out


def test_a_name_that_is_imported_later(capsys: Capture) -> None:
    assert main(["run", write("a.md", markdown("print(math.pi)", "x = 1\nimport math"))]) == 0
    assert (
        "math: used in cell 1 but imported only in line 7; that line was run first" in capsys.readouterr().out
    )


def test_nothing_stays_changed() -> None:
    before = os.getcwd(), list(sys.path), sys.argv, sys.modules["__main__"], os.environ.get("MPLBACKEND")
    assert (
        main(
            [
                "run",
                write("a.py", "import sys, os\nsys.path.insert(0, '/x')\nos.chdir('/')\nimport matplotlib\n"),
            ]
        )
        == 0
    )
    assert before == (
        os.getcwd(),
        list(sys.path),
        sys.argv,
        sys.modules["__main__"],
        os.environ.get("MPLBACKEND"),
    )


def test_modules_beside_the_program(capsys: Capture) -> None:
    Path("sub").mkdir()
    write("sub/beside_it.py", "x = 5\n")
    assert main(["run", write("sub/a.py", "import beside_it\nprint(beside_it.x)\n")]) == 0
    del sys.modules["beside_it"]


# ---- writing -------------------------------------------------------------------------------------------
OLD = markdown("import StringIO\nprint 7 / 2", "%matplotlib inline\nd = {1: 2}\nprint d.has_key(1)")


def test_written_python_runs() -> None:
    assert main(["run", write("a.md", OLD), "--to", "new.py"]) == 0
    text = Path("new.py").read_text()
    assert "print(old_div(7, 2))" in text
    done = subprocess.run([sys.executable, "new.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "3\nTrue\n"), done.stderr


def test_written_notebook_runs(capsys: Capture) -> None:
    assert main(["run", write("a.md", OLD), "--to", "new.ipynb"]) == 0
    book = json.loads(Path("new.ipynb").read_text())
    assert [cell["cell_type"] for cell in book["cells"]] == ["code"] * 3
    assert book["cells"][1]["source"] == ["import StringIO\n", "print(old_div(7, 2))"]


def test_nothing_is_written_for_a_cell_that_cannot_be_read(capsys: Capture) -> None:
    assert main(["run", write("a.md", markdown("x = 1", "x = = 1")), "--to", "new.py"]) == 2
    assert capsys.readouterr().err == "freshpot: a.md: line 6: cannot be modernised: invalid syntax\n"
    assert not Path("new.py").exists()


# ---- shortened -----------------------------------------------------------------------------------------
def test_quick_caps_nets_with_gradients_only(capsys: Capture) -> None:
    text = """
import numpy as np
from caffe2.python import core, workspace
workspace.ResetWorkspace()
workspace.FeedBlob("n", np.zeros(1, np.int64))
workspace.FeedBlob("m", np.zeros(1, np.int64))
workspace.FeedBlob("X", np.ones(3, np.float32))
train, test = core.Net("quick_train"), core.Net("quick_test")
train.Iter("n", "n")
train.AddGradientOperators([train.AveragedLoss("X", "loss")])
test.Iter("m", "m")
for net in (train, test):
    workspace.CreateNet(net)
    for i in range(5):
        workspace.RunNet(net)
print("done", workspace.FetchBlob("n"), workspace.FetchBlob("m"))
"""
    assert main(["run", "--quick", "2", write("a.py", text)]) == 0
    out = capsys.readouterr().out
    assert "done [2] [5]\n" in out
    assert "--quick 2: trainings through caffe2 were stopped after 2 steps" in out


def test_quick_caps_data_loaders(capsys: Capture) -> None:
    text = "from torch.utils.data import DataLoader\nprint(len([x for x in DataLoader(range(9))]))\n"
    assert main(["run", "--quick", "4", write("a.py", text)]) == 0
    assert capsys.readouterr().out.startswith("4\n")


def test_what_a_timed_cell_binds_is_gone_afterwards(capsys: Capture) -> None:
    cells = ["x = 1\ny = [0]", "%%timeit\nx = 2\ny.append(x)", "%%time\nz = 3", "print(x, y, z)"]
    assert main(["run", write("a.md", markdown(*cells))]) == 0
    assert "\n1 [0, 2] 3\n" in capsys.readouterr().out
