"""Int8ConvTranspose, Int8RoIAlign, FbGemmPackTranspose: bytes as the original made them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe2.python import core, workspace
from freshpot.errors import ArgumentError, ShapeError

#: Sum and first bytes of what the original makes of the inputs below.
TRANSPOSED: list[tuple[dict[str, Any], tuple[int, ...], int, list[int]]] = [
    ({"kernel": 2, "stride": 2}, (1, 6, 8, 3), 15810, [147, 120, 94, 115, 88, 147, 119, 118, 118]),
    ({"kernel": 2, "stride": 2, "pad": 1, "adj": 1}, (1, 5, 7, 3), 11513, [81, 139, 113, 116, 115, 105]),
]
REGIONS: list[tuple[dict[str, Any], list[int]]] = [
    (
        {"pooled_h": 2, "pooled_w": 2, "sampling_ratio": 2},
        [93, 122, 139, 153, 115, 137, 158, 85, 109, 93, 7, 7, 125, 63, 7, 7],
    ),
]


def _fill(name: str, values: np.ndarray, scale: float, zero: int) -> None:
    whole = values.dtype != np.uint8
    op_type = "Int8GivenIntTensorFill" if whole else "Int8GivenTensorFill"
    given = values.ravel().tolist() if whole else values.tobytes()
    arguments = {"shape": values.shape, "values": given, "Y_scale": scale, "Y_zero_point": zero}
    workspace.RunOperatorOnce(core.CreateOperator(op_type, [], [name], **arguments))


@pytest.fixture(autouse=True)
def _inputs() -> None:
    workspace.ResetWorkspace()
    _fill("X", (np.arange(24) * 37 % 256).astype(np.uint8).reshape(1, 3, 4, 2), 0.05, 100)
    _fill("W", (np.arange(24) * 53 % 256).astype(np.uint8).reshape(2, 2, 2, 3), 0.02, 120)
    _fill("b", np.array([-500, 0, 700], np.int32), 0.001, 0)
    workspace.FeedBlob("R", np.array([[0, 0.3, 0.7, 2.5, 2], [0, -2, 1, 9, 3]], np.float32))


def _run(op_type: str, inputs: list[str], **arguments: Any) -> np.ndarray:
    workspace.RunOperatorOnce(core.CreateOperator(op_type, inputs, ["Y"], **arguments))
    return workspace.FetchInt8Blob("Y").data


@pytest.mark.parametrize(("window", "shape", "total", "first"), TRANSPOSED)
def test_transposed_convolution(
    window: dict[str, Any], shape: tuple[int, ...], total: int, first: list[int]
) -> None:
    made = _run("Int8ConvTranspose", ["X", "W", "b"], order="NHWC", Y_scale=0.3, Y_zero_point=110, **window)
    assert (made.shape, made.ravel()[: len(first)].tolist()) == (shape, first)
    assert int(made.sum()) == total


@pytest.mark.parametrize(("bins", "wanted"), REGIONS)
def test_regions(bins: dict[str, Any], wanted: list[int]) -> None:
    made = _run("Int8RoIAlign", ["X", "R"], order="NHWC", Y_scale=0.06, Y_zero_point=90, **bins)
    assert made.ravel().tolist() == wanted


def test_no_regions() -> None:
    workspace.FeedBlob("R", np.zeros((0, 5), np.float32))
    assert _run("Int8RoIAlign", ["X", "R"], pooled_h=2, pooled_w=3).shape == (0, 2, 3, 2)


def test_weights_packed_from_their_transpose() -> None:
    rng = np.random.default_rng(0)
    w, x, b = (rng.standard_normal(shape, np.float32) for shape in ((6, 4), (3, 6), (4,)))
    for name, value in (("w", w), ("x", x), ("c", b)):
        workspace.FeedBlob(name, value)
    workspace.RunOperatorOnce(core.CreateOperator("FbGemmPackTranspose", ["w"], ["p"]))
    workspace.RunOperatorOnce(core.CreateOperator("FbFCPacked", ["x", "p", "c"], ["y"]))
    np.testing.assert_allclose(workspace.FetchBlob("y"), x @ w + b, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("op_type", "inputs", "arguments", "error", "match"),
    [
        ("Int8ConvTranspose", ["X", "W", "b"], {"kernel": 2, "order": "NCHW"}, ArgumentError, "NHWC"),
        ("Int8ConvTranspose", ["X", "W", "b"], {"kernel": 3, "order": "NHWC"}, ShapeError, "filter"),
        ("Int8RoIAlign", ["X", "R"], {"pooled_h": 0}, ArgumentError, "at least one bin"),
        ("Int8RoIAlign", ["X", "R"], {"order": "NCHW"}, ArgumentError, "NHWC"),
        ("Int8RoIAlign", ["X", "far"], {}, ShapeError, "X has 1"),
        ("Int8RoIAlign", ["X", "narrow"], {}, ShapeError, "4 or 5 columns"),
    ],
)
def test_what_is_refused(
    op_type: str, inputs: list[str], arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    workspace.FeedBlob("far", np.array([[1, 0, 0, 1, 1]], np.float32))
    workspace.FeedBlob("narrow", np.zeros((1, 3), np.float32))
    with pytest.raises(error, match=match):
        _run(op_type, inputs, **arguments)
