"""What PyTorch's kernels refuse is the door's own error, with the function and what it was given; and small edges.

Expected values are what paddlepaddle 2.6.2 gave.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, DTypeError, FreshpotError, NotSupportedError, ShapeError
from freshpot.paddle._refusals import OutOfRangeError

nn, F = paddle.nn, paddle.nn.functional
ones, to_tensor = paddle.ones, paddle.to_tensor

REFUSED: dict[str, tuple[type[FreshpotError], str, Callable[[], Any]]] = {
    "matmul": (ArgumentError, r"matmul: .*float32 \[2, 2\], float32 \[3\]\.$", lambda: ones([2, 2]).matmul(ones([3]))),
    "axis": (OutOfRangeError, r"unsqueeze: .*axis=5", lambda: paddle.unsqueeze(ones([2]), axis=5)),
    "list": (ArgumentError, r"stack: .*\[float32 \[2\], float32 \[3\]\]", lambda: paddle.stack([ones([2]), ones([3])])),
    "label": (OutOfRangeError, "cross_entropy: Target 5", lambda: F.cross_entropy(ones([1, 2]), to_tensor([5]))),
    "row": (OutOfRangeError, "embedding: index out of range", lambda: nn.Embedding(3, 2)(to_tensor([7]))),
    "conv": (ArgumentError, "conv2d: Given groups=1", lambda: F.conv2d(ones([1, 2, 3, 3]), ones([1, 1, 2, 2]))),
    "axes": (ShapeError, "must have 4 axes", lambda: F.conv2d(ones([1, 3, 3]), ones([1, 1, 2, 2]))),
    "type": (NotSupportedError, "softmax: .*int64", lambda: F.softmax(to_tensor([1, 2]))),
    "singular": (ArgumentError, "inverse: ", lambda: paddle.inverse(paddle.zeros([2, 2]))),
    "index": (OutOfRangeError, r"index of a tensor of shape \[2, 3\]", lambda: ones([2, 3])[5]),
    "written": (ArgumentError, "writing into a tensor", lambda: ones([2, 3]).__setitem__(0, ones([4]))),
    "truth": (ArgumentError, "neither true nor false", lambda: bool(ones([2]))),
    "text": (ArgumentError, "'half' is no number", lambda: paddle.full([2], "half")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    kind, said, call = REFUSED[name]
    with pytest.raises(kind, match=said):
        call()


def test_an_index_that_is_not_there_ends_a_loop() -> None:
    with pytest.raises(IndexError):
        ones([2])[2]
    number = paddle.Tensor(torch.tensor(1.0))
    with pytest.raises(DTypeError, match="a single number"):
        len(number)


EDGES: dict[str, tuple[Any, Callable[[], Any]]] = {
    "halves": ([1.0, 2.0, 3.0, -1.0, -0.0], lambda: paddle.round(to_tensor([0.5, 1.5, 2.5, -0.5, -0.2]))),
    "mean of whole numbers": ([1, 3], lambda: paddle.mean(to_tensor([[1, 2], [3, 4]]), axis=1)),
    "a text as value": ([0.5, 0.5], lambda: paddle.full([2], "0.5")),
    "arrays as tensors": ([[1.0, 0.0], [0.0, 2.0]], lambda: F.diag_embed(np.array([1.0, 2.0], np.float32))),
    "labels with an axis": ([0.5], lambda: F.nll_loss(to_tensor([[-0.5, -1.0]]), to_tensor([[0]]))),
    "assigned": ([[1, 1], [3, 4]], lambda: paddle.assign(np.array([[1, 1], [3, 4]]), paddle.zeros([3]))),
    "whole numbers that learn": (False, lambda: to_tensor([1, 2], stop_gradient=False).stop_gradient),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    expected, call = EDGES[name]
    found = call()
    found = found.tolist() if isinstance(found, paddle.Tensor) else found
    assert repr(found) == repr(expected)


def test_places_of_names(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name == "paddle" or name.startswith("paddle.")]:
        monkeypatch.delitem(sys.modules, name)
    before = dict(sys.modules)
    try:
        paddle.install(force=True)
        exec(  # imports as programs write them
            "import paddle.tensor.stat, paddle.text.datasets, paddle.device, paddle.framework\n"
            "import paddle.vision.transforms.functional as T\n"
            "from paddle.vision.transforms import functional, transforms\n"
            "from paddle.vision import DatasetFolder, ToTensor, resnet18\n"
            "from paddle.nn.layer import Linear\n"
            "assert T.resize and functional is transforms and paddle.tensor.math.add is paddle.add",
            {},
        )
    finally:
        for name in set(sys.modules) - set(before):
            if name.startswith("paddle"):
                del sys.modules[name]
    assert paddle.framework.ParamAttr is paddle.ParamAttr
    assert paddle.device.get_all_device_type()[0] == "cpu"
    paddle.utils.run_check()
    assert "works well on 1 " in capsys.readouterr().out
    paddle.version.show()
    assert "full_version: 2.0.0" in capsys.readouterr().out


def test_versions_and_marks() -> None:
    paddle.utils.require_version("1.8", "2.0.0.0")
    for bounds in (("2.0.1",), ("1.0", "1.8"), ("two",)):
        with pytest.raises(ArgumentError, match="require_version"):
            paddle.utils.require_version(*bounds)
    with pytest.raises(NotSupportedError, match="pip install nothing_of_that_name"):
        paddle.utils.try_import("nothing_of_that_name.part")
    with pytest.warns(DeprecationWarning, match='since 2.0.0.*Please use "paddle.sum"'):
        assert paddle.utils.deprecated("paddle.sum", "2.0.0", level=1)(abs)(-2) == 2
    with pytest.raises(NotSupportedError, match="deprecated"):
        paddle.utils.deprecated(level=2)(abs)(1)
    with pytest.raises(NotSupportedError, match="headers"):
        paddle.sysconfig.get_include()


def test_texts_of_both_pythons() -> None:
    compat = paddle.compat
    assert compat.to_text([b"a", {"b"}]) == ["a", {"b"}]
    kept = ["a", b"b"]
    assert compat.to_bytes(kept, inplace=True) is kept
    assert kept == [b"a", b"b"]
    assert [compat.round(v) for v in (0.5, -2.5, 0.0)] == [1.0, -3.0, 0.0]
    assert (
        compat.round(1.25, 1),
        compat.floor_division(7, 2),
        compat.get_exception_message(ValueError("x")),
    ) == (1.3, 3, "x")


def test_specifications_grow_and_shrink() -> None:
    spec = paddle.static.InputSpec([64], "float32", "x")
    assert spec.batch(4).shape == (4, 64)
    assert spec.unbatch() == paddle.static.InputSpec([64], "float32", "x")
    with pytest.raises(ArgumentError, match="no whole number"):
        spec.batch("four")
    with pytest.raises(ArgumentError, match="empty"):
        spec.unbatch().unbatch()
