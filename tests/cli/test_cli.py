"""The freshpot command: help, errors in one line, exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import needs_shared
from freshpot import cli
from freshpot.errors import DataError


def with_command(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """A command "try" that does ``run``."""

    def add_parser(subparsers: Any) -> None:
        subparsers.add_parser("try").add_argument("--number", type=int, default=0)

    monkeypatch.setitem(sys.modules, "freshpot.cli.try", SimpleNamespace(add_parser=add_parser, run=run))
    monkeypatch.setattr(cli, "_available", lambda: {"try": "for tests"})


@pytest.mark.parametrize("status", [0, 1])
def test_status_and_arguments_pass_through(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    seen = []
    with_command(monkeypatch, lambda args: seen.append(args.number) or status)
    assert cli.main(["try", "--number", "7"]) == status
    assert seen == [7]


def raising(error: BaseException) -> Any:
    def run(args: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            DataError("not there:\n  a   file\n  a folder.\nMake  them"),
            2,
            "freshpot: not there: a file; a folder. Make them\n",
        ),
        (DataError(""), 2, "freshpot: DataError\n"),
        (PermissionError(13, "Permission denied", "x.pb"), 2, "freshpot: x.pb: Permission denied\n"),
        (OSError("nothing else"), 2, "freshpot: nothing else\n"),
        (KeyboardInterrupt(), 130, "\nfreshpot: interrupted\n"),
    ],
)
def test_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    words: str,
) -> None:
    with_command(monkeypatch, raising(error))
    assert cli.main(["try"]) == status
    assert capsys.readouterr().err == words


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, raising(DataError("why")))
    monkeypatch.setenv("FRESHPOT_TRACEBACK", "1")
    with pytest.raises(DataError, match="why"):
        cli.main(["try"])


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["try"])


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "make data sets" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["data"], ["data", "mnist"], ["--nonsense"]])
def test_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: freshpot" in capsys.readouterr().err


def test_commands_of_caffe_are_sought_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["classify", "x"])
    assert "there is no command 'classify'. Did you mean caffe classify?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "a.ipnb"], "a.ipnb: No such file or directory in {}. Did you mean a.ipynb?"),
        (["run", "none/b.py"], "none/b.py: No such file or directory: there is no folder {}/none."),
    ],
)
def test_files_that_are_not_there(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ipynb").touch()
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"freshpot: {said.format(os.getcwd())}\n"


def test_only_commands_that_exist_are_offered() -> None:
    assert "data" in cli._available()
    assert set(cli._available()) <= set(cli.COMMANDS)


def freshpot(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code.split(), *arguments], capture_output=True, text=True, check=False
    )


def test_as_a_module() -> None:
    done = freshpot("-m freshpot", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("freshpot ")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_the_terminal_lacks(encoding: str, tmp_path: Path) -> None:
    """The program's own, and ours: their codes are printed."""
    (tmp_path / "a.py").write_text("print('\u6570 \xfc')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "freshpot", "run", "a.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout.splitlines()[0] == "\u6570 \xfc".encode(encoding, "backslashreplace")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from freshpot.cli import main\n"
        "try: main(['data', 'mnist', '--help'])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "freshpot.cli.data" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "matplotlib", "google.protobuf"})


PRINTING_COMMAND = """
import sys, types
from freshpot import cli
command = types.SimpleNamespace(add_parser=lambda sub: sub.add_parser("try"), run=lambda args: print("much") or 0)
sys.modules["freshpot.cli.try"] = command
cli._available = lambda: {"try": "for tests"}
sys.exit(cli.main(["try"]))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_error(unbuffered: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTING_COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        process.stdout.close()  # type: ignore[union-attr]
        assert process.stderr.read() == b""  # type: ignore[union-attr]
        assert process.wait() == 0


@needs_shared
def test_conformance_of_caffe(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(
            ["conformance", str(shared / "reference/caffe"), "--only", "ReLU", "nets", "lr_policies", "io"]
        )
        == 0
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["group", "cases", "passed"],
        ["ReLU", "13", "13"],
        ["nets", "8", "8"],
        ["lr_policies", "10", "10"],
        ["io", "27", "27"],
        ["4", "groups,", "4", "supported;", "58", "cases,", "58", "passed"],
    ]


def test_conformance_of_a_folder_named_from_here(
    shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases that read files of the folder run elsewhere: a relative name must not lead astray."""
    monkeypatch.chdir(shared / "reference")
    assert cli.main(["conformance", "caffe", "--only", "HDF5Data"]) == 0
    assert "1 groups, 1 supported" in capsys.readouterr().out


def test_conformance_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conformance", str(tmp_path)]) == 2
    words = f"{tmp_path} holds no recorded cases: neither a folder 'ops' (Caffe2) nor 'layers' (Caffe).\n"
    assert capsys.readouterr().err == f"freshpot: {words}"
