"""Small things that the original's own tests ask of operators; values computed by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from caffe2.python.gradient_checker import getGradientForOp


@pytest.fixture(autouse=True)
def fresh() -> None:
    workspace.ResetWorkspace()


X = ([[0], [1], [2], [3]], "f")
WIDE = [[0, 0], [1, 1], [2, 2], [3, 3]]
INDICES, GRADS = ([2, 0, 3, 1, 2], "int64"), [[1, 2], [3, 4], [5, 6]]

#: type, inputs, what is fed, arguments, what the original computed
VALUES: list[tuple[str, str, dict[str, Any], dict[str, Any], Any]] = [
    (
        "Cast",
        "x",
        {"x": ([1.5, 1e10, 0.1], "f")},
        {"to": 4},
        [b"1.500000", b"10000000000.000000", b"0.100000"],
    ),
    ("Cast", "x", {"x": ([[1, -2]], "i")}, {"to": "STRING"}, [[b"1", b"-2"]]),
    ("Cast", "x", {"x": ([True], "bool")}, {"to": 4}, [b"1"]),
    ("Expand", "x s", {"x": X, "s": ([-1, 2], "int64")}, {}, WIDE),
    ("Expand", "x s", {"x": X, "s": ([0, 2], "int64")}, {}, WIDE),
    ("Expand", "x s", {"x": X, "s": ([4, -3], "int64")}, {}, X[0]),
    (
        "LengthsSplit",
        "l n",
        {"l": ([9, 4, 5], "i"), "n": ([3], "i")},
        {"n_split": 2},
        [3, 3, 3, 2, 1, 1, 2, 2, 1],
    ),
    ("PairWiseLoss", "x l", {"x": ([[0.5], [2]], "f"), "l": ([[1], [0]], "f")}, {}, [1.7014133]),
    ("ReduceFrontSumGradient", "d s", {"d": ([1, 1], "f"), "s": ([3, 2], "int64")}, {}, [[1, 1]] * 3),
    ("ReduceBackMeanGradient", "d s", {"d": ([1, 1], "f"), "s": ([2, 4], "int64")}, {}, [[0.25] * 4] * 2),
    (
        "SparseToDenseMaskGradient",
        "i g",
        {"i": INDICES, "g": (GRADS, "f")},
        {"mask": [1, 2, 0]},
        [[0, 0], [5, 6], [0, 0], [1, 2], [3, 4]],
    ),
    (
        "SparseToDenseMaskGradient",
        "i g l",
        {"i": INDICES, "g": ([GRADS, [[7, 8], [9, 10], [11, 12]]], "f"), "l": ([3, 2], "i")},
        {"mask": [1, 2, 0]},
        [[3, 4], [5, 6], [0, 0], [7, 8], [9, 10]],
    ),
]


@pytest.mark.parametrize(("type_", "inputs", "fed", "args", "wanted"), VALUES)
def test_values(type_: str, inputs: str, fed: dict[str, Any], args: dict[str, Any], wanted: Any) -> None:
    for name, (value, dtype) in fed.items():
        workspace.FeedBlob(name, np.array(value, dtype))
    workspace.RunOperatorOnce(core.CreateOperator(type_, inputs.split(), ["y"], **args))
    found = workspace.FetchBlob("y")
    if found.dtype == object:
        assert found.tolist() == wanted
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("type_", ["Relu", "Sub"])
def test_shapes_of_gradients_are_inferred(type_: str) -> None:
    """Also where the forward operator infers its own in a way of its own."""
    inputs = ["a", "b"] if type_ == "Sub" else ["a"]
    for name in inputs:
        workspace.FeedBlob(name, np.zeros((2, 3), np.float32))
    op = core.CreateOperator(type_, inputs, ["y"])
    grads, names = getGradientForOp(op)
    workspace.FeedBlob("y_grad", np.zeros((2, 3), np.float32))
    workspace.RunOperatorOnce(op)
    net = caffe2_pb2.NetDef(op=[op, *grads])
    shapes, _ = workspace.InferShapesAndTypes([net], nets_proto=True)
    assert [shapes[str(name)] for name in names] == [[2, 3]] * len(inputs)


def test_the_shape_of_a_hash_is_inferred_without_its_size() -> None:
    net = core.Net("n")
    net.ConstantFill([], "x", shape=[2, 3], dtype=core.DataType.INT64)
    net.IndexHash(["x"], ["y"])
    shapes, types = workspace.InferShapesAndTypes([net], {})
    assert shapes["y"] == [2, 3]
    assert types["y"] == core.DataType.INT64


def test_batch_norm_of_several_batches_may_write_its_statistics_where_the_sums_are() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    found = []
    for saved in (["m", "r"], ["sum", "sumsq"]):
        workspace.ResetWorkspace()
        fed = {"x": x, "s": np.ones(3), "b": np.zeros(3), "mean": np.zeros(3), "var": np.ones(3)}
        fed |= {"sum": 2 * x.sum((0, 2, 3)), "sumsq": 2 * (x**2).sum((0, 2, 3))}
        for name, value in fed.items():
            workspace.FeedBlob(name, np.asarray(value, np.float32))
        ends = ["y", "mean", "var", *saved]
        args = {"is_test": 0, "num_batches": 2, "order": "NCHW"}
        op = core.CreateOperator("SpatialBN", ["x", "s", "b", "mean", "var", "sum", "sumsq"], ends, **args)
        workspace.RunOperatorOnce(op)
        found.append([workspace.FetchBlob(name) for name in ends])
    for apart, in_place in zip(*found, strict=True):
        np.testing.assert_array_equal(apart, in_place)
    np.testing.assert_allclose(found[1][3], x.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
