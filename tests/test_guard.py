"""The guard in tests/conftest.py: a test that leaves something behind fails, and so does the run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "a file in the working folder": ('open("left", "w").close()', 1, "the test left ['{root}/left'] behind"),
    "a file elsewhere in the repository": (
        'open("{root}/src/left", "w").close()',
        1,
        "left behind in the repository, by a test or by you meanwhile: {root}/src/left",
    ),
    "another working folder": (
        "import os; os.chdir('{root}/src')",
        1,
        "the test went to {root}/src and stayed there",
    ),
    "a file of its own": ('(tmp_path / "mine").touch()', 0, "1 passed"),
}


@pytest.mark.parametrize(("line", "status", "said"), CASES.values(), ids=CASES)
def test_what_a_test_leaves_behind(line: str, status: int, said: str, tmp_path: Path) -> None:
    root = (tmp_path / "repository").resolve()
    (root / "tests").mkdir(parents=True)
    (root / "src").mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), root / "tests")
    line = line.replace("{root}", str(root))
    (root / "tests" / "test_it.py").write_text(f"def test_it(tmp_path):\n    {line}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", root, "tests"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert said.replace("{root}", str(root)) in done.stdout
    assert done.returncode == status
