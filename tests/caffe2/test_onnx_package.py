"""ONNX models in and out, by the original's calls; without the package onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe2.python.onnx.backend as backend
from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, workspace
from caffe2.python.onnx import frontend, helper
from caffe2.python.onnx.workspace import Workspace
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DeviceError,
    FormatError,
    MissingBlobError,
    NotSupportedError,
)
from freshpot.formats.onnx import MESSAGES, write_model

DATA = np.random.RandomState(0).randn(2, 3, 8, 8).astype(np.float32)
INFO = {"data": (1, (2, 3, 8, 8))}


def pair() -> tuple[Any, Any]:
    """An init_net and a predict_net of some layers."""
    model = model_helper.ModelHelper(name="m", arg_scope={"order": "NCHW"})
    conv = brew.conv(model, "data", "conv", 3, 4, kernel=3)
    pool = brew.max_pool(model, brew.relu(model, conv, conv), "pool", kernel=2, stride=2)
    brew.softmax(model, brew.fc(model, pool, "fc", 36, 5), "prob")
    workspace.RunNetOnce(model.param_init_net)
    init = core.Net("init")
    for param in model.params:
        value = workspace.FetchBlob(param)
        init.GivenTensorFill([], str(param), shape=value.shape, values=value.flatten().tolist())
    predict = model.net.Proto()
    predict.external_output[:] = ["prob"]
    return init.Proto(), predict


def test_out_and_in_again(tmp_path: Path) -> None:
    init, predict = pair()
    before = predict.SerializeToString()
    _, wanted = helper.c2_native_run_net(init, predict, [DATA])
    model = frontend.caffe2_net_to_onnx_model(predict, init, INFO)
    assert predict.SerializeToString() == before
    assert frontend.caffe2_net_to_onnx_graph(predict, init, INFO).node[0].op_type == "Conv"
    write_model(tmp_path / "net.onnx", model)
    for given in (model, model.SerializeToString(), tmp_path / "net.onnx", str(tmp_path / "net.onnx")):
        rep = backend.prepare(given)
        for inputs in (DATA, [DATA], (DATA,), {"data": DATA}):
            made = rep.run(inputs)
            np.testing.assert_allclose(made[0], wanted.prob, rtol=1e-5, atol=1e-6)
        assert made.prob is made["prob"]
    np.testing.assert_allclose(backend.run_model(model, DATA).prob, wanted[0], rtol=1e-5, atol=1e-6)
    assert backend.is_compatible(model)
    init_again, predict_again = backend.Caffe2Backend.onnx_graph_to_caffe2_net(model)
    assert (init_again.name, predict_again.name) == ("m_init", "m_predict")
    result = workspace.Predictor(init_again.SerializeToString(), predict_again.SerializeToString()).run(
        [DATA]
    )
    np.testing.assert_allclose(result[0], wanted.prob, rtol=1e-5, atol=1e-6)


def test_an_input_that_the_init_net_fills_for_predictors() -> None:
    init, predict = pair()
    init.op.add(type="ConstantFill", output=["data"]).arg.add(name="shape", ints=[1])
    model = frontend.caffe2_net_to_onnx_model(predict, init, INFO)
    assert [info.name for info in model.graph.input] == ["data"]
    names = [tensor.name for tensor in frontend.caffe2_init_net_to_initializer(init)]
    assert names == ["conv_b", "conv_w", "data", "fc_b", "fc_w"]


def test_one_node() -> None:
    node = MESSAGES.NodeProto(op_type="Relu", input=["x"], output=["y"])
    x = np.array([-1.0, 2.0], np.float32)
    assert backend.run_node(node, [x]).y.tolist() == [0, 2]
    assert backend.run_node(node.SerializeToString(), {"x": x})[0].tolist() == [0, 2]
    node = MESSAGES.NodeProto(op_type="Reshape", input=["x", "shape"], output=["y"])
    assert backend.run_node(node, [DATA, np.array([2, -1])])[0].shape == (2, 192)


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert backend.supports_device("CUDA:0") == workspace.has_gpu_support
    assert not backend.supports_device("TPU")
    assert backend.get_device_option("CUDA:1").device_id == 1


def test_one_name_a_value() -> None:
    net = core.Net("n")
    net.Relu("x", "y")
    net.Relu("y", "y")
    net.Sum(["y", "x"], "z")
    net.Proto().external_output.append("y")
    frontend.ssa_rewrite(net.Proto(), None, {})
    assert [(list(op.input), list(op.output)) for op in net.Proto().op] == [
        (["x"], ["y_1"]),
        (["y_1"], ["y_2"]),
        (["y_2", "x"], ["z"]),
    ]
    assert list(net.Proto().external_output) == ["y_2"]
    with pytest.raises(AssertionError, match="type is Relu"):
        frontend.ssa_rewrite(net.Proto(), net.Proto(), {})


def test_workspaces_of_their_own() -> None:
    workspace.FeedBlob("x", np.zeros(1))
    ws = Workspace()
    ws.FeedBlob("x", np.ones(2))
    assert workspace.FetchBlob("x").tolist() == [0]
    assert ws.FetchBlob("x").tolist() == [1, 1]
    with pytest.raises(AttributeError):
        _ = ws.NoSuchFunction


def test_files_and_times(tmp_path: Path) -> None:
    init, predict = pair()
    helper.save_caffe2_net(predict, str(tmp_path / "net.pb"), output_txt=True)
    assert helper.load_caffe2_net(str(tmp_path / "net.pb")) == predict
    assert (tmp_path / "net.pbtxt").read_text().startswith('name: "m')
    fill = init.op.add(type="GivenTensorFill", output=["data"])
    fill.arg.add(name="shape", ints=DATA.shape)
    fill.arg.add(name="values", floats=DATA.flatten())
    assert helper.benchmark_caffe2_model(init, predict, 1, 2) > 0
    assert helper.benchmark_pytorch_model(np.sum, [DATA], warmup_iters=1, main_iters=1) > 0
    op = caffe2_pb2.OperatorDef(type="Relu", input=["x"], output=["0"])
    ws, made = helper.c2_native_run_op(op, [np.array([-1.0], np.float32)])
    assert made["0"].tolist() == [0] == ws.FetchBlob("0").tolist()
    assert helper.c2_native_run_op(op, {"x": np.ones(1, np.float32)})[1][0].tolist() == [1]


def cases() -> list[tuple[type[Exception], str, Any]]:
    node = MESSAGES.NodeProto(op_type="Relu", input=["x"], output=["y"])
    relu = caffe2_pb2.OperatorDef(type="Relu", input=["x"], output=["y"])
    net = caffe2_pb2.NetDef(name="n", op=[relu], external_input=["x"], external_output=["y"])
    unknown = caffe2_pb2.NetDef(name="n", external_input=["x"], external_output=["y"])
    unknown.op.add(type="Perplexity", input=["x"], output=["y"])
    x = np.ones(1, np.float32)
    spec = {"x": (1, (1,))}
    model = frontend.caffe2_net_to_onnx_model(net, None, spec)
    return [
        (FormatError, "an ONNX ModelProto is wanted, got int", lambda: backend.prepare(3)),
        (FormatError, "ModelProto", lambda: backend.prepare(b"\xff\xff\xff")),
        (DeviceError, "device is 'TPU'", lambda: backend.prepare(model, "TPU")),
        (NotSupportedError, "raw_values_dict", lambda: backend.prepare(model, raw_values_dict={"a": b""})),
        (ArityError, r"Expected 1 values .*\(x\), but got 2", lambda: backend.run_model(model, [x, x])),
        (ArityError, "Relu: expected 1 but got 2", lambda: backend.run_node(node, [x, x])),
        (ArgumentError, "as a name -> ", lambda: frontend.caffe2_net_to_onnx_model(net, None, [1])),
        (ArgumentError, "'x': 99", lambda: frontend.caffe2_net_to_onnx_model(net, None, {"x": (99, (1,))})),
        (MissingBlobError, "info of inputs: x", lambda: frontend.caffe2_net_to_onnx_model(net)),
        (NotSupportedError, "Perplexity", lambda: frontend.caffe2_net_to_onnx_model(unknown, None, spec)),
        (ArityError, "has 1 inputs, 2 were given", lambda: helper.c2_native_run_op(relu, [x, x])),
        (ArityError, "has 1 external inputs, 2", lambda: helper.c2_native_run_net(None, net, [x, x])),
        (OSError, "nowhere", lambda: helper.load_caffe2_net("nowhere.pb")),
    ]


@pytest.mark.parametrize("i", range(13))
def test_what_is_refused(i: int) -> None:
    error, match, act = cases()[i]
    with pytest.raises(error, match=match):
        act()


def test_not_every_model_is_compatible() -> None:
    model = MESSAGES.ModelProto(ir_version=7)
    model.opset_import.add(domain="", version=13)
    model.graph.node.add(op_type="NoSuchOperator", output=["y"])
    model.graph.output.add(name="y")
    assert not backend.is_compatible(model)
