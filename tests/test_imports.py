"""What a program need not have at its start is not imported: facts about imports, not times."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: packages that some programs need, and only when they get there
LATER = [
    "IPython", "PIL", "asyncio", "cv2", "fissix", "h5py", "http", "lmdb", "llvmlite", "matplotlib", "numpy.testing",
    "onnx", "onnxruntime", "pandas", "pdb", "plyvel", "requests", "scipy", "skimage", "sqlite3", "torchvision", "tqdm",
    "unittest", "urllib3", "xml",
]  # fmt: skip
PAIRED = ["caffe", "caffe2.python.core", "caffe2.python.workspace", "caffe2.python.model_helper"]

PROGRAM = """
import gc, json, sys
import torch
before = set(sys.modules)
full = []
gc.callbacks.append(lambda phase, info: full.append(phase) if info["generation"] == 2 else None)
import {module}
print(json.dumps([sorted(set(sys.modules) - before), len(full)]))
"""


def imported(module: str) -> tuple[list[str], int]:
    """What comes with a module beyond what torch has brought, and how many full collections began or ended."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)], capture_output=True, text=True, check=True
    )
    names, collections = json.loads(done.stdout)
    return names, collections


@pytest.mark.parametrize("module", PAIRED)
def test_heavy_packages_come_later(module: str) -> None:
    names, _ = imported(module)
    assert module in names
    early = [name for name in names if any(f"{name}.".startswith(f"{heavy}.") for heavy in LATER)]
    assert not early, f"import {module} brings {', '.join(early)}"
    operators = [name for name in names if name.startswith("freshpot.ops.") and name.count(".") == 3]
    assert len(operators) < 10, "the operators are loaded when a net is made"


@pytest.mark.parametrize("module", PAIRED[:3])
def test_no_full_collection_while_loading(module: str) -> None:
    _, collections = imported(module)
    assert collections == 0, "gc has looked at every object that torch made"


WITHOUT = """
import sys
sys.modules["llvmlite"] = sys.modules["llvmlite.binding"] = None
import numpy as np
from caffe2.python import brew, model_helper, workspace
import caffe
from freshpot.net import registry
registry.load()
model = model_helper.ModelHelper(name="n", arg_scope={"order": "NCHW"})
brew.conv(model, "x", "c", dim_in=3, dim_out=8, kernel=3)
top = brew.relu(model, "c", "c")
model.net.AddExternalOutput(top)
workspace.FeedBlob("x", np.ones((2, 3, 6, 6), np.float32))
workspace.RunNetOnce(model.param_init_net)
workspace.RunNetOnce(model.net)
predictor = workspace.Predictor(model.param_init_net.Proto(), model.net.Proto())
for _ in range(6):
    made = predictor.run({"x": np.ones((2, 3, 6, 6), np.float32)})
print(made[0].shape)
"""


def test_nothing_needs_llvmlite() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.stdout == "(2, 8, 4, 4)\n", done.stderr


def test_the_package_says_what_it_is() -> None:
    """``help(freshpot)`` and ``freshpot.__version__``, without a heavy import."""
    import freshpot

    assert "freshpot.torch" in (freshpot.__doc__ or "")
    assert freshpot.__version__
    with pytest.raises(AttributeError, match="module 'freshpot' has no attribute 'versoin'"):
        _ = freshpot.versoin
