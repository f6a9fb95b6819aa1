"""start.py: what it says to old Pythons and of wrong words, how .venv is made and mended, what is shown of pip."""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="pip is played by a shell script")


def load(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """scripts/environment.py, working in a folder of its own."""
    module = load(ROOT / "scripts" / "environment.py")
    root = tmp_path / "a folder — Übung"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'freshpot'\n")
    venv = root / ".venv"
    places = {"ROOT": root, "VENV": venv, "PYTHON": venv / "bin" / "python"}
    places |= {"STAMP": venv / "freshpot-installed", "LOG": venv / "freshpot-setup.log"}
    for name, path in places.items():
        monkeypatch.setattr(module, name, path)
    return module


def play(environment: Any, pip: str, *, finds: Path | None = None, has_pip: bool = True) -> None:
    """Put a Python into .venv whose pip runs these lines of shell, and which finds freshpot there."""
    environment.PYTHON.parent.mkdir(parents=True)
    (environment.VENV / "pyvenv.cfg").touch()
    environment.PYTHON.write_text(
        "#!/bin/sh\n"
        f'case "$*" in\n"-m pip --version") exit {0 if has_pip else 1};;\n'
        f'"-m pip install"*) {pip};;\n'
        f"-I*) echo '{finds or ''}';;\n"
        "esac\n"
    )
    environment.PYTHON.chmod(0o755)


def freshpot_of(environment: Any) -> Path:
    return environment.ROOT / "src" / "freshpot" / "__init__.py"


# ---- words ----------------------------------------------------------------------------------------------------


def test_an_old_python_can_read_it() -> None:
    """A Python of 2014 gets as far as the sentence about its age."""
    ast.parse((ROOT / "start.py").read_text(encoding="utf-8"), feature_version=(3, 4))


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 8, 18), (3, 9, 0)])
def test_an_old_python_is_told_so(
    version: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = load(ROOT / "start.py")
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setenv("PATH", str(tmp_path))
    needs = (
        f"start.py: freshpot needs Python 3.10 or later; this is {'.'.join(map(str, version))}.\n"
        "Start it with a newer one, as in: {} start.py mnist\n"
    )
    assert start.main(["mnist"]) == 2
    assert capsys.readouterr().err == needs.format("python3.12")
    for name in ("python3.9", "python3.10", "python3.13"):
        (tmp_path / name).touch()
    assert start.main(["mnist"]) == 2
    assert capsys.readouterr().err == needs.format(tmp_path / "python3.13")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 0, "python3 start.py mnist"),
        (["--help"], 0, "python3 start.py mnist"),
        (["mnist", "--help"], 0, "--batch-size N"),
        (["data", "mnist", "--help"], 0, "--limit N"),
        (["mnits"], 2, "there is no command 'mnits'. Did you mean mnist?"),
        (["mnist", "--itres", "5"], 2, "unrecognized arguments: --itres 5. Did you mean --iters?"),
        (["data", "mnist", "--fromat=idx", "--out", "x"], 2, "--fromat=idx. Did you mean --format?"),
        (["mnist", "five"], 2, "unrecognized arguments: five."),
        (["mnist", "--iters", "many"], 2, "argument --iters: invalid int value: 'many'"),
        (["--versoin"], 2, "Did you mean --version?"),
    ],
)
def test_words_are_checked_before_anything_is_set_up(words: list[str], status: int, said: str) -> None:
    """By a Python without any package."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "start.py", *words], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr


# ---- the environment ------------------------------------------------------------------------------------------


@posix
def test_set_up_once(environment: Any, capsys: pytest.CaptureFixture[str]) -> None:
    play(environment, 'echo "Installing collected packages: torch, numpy"', finds=freshpot_of(environment))
    environment.set_up("")
    said = capsys.readouterr().err
    assert "setting up .venv" in said
    assert "installing 2 packages" in said
    assert "ready after " in said
    environment.set_up("")
    assert capsys.readouterr().err == ""
    environment.set_up("[dev]")  # more is wanted than there is
    assert "setting up .venv" in capsys.readouterr().err
    environment.set_up("")  # less is
    assert capsys.readouterr().err == ""
    (environment.ROOT / "pyproject.toml").write_text("[project]\nname = 'newer'\n")
    environment.set_up("")
    assert "setting up .venv" in capsys.readouterr().err


@posix
@pytest.mark.parametrize("finds", [None, Path("/elsewhere/src/freshpot/__init__.py")])
def test_an_environment_that_moved_is_filled_again(
    environment: Any, finds: Path | None, capsys: pytest.CaptureFixture[str]
) -> None:
    play(environment, "true", finds=finds)
    environment.set_up("")
    capsys.readouterr()
    environment.set_up("")
    assert "setting up .venv" in capsys.readouterr().err


@posix
def test_an_environment_that_does_not_start_is_made_anew(
    environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(environment, "false", has_pip=False)
    (environment.VENV / "old").touch()
    made: list[Path] = []
    monkeypatch.setattr("venv.create", lambda folder, with_pip: made.append(folder))
    environment.make()
    assert made == [environment.VENV]
    assert not (environment.VENV / "old").exists()
    assert "making it anew" in capsys.readouterr().err


def test_a_folder_that_is_no_environment_is_left_alone(environment: Any) -> None:
    environment.VENV.mkdir()
    (environment.VENV / "mine").touch()
    with pytest.raises(environment.SetupError, match="is no virtual environment: move it away"):
        environment.make()
    assert (environment.VENV / "mine").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (subprocess.CalledProcessError(1, "ensurepip"), "apt-get install python3"),
        (ImportError("venv"), "apt-get install python3"),
        (PermissionError(13, "Permission denied"), "cannot be made: Permission denied"),
        (OSError(28, "No space left on device"), "cannot be made: No space left on device"),
    ],
)
def test_an_environment_that_cannot_be_made(
    environment: Any, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(folder: Path, with_pip: bool) -> None:
        raise error

    monkeypatch.setattr("venv.create", create)
    with pytest.raises(environment.SetupError, match=words):
        environment.make()
    assert not environment.VENV.exists()


@posix
@pytest.mark.parametrize(
    ("printed", "meaning"),
    [
        ("ERROR: No matching distribution found for lmdb>=1.4", "There is no lmdb>=1.4 for Python 3"),
        (
            "WARNING: Retrying after NewConnectionError: Temporary failure in name resolution\n"
            "ERROR: No matching distribution found for torch",
            "is this machine offline",
        ),
        ("ERROR: Could not install: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: something new", "something new"),
    ],
)
def test_what_pip_says_when_it_fails(
    environment: Any,
    printed: str,
    meaning: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its last lines without the warnings, the cause in words, and where all of it stands."""
    noise = "WARNING: Location 'x' is ignored: it is neither a file nor a directory."
    many = [noise] * 40 + [f"line {i}" for i in range(40)] + [noise] * 40
    printed = "\n".join([*many, printed])
    (environment.ROOT / "said").write_text(printed)
    play(environment, f'cat "{environment.ROOT}/said" >&2; exit 1')
    monkeypatch.setattr(environment, "check_words", lambda words: None)
    assert environment.main(["mnist"]) == 2
    said = capsys.readouterr().err
    assert meaning in said
    assert "line 39" in said
    assert "line 10\n" not in said
    assert noise not in said
    assert str(environment.LOG) in said
    assert environment.LOG.read_text(encoding="utf-8").strip() == printed
    assert not environment.STAMP.exists()


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("Collecting torch<2.14,>=2.6 (from freshpot==0.1.0)", "looking for torch<2.14,>=2.6"),
        ("  Downloading torch-2.9-linux.whl (888.1 MB)", "downloading torch-2.9-linux.whl (888.1 MB)"),
        ("  Downloading https://host/a/numpy-2.3.whl.metadata (62 kB)", "downloading numpy-2.3.whl.metadata (62 kB)"),
        ("  Using cached numpy-2.3.whl (16.9 MB)", "taking numpy-2.3.whl (16.9 MB) from pip's cache"),
        ("Processing /opt/wheels/torch-2.9.whl", "reading torch-2.9.whl"),
        ("Installing collected packages: a, b, c", "installing 3 packages (PyTorch takes longest)"),
        ("Installing collected packages: freshpot", "installing freshpot"),
        ("Requirement already satisfied: numpy", None),
    ],
)  # fmt: skip
def test_stages(environment: Any, line: str, stage: str | None) -> None:
    assert environment.stage_of(line) == stage


