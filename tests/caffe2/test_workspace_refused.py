"""caffe2.python.workspace: what is refused, and what is fetched in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from workspace_nets import constant, net_of

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from freshpot.engine import Workspace
from freshpot.errors import (
    ArgumentError,
    DTypeError,
    FormatError,
    MissingBlobError,
    NameClashError,
    NetError,
    NotSupportedError,
)

pytestmark = pytest.mark.usefixtures("fresh")


REFUSED: list[tuple[Callable[[], Any], type[BaseException], str]] = [
    (lambda: workspace.FetchBlob("x"), MissingBlobError, "there is no blob 'x' in the workspace."),
    (lambda: workspace.SerializeBlob("x"), MissingBlobError, "there is no blob 'x' in the workspace."),
    (lambda: workspace.FetchBlob(3), AssertionError, "a blob is named by text or a BlobReference, got int."),
    (
        lambda: workspace.FeedBlob("x", [1, 2]),
        DTypeError,
        "blob 'x' is fed with a numpy array or text, got list. Use numpy.array().",
    ),
    (
        lambda: workspace.FeedBlob("x", np.zeros(1, np.complex64)),
        DTypeError,
        "numpy type complex64 is not a tensor type; known: ",
    ),
    (
        lambda: workspace.FeedBlob("x", np.zeros(1, np.uint32)),
        DTypeError,
        "numpy type uint32 is not a tensor type",
    ),
    (
        lambda: workspace.FeedBlob("x", np.array([object()])),
        DTypeError,
        "an array of objects may hold only text and bytes, found object.",
    ),
    (lambda: workspace.DeserializeBlob("x", b"\xff"), FormatError, "not a complete caffe2.BlobProto message"),
    (
        lambda: workspace.SwitchWorkspace("nowhere"),
        NetError,
        "there is no workspace 'nowhere'.",
    ),
    (lambda: workspace.RunNet("nope"), NetError, "there is no net 'nope' in the workspace."),
    (lambda: workspace.RunNet(3), TypeError, "expected a net or its name, got int."),
    (
        lambda: workspace.RunNetOnce(3),
        ValueError,
        "expected a net, operator or plan, or its message; got int.",
    ),
    (
        lambda: workspace.Predictor("init.pb", "predict.pb"),
        ValueError,
        "got str. A file's content is read so: open(na",
    ),
    (lambda: workspace.RunNetOnce(b"\xff"), FormatError, "1 bytes are not a complete caffe2.NetDef message"),
    (
        lambda: workspace.StringifyProto(3),
        ValueError,
        "expected a message or an object with Proto(), got int.",
    ),
    (
        lambda: workspace.CreateNet(core.Net("a").Clone("")),
        NetError,
        "the net has no name; give it one to create it (or run it once).",
    ),
    (
        lambda: [workspace.CreateNet(caffe2_pb2.NetDef(name="n")) for _ in range(2)],
        NameClashError,
        "net 'n': a net of this name exists already in the workspace.",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Nope", [], [])),
        NetError,
        "operator Nope () -> ()",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Relu", "nowhere", "y")),
        MissingBlobError,
        "operator Relu (nowhere) -> (y): input blob 'nowhere' does not exist",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Python", [], [], token="no such")),
        ArgumentError,
        "no Python function is registered under the token 'no such' in this process.",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Python", [], [], pickled_builder=b"x")),
        NotSupportedError,
        "nothing is unpickled, because that could run foreign code. Build the net where it runs.",
    ),
    (
        lambda: workspace.RunOperatorOnce(
            core.CreateOperator(
                "PythonGradient", [], [], token=core.CreatePythonOperator(print, [], []).arg[0].s
            )
        ),
        ArgumentError,
        "was registered without a gradient; give grad_f to net.Python.",
    ),
    (
        lambda: workspace.InferShapesAndTypes([], blob_types={"x": 1}),
        AssertionError,
        "blob_types wants blob_dimensions.",
    ),
    (
        lambda: workspace.FillRandomNetworkInputs(core.Net("n"), [], []),
        NotSupportedError,
        "FillRandomNetworkInputs: freshpot does not guess inputs. Feed them with FeedBlob.",
    ),
    (
        lambda: workspace.RunPlan(
            caffe2_pb2.PlanDef(
                name="p", execution_step=[caffe2_pb2.ExecutionStep(name="s", network=["lost"])]
            )
        ),
        NetError,
        "step 's' runs net 'lost', which the plan lacks.",
    ),
    (
        lambda: workspace.RunPlan(caffe2_pb2.PlanDef(name="p", network=[caffe2_pb2.NetDef(name="n")] * 2)),
        NetError,
        "net 'n': plan 'p' has two nets of this name.",
    ),
    (
        lambda: workspace.RunPlan(
            caffe2_pb2.PlanDef(
                execution_step=[caffe2_pb2.ExecutionStep(name="s", num_iter=1, should_stop_blob="b")]
            )
        ),
        NetError,
        "step 's' has both num_iter and should_stop_blob; they exclude each other.",
    ),
    (
        lambda: workspace.RunPlan(
            caffe2_pb2.PlanDef(execution_step=[caffe2_pb2.ExecutionStep(name="s", criteria_network="c")])
        ),
        NotSupportedError,
        "step 's' has a criteria_network",
    ),
    (
        lambda: workspace.RunPlan(
            core.execution_step("s", net_of(constant("x")), should_stop_blob=core.BlobReference("none"))
        ),
        MissingBlobError,
        "step 's' looks at should_stop_blob 'none', which holds nothing.",
    ),
    (
        lambda: workspace.RunPlan(
            core.execution_step("s", net_of(constant("x")), should_stop_blob=core.BlobReference("x"))
        ),
        NetError,
        "should_stop_blob 'x' of step 's' must be one bool.",
    ),
]


@pytest.mark.parametrize(
    ("action", "error", "message"), REFUSED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_refused(action: Callable[[], Any], error: type[BaseException], message: str) -> None:
    with pytest.raises(error) as caught:
        action()
    assert message in str(caught.value)
    workspace.RunNetOnce(net_of(constant("still_works"), name="after"))
    assert workspace.FetchBlob("still_works").tolist() == [1, 1]


def test_a_net_that_may_fail() -> None:
    workspace.CreateNet(net_of(core.CreateOperator("Relu", "x", "y")), input_blobs=["x"])
    assert workspace.RunNet("n", allow_fail=True) is False
    with pytest.raises(MissingBlobError, match="input blob 'x' holds nothing yet"):
        workspace.RunNet("n")


def test_quantised_tensors_are_fetched_apart() -> None:
    from freshpot.ops.quantized_tensor import QuantizedTensor

    workspace.FeedBlob("q", QuantizedTensor(torch.tensor([1, 3], dtype=torch.uint8), 0.5, 1))
    with pytest.raises(DTypeError, match="is a quantised tensor; fetch it with FetchInt8Blob"):
        workspace.FetchBlob("q")
    assert workspace.FetchInt8Blob("q").data.tolist() == [1, 3]
    assert workspace.FetchInt8BlobRealVal("q").tolist() == [0, 1]
    workspace.FeedBlob("x", np.ones(1))
    with pytest.raises(AssertionError, match="blob 'x' is not a quantised tensor; fetch it with FetchBlob"):
        workspace.FetchInt8Blob("x")


def test_a_sparse_gradient_is_two_blobs() -> None:
    slices = core.GradientSlice(indices="i", values="v")
    for access in (workspace.FetchBlob, workspace.HasBlob, workspace.ResetBlob, lambda n: workspace.blobs[n]):
        with pytest.raises(AssertionError, match=r"take its \.indices and \.values"):
            access(slices)
    with pytest.raises(TypeError, match="got GradientSlice"):
        core.CreateOperator("Relu", slices, "y")
    with pytest.raises(MissingBlobError, match="there is no blob"):
        Workspace().get(slices)  # type: ignore[arg-type]


def test_intels_kernels_are_the_cpu() -> None:
    workspace.FeedBlob("x", np.ones(2, np.float32), core.DeviceOption(caffe2_pb2.IDEEP))
    with core.DeviceScope(core.DeviceOption(caffe2_pb2.IDEEP)):
        workspace.RunOperatorOnce(core.CreateOperator("Negative", ["x"], ["y"]))
    assert workspace.FetchBlob("y").tolist() == [-1, -1]
