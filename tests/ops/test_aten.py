"""ATen: PyTorch's functions as operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffe2.python import core, workspace
from freshpot.errors import ArgumentError

X = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -6.0]])
INDEX = torch.tensor([2, 0])

CASES: dict[str, tuple[str, list[str], dict[str, Any], Any]] = {
    "one tensor": ("relu", ["x"], {}, X.relu()),
    "a number": ("add", ["x", "x"], {"alpha": 2}, 3 * X),
    "tensors between arguments": ("index_select", ["x", "index"], {"dim": 1}, X[:, INDEX]),
    "several outputs": (
        "topk",
        ["x"],
        {"k": 2, "dim": 1, "largest": 1, "sorted": 1},
        tuple(X.topk(2, 1)),
    ),
    "a list": ("sum", ["x"], {"dim": [1], "keepdim": 1}, X.sum(1, keepdim=True)),
    "a number for a list, which the original does not see": (
        "sum",
        ["x"],
        {"dim": 1, "keepdim": 1},
        X.sum().view(1, 1),
    ),
    "a form without arguments": ("sum", ["x"], {}, X.sum()),
    "all tensors": ("cat", ["x", "x"], {"dim": 1}, torch.cat([X, X], 1)),
    "a view": ("transpose", ["x"], {"dim0": 0, "dim1": 1}, X.t()),
    "what may be left out": ("clamp", ["x"], {"min": -1.0, "max": 2.0}, X.clamp(-1, 2)),
}


@pytest.fixture(autouse=True)
def _inputs() -> None:
    workspace.ResetWorkspace()
    workspace.FeedBlob("x", X.numpy().copy())
    workspace.FeedBlob("index", INDEX.numpy().copy())


@pytest.mark.parametrize("name", CASES)
def test_functions(name: str) -> None:
    function, inputs, arguments, wanted = CASES[name]
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    outputs = [f"y{i}" for i in range(len(wanted))]
    net = core.Net("n")
    net.ATen(inputs, outputs, operator=function, **arguments)
    workspace.CreateNet(net)
    workspace.RunNet(net, 2)
    for output, value in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(workspace.FetchBlob(output), value.numpy())
    np.testing.assert_array_equal(workspace.FetchBlob("x"), X.numpy())


@pytest.mark.parametrize(
    ("function", "inputs", "arguments", "match"),
    [
        ("", ["x"], {}, "no function ''"),
        ("softmx", ["x"], {}, "no function 'softmx'. Did you mean softmax"),
        ("relu", ["x"], {"slope": 1.0}, r"arguments \['slope'\]. It has: aten::relu"),
        ("relu", ["x", "x"], {}, "no 2 tensors"),
        ("add_", ["x", "x"], {}, "changes its input"),
        ("from_file", [], {"filename": "secret"}, "no 0 tensors"),
    ],
)
def test_what_is_refused(function: str, inputs: list[str], arguments: dict[str, Any], match: str) -> None:
    op = core.CreateOperator("ATen", inputs, ["y"], operator=function, **arguments)
    with pytest.raises(ArgumentError, match=match):
        workspace.RunOperatorOnce(op)
