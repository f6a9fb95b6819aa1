"""Benchmarks that stand as scripts of their own in the checkout's folder ``bench``: small nets, large nets."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import freshpot
from freshpot.bench.jobs._contest import OURS, one_line
from freshpot.bench.remote import last_words, thread_environment
from freshpot.bench.rows import JOBS, Options, Row, job
from freshpot.errors import DataError

_LINE = re.compile(r"\| (.+?) \| ([\d.]+) \|")
_PATIENCE_S = 1800.0
#: calls that must be no slower than the original's
_AIMED = ("RunNet, toy net of 4 operators", "RunNetOnce, toy net")


@job("small-nets", "small calls of caffe2.python, one thread")
def small_nets(options: Options) -> Iterator[Row]:
    what = "small calls of caffe2.python"
    try:
        script = _load("small_nets")
        ours, theirs = [], []
        for turn in range(1 if options.quick else 3):
            options.say(f"  {what}, turn {turn + 1}")
            ours.append(script.times(sys.executable))
            if options.caffe2_python is not None:
                theirs.append(script.times(options.caffe2_python))
    except (DataError, OSError, SystemExit) as error:
        yield Row(what, "Caffe2", note=one_line(DataError(str(error).splitlines()[-1])))
        return
    mine, other = script.fastest(ours), script.fastest(theirs) if theirs else {}
    for name, microseconds in mine.items():
        most = 1.0 if name in _AIMED else None
        if name in other:
            yield Row(name, "Caffe2", other[name] / 1e6, microseconds / 1e6, most=most, note="fastest round")
        else:
            note = "not measured: name an interpreter that has it with --caffe2-python"
            yield Row(name, "Caffe2", ours=microseconds / 1e6, most=most, note=note)


@job("inference", "inference of SqueezeNet 1.1 and ResNet-50, batch 1")
def inference(options: Options) -> Iterator[Row]:
    yield from _tables(options, "inference", {"PyTorch": 1.0, "OpenCV": 1.0, "ONNX": 1.1})


@job("training", "training steps of CaffeNet and ResNet-50")
def training(options: Options) -> Iterator[Row]:
    yield from _tables(options, "training", {"PyTorch": 1.0})


def _tables(options: Options, name: str, most: dict[str, float]) -> Iterator[Row]:
    """Rows of the Markdown tables that a script prints: ``### title``, then ``| job | ms | … |``.

    Args:
        most: the first word of a competitor's name -> the ratio aimed at.
    """
    options.say(f"  bench/{name}.py")
    try:
        command = [sys.executable, str(_path(name)), "--threads", str(options.threads)]
        if options.quick:
            command += ["--rounds", "1"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
            env=thread_environment(options.threads),
        )
        if done.returncode:
            raise DataError(f"bench/{name}.py failed: {last_words(done.stderr)}")
        tables = _read(done.stdout)
        if not tables:
            raise DataError(
                f"bench/{name}.py printed no table with a row of freshpot's: {last_words(done.stdout)}"
            )
    except (DataError, OSError, subprocess.TimeoutExpired) as error:
        yield Row(JOBS[name].title, "-", note=one_line(error))
        return
    for title, times in tables.items():
        mine = min((job for job in times if job.startswith(OURS)), key=lambda job: times[job])
        for rival, seconds in times.items():
            if not rival.startswith(OURS):
                aim = most.get(rival.split()[0])
                yield Row(title, rival, seconds, times[mine], most=aim, note=f"ours: {mine}")


def _read(text: str) -> dict[str, dict[str, float]]:
    """Title -> job -> seconds, of the tables that have a row of freshpot's."""
    found: dict[str, dict[str, float]] = {}
    times: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("### "):
            times = found.setdefault(line[4:].strip(), {})
        elif match := _LINE.match(line):
            times[match[1]] = float(match[2]) / 1e3
    return {title: times for title, times in found.items() if any(name.startswith(OURS) for name in times)}


def _path(name: str) -> Path:
    """The file of a script.

    Raises:
        DataError: freshpot is installed without its checkout.
    """
    path = Path(freshpot.__file__).resolve().parents[2] / "bench" / f"{name}.py"
    if not path.is_file():
        raise DataError(f"bench/{name}.py is not here: it comes with a checkout of freshpot")
    return path


def _load(name: str) -> ModuleType:
    """A script of the checkout, as a module."""
    path = _path(name)
    spec = importlib.util.spec_from_file_location(f"freshpot_bench_{name}", path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
