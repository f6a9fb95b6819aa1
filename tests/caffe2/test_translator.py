"""Caffe nets through the original's translator: files, Caffe's sizes, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import net_cases
import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe2.proto import caffe2_pb2
from caffe2.python import caffe_translator, workspace
from freshpot.errors import ArgumentError, DTypeError

NET = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 16 dim: 16 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.1 } bias_filler { type: "constant" value: 0.3 } } }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "r1" type: "ReLU" bottom: "p1" top: "p1" }
layer { name: "ip" type: "InnerProduct" bottom: "p1" top: "ip" inner_product_param { num_output: 5
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.mark.parametrize("options", [[], ["--remove_legacy_pad", "--input_dims", "2", "3", "16", "16"]])
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deploy.prototxt").write_text(NET)
    net = caffe.Net("deploy.prototxt", caffe.TEST)
    net.save("net.caffemodel")
    assert caffe_translator.main(["deploy.prototxt", "net.caffemodel", *options]) == 0
    data = np.random.RandomState(0).randn(2, 3, 16, 16).astype(np.float32)
    net.blobs["data"].data[...] = data
    wanted = net.forward()["prob"]
    init, predict = Path("init_net.pb").read_bytes(), Path("predict_net.pb").read_bytes()
    np.testing.assert_allclose(
        workspace.Predictor(init, predict).run([data])[0], wanted, rtol=1e-5, atol=1e-6
    )
    made = caffe2_pb2.NetDef.FromString(predict)
    assert list(made.external_input) == ["data", "c1_w", "c1_b", "ip_w", "ip_b"]
    args = {arg.name: arg.i for arg in made.op[1].arg}
    if options:
        assert "legacy_pad" not in args
        assert (args["pad_r"], args["pad_b"], args["pad_l"]) == (1, 1, 0)
    else:
        assert args["legacy_pad"] == 3
    assert text_format.Parse(Path("predict_net.pbtxt").read_text(), caffe2_pb2.NetDef()) == made


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.prototxt").write_text('layer { name: "a" type: "AbsVal" bottom: "x" top: "y" }')
    (tmp_path / "a.caffemodel").write_bytes(b"")
    files = [str(tmp_path / "a.prototxt"), str(tmp_path / "a.caffemodel")]
    assert caffe_translator.main(files) == 1
    assert "layer 'a' (AbsVal): no translator is registered" in capsys.readouterr().err
    assert caffe_translator.main([files[0], str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_ones_own_translator() -> None:
    @caffe_translator.TranslatorRegistry.Register("Mine")
    def mine(layer: Any, blobs: Any, is_test: bool, **kwargs: Any) -> Any:
        op = caffe_translator.BaseTranslate(layer, "LeakyRelu")
        caffe_translator.AddArgument(op, "alpha", 0.5)
        return op, []

    try:
        net, trained = net_cases.caffe_pair('layer { name: "a" type: "Mine" bottom: "x" top: "y" }')
        made, _ = caffe_translator.TranslateModel(net, trained)
    finally:
        del caffe_translator.TranslatorRegistry.registry_["Mine"]
    assert (made.op[0].type, made.op[0].arg[0].f) == ("LeakyRelu", 0.5)


def layer(kind: str, param: str = "", name: str = "x") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "a" top: "y" {param} }}'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            layer("Convolution", "convolution_param { kernel_size: 3 kernel_size: 5 }", "c1"),
            "non-conventional",
        ),
        (layer("Convolution"), "the trained net has 0 arrays for it, 1 are needed"),
        (layer("Deconvolution", "convolution_param { group: 2 }", "d"), "group deconvolution"),
        (layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"), "only MAX and AVE"),
        (layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"), "norm region"),
        (layer("InnerProduct", "inner_product_param { axis: 2 }", "ip"), "only axis 1"),
        (layer("InnerProduct", "", "c1"), r"shape \(4, 3, 3, 3\)"),
        (layer("Eltwise", "eltwise_param { operation: MAX }"), "only a sum"),
        (layer("Scale"), "only one bottom, one axis"),
        (layer("Flatten", "flatten_param { axis: 2 }"), "only axis 0 or 1"),
        (layer("Reduction", "reduction_param { axis: 1 }"), "counted from the back"),
        ('layers { name: "x" type: RELU bottom: "a" top: "y" }', "new style layers"),
    ],
)
def test_what_is_refused(text: str, match: str) -> None:
    net, trained = net_cases.caffe_pair(text)
    with pytest.raises(caffe_translator.LayerError, match=match):
        caffe_translator.TranslateModel(net, trained)


def test_other_errors() -> None:
    net, trained = net_cases.caffe_pair(layer("ReLU"))
    with pytest.raises(ArgumentError, match="specify input_dims"):
        caffe_translator.TranslateModel(net, trained, remove_legacy_pad=True)
    trained.layer.add(name="x")
    trained.layer.add(name="x")
    with pytest.raises(caffe_translator.LayerError, match="more than one pretrained layer"):
        caffe_translator.TranslateModel(net, trained)
    zero, trained = net_cases.caffe_pair(layer("BatchNorm", "", "bn"))
    trained.layer[1].blobs[2].data[0] = 0
    with pytest.raises(caffe_translator.LayerError, match="scalar is zero"):
        caffe_translator.TranslateModel(zero, trained)
    params = caffe2_pb2.TensorProtos()
    params.protos.add(name="p", int32_data=[1])
    with pytest.raises(DTypeError, match="parameter 'p'"):
        caffe_translator.ConvertTensorProtosToInitNet(params, "data")
