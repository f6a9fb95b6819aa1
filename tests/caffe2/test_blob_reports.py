"""caffe2.python.modeling: norms, statistics and entries of blobs while a net runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.modeling.compute_norm_for_blobs import ComputeNormForBlobs
from caffe2.python.modeling.compute_statistics_for_blobs import ComputeStatisticsForBlobs
from caffe2.python.modeling.get_entry_from_blobs import GetEntryFromBlobs

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def copying_net() -> core.Net:
    net = core.Net("watched")
    net.Copy("x", "y")
    return net


# modifier, blob that it makes, its value
CASES: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "l1": (lambda: ComputeNormForBlobs(["y"], 0, p=1), "y_l1_norm", [21]),
    "l2": (lambda: ComputeNormForBlobs(["y"], 0), "y_l2_norm", [91]),
    "averaged": (
        lambda: ComputeNormForBlobs(["y"], 0, p=1, compute_averaged_norm=True),
        "y_averaged_l1_norm",
        [3.5],
    ),
    "row": (lambda: ComputeNormForBlobs(["y"], 0, p=1, row_index=1), "y_row_1_l1_norm", [15]),
    "row 0": (lambda: ComputeNormForBlobs(["y"], 0, p=1, row_index=0), "y_l1_norm", [21]),
    "summary": (lambda: ComputeStatisticsForBlobs(["y"], 10), "y_summary", [-6, 5, 5 / 6, 4.16733]),
    "entry": (lambda: GetEntryFromBlobs(["y"], 0, i1=1, i2=2), "y_1_2", [[-6]]),
    "whole row": (lambda: GetEntryFromBlobs(["y"], 0, i1=1, i2=-1), "y_1_all", [[4, 5, -6]]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_made(name: str) -> None:
    make, blob, expected = CASES[name]
    net = copying_net()
    make()(net, modify_output_record=True)
    workspace.FeedBlob("x", X)
    workspace.RunNetOnce(net)
    np.testing.assert_allclose(workspace.FetchBlob(blob), expected, rtol=1e-5)
    assert net.output_record().field_blobs() == [blob]


def test_records_grow() -> None:
    net = copying_net()
    for modifier in (ComputeNormForBlobs(["x", "y"], 0), GetEntryFromBlobs(["y"], 0)):
        modifier(net, modify_output_record=True)
        assert modifier.field_name_suffix() in ("_l2_norm", "_0_0")
    assert net.output_record().field_names() == ["x_l2_norm", "y_l2_norm", "y_0_0"]


@pytest.mark.parametrize("modifier", [ComputeNormForBlobs, GetEntryFromBlobs])
@pytest.mark.parametrize("frequency", [0, 5])
def test_printing(modifier: Any, frequency: int) -> None:
    net = copying_net()
    modifier(["y"], frequency)(net)
    every = [arg.i for op in net.Proto().op if op.type == "Print" for arg in op.arg]
    assert every == ([frequency] if frequency else [])


def test_devices() -> None:
    net = copying_net()
    gpu = core.DeviceOption(1, 2)
    ComputeNormForBlobs(["x", "y"], 0)(net, blob_to_device={"y": gpu})
    devices = {op.output[0]: op.device_option for op in net.Proto().op if op.type == "LpNorm"}
    assert devices["y_l2_norm"] == gpu
    assert devices["x_l2_norm"] != gpu


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "does not define blob 'z'": (lambda: ComputeNormForBlobs(["z"], 0)(copying_net()), MisuseError),
    "row_index must be 0 or more, got -1": (lambda: ComputeNormForBlobs([], 0, row_index=-1), ValueError),
    "row i1 must be 0 or more, got -1": (
        lambda: GetEntryFromBlobs(["y"], 0, i1=-1)(copying_net()),
        ValueError,
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message: str) -> None:
    make, error = REFUSED[message]
    with pytest.raises(error, match=message):
        make()
