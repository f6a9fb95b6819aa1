"""Nets as ONNX models, predictor pairs and state_dicts, by `freshpot convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from freshpot.cli import main
from freshpot.convert.netdef import net_from_bytes
from freshpot.convert.onnx import converters, to_onnx
from freshpot.engine import Workspace
from freshpot.errors import MissingBlobError, NotSupportedError
from freshpot.formats.onnx import MESSAGES
from freshpot.net import Net, Op, registry
from freshpot.torch import module

HEAD = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 9 dim: 9 } } }"""
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
NETS = {
    "LeNet": """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 FILL } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" inner_product_param { num_output: 8 FILL } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }""",
    "CaffeNet": """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 FILL } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool1" top: "pool1" }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc" inner_product_param { num_output: 5 FILL } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
    "SqueezeNet": """
layer { name: "squeeze" type: "Convolution" bottom: "data" top: "squeeze"
  convolution_param { num_output: 3 kernel_size: 1 FILL } }
layer { name: "e1" type: "Convolution" bottom: "squeeze" top: "e1"
  convolution_param { num_output: 4 kernel_size: 1 FILL } }
layer { name: "e3" type: "Convolution" bottom: "squeeze" top: "e3"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 FILL } }
layer { name: "cat" type: "Concat" bottom: "e1" bottom: "e3" top: "cat" }
layer { name: "pool" type: "Pooling" bottom: "cat" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "last" type: "Pooling" bottom: "pool" top: "last" pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "last" top: "prob" }""",
    "ResNet": """
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 FILL } }
layer { name: "bn" type: "BatchNorm" bottom: "c1" top: "bn" }
layer { name: "sc" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true filler { value: 1.5 } } }
layer { name: "sum" type: "Eltwise" bottom: "bn" bottom: "data" top: "sum" eltwise_param { coeff: 1 coeff: 0.5 } }
layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" relu_param { negative_slope: 0.1 } }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" inner_product_param { num_output: 5 FILL } }""",
    "MobileNet": """
layer { name: "dw" type: "Convolution" bottom: "data" top: "dw"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 4 FILL } }
layer { name: "act" type: "PReLU" bottom: "dw" top: "act" prelu_param { filler { value: 0.3 } } }
layer { name: "up" type: "Deconvolution" bottom: "act" top: "up"
  convolution_param { num_output: 3 kernel_size: 2 stride: 2 FILL } }
layer { name: "power" type: "Power" bottom: "up" top: "power" power_param { power: 2 scale: 0.5 shift: 1 } }
layer { name: "flat" type: "Flatten" bottom: "power" top: "flat" }
layer { name: "sig" type: "Sigmoid" bottom: "flat" top: "sig" }""",
}  # fmt: skip


def written(name: str, folder: Path) -> tuple[caffe.Net, Path, Path]:
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(HEAD + NETS[name].replace("FILL", FILL))
    caffe.set_random_seed(3)
    net = caffe.Net(str(path), caffe.TEST)
    if "bn" in net.params:
        rng = np.random.default_rng(0)
        for i, blob in enumerate(net.params["bn"]):
            blob.data[...] = [2.0] if i == 2 else rng.random(4) + 0.5
    net.save(str(weights))
    net.blobs["data"].data[...] = np.random.default_rng(1).standard_normal((2, 4, 9, 9))
    net.forward()
    return net, path, weights


def result(net: caffe.Net) -> np.ndarray:
    return net.blobs[net.outputs[0]].data.copy()


@pytest.mark.parametrize("name", NETS)
def test_caffe_to_onnx(name: str, tmp_path: Path) -> None:
    """The model's structure: inputs, outputs, parameters, each name made before it is read."""
    net, path, weights = written(name, tmp_path)
    assert main(["convert", str(path), str(weights), str(tmp_path / "net.onnx")]) == 0
    model = MESSAGES.ModelProto.FromString((tmp_path / "net.onnx").read_bytes())
    graph = model.graph
    assert (model.ir_version, model.opset_import[0].version) == (7, 13)
    assert [(i.name, [d.dim_value for d in i.type.tensor_type.shape.dim]) for i in graph.input] == [
        ("data", [2, 4, 9, 9])
    ]
    assert [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output] == [
        list(result(net).shape)
    ]
    known = {"data"} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        assert known.issuperset(node.input), node
        assert known.isdisjoint(node.output), node
        known.update(node.output)
    assert graph.output[0].name in known
    kept = {tensor.name: tensor for tensor in graph.initializer}
    for layer in net.params:
        if layer not in ("bn", "act"):
            data = net.params[layer][0].data
            (found,) = [
                t for n, t in kept.items() if n.startswith(layer) and list(t.dims) == list(data.shape)
            ][:1]
            np.testing.assert_array_equal(np.frombuffer(found.raw_data, "<f4").reshape(data.shape), data)


