"""caffe2.python.workspace: blobs, workspaces, nets, and what comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from workspace_nets import constant, net_of

from caffe2.python import core, utils, workspace
from freshpot.errors import (
    MissingBlobError,
    NetError,
)

pytestmark = pytest.mark.usefixtures("fresh")


# ---- blobs -----------------------------------------------------------------------------------------
DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert workspace.FeedBlob("x", array) is True
    found = workspace.FetchBlob("x")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("text", b"text"),
        (b"\xff", b"\xff"),
        (np.array(["a", "bc"]), np.array([b"a", b"bc"], dtype=object)),
        (np.array([b"a"]), np.array([b"a"], dtype=object)),
        (np.array(3.0, np.float32), np.array(3.0, np.float32)),
        (np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)),
        (np.arange(6.0).reshape(2, 3).T, np.arange(6.0).reshape(2, 3).T),
        (np.array([1, 2], ">i4"), np.array([1, 2], np.int32)),
        (torch.ones(2), np.ones(2, np.float32)),
        (utils.NumpyArrayToCaffe2Tensor(np.ones(2, np.float32)), np.ones(2, np.float32)),
    ],
)
def test_values(value: Any, wanted: Any) -> None:
    workspace.FeedBlob("x", value)
    found = workspace.FetchBlob("x")
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tolist() == wanted.tolist()
    else:
        assert found == wanted


def test_what_is_fed_and_fetched_is_copied() -> None:
    array = np.zeros(2, np.float32)
    workspace.FeedBlob(core.BlobReference("x"), array)
    array[0] = 1
    found = workspace.FetchBlob(core.BlobReference("x"))
    found[1] = 1
    assert workspace.FetchBlobs(["x"])[0].tolist() == [0, 0]


def test_blobs_by_name() -> None:
    workspace.blobs["b"] = np.ones(1, np.float32)
    workspace.CreateBlob("a")
    assert workspace.Blobs() == ["a", "b"] == list(workspace.blobs)
    assert len(workspace.blobs) == 2
    assert "b" in workspace.blobs
    assert "c" not in workspace.blobs
    assert workspace.blobs["b"].tolist() == [1]
    assert workspace.HasBlob(core.BlobReference("b"))
    assert workspace.GetBlobSizeBytes("b") == 4
    workspace.ResetBlob("b")
    assert workspace.FetchBlob("b") == b"b, a C++ native class of type nullptr (uninitialized)."


def test_saved_blobs_are_restored() -> None:
    workspace.FeedBlob("x", np.arange(3, dtype=np.float32))
    data = workspace.SerializeBlob("x")
    assert (
        data
        == b"\n\x01x\x12\x06Tensor\x1a\x1f\x08\x03\x10\x01\x1a\x0c"
        + np.arange(3, dtype="<f4").tobytes()
        + b":\x01xB\x02\x08\x00Z\x04\x08\x00\x10\x03"
    )
    workspace.DeserializeBlob("y", data)
    assert workspace.FetchBlob("y").tolist() == [0, 1, 2]


# ---- workspaces ------------------------------------------------------------------------------------
def test_workspaces(tmp_path: Path) -> None:
    workspace.FeedBlob("x", np.ones(1))
    assert workspace.SwitchWorkspace("other", True) is None
    assert workspace.CurrentWorkspace() == "other"
    assert {"default", "other"} <= set(workspace.Workspaces())
    assert workspace.Blobs() == []
    workspace.SwitchWorkspace("default")
    assert workspace.Blobs() == ["x"]
    with workspace.WorkspaceGuard("other"):
        assert workspace.Blobs() == []
    assert workspace.ResetWorkspace(str(tmp_path / "new")) is True
    assert (workspace.Blobs(), workspace.RootFolder()) == ([], str(tmp_path / "new"))
    assert (tmp_path / "new").is_dir()
    workspace.ResetWorkspace()
    assert workspace.RootFolder() == str(tmp_path / "new")
    workspace.ResetWorkspace(".")


def test_workspace_objects() -> None:
    own = workspace.Workspace()
    assert own.feed_blob("x", np.full(2, -1.0, np.float32)) is True
    net = own.create_net(net_of(core.CreateOperator("Relu", "x", "y")))
    net.run()
    assert own.fetch_blob("y").tolist() == [0, 0]
    assert own.run(net_of(core.CreateOperator("Relu", "y", "z"), name="m"))
    assert own.run(core.CreateOperator("Relu", "z", "u"))
    assert own.run(core.Plan(core.execution_step("s", net_of(constant("c"), name="p"))))
    assert sorted(own.blobs) == ["c", "u", "x", "y", "z"]
    assert own.blobs["x"].fetch().tolist() == [-1, -1]
    assert own.blobs["x"].to_torch().tolist() == [-1, -1]
    assert own.blobs["x"].tensor().data.tolist() == [-1, -1]
    assert list(own.nets) == ["n", "p"]
    assert own.remove_blob("u")
    assert not own.has_blob("u")
    assert workspace.Blobs() == []
    workspace.FeedBlob("mine", np.ones(1))
    assert "mine" in workspace.C.Workspace.current.blobs
    with pytest.raises(ValueError, match="a workspace runs nets, plans and operators, not int"):
        own.run(3)


def test_immediate_mode(capsys: pytest.CaptureFixture[str]) -> None:
    workspace.StartImmediate()
    try:
        assert "Immediate mode is for debugging" in capsys.readouterr().out
        workspace.FeedImmediate("x", np.full(1, -2, np.float32))
        net = core.Net("now")
        net.Relu("x", "y")
        assert workspace.FetchImmediate("y").tolist() == [0]
        net.AddGradientOperators(["y"])
        assert workspace.FetchImmediate("x_grad").tolist() == [0]
        assert workspace.ImmediateBlobs() == ["x", "x_grad", "y", "y_autogen_grad"]
    finally:
        workspace.StopImmediate()
    assert not workspace.IsImmediate()
    assert workspace.Blobs() == []


# ---- nets ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", [lambda n: n, lambda n: n.Proto(), lambda n: n.Proto().SerializeToString()])
def test_running_nets(form: Callable[[core.Net], Any]) -> None:
    net = net_of(constant("x"), core.CreateOperator("Sum", ["x", "x"], "y"))
    assert workspace.RunNetOnce(form(net)) is True
    assert workspace.FetchBlob("y").tolist() == [2, 2]
    assert workspace.CreateNet(form(net)) is True
    assert workspace.RunNet(form(net), 2) is True
    assert workspace.C.nets() == ["n"]


def test_running_operators() -> None:
    workspace.FeedBlob("x", np.zeros(1, np.float32))
    workspace.FeedBlob("one", np.ones(1, np.float32))
    add = core.CreateOperator("Sum", ["x", "one"], "x")
    assert workspace.RunOperatorOnce(add)
    assert workspace.RunOperatorOnce(add.SerializeToString())
    assert workspace.RunOperatorMultiple(add, 2)
    assert workspace.RunOperatorsOnce([add, add])
    assert workspace.FetchBlob("x").tolist() == [6]


def test_a_net_sees_what_is_fed_between_runs() -> None:
    workspace.CreateNet(net_of(core.CreateOperator("Relu", "x", "y")), input_blobs=["x"])
    for shape in ((2,), (2,), (3, 1)):
        workspace.FeedBlob("x", np.ones(shape, np.float32))
        workspace.RunNet("n")
        assert workspace.FetchBlob("y").shape == shape


def test_a_changed_net_is_converted_anew() -> None:
    net = net_of(constant("x"))
    workspace.RunNetOnce(net)
    net.Proto().op[0].arg[1].f = 5.0
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("x").tolist() == [5, 5]


def test_nets_run_from_threads() -> None:
    workspace.CreateNet(net_of(constant("x")))
    jobs = [threading.Thread(target=workspace.RunNet, args=("n", 50)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert workspace.FetchBlob("x").tolist() == [1, 1]


def test_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    workspace.CreateNet(net_of(constant("x"), core.CreateOperator("Relu", "x", "y")))
    assert len(workspace.BenchmarkNet("n", 1, 2, True)) == 3
    printed = capsys.readouterr().out
    assert "Operator #1 (y, Relu)" in printed
    assert "Time per operator type:" in printed
    assert len(workspace.BenchmarkNet("n", 1, 2, False)) == 1


def test_predictor() -> None:
    workspace.FeedBlob("outside", np.full(2, 5, np.float32))
    init = net_of(constant("w", 3.0), name="init")
    predict = net_of(core.CreateOperator("Sum", ["x", "w", "outside"], "y"), name="predict")
    predict.Proto().external_input.extend(["x", "w"])
    predict.Proto().external_output.append("y")
    predictor = workspace.Predictor(init.Proto().SerializeToString(), predict.Proto().SerializeToString())
    x = np.ones(2, np.float32)
    assert [y.tolist() for y in predictor.run([x])] == [[9, 9]]
    assert [y.tolist() for y in predictor.run({"x": 2 * x})] == [[10, 10]]
    assert workspace.Blobs() == ["outside"]
    with pytest.raises(NetError, match="net 'predict': the net has 2 external inputs, got 3"):
        predictor.run([x, x, x])
    with pytest.raises(MissingBlobError, match="net 'predict': 'z' is no external input"):
        predictor.run({"z": x})


def test_shapes() -> None:
    net = net_of(core.CreateOperator("FC", ["x", "w", "b"], "y"), core.CreateOperator("Relu", "y", "z"))
    dims = {"x": [4, 3], "w": [2, 3], "b": [2]}
    shapes, types = workspace.InferShapesAndTypes([net], blob_dimensions=dims)
    assert shapes == {**dims, "y": [4, 2], "z": [4, 2]}
    assert set(types.values()) == {core.DataType.FLOAT}
    workspace.FeedBlob("x", np.ones((4, 3), np.int32))
    shapes, types = workspace.InferShapesAndTypes([core.Net("empty").Proto()], nets_proto=True)
    assert (shapes, types) == ({"x": [4, 3]}, {"x": core.DataType.INT32})
    with pytest.raises(NetError, match="net 'n': operator FC"):
        workspace.InferShapesAndTypes([net], blob_dimensions={**dims, "w": [2, 4]})


def test_a_workspace_as_an_object_writes_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = workspace.C.Workspace()
    made.create_blob("x").feed(np.ones(2, np.float32))
    made._run_operator(
        core.CreateOperator("Save", ["x"], [], db="x.minidb", db_type="minidb").SerializeToString()
    )
    assert (tmp_path / "x.minidb").exists()
