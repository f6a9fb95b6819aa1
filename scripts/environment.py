"""The virtual environment .venv beside start.py: made once, filled by pip, mended when it is stale.

Owned here: what ``start.py`` does once it knows that this Python is new enough. Who calls it: ``start.py``.
Nothing is installed yet when this runs: the standard library alone, and freshpot's own list of commands.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "freshpot-installed"  # says for what the environment was filled; written last
LOG = VENV / "freshpot-setup.log"

QUIET_FOR = 30.0  # seconds after which a line says that the work goes on, where there is no terminal
MOST_PROCESSES = 8  # that run tests, each of which takes 1 to 2 GB
LAST_WORDS = 5.0  # seconds to wait for what pip has still to say once it was told to end
SHOWN = 12  # of pip's last lines, when it fails

#: (what pip prints, what is shown for it)
STAGES = (
    (r"Collecting (\S+?)(?:\s|$)", "looking for {0}"),
    (r"\s*Downloading \S*?([^/\s]+) \((.+)\)", "downloading {0} ({1})"),
    (r"\s*Using cached \S*?([^/\s]+) \((.+)\)", "taking {0} ({1}) from pip's cache"),
    (r"Processing \S*?([^/\s]+)$", "reading {0}"),
    (r"Obtaining ", "looking at freshpot's dependencies"),
    (r"Building editable for freshpot", "building freshpot"),
    (r"Installing collected packages: freshpot$", "installing freshpot"),
    (r"Installing collected packages: (.+)", "installing {count} (PyTorch takes longest)"),
)
NOISE = re.compile(r"WARNING: (Location|Retrying)|\[notice\]|\s*$")

#: (what stands in pip's output, what that means); the first that fits is said
CAUSES = (
    (
        r"No space left on device",
        "The disk is full. PyTorch and the rest need about 2 GB (with CUDA, which pip takes on Linux, 8 GB).",
    ),
    (
        r"name resolution|getaddrinfo|NewConnectionError|Network is unreachable|ConnectTimeout|Connection refused"
        r"|ProxyError|Cannot connect to proxy",
        "pip cannot reach the package index: is this machine offline? A mirror or a proxy can be named by "
        "PIP_INDEX_URL and HTTPS_PROXY.",
    ),
    (
        r"No matching distribution found for (\S+)",
        "There is no {0} for Python {python} on this machine. Another Python from 3.10 to 3.14 may have one: "
        "remove {venv} and start with that.",
    ),
    (r"Permission denied", "A file may not be written; see the line above."),
)


class SetupError(Exception):
    """The environment cannot be made; the message is for the user."""


def main(arguments: list[str]) -> int:
    """Check the words, set up, run the command; the exit status."""
    testing = arguments[0] == "test"
    if not testing and arguments[0] != "--version":  # which is known once freshpot is installed
        check_words(arguments)
    try:
        set_up("[dev]" if testing else "")
        module = ["pytest", *parallel(arguments[1:])] if testing else ["freshpot", *arguments]
        return run([str(PYTHON), "-m", *module], ROOT if testing else None)
    except SetupError as error:
        print(f"start.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstart.py: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def parallel(arguments: list[str]) -> list[str]:
    """pytest's arguments, with as many processes as there are cores unless they say how many."""
    if any(re.match(r"-n|--numprocesses|--pdb|--trace$|-s$", word) for word in arguments):
        return arguments
    return ["-n", "auto", "--maxprocesses", str(MOST_PROCESSES), "--dist", "loadfile", *arguments]


def check_words(arguments: list[str]) -> None:
    """A misspelt command or flag is said now, not after minutes of setting up.

    Raises:
        SystemExit: the words are wrong, or help was asked for; that was said.
    """
    sys.path.insert(0, str(ROOT / "src"))
    from freshpot.cli import parse

    parse(arguments)


def run(command: list[str], folder: Path | None) -> int:
    """The program's exit status; Ctrl-C is the program's to handle, and what it makes of it is waited for."""
    with subprocess.Popen(command, cwd=folder) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def set_up(extra: str) -> None:
    """Make .venv and install freshpot into it, unless that was done for this very pyproject.toml, here.

    Raises:
        SetupError: it cannot be done; says why, and what to do.
    """
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    done = STAMP.read_text() if STAMP.exists() else ""
    if done in (wanted + extra, wanted + "[dev]") and works():
        return
    say("setting up .venv (once; PyTorch is a large download)")
    began = time.monotonic()
    STAMP.unlink(missing_ok=True)
    make()
    install(extra)
    STAMP.write_text(wanted + extra)
    say(f"ready after {clock(time.monotonic() - began)}")


