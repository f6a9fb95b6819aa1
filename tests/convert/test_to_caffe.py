"""Nets written as prototxt and caffemodel: Caffe's outputs are the net's; and the table of files of docs/convert.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_models import model, node
from test_onnx import NETS, result, written
from test_to_onnx import (
    IMAGE,
    MARKS,
    POSITIVE,
    RNG,
    ROWS,
    Arrays,
    by_engine,
    caffe_lstm,
    caffe_rnn,
    numbers,
    op,
)
from test_to_onnx import NETS as WHOLE
from test_to_onnx import layers as recurrent

import caffe
from freshpot.cli import main
from freshpot.convert.netdef import net_to_proto
from freshpot.convert.pair import write_pair
from freshpot.convert.to_caffe import converters, to_caffe, write_caffe
from freshpot.errors import DTypeError, MissingBlobError, NotSupportedError
from freshpot.net import Net, Op, registry
from freshpot.torch import _files as command

C4 = (np.abs(RNG.standard_normal(4)) + 0.5).astype("f4")
W, WT = numbers(6, 2, 3, 3), numbers(4, 3, 3, 3)
BN = {"s": C4, "b": -C4, "m": C4 - 1, "v": C4 * 2}

#: name -> operator, x, fixed values, outputs
CASES: dict[str, tuple[Op, np.ndarray, Arrays, Sequence[str]]] = {
    **{name: (op(name), IMAGE, {}, ["y"]) for name in ("Relu", "Sigmoid", "Tanh", "Abs", "BNLL", "Softplus", "Sqr",
                                                      "Cube",
                                                      "Negative", "Exp", "Copy", "Swish", "FlattenToVec")},
    **{name: (op(name), POSITIVE, {}, ["y"]) for name in ("Log", "Sqrt", "Rsqrt", "Reciprocal")},
    "LeakyRelu": (op("LeakyRelu", alpha=0.2), ROWS, {}, ["y"]),
    "Elu": (op("Elu", alpha=0.5), ROWS, {}, ["y"]),
    "PRelu": (op("PRelu", "x s"), IMAGE, {"s": C4}, ["y"]),
    "PRelu, one": (op("PRelu", "x s"), IMAGE, {"s": C4[:1]}, ["y"]),
    "Clip": (op("Clip", min=-0.5, max=0.25), ROWS, {}, ["y"]),
    "CaffeSwish": (op("CaffeSwish", "x", "y s", beta=0.5), ROWS, {}, ["y"]),
    "Threshold": (op("Threshold", threshold=0.2), ROWS, {}, ["y"]),
    "CaffeExp": (op("CaffeExp", base=2.0, scale=0.5, shift=1.0), ROWS, {}, ["y"]),
    "CaffeLog": (op("CaffeLog", base=2.0, scale=0.5, shift=1.0), POSITIVE, {}, ["y"]),
    "Pow": (op("Pow", exponent=1.5), POSITIVE, {}, ["y"]),
    "Scale": (op("Scale", scale=0.3), ROWS, {}, ["y"]),
    "Dropout": (op("Dropout", ratio=0.3, is_test=1), ROWS, {}, ["y"]),
    "Softmax": (op("Softmax"), ROWS, {}, ["y"]),
    "CaffeSoftmax": (op("CaffeSoftmax", axis=1), IMAGE, {}, ["y"]),
    "Conv": (op("Conv", "x w b", kernel=3, group=2, pads=[1, 0, 1, 0], strides=[1, 2]), IMAGE,
             {"w": W, "b": numbers(6)}, ["y"]),
    "ConvRelu": (op("ConvRelu", "x w", kernel=3, group=2, dilation=2), IMAGE, {"w": W}, ["y"]),
    "ConvTranspose": (op("ConvTranspose", "x w b", kernel=3, stride=2, pad=1), IMAGE, {"w": WT, "b": numbers(3)},
                      ["y"]),
    "Deconvolution": (op("Deconvolution", "x w", kernels=[3, 3], strides=[2, 1], pads=[0, 1, 0, 1], dilations=[1, 1]),
                      IMAGE, {"w": WT}, ["y"]),
    "FC": (op("FC", "x w b"), IMAGE, {"w": numbers(5, 192), "b": numbers(5)}, ["y"]),
    "FC, another axis": (op("FC", "x w b", axis=3), IMAGE, {"w": numbers(5, 8), "b": numbers(5)}, ["y"]),
    "MatMul": (op("MatMul", "x w"), ROWS, {"w": numbers(ROWS.shape[1], 4)}, ["y"]),
    "MatMul, of images": (op("MatMul", "x w"), IMAGE, {"w": numbers(192, 4)}, ["y"]),
    "MatMul, turned": (op("MatMul", "x w", trans_b=1), ROWS, {"w": numbers(4, ROWS.shape[1])}, ["y"]),
    "BatchMatMul": (op("BatchMatMul", "x w", broadcast=1), numbers(2, 3, 5), {"w": numbers(5, 4)}, ["y"]),
    "ConstantFill": (op("ConstantFill", "x", input_as_shape=0, value=0.5), ROWS, {}, ["y"]),
    "MaxPool": (op("MaxPool", kernel=2, stride=2), IMAGE, {}, ["y"]),
    "MaxPool, rounded down": (op("MaxPool", kernel=3, stride=2), IMAGE, {}, ["y"]),
    "MaxPool, a longer tail": (op("MaxPool", kernel=3, stride=2, pads=[0, 0, 1, 1]), IMAGE, {}, ["y"]),
    "MaxPool, padded": (op("MaxPool", kernel=3, stride=2, pad=1), IMAGE, {}, ["y"]),
    "MaxPool, Caffe's sizes": (op("MaxPool", kernel=3, stride=2, legacy_pad=3), IMAGE, {}, ["y"]),
    "MaxPool, global": (op("MaxPool", global_pooling=1), IMAGE, {}, ["y"]),
    "AveragePool": (op("AveragePool", kernel=3, stride=2), IMAGE, {}, ["y"]),
    "AveragePool, padding counts": (op("AveragePool", kernel=3, pad=1, count_include_pad=1), IMAGE, {}, ["y"]),
    "AdaptiveAveragePool": (op("AdaptiveAveragePool", sizes=[1, 1]), IMAGE, {}, ["y"]),
    "LRN": (op("LRN", "x", "y s", size=3, alpha=0.1, beta=0.5, bias=2.0), IMAGE, {}, ["y"]),
    "SpatialBN": (op("SpatialBN", "x s b m v", is_test=1, epsilon=0.01), IMAGE, BN, ["y"]),
    "MVN": (op("MVN", "x", "y d", across_channels=1), IMAGE, {}, ["y"]),
    "Embed": (op("Embed", "x w b"), np.array([[1, 0, 2]], "f4"), {"w": ROWS, "b": ROWS[0].copy()}, ["y"]),
    "Bias": (op("Bias", "x b", axis=1), IMAGE, {"b": C4}, ["y"]),
    "CaffeScale": (op("CaffeScale", "x s b", axis=1), IMAGE, {"s": C4, "b": -C4}, ["y"]),
    "Sum": (op("Sum", "x x2"), IMAGE, {}, ["y"]),
    "Max": (op("Max", "x x2"), IMAGE, {}, ["y"]),
    "Add": (op("Add", "x x2"), IMAGE, {}, ["y"]),
    "Sub": (op("Sub", "x x2"), IMAGE, {}, ["y"]),
    "Mul": (op("Mul", "x x2"), IMAGE, {}, ["y"]),
    "Add, a number": (op("Add", "x c"), IMAGE, {"c": np.float32([0.5])}, ["y"]),
    "Sub, from a number": (op("Sub", "c x"), IMAGE, {"c": np.float32([0.5])}, ["y"]),
    "Sub, a number a channel": (op("Sub", "c x"), IMAGE, {"c": C4.reshape(4, 1, 1)}, ["y"]),
    "Mul, a number a channel": (op("Mul", "x c", broadcast=1, axis=1), IMAGE, {"c": C4}, ["y"]),
    "Div": (op("Div", "x c", broadcast=1, axis=1), IMAGE, {"c": C4}, ["y"]),
    "Eltwise": (op("Eltwise", "x x2", operation="SUM", coeff=[0.5, -2.0]), IMAGE, {}, ["y"]),
    "Concat": (op("Concat", "x x2", "y i", axis=2), IMAGE, {}, ["y"]),
    "Flatten": (op("Flatten", axis=2), IMAGE, {}, ["y"]),
    "Reshape": (op("Reshape", "x", "y o", shape=[0, -1, 4]), IMAGE, {}, ["y"]),
    "Squeeze": (op("Squeeze", dims=[1]), IMAGE[:, :1].copy(), {}, ["y"]),
    "ExpandDims": (op("ExpandDims", dims=[2]), ROWS, {}, ["y"]),
    "Split": (op("Split", "x", "y z", axis=1, split=[1, 3]), IMAGE, {}, ["y", "z"]),
    "Slice": (op("Slice", starts=[0, 1, 0, 0], ends=[-1, 3, -1, -1]), IMAGE, {}, ["y"]),
    "Tile": (op("Tile", tiles=3, axis=1), ROWS, {}, ["y"]),
    "Reduction": (op("Reduction", axis=1, operation="SUMSQ", coeff=0.5), IMAGE, {}, ["y"]),
    "ReduceSum": (op("ReduceSum", axes=[1, 2, 3]), IMAGE, {}, ["y"]),
    "ReduceMean": (op("ReduceMean", axes=[2, 3], keepdims=0), IMAGE, {}, ["y"]),
    "ReduceL1": (op("ReduceL1", axes=[3], keepdims=0), IMAGE, {}, ["y"]),
    "CaffeArgMax": (op("CaffeArgMax", axis=1, top_k=2), ROWS, {}, ["y"]),
}  # fmt: skip
for _make in (caffe_lstm, caffe_rnn):
    for _static in (False, True):
        _op, _fixed, _outputs = _make(_static)
        _zero = {
            name: np.zeros_like(value) if name in ("h", "c") else value for name, value in _fixed.items()
        }
        CASES[f"{_make.__name__} {_static}"] = (_op, numbers(5, 2, 3), _zero, ["y"])


def by_caffe(path: Path, feeds: Arrays) -> dict[str, np.ndarray]:
    net = caffe.Net(str(path), str(path.with_suffix(".caffemodel")), caffe.TEST)
    for blob, value in feeds.items():
        net.blobs[blob].data[...] = value
    net.forward()
    return {blob: net.blobs[blob].data.copy() for blob in net.outputs}


@pytest.mark.parametrize("name", CASES)
def test_operators(name: str, tmp_path: Path) -> None:
    step, x, fixed, outputs = CASES[name]
    feeds: Arrays = {"x": x}
    for blob, like in (("x2", IMAGE), ("cont", MARKS), ("xs", fixed.get("xs"))):
        if blob in step.inputs and like is not None:
            feeds[blob] = numbers(*like.shape) if blob == "x2" else like
    fixed = {blob: value for blob, value in fixed.items() if blob not in feeds}
    net = Net("n", [step])
    parameters = {blob: torch.from_numpy(value) for blob, value in fixed.items()}
    inputs = {blob: (value.shape, torch.float32) for blob, value in feeds.items()}
    path = tmp_path / "net.prototxt"
    write_caffe(path, net, parameters, inputs, outputs)
    found = by_caffe(path, feeds)
    assert set(found) == set(outputs)
    for blob, wanted in zip(outputs, by_engine(net, {**feeds, **fixed}, outputs), strict=True):
        assert found[blob].shape == wanted.shape
        np.testing.assert_allclose(found[blob], wanted, rtol=1e-4, atol=1e-5)


def test_every_converter_is_tested() -> None:
    tested = {step.type for step, *_ in CASES.values()}
    rest = {
        "InnerProduct",
        "CaffeMaxPool",
        "CaffeAveragePool",
        "BatchNorm",
        "Power",
        "CaffeReLU",
    }  # in whole nets
    assert set(converters()) - tested == rest | {
        "CaffeClip",
        "StopGradient",
        "Alias",
        "CaffeKeep",
        "ResizeLike",
        "RecurrentLayers",
        "LSTMUnit",
    }
    assert all(registry.get(type) for type in converters())


#: name -> operator, data by blob, fixed values
RECURRENT: dict[str, tuple[Op, Arrays, Arrays]] = {}
for _name, _more, _shape in (
    ("a layer", {}, (5, 2, 3)),
    ("two layers", {"count": 2}, (5, 2, 3)),
    ("without biases", {"biases": 0}, (5, 2, 3)),
    ("one sequence in front", {"batch_first": 1}, (1, 5, 3)),
    ("one step of sequences in front", {"batch_first": 1}, (3, 1, 3)),
):
    _op, _fixed, _ = recurrent("lstm", 4, 1, **_more)
    _batch = _shape[0] if "batch_first" in _more else _shape[1]
    _states = {blob: numbers(*(_more.get("count", 1), _batch, 4)) for blob in _op.inputs[1:3]}
    _weights = {blob: value for blob, value in _fixed.items() if blob not in _states}
    RECURRENT[_name] = (_op, {"x": numbers(*_shape), **_states}, _weights)
_zeros = {blob: np.zeros((2, 2, 4), "f4") for blob in RECURRENT["two layers"][0].inputs[1:3]}
RECURRENT["two layers from zero"] = (
    RECURRENT["two layers"][0],
    {"x": numbers(5, 2, 3)},
    {**RECURRENT["two layers"][2], **_zeros},
)
_unit = {"h": numbers(1, 2, 3), "c": numbers(1, 2, 3), "x": numbers(1, 2, 12)}
RECURRENT["a step"] = (op("LSTMUnit", "h c x t", "y d", sequence_lengths=0), _unit, {"t": np.int32([0])})
RECURRENT["a step that forgets less"] = (
    op("LSTMUnit", "h c x t", "y d", sequence_lengths=0, forget_bias=0.5),
    _unit,
    {"t": np.int32([0])},
)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name: str, tmp_path: Path) -> None:
    """All outputs, the last states too; twice: the layers keep nothing between runs."""
    step, feeds, fixed = RECURRENT[name]
    net = Net("n", [step])
    parameters = {blob: torch.from_numpy(value) for blob, value in fixed.items()}
    inputs = {blob: (value.shape, torch.float32) for blob, value in feeds.items()}
    path = tmp_path / "net.prototxt"
    write_caffe(path, net, parameters, inputs, step.outputs)
    made = caffe.Net(str(path), str(path.with_suffix(".caffemodel")), caffe.TEST)
    wanted = by_engine(net, {**feeds, **fixed}, step.outputs)
    for _ in range(2):
        for blob, value in feeds.items():
            if blob in made.blobs:
                made.blobs[blob].data[...] = value
        made.forward()
        for blob, value in zip(step.outputs, wanted, strict=True):
            np.testing.assert_allclose(made.blobs[blob].data, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "gru"}, "for LSTM read forwards alone"),
        ({"bidirectional": 1}, "for LSTM read forwards alone"),
        ({"batch_first": 1}, r"turns \(batch, steps\) round"),
        ({"dropout": 0.5, "is_test": 0}, "form for use"),
    ],
)
def test_recurrent_layers_that_caffe_has_not(change: dict[str, Any], words: str) -> None:
    kind = str(change.get("kind", "lstm"))
    step, fixed, _ = recurrent(kind, 3 if kind == "gru" else 4, 1 + change.get("bidirectional", 0))
    step.args.update(change)
    parameters = {blob: torch.from_numpy(value) for blob, value in fixed.items()}
    with pytest.raises(NotSupportedError, match=words):
        to_caffe(Net("n", [step]), parameters, {"x": ((5, 2, 3), torch.float32)}, ["y"])


def test_lengths_of_sequences_are_no_layer_s() -> None:
    step = op("LSTMUnit", "h c x s t", "y d")
    parameters = {"s": torch.tensor([1, 2], dtype=torch.int32), "t": torch.tensor([0], dtype=torch.int32)}
    inputs = {blob: ((1, 2, size), torch.float32) for blob, size in (("h", 3), ("c", 3), ("x", 12))}
    with pytest.raises(NotSupportedError, match="no lengths of sequences"):
        to_caffe(Net("n", [step]), parameters, inputs, ["y"])


@pytest.mark.parametrize(
    ("step", "fixed", "words"),
    [
        (
            op("Conv", "x w", kernel=3, pads=[0, 0, 1, 1], group=2),
            {"w": W},
            r"padding \[0, 0\] and \[1, 1\] differ",
        ),
        (op("ConvTranspose", "x w", kernel=3, stride=2, adj=1), {"w": WT}, "adj"),
        (op("AveragePool", kernel=3, pad=1), {}, "Caffe's averages count padding"),
        (op("Softmax", axis=2), {}, "over several dimensions"),
        (op("SpatialBN", "x s b m v", "y m v q w", is_test=0), BN, "form for use"),
        (op("Transpose", axes=[0, 2, 3, 1]), {}, "Transpose has no layer"),
        (op("Mul", "x c"), {"c": numbers(6, 8)}, "no number a channel"),
        (op("Div", "x x2"), {}, "by no layer"),
        (op("ReduceSum", axes=[1], keepdims=0), {}, "only last dimensions"),
        (op("Relu", "w"), {"w": W}, "'w' is a parameter that a layer would have to read"),
        (op("Conv", "x w", kernel=1, order="NHWC"), {"w": numbers(3, 1, 1, 8)}, "no order NHWC"),
        (op("MatMul", "x x2", trans_b=1), {}, "a matrix that is a parameter"),
        (op("LSTM", "x cont h c wx b wh", "y a d e f g"), {}, "must be a parameter"),
    ],
)
def test_what_no_layer_does(step: Op, fixed: Arrays, words: str) -> None:
    x = numbers(5, 2, 3) if step.type == "LSTM" else IMAGE
    shapes = {"x": x.shape, "x2": x.shape}
    if step.type == "LSTM":
        shapes.update(cont=(5, 2), h=(1, 2, 4), c=(1, 2, 4), wx=(16, 3), b=(16,), wh=(16, 4))
    inputs = {blob: (shape, torch.float32) for blob, shape in shapes.items() if blob in step.inputs}
    parameters = {blob: torch.from_numpy(value) for blob, value in fixed.items()}
    with pytest.raises(NotSupportedError, match=words):
        to_caffe(Net("n", [step]), parameters, inputs, step.outputs[:1])


def test_all_that_is_missing_is_named() -> None:
    net = Net("n", [op("Transpose"), op("Cosh", "y", "z"), op("Softmax", "z", "w", axis=0)])
    with pytest.raises(
        NotSupportedError, match=r"Transpose has no layer(.|\n)*Cosh has no layer(.|\n)*several dim"
    ):
        to_caffe(net, {}, {"x": ((2, 3), torch.float32)}, ["w"])
    with pytest.raises(MissingBlobError, match="no value and no shape for x"):
        to_caffe(net, {}, {}, ["w"])
    with pytest.raises(DTypeError, match=r"input 'x' is torch\.int64; Caffe's blobs are float32"):
        to_caffe(net, {}, {"x": ((2, 3), torch.int64)}, ["w"])


def test_blobs_that_are_overwritten(tmp_path: Path) -> None:
    """Each value gets a name; the last has the blob's own, unless that is an input's."""
    ops = [op("Relu", "x", "x"), op("FC", "x w b", "y"), op("Relu", "y", "y"), op("Sum", "y x", "y")]
    fixed = {"w": torch.from_numpy(numbers(5, 5)), "b": torch.zeros(5)}
    path = tmp_path / "net.prototxt"
    write_caffe(path, Net("n", ops), fixed, {"x": (ROWS.shape, torch.float32)}, ["y"])
    values = {blob: value.numpy() for blob, value in fixed.items()}
    (wanted,) = by_engine(Net("n", ops), {"x": ROWS, **values}, ["y"])
    np.testing.assert_allclose(by_caffe(path, {"x": ROWS})["y"], wanted, rtol=1e-5, atol=1e-6)


# ---- whole nets, through every format ------------------------------------------------------------------
@pytest.mark.parametrize("name", NETS)
def test_whole_nets_come_back(name: str, tmp_path: Path) -> None:
    """Caffe -> ONNX -> Caffe, and Caffe -> Caffe2 -> Caffe: the net's outputs."""
    net, path, weights = written(name, tmp_path)
    x, wanted = net.blobs["data"].data.copy(), result(net)
    assert main(["convert", str(path), str(weights), str(tmp_path / "net.onnx")]) == 0
    assert main(["convert", str(tmp_path / "net.onnx"), str(tmp_path / "a.prototxt")]) == 0
    assert main(["convert", str(path), str(weights), str(tmp_path / "pair")]) == 0
    pair = [str(tmp_path / "pair" / f"{part}_net.pb") for part in ("predict", "init")]
    assert main(["convert", *pair, str(tmp_path / "b.prototxt"), "--shape", "data=2,4,9,9"]) == 0
    assert main(["convert", str(path), str(weights), str(tmp_path / "c.prototxt")]) == 0
    for made in "abc":
        (found,) = by_caffe(tmp_path / f"{made}.prototxt", {"data": x}).values()
        np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_larger_nets_come_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(WHOLE[name])
    caffe.set_random_seed(2)
    net = caffe.Net(str(path), caffe.TEST)
    net.save(str(tmp_path / "net.caffemodel"))
    feeds = {"data": RNG.standard_normal(net.blobs["data"].data.shape).astype("f4")}
    if "cont" in net.blobs:
        feeds["cont"] = MARKS
    wanted = by_caffe(path, feeds)
    source, target = [str(path), str(tmp_path / "net.caffemodel")], tmp_path / "made.prototxt"
    if name != "LSTM and RNN":  # through ONNX, which has a Scan for it
        assert main(["convert", *source, str(tmp_path / "net.onnx")]) == 0
        source = [str(tmp_path / "net.onnx")]
    assert main(["convert", *source, str(target)]) == 0
    found = by_caffe(target, feeds)
    assert list(found) == list(wanted)
    for blob, value in wanted.items():
        np.testing.assert_allclose(found[blob].reshape(value.shape), value, rtol=1e-4, atol=1e-5)


