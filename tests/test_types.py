"""A program that uses freshpot and is checked strictly sees its types: py.typed, exports, no dead ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
import caffe
import freshpot
import freshpot.paddle as paddle
from caffe2.python import brew, core, model_helper, optimizer, workspace
from freshpot.errors import FreshpotError
from freshpot.torch import module

print(freshpot.__version__)
net = caffe.Net("n.prototxt", caffe.TEST)
blob: np.ndarray = net.blobs["data"].data
reveal_type(net.forward())
reveal_type(net.blobs)
reveal_type(caffe.get_solver("s.prototxt").net)
reveal_type(module("n.prototxt"))
model = model_helper.ModelHelper(name="m")
brew.fc(model, brew.relu(model, "x", "y"), "fc", dim_in=3, dim_out=4)
optimizer.build_sgd(model, base_learning_rate=0.1)
core.Net("n").Relu("x", "y")
tensor = paddle.to_tensor([1.0])
layer = paddle.nn.Linear(1, 2)
try:
    workspace.RunNetOnce(model.net)
except FreshpotError as error:
    reveal_type(error.net)
"""
SEEN = ["dict[str, ", "OrderedDict[str, caffe._caffe.Blob]", "caffe.pycaffe.Net", "NetModule", "str | None"]


@pytest.mark.slow
def test_a_strictly_checked_program(tmp_path: Path) -> None:
    """Minutes without mypy's cache."""
    (tmp_path / "program.py").write_text(PROGRAM)
    source = Path(__file__).resolve().parents[1] / "src"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={"MYPYPATH": str(source), "PATH": ""}
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("program.py")]
    assert not [line for line in lines if ": error:" in line]
    revealed = [line for line in lines if "Revealed type" in line]
    assert len(revealed) == len(SEEN)  # none is beyond the end of what can run
    assert [line for line, words in zip(revealed, SEEN, strict=True) if words not in line] == []
