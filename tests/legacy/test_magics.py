"""IPython's lines: what they become, what they do, and what needs leave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from freshpot.errors import DataError, NotSupportedError
from freshpot.legacy.magics import cell_magic, translate
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay
from freshpot.legacy.routes import Routes
from freshpot.legacy.shell import Shell

LINES = {
    "x = 1": "x = 1",
    "%matplotlib inline": "freshpot_magic('matplotlib', 'inline')",
    "    %cd  a b": "    freshpot_magic('cd', 'a b')",
    "!cat 'a b'": "freshpot_shell(\"cat 'a b'\")",
    "files = !ls": "files = freshpot_shell('ls', capture=True)",
    "here = %pwd": "here = freshpot_magic('pwd', '')",
    "%time x = f()": "x = f()",
    "%%time\nx = 1": "\nx = 1",
    "\n%%time x = 0\ny = 1": "\nx = 0\ny = 1",
    "%%writefile a.py\nx\ny": "freshpot_magic('writefile', 'a.py', 'x\\ny')\n\n",
    "np.zeros?": "",
    "?np": "",
    "% matplotlib inline": "freshpot_magic('matplotlib', 'inline')",
    "a\n  !x \\\n    --y=1 \\\n  z\nb": "a\n  freshpot_shell('x --y=1 z')\n\n\nb",
    "%time f(1, \\\n  2)\nb": "f(1, 2)\n\nb",
    "!x \\": "freshpot_shell('x')",
    "x = (7\n%y)": "x = (7\n%y)",
    "x = 7 \\\n% y": "x = 7 \\\n% y",
    "s = '''\n%time\n!ls\n'''": "s = '''\n%time\n!ls\n'''",
    "s = 'it''s'  # don't (\n%time x": "s = 'it''s'  # don't (\nx",
    "a != b": "a != b",
    "a = b % c": "a = b % c",
}


@pytest.mark.parametrize("text", LINES)
def test_lines(text: str) -> None:
    assert translate(text) == LINES[text]
    assert translate(text).count("\n") == text.count("\n")


def test_cell_magic() -> None:
    assert cell_magic("\n%%bash -x\nls") == ("bash", "-x")
    assert cell_magic("x\n%%time") is None


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def shell(tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return make(tmp_path, notes, monkeypatch)


def make(folder: Path, notes: Notes, patch: pytest.MonkeyPatch, **names: Any) -> Shell:
    patch.chdir(folder)
    overlay = Overlay(folder / "overlay", lambda name, place: False, notes)
    return Shell(names, notes, overlay, Routes(notes), allowed=bool(names.pop("allowed", False)))


def test_cat(shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("two")
    shell.run("cat a b")
    assert capsys.readouterr().out == "one\ntwo\n"
    assert shell.run("cat a", capture=True) == ["one"]


def test_cat_makes_what_the_document_shows(
    shell: Shell, notes: Notes, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.shown = "base_lr: 1\n"
    shell.run("cat solver.prototxt")
    assert capsys.readouterr().out == "base_lr: 1\n"
    assert notes.lines == ["solver.prototxt: made of what the document shows as its text"]


def test_cat_of_nothing(shell: Shell) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
        shell.run("cat nothing.txt")


@pytest.mark.parametrize(
    "command", ["touch made", "cat a; touch made", "cat $(touch made)", "cat a | tee made", "pip x"]
)
def test_other_commands_need_leave(command: str, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n")
    with pytest.raises(NotSupportedError, match="add --allow-shell"):
        shell.run(command)
    assert not (tmp_path / "made").exists()


def test_with_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shell = make(tmp_path, Notes(), monkeypatch, allowed=True, word="here")
    shell.run("echo {word} $word; exit 3")
    assert capfd.readouterr().out == "here here\n[exit status 3]\n"
    shell.magic("bash", "", "echo two\n")
    assert capfd.readouterr().out == "two\n"


def test_magics(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_TRIED", "0")
    (tmp_path / "sub").mkdir()
    assert shell.magic("matplotlib", "inline") is None
    shell.magic("cd", "sub")
    assert shell.magic("pwd") == str(tmp_path / "sub")
    shell.magic("writefile", "a.txt", "x")
    assert (tmp_path / "sub" / "a.txt").read_text() == "x\n"
    shell.magic("env", "FRESHPOT_TRIED=1")
    assert os.environ["FRESHPOT_TRIED"] == "1"


def test_unknown_magic(shell: Shell) -> None:
    with pytest.raises(NotSupportedError, match="the magic %lprun is not supported"):
        shell.magic("lprun", "f")


def test_endless_output_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a value it is refused; printed, it comes as it is made."""
    monkeypatch.setattr("freshpot.legacy.shell.MOST_CAPTURED", 1 << 20)
    shell = make(tmp_path, Notes(), monkeypatch, allowed=True)
    with pytest.raises(DataError, match="printed more than 1 MiB"):
        shell.run("yes", capture=True)
    shell.run("yes | head -n 300000")
    assert capfd.readouterr().out == "y\n" * 300_000


@pytest.mark.parametrize("command", ["wget http://example.org/x", "curl", "wget 'http://x", "'", ""])
def test_addresses_that_nobody_answers_need_leave(command: str, shell: Shell) -> None:
    if not command:
        shell.run(command)
        return
    with pytest.raises(NotSupportedError, match="add --allow-shell"):
        shell.run(command)