def test_what_is_shown_without_a_terminal(
    environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for what is large, and one when nothing was said for half a minute."""
    now = iter([0.0, 1, 2, 3, 20, 65, 70])
    monkeypatch.setattr(environment.time, "monotonic", lambda: next(now))
    lines = ["Collecting numpy", "  Downloading numpy.whl (16.9 MB)", "  Downloading torch.whl (888.1 MB)"]
    environment.show(iter([*lines, None, None, "Installing collected packages: torch"]))
    assert capsys.readouterr().err.splitlines() == [
        "freshpot: 0:03  downloading torch.whl (888.1 MB)",
        "freshpot: 1:05  still downloading torch.whl (888.1 MB)",
        "freshpot: 1:10  installing 1 package (PyTorch takes longest)",
    ]


def test_what_is_shown_on_a_terminal(
    environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, written again and again, cut to the terminal's width, wiped at the end."""
    monkeypatch.setattr(environment.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    environment.show(iter(["Collecting a-package-with-a-very-long-name", None]))
    said = capsys.readouterr().err
    assert "\n" not in said
    shown = said.split("\r\x1b[K")
    assert shown == ["", *["  0:00  looking for a-package"] * 2, ""]


@posix
def test_ctrl_c_while_pip_works(environment: Any, tmp_path: Path) -> None:
    """pip ends, start.py says so in a line, and what was printed is kept."""
    play(
        environment,
        f'echo $$ > "{tmp_path}/pid"; echo "Installing collected packages: torch"; exec sleep 3600',
    )
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import environment as e\n"
        "e.ROOT, e.VENV, e.PYTHON, e.STAMP, e.LOG = map(pathlib.Path, sys.argv[2:]); e.check_words = print\n"
        "sys.exit(e.main(['mnist']))"
    )
    places = [getattr(environment, name) for name in ("ROOT", "VENV", "PYTHON", "STAMP", "LOG")]
    command = [sys.executable, "-c", code, ROOT / "scripts", *places]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "installing 1 package" not in process.stderr.readline():  # said while pip works
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "start.py: interrupted; the same command goes on from here." in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert "Installing collected packages: torch" in environment.LOG.read_text()


@posix
def test_the_programs_exit_status_is_start_s(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    play(environment, "true", finds=freshpot_of(environment))
    with environment.PYTHON.open("a") as file:
        file.write('case "$*" in "-m freshpot mnist") exit 7;; "-m pytest "*" -x") exit 5;; esac\n')
    assert environment.main(["mnist"]) == 7
    assert environment.main(["test", "-x"]) == 5


@pytest.mark.parametrize(
    ("words", "several"),
    [
        ([], True),
        (["-x", "tests/ops"], True),
        (["-n0"], False),
        (["-n", "2"], False),
        (["--pdb"], False),
        (["-s"], False),
    ],
)
def test_tests_run_on_every_core(environment: Any, words: list[str], several: bool) -> None:
    got = environment.parallel(words)
    assert ("--dist" in got) == several
    assert [word for word in got if word in words] == words
