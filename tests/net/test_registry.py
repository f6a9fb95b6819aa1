"""The register of operators."""

from __future__ import annotations

import subprocess
import sys

import pytest

from freshpot.errors import UnknownOperatorError
from freshpot.net import registry

LOADS = """
import gc
from freshpot.net import registry
{before}
was_on = gc.isenabled()
registry.load()
assert gc.isenabled() == was_on
assert "Relu" in registry.names()
"""


@pytest.mark.parametrize("before", ["", "gc.disable()"])
def test_loading_leaves_garbage_collection_as_it_was(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS.format(before=before)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_definitions_are_found_by_type() -> None:
    assert registry.get("Relu").type == "Relu"
    assert registry.find("Reluu") is None
    with pytest.raises(UnknownOperatorError, match=r"there is no operator 'Reluu'\. Did you mean Relu,"):
        registry.get("Reluu")


def test_what_only_the_original_has_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "originals", lambda: frozenset({"NotYet"}))
    with pytest.raises(UnknownOperatorError, match="'NotYet' of Caffe2 is not supported by freshpot yet"):
        registry.get("NotYet")