def test_a_net_of_caffe2_as_text(tmp_path: Path) -> None:
    ops = [op("Conv", "data w b", "c", kernel=3, group=2), op("Relu", "c", "c"), op("MaxPool", "c", kernel=2)]
    net = Net("n", ops, ["data", "w", "b"], ["y"])
    fixed = {"w": torch.from_numpy(W), "b": torch.ones(6)}
    write_pair(tmp_path, net, fixed)
    (tmp_path / "net.pbtxt").write_text(str(net_to_proto(net)))
    source = [str(tmp_path / "net.pbtxt"), str(tmp_path / "init_net.pb")]
    assert main(["convert", *source, str(tmp_path / "a.prototxt"), "--shape", "data=2,4,6,8"]) == 0
    values = {blob: value.numpy() for blob, value in fixed.items()}
    (wanted,) = by_engine(net, {"data": IMAGE, **values}, ["y"])
    np.testing.assert_allclose(
        by_caffe(tmp_path / "a.prototxt", {"data": IMAGE})["y"], wanted, rtol=1e-4, atol=1e-5
    )


# ---- the table of docs/convert.md ----------------------------------------------------------------------
DOCS = Path(__file__).resolve().parents[2] / "docs" / "convert.md"


def table() -> dict[tuple[str, str], bool]:
    """(source's suffix, target's suffix) -> True if the document says yes."""
    text = DOCS.read_text().partition("## Files")[2]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    head = [re.findall(r"`FILE?(\.\w+)`|`(\w+)/`", cell) for cell in rows[0][1:]]
    made = {}
    for row in rows[2:]:
        for (suffix,) in re.findall(r"`\w*(\.\w+)`", row[0]) and [
            (s,) for s in re.findall(r"`\w*(\.\w+)`", row[0])
        ]:
            for targets, cell in zip(head, row[1:], strict=True):
                for file, _ in targets:
                    made[suffix, file] = cell.strip() == "yes"
    return made