@pytest.mark.parametrize("name", NETS)
def test_onnx_runtime_gives_what_caffe_gives(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx package checks the model; it is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    net, path, weights = written(name, tmp_path)
    target = str(tmp_path / "net.onnx")
    assert main(["convert", str(path), str(weights), target]) == 0
    onnx.checker.check_model(target, full_check=True)
    session = runtime.InferenceSession(target)
    (found,) = session.run(None, {"data": net.blobs["data"].data.copy()})
    np.testing.assert_allclose(found, result(net), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_caffe_to_a_predictor_pair(name: str, tmp_path: Path) -> None:
    net, path, weights = written(name, tmp_path)
    assert main(["convert", str(path), str(weights), str(tmp_path / "pair")]) == 0
    workspace = Workspace()
    workspace.run_once(net_from_bytes((tmp_path / "pair/init_net.pb").read_bytes()))
    workspace.feed("data", torch.from_numpy(net.blobs["data"].data.copy()))
    predict = net_from_bytes((tmp_path / "pair/predict_net.pb").read_bytes())
    workspace.run_once(predict)
    found = workspace.get(predict.outputs[0]).numpy()
    np.testing.assert_allclose(found, result(net).reshape(found.shape), rtol=1e-5, atol=1e-6)


def test_a_pair_and_a_state_dict_again(tmp_path: Path) -> None:
    net, path, weights = written("CaffeNet", tmp_path)
    assert main(["convert", str(path), str(weights), str(tmp_path / "pair")]) == 0
    pair = [str(tmp_path / "pair" / f"{part}_net.pb") for part in ("predict", "init")]
    assert main(["convert", *pair, str(tmp_path / "again.onnx"), "--shape", "data=2,4,9,9"]) == 0
    assert main(["convert", str(path), str(weights), str(tmp_path / "state.pt")]) == 0
    made = module(path)
    made.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    x = torch.from_numpy(net.blobs["data"].data.copy())
    np.testing.assert_allclose(made(x).detach().numpy(), result(net), rtol=1e-5, atol=1e-6)


def test_all_that_cannot_be_written_is_named() -> None:
    ops = [
        Op("ReplaceNaN", ["x"], ["y"]),
        Op("MergeDim", ["y"], ["z"]),
        Op("Dropout", ["z"], ["w", "m"], {"is_test": 0}),
    ]
    with pytest.raises(
        NotSupportedError, match=r"ReplaceNaN has no(.|\n)*MergeDim has no(.|\n)*form for use"
    ):
        to_onnx(Net("n", ops), {}, {"x": ((2, 3), torch.float32)}, ["w"])
    with pytest.raises(MissingBlobError, match="no value and no shape for x"):
        to_onnx(Net("n", ops), {}, {}, ["w"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.prototxt", "a.onnx"], "there is no such file"),
        (["net.txt", "a.onnx"], "SRC must be"),
        (["a.caffemodel", "a.onnx"], "It holds weights: name its net first, NET.prototxt."),
        (["net.prototxt", "a.doc"], "give FILE.onnx"),
        (["net.prototxt", "a.onnx", "--shape", "data=0,2"], "sizes greater than 0"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    written("LeNet", tmp_path)
    assert main(["convert", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


def test_every_converter_is_of_an_operator() -> None:
    assert all(registry.get(type) for type in converters())
