"""Small programs recorded from the original pycaffe (NetSpec, nets and solvers, io), and running them.

Owned here: reading `netspec/<group>.json/.npz` and judging one case. Who calls it: the test suite and
`freshpot conformance`. The format is described in the README beside the recorded data.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from freshpot.errors import FreshpotError
from freshpot.testing.caffe_layers import ATOL, RTOL, differs
from freshpot.testing.recorded import own_folder

GROUPS = ("netspec", "pycaffe", "io")

#: modules that ``import caffe`` does not bring, though somebody else in this process may have
_LATER = ("coord_map", "draw")

#: how far statistics of random fills may be from the recorded ones: extremes, and means and deviations
_EXTREMES, _MOMENTS = 0.5, 0.05


@dataclass(slots=True)
class ScriptCase:
    """One recorded program: what it says, its arrays by name, and the code that runs before it."""

    group: str
    spec: dict[str, Any]
    prelude: str
    arrays: dict[str, np.ndarray]

    @property
    def id(self) -> str:
        return self.spec["id"]


def groups(folder: Path) -> list[str]:
    """The groups that ``folder`` has cases of."""
    return [name for name in GROUPS if (folder / "netspec" / f"{name}.json").exists()]


def load(folder: Path, group: str) -> list[ScriptCase]:
    """The cases of one group."""
    recorded = json.loads((folder / "netspec" / f"{group}.json").read_text(encoding="utf-8"))
    arrays: dict[str, dict[str, np.ndarray]] = {spec["id"]: {} for spec in recorded["cases"]}
    stored = folder / "netspec" / f"{group}.npz"
    if stored.exists():
        with np.load(stored, allow_pickle=False) as found:
            for key in found.files:
                case_id, _, name = key.partition("/")
                arrays[case_id][name] = found[key]
    return [ScriptCase(group, spec, recorded["prelude"], arrays[spec["id"]]) for spec in recorded["cases"]]


def run_case(case: ScriptCase) -> str | None:
    """Run a case. None if it passes, else what is wrong, in a line."""
    with _working_with(case.spec.get("files", {})):
        try:
            result = _execute(case)
        except FreshpotError as error:
            return None if case.spec.get("aborts") else f"{type(error).__name__}: {error}"
        except Exception as error:
            return f"an untyped {type(error).__name__}: {error}"
    if case.spec.get("aborts"):
        return "must be refused, and ran"
    return _judge(case, result)


def _execute(case: ScriptCase) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(case.prelude, f"{case.group} prelude", "exec"), names)
    exec(compile(case.spec["code"], case.id, "exec"), names)
    result: dict[str, Any] = names["result"]
    return result


@contextlib.contextmanager
def _working_with(files: dict[str, str]) -> Iterator[None]:
    """A new folder with files, as working folder, and `caffe` as freshly imported.

    What a program replaces in `caffe.io` is put back.
    """
    import caffe

    path, patched = list(sys.path), dict(vars(caffe.io))
    later = {name: vars(caffe).pop(name) for name in _LATER if name in vars(caffe)}
    with own_folder() as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path[:] = path
            vars(caffe.io).update(patched)
            vars(caffe).update(later)


def _judge(case: ScriptCase, result: dict[str, Any]) -> str | None:
    wanted = case.spec["result"]
    if "note" in wanted and "raises_type" in wanted:  # the original fails there with a new numpy
        return None
    if case.spec.get("random"):
        return _same_statistics(result["stat"], wanted["stat"])
    names = {*wanted, *case.spec["arrays"]}
    if set(result) != names:
        return f"results {sorted(result)} instead of {sorted(names)}"
    for name in case.spec["arrays"]:
        if wrong := differs(np.asarray(result[name]), case.arrays[name]):
            return f"{name}: {wrong}"
    for name, value in wanted.items():
        same = _same_text if name.startswith("text") else _same
        if not same(result[name], value):
            return f"{name}: {result[name]!r} instead of {value!r}"
    return None


def _same(got: Any, wanted: Any) -> bool:
    """Equal; numbers up to what float32 sums in another order may differ by."""
    if isinstance(wanted, dict):
        return set(got) == set(wanted) and all(_same(got[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(_same, got, wanted))
    if isinstance(wanted, float) and not isinstance(got, bool):
        return bool(np.isclose(got, wanted, RTOL, ATOL * max(1.0, abs(wanted)), equal_nan=True))
    return bool(got == wanted)


def _same_text(got: str, wanted: str) -> bool:
    """Whether two texts are the same message: protobuf's versions print floats differently."""
    from caffe.proto import caffe_pb2

    for kind in (caffe_pb2.NetParameter, caffe_pb2.SolverParameter):
        with contextlib.suppress(text_format.ParseError):
            return bool(text_format.Parse(got, kind()) == text_format.Parse(wanted, kind()))
    return got == wanted


def _same_statistics(got: list[float], wanted: list[float]) -> str | None:
    """Least, greatest, mean, deviation, and part that is not zero, of random numbers."""
    scale = wanted[3]
    for name, mine, theirs, slack in zip(
        ("least", "greatest", "mean", "deviation", "part that is not zero"),
        got,
        wanted,
        (*[_EXTREMES * max(abs(wanted[0]), abs(wanted[1]))] * 2, *[_MOMENTS * scale] * 2, _MOMENTS),
        strict=True,
    ):
        if abs(mine - theirs) > slack:
            return f"{name} value {mine} instead of about {theirs}"
    return None