def test_the_table_is_true(tmp_path: Path, monkeypatch: Any) -> None:
    """Every pair of kinds that the document says is converted here, and those alone are known to the command."""
    said = table()
    assert {source for source, _ in said} == set(command.SOURCES)
    assert {target for _, target in said} == set(command.TARGETS) - {".pth"}
    monkeypatch.chdir(tmp_path)
    written("LeNet", tmp_path)
    assert main(["convert", "net.prototxt", "net.caffemodel", "net.onnx"]) == 0
    assert main(["convert", "net.prototxt", "net.caffemodel", "pair"]) == 0
    assert main(["convert", "net.prototxt", "net.caffemodel", "net.pdmodel"]) == 0
    from freshpot.convert.netdef import net_from_bytes

    text = str(net_to_proto(net_from_bytes(Path("pair/predict_net.pb").read_bytes())))
    Path("pair/net.pbtxt").write_text(text)
    sources = {
        ".prototxt": ["net.prototxt", "net.caffemodel"],
        ".onnx": ["net.onnx"],
        ".pb": ["pair/predict_net.pb", "pair/init_net.pb"],
        ".pbtxt": ["pair/net.pbtxt", "pair/init_net.pb"],
        ".pdmodel": ["net.pdmodel"],
    }
    for (source, target), yes in said.items():
        made = Path(f"made_{source[1:]}{target}")
        more = ["--shape", "data=2,4,9,9"] if source.startswith(".pb") else []
        assert (main(["convert", *sources[source], str(made), *more]) == 0) == yes, (source, target)
        assert made.exists() == yes


def test_a_model_of_onnx_that_caffe_cannot_say(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    proto = model(node("Transpose", "x", perm=[0, 2, 1]), {"x": ("float32", ("N", 3, 4))})
    Path("net.onnx").write_bytes(proto.SerializeToString())
    assert main(["convert", "net.onnx", "a.prototxt"]) == 2
    assert "Transpose has no layer" in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))
