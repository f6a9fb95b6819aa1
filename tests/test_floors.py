"""The architecture holds: each floor imports only floors below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

#: from the ground up; a room may import its own floor and any floor below
FLOORS = [
    {"freshpot.errors"},
    {"freshpot.formats", "freshpot.data", "freshpot.distributed"},
    {"freshpot.net", "freshpot.native"},
    {"freshpot.ops"},
    {"freshpot.engine"},
    {"freshpot.convert", "freshpot.viz"},
    {"caffe", "caffe2", "freshpot.paddle", "freshpot.torch", "freshpot.torchvision"},
    {"freshpot.legacy"},
    {"freshpot.testing", "freshpot.bench"},
    {"freshpot.cli", "freshpot.__main__"},
]
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
HEIGHT["freshpot"] = 0


def room_of(module: str) -> str | None:
    """The room that a module lies in."""
    while module and module not in HEIGHT:
        module = module.rpartition(".")[0]
    return module or None


def imports(path: Path) -> set[str]:
    """Modules that a file imports when it runs (not those for type checkers only)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: str(p.relative_to(SRC)))
def test_no_import_points_up(path: Path) -> None:
    module = ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    assert room is not None, f"{module} lies in no known room: add it to FLOORS"
    upward = sorted(m for m in imports(path) if (r := room_of(m)) is not None and HEIGHT[r] > HEIGHT[room])
    assert not upward, f"{module} imports from floors above it: {', '.join(upward)}"


def test_the_ir_needs_no_torch() -> None:
    offenders = [p.name for p in (SRC / "freshpot" / "net").glob("*.py") if "torch" in imports(p)]
    assert not offenders