def works() -> bool:
    """Whether .venv's Python starts and finds this folder's freshpot (not so after a move, or Python's upgrade)."""
    finds = "import importlib.util as u; print(u.find_spec('torch') and u.find_spec('freshpot').origin)"
    try:
        found = subprocess.run(
            [PYTHON, "-I", "-c", finds], capture_output=True, text=True, cwd=VENV, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return Path(found.stdout.strip() or ".") == ROOT / "src" / "freshpot" / "__init__.py"


def make() -> None:
    """An environment with pip in it; one that does not work is made anew.

    Raises:
        SetupError: this Python cannot, or the folder may not be written.
    """
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists():
        raise SetupError(f"{VENV} is there and is no virtual environment: move it away, then run this again.")
    if VENV.exists() and not has_pip():
        say("the .venv that is there does not work (another Python, or half made): making it anew")
        shutil.rmtree(VENV)
    if VENV.exists():
        return
    lacks = (
        "this Python cannot make a virtual environment with pip in it.\n"
        f"On Debian and Ubuntu: sudo apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv; "
        "then run this again."
    )
    try:
        import venv

        venv.create(VENV, with_pip=True)
    except (ImportError, subprocess.CalledProcessError):
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(lacks) from None
    except OSError as error:
        raise SetupError(f"{VENV} cannot be made: {error.strerror or error}.") from None


def has_pip() -> bool:
    """Whether .venv's Python starts and has pip."""
    try:
        return subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def install(extra: str) -> None:
    """Let pip install freshpot, showing what it does.

    Raises:
        SetupError: it failed; with its last lines and, where it is known, the cause.
    """
    options = ["--disable-pip-version-check", "--progress-bar", "off", "--no-input"]
    command = [str(PYTHON), "-m", "pip", "install", *options, "-e", f"{ROOT}{extra}"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PIP_QUIET": "0"}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as process:
        came: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=read, args=(process, lines, came), daemon=True)
        reader.start()
        try:
            show(lines_of(came))
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LAST_WORDS)
            raise
        finally:
            reader.join(LAST_WORDS)
            with contextlib.suppress(OSError):
                LOG.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if process.returncode != 0:
        last = "\n".join(f"    {line}" for line in [x for x in lines if not NOISE.match(x)][-SHOWN:])
        raise SetupError(
            f"installing freshpot's dependencies failed. pip's last lines ({LOG}):\n{last}{cause(lines)}"
        )


def cause(lines: list[str]) -> str:
    """What pip's words mean, as a line of its own, or nothing."""
    text = "\n".join(lines)
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for pattern, meaning in CAUSES:
        if found := re.search(pattern, text):
            return "\n" + meaning.format(*found.groups(), python=python, venv=VENV)
    return ""


def read(process: subprocess.Popen[str], kept: list[str], came: queue.Queue[str | None]) -> None:
    """Keep the lines that a program prints, and hand them on as they come; None is the end."""
    assert process.stdout is not None  # noqa: S101
    for line in process.stdout:
        kept.append(line.rstrip())
        came.put(kept[-1])
    came.put(None)


def lines_of(came: queue.Queue[str | None]) -> Iterator[str | None]:
    """The lines that come, until None comes; None for each second without one."""
    while True:
        try:
            line = came.get(timeout=1)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def show(lines: Iterator[str | None]) -> None:
    """Say what pip does: one line that changes on a terminal, elsewhere a line for what takes long."""
    terminal = sys.stderr.isatty()
    began = said = time.monotonic()
    stage = "starting pip"
    told = ""
    for line in lines:
        if line is not None:
            stage = stage_of(line) or stage
        now = time.monotonic()
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            print(
                f"\r\x1b[K{f'  {clock(now - began)}  {stage}'[:width]}", end="", file=sys.stderr, flush=True
            )
        elif stage != told and (large(stage) or now - said > QUIET_FOR):
            say(f"{clock(now - began)}  {stage}")
            said, told = now, stage
        elif now - said > QUIET_FOR:
            say(f"{clock(now - began)}  still {stage}")
            said = now
    if terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def stage_of(line: str) -> str | None:
    """What a line of pip's says it does now, in words; None where it says no such thing."""
    for pattern, words in STAGES:
        if found := re.match(pattern, line):
            count = len(found.group(1).split(",")) if found.groups() else 0
            return words.format(*found.groups(), count=f"{count} package{'s' if count != 1 else ''}")
    return None


def large(stage: str) -> bool:
    """Whether a stage is worth a line of its own: the installing, and downloads of 20 MB and more."""
    size = re.search(r"\(([\d.]+) ?([kMG])B\)", stage)
    megabytes = float(size[1]) * {"k": 1e-3, "M": 1, "G": 1e3}[size[2]] if size else 0
    return megabytes >= 20 or stage.startswith(("installing", "looking at"))


def clock(seconds: float) -> str:
    """Minutes and seconds: 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def say(words: str) -> None:
    """A line for whoever waits."""
    print(f"freshpot: {words}", file=sys.stderr, flush=True)
