"""Benchmarks that stand as scripts of their own in the checkout's folder ``bench``: small nets."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import freshpot
from freshpot.bench.jobs._contest import one_line
from freshpot.bench.rows import Options, Row, job
from freshpot.errors import DataError

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


def _load(name: str) -> ModuleType:
    """A script of the checkout.

    Raises:
        DataError: freshpot is installed without its checkout.
    """
    path = Path(freshpot.__file__).resolve().parents[2] / "bench" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"freshpot_bench_{name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise DataError(f"bench/{name}.py is not here: it comes with a checkout of freshpot")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
