"""Solvers recorded from the original Caffe: learning rates, refused and finished solver files, trajectories.

Owned here: reading `solvers/<group>.json/.npz` and judging one case. Who calls it: `freshpot conformance`; the test
suite looks at more (snapshots, histories, loops in Python). The format is described in the README there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.errors import FreshpotError
from freshpot.testing.recorded import Arrays, own_folder, with_arrays

GROUPS = ("lr_policies", "solver_files", "trajectories")

#: sums in another order move a trajectory by this many times what was seen when recording …
_NOISE = 15
#: … and never by less than this part of the largest value
_LEAST = 1e-4


@dataclass(slots=True)
class SolverCase:
    """One recorded solver: what it says, its arrays, and the folder of recorded data."""

    group: str
    spec: dict[str, Any]
    arrays: Arrays
    folder: Path

    @property
    def id(self) -> str:
        return self.spec["id"]


def groups(folder: Path) -> list[str]:
    """The groups that ``folder`` has cases of."""
    return [name for name in GROUPS if (folder / "solvers" / f"{name}.json").exists()]


def load(folder: Path, group: str) -> list[SolverCase]:
    """The cases of a group; trajectories over the whole MNIST are left to the test suite, which has it."""
    path = folder / "solvers" / f"{group}.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    specs = found if isinstance(found, list) else [{**case, "net": found["net"]} for case in found["cases"]]
    specs = [spec for spec in specs if "mnist/mnist_train_lmdb" not in spec["net"]]
    return [SolverCase(group, spec, arrays, folder) for spec, arrays in with_arrays(path, specs)]


def run_case(case: SolverCase) -> str | None:
    """Run a case. None if it passes, else what is wrong, in a line."""
    judge = {"lr_policies": _rates, "solver_files": _files, "trajectories": _trajectory}[case.group]
    with _working_for(case):
        try:
            return judge(case)
        except FreshpotError as error:
            return None if case.spec.get("aborts") else f"{type(error).__name__}: {error}"
        except Exception as error:
            return f"an untyped {type(error).__name__}: {error}"


@contextlib.contextmanager
def _working_for(case: SolverCase) -> Iterator[None]:
    """A new folder with the net, the solver and the small database, as working folder."""
    with own_folder() as place:
        (place / "train.prototxt").write_text(case.spec["net"], encoding="utf-8")
        (place / "solver.prototxt").write_text(case.spec["solver"], encoding="utf-8")
        (place / "mnist_200_lmdb").mkdir()
        data = (case.folder / "files/mnist_200_lmdb/data.mdb").read_bytes()
        (place / "mnist_200_lmdb/data.mdb").write_bytes(data)
        (place / "snapdir").mkdir()
        yield


def _make(case: SolverCase) -> Any:
    import caffe

    solver = caffe.get_solver("solver.prototxt")
    if "init" in case.spec:
        with np.load(case.folder / case.spec["init"], allow_pickle=False) as init:
            for key in init.files:
                layer, _, k = key.rpartition("/")
                if layer in solver.net.params:
                    solver.net.params[layer][int(k)].data[...] = init[key]
    return solver


def _rates(case: SolverCase) -> str | None:
    solver = _make(case)
    for iteration, rate in case.spec["lr"]:
        solver.step(iteration - solver.iter)
        if not np.isclose(solver.lr, rate, rtol=1e-6, atol=1e-45):
            return f"rate {solver.lr} instead of {rate} in iteration {iteration}"
    return None


def _files(case: SolverCase) -> str | None:
    solver, spec = _make(case), case.spec
    before = set(Path().rglob("*"))
    solver.solve()
    if spec.get("aborts"):
        return "must be refused, and ran"
    made = sorted(str(path) for path in set(Path().rglob("*")) - before)
    found = (type(solver).__name__, len(solver.test_nets), solver.iter, made)
    wanted = (spec["python_type"], spec["test_nets"], spec["iter"], spec["new_files"])
    return None if found == wanted else f"{found} instead of {wanted}"


def _trajectory(case: SolverCase) -> str | None:
    solver, spec = _make(case), case.spec
    losses: dict[str, list[float]] = {name: [] for name in spec["losses"]}
    for rate in spec["lr"]:
        if not np.isclose(solver.lr, rate, rtol=1e-6):
            return f"rate {solver.lr} instead of {rate} in iteration {solver.iter}"
        solver.step(1)
        for name, values in losses.items():
            values.append(float(solver.net.blobs[name].data))
    for name, values in losses.items():
        if wrong := _far(values, spec["losses"][name], spec["noise"][f"losses/{name}"]):
            return f"{name}: {wrong}"
    for key, wanted in case.arrays.items():
        if key.startswith("final/"):
            layer, _, k = key.removeprefix("final/").rpartition("/")
            if wrong := _far(solver.net.params[layer][int(k)].data, wanted, spec["noise"][key]):
                return f"{key}: {wrong}"
    return None


def _far(found: Any, wanted: Any, noise: float) -> str | None:
    wanted = np.asarray(wanted, np.float64)
    allowed = max(_NOISE * noise, _LEAST * float(np.abs(wanted).max()))
    off = float(np.abs(np.asarray(found, np.float64) - wanted).max())
    return None if off <= allowed else f"off by {off:.3g}, {allowed:.3g} is allowed"
