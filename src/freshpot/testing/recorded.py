"""Recorded cases as they lie on disk: `<name>.json` says what they are, `<name>.npz` holds their arrays.

Owned here: putting the two together, and the folder in which a case runs. Who calls it: the readers of each kind of
case beside this file.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A new, empty folder as the working folder: cases write files (stores, databases, snapshots)."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def read_cases(path: Path) -> list[tuple[dict[str, Any], Arrays]]:
    """The cases of a JSON file that is a list, each with its arrays."""
    return with_arrays(path, json.loads(path.read_text(encoding="utf-8")))


def with_arrays(path: Path, specs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], Arrays]]:
    """Cases with the arrays stored beside ``path`` as ``<id>/<name>``, here under ``<name>``."""
    found: dict[str, Arrays] = {spec["id"]: {} for spec in specs}
    stored = path.with_suffix(".npz")
    if stored.exists():
        with np.load(stored, allow_pickle=False) as arrays:
            for key in arrays.files:
                case_id, _, rest = key.partition("/")
                found.setdefault(case_id, {})[rest] = arrays[key]
    return [(spec, found[spec["id"]]) for spec in specs]
