"""Nets written as ONNX: what ONNX Runtime, and our own reader, make of them is what the engine makes of the net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_models import run
from zoo import MODULES, made

import caffe
from freshpot.convert.onnx import converters, to_onnx
from freshpot.engine import Workspace
from freshpot.errors import NotSupportedError
from freshpot.net import Net, Op
from freshpot.torch import capture

RNG = np.random.default_rng(0)
Arrays = dict[str, np.ndarray]


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype("f4")


IMAGE, ROWS, SEQ, FOUR = numbers(2, 4, 6, 8), numbers(3, 5), numbers(5, 2, 3), numbers(4)
POSITIVE = np.abs(ROWS) + 0.1
MARKS = np.array([[0, 1], [1, 1], [1, 0], [0, 1], [1, 1]], "f4")


def layers(kind: str, gates: int, ways: int = 1, count: int = 1, **more: Any) -> tuple[Op, Arrays, list[str]]:
    """A RecurrentLayers of 4 hidden units over 3 features."""
    states = 2 if kind == "lstm" else 1
    fixed = {f"s{i}": numbers(ways * count, 2, 4) for i in range(states)}
    for i in range(ways * count):
        features = 3 if i < ways else 4 * ways
        shapes = [(gates * 4, features), (gates * 4, 4), (gates * 4,), (gates * 4,)][
            : 4 if more.get("biases", 1) else 2
        ]
        fixed.update((f"w{i}_{k}", numbers(*shape) * 0.4) for k, shape in enumerate(shapes))
    args = {"kind": kind, "layers": count, "bidirectional": int(ways == 2), **more}
    outputs = ["y", "h", "c"][: 1 + states]
    return Op("RecurrentLayers", ["x", *fixed], outputs, args), fixed, outputs


def caffe_lstm(static: bool) -> tuple[Op, Arrays, list[str]]:
    fixed = {"cont": MARKS, "h": numbers(1, 2, 4), "c": numbers(1, 2, 4), "wx": numbers(16, 3), "b": numbers(16),
             "wh": numbers(16, 4)}  # fmt: skip
    if static:
        fixed.update(xs=numbers(2, 6), ws=numbers(16, 6))
    return (
        Op("LSTM", ["x", *fixed], ["y", "hT", "cT", "a", "d", "e"], {"static": int(static)}),
        fixed,
        ["y", "hT", "cT"],
    )


def caffe_rnn(static: bool) -> tuple[Op, Arrays, list[str]]:
    fixed = {"cont": MARKS, "h": numbers(1, 2, 4), "wx": numbers(4, 3), "bh": numbers(4), "wh": numbers(4, 4),
             "wo": numbers(4, 4), "bo": numbers(4)}  # fmt: skip
    if static:
        fixed.update(xs=numbers(2, 6), ws=numbers(4, 6))
    return Op("RNN", ["x", *fixed], ["y", "hT", "a"], {"static": int(static)}), fixed, ["y", "hT"]


def op(type: str, inputs: str = "x", outputs: str = "y", **args: Any) -> Op:
    return Op(type, inputs.split(), outputs.split(), args)


#: name -> operator, x, fixed values, outputs to compare
CASES: dict[str, tuple[Op, np.ndarray, Arrays, Sequence[str]]] = {
    **{
        name: (op(name), POSITIVE if name in ("Rsqrt", "Log", "Sqrt") else ROWS, {}, ["y"])
        for name in ("Selu", "Sqr", "Cube", "Rsqrt", "Gelu", "Sign", "Sin", "Cosh", "BNLL", "Normalize", "NormalizeL1",
                     "Softplus", "Erf", "Copy")
    },
    "Pow": (op("Pow", exponent=1.5), POSITIVE, {}, ["y"]),
    "CaffeSwish": (op("CaffeSwish", "x", "y s", beta=0.5), ROWS, {}, ["y"]),
    "CaffeExp": (op("CaffeExp", base=2.0, scale=0.5, shift=1.0), ROWS, {}, ["y"]),
    "CaffeLog": (op("CaffeLog", base=2.0, scale=0.5, shift=1.0), POSITIVE, {}, ["y"]),
    "Threshold": (op("Threshold", threshold=0.2), ROWS, {}, ["y"]),
    "NE": (op("NE", "x c"), np.round(ROWS), {"c": np.zeros(5, "f4")}, ["y"]),
    "GT": (op("GT", "x c"), ROWS, {"c": np.zeros(5, "f4")}, ["y"]),
    "Cast": (op("Cast", to=10), ROWS, {}, ["y"]),
    "LayerNorm": (op("LayerNorm", "x g b", "y m s", axis=1, epsilon=0.01, elementwise_affine=1), IMAGE,
                  {"g": numbers(4, 6, 8), "b": numbers(4, 6, 8)}, ["y"]),
    "LayerNorm, plain": (op("LayerNorm", "x", "y m s", axis=-1), IMAGE, {}, ["y"]),
    "InstanceNorm": (op("InstanceNorm", "x g b"), IMAGE, {"g": FOUR, "b": FOUR}, ["y"]),
    "GroupNorm": (op("GroupNorm", "x g b", group=2), IMAGE, {"g": FOUR, "b": FOUR}, ["y"]),
    "MVN": (op("MVN", "x", "y d"), IMAGE, {}, ["y"]),
    "MVN, across channels": (op("MVN", "x", "y d", across_channels=1, normalize_variance=0), IMAGE, {}, ["y"]),
    "Gather": (op("Gather", "x i", axis=1), ROWS, {"i": np.array([[4, 0], [1, 1]])}, ["y"]),
    "GatherElements": (op("GatherElements", "x i", axis=-1), ROWS, {"i": np.array([[4], [0], [1]])}, ["y"]),
    "Embed": (op("Embed", "x w b"), np.array([[1, 0, 2]], "f4"), {"w": ROWS, "b": ROWS[0].copy()}, ["y"]),
    "Slice": (op("Slice", starts=[0, 1, 0, 0], ends=[-1, -2, -1, -1]), IMAGE, {}, ["y"]),
    "Split": (op("Split", "x", "y z", axis=1, split=[1, 3]), IMAGE, {}, ["y", "z"]),
    "Split, by order": (op("Split", "x", "y z"), IMAGE, {}, ["y", "z"]),
    "Squeeze": (op("Squeeze", dims=[0, 2]), ROWS.reshape(1, 3, 1, 5), {}, ["y"]),
    "ExpandDims": (op("ExpandDims", dims=[0, 2]), ROWS, {}, ["y"]),
    "Tile": (op("Tile", tiles=3, axis=1), ROWS, {}, ["y"]),
    "Pad": (op("Pad", pads=[1, 0, 2, 1], mode="reflect"), IMAGE, {}, ["y"]),
    "Pad, constant": (op("Pad", pads=[1, 2], value=0.5), IMAGE, {}, ["y"]),
    "BroadcastTo": (op("BroadcastTo", shape=[2, 3, 5]), ROWS, {}, ["y"]),
    "Interpolate": (op("Interpolate", sizes=[9, 5], mode="bilinear"), IMAGE, {}, ["y"]),
    "Interpolate, corners": (op("Interpolate", sizes=[9, 5], mode="bilinear", align_corners=1), IMAGE, {}, ["y"]),
    "Interpolate, nearest": (op("Interpolate", sizes=[9, 5]), IMAGE, {}, ["y"]),
    "Interpolate, cubic": (op("Interpolate", sizes=[12, 16], mode="bicubic"), IMAGE, {}, ["y"]),
    "ResizeNearest": (op("ResizeNearest", width_scale=2.0, height_scale=1.5), IMAGE, {}, ["y"]),
    **{
        name: (op(name, axes=[1, 2], keepdims=0), IMAGE, {}, ["y"])
        for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")
    },
    "ReduceMean, all": (op("ReduceMean"), ROWS, {}, ["y"]),
    **{
        f"Reduction {how}": (op("Reduction", axis=1, operation=how, coeff=0.5), IMAGE, {}, ["y"])
        for how in ("SUM", "ASUM", "SUMSQ", "MEAN")
    },
    "ArgMax": (op("ArgMax", axis=1, keepdims=0), ROWS, {}, ["y"]),
    "TopK": (op("TopK", "x", "y i", k=2), ROWS, {}, ["y", "i"]),
    "AdaptiveAveragePool": (op("AdaptiveAveragePool", sizes=[3, 2]), IMAGE, {}, ["y"]),
    "WindowMaxPool": (op("WindowMaxPool", kernels=[2, 2], strides=[1, 2], pads=[1, 0], dilations=[2, 1], round_up=0),
                      IMAGE, {}, ["y"]),
    "LpPool": (op("LpPool", kernel=2, stride=2, p=2.0), IMAGE, {}, ["y"]),
    **{
        f"LSTMUnit {kind}": (
            op("LSTMUnit", "h c x s t" if kind else "h c x t", "y d", sequence_lengths=int(bool(kind)), **more),
            numbers(1, 3, 20),
            {"h": numbers(1, 3, 5), "c": numbers(1, 3, 5), "s": np.int32([2, 1, 4]), "t": np.int32([1])},
            ["y", "d"],
        )
        for kind, more in (("", {"forget_bias": 0.5}), ("stays", {}), ("drops", {"drop_states": 1}))
    },
    "CaffeLSTMUnit": (op("CaffeLSTMUnit", "c x m", "C H"), numbers(1, 3, 20), {"c": numbers(1, 3, 5),
                      "m": np.array([[0, 1, 1]], "f4")}, ["C", "H"]),
}  # fmt: skip
for _name, (_kind, _gates, _ways, _more) in {
    "LSTM": ("lstm", 4, 1, {}),
    "LSTM, both ways, two layers": ("lstm", 4, 2, {"count": 2}),
    "LSTM without biases": ("lstm", 4, 1, {"biases": 0}),
    "GRU": ("gru", 3, 1, {"count": 2}),
    "RNN": ("rnn_tanh", 1, 2, {}),
    "RNN with Relu": ("rnn_relu", 1, 2, {}),
}.items():
    _op, _fixed, _outputs = layers(_kind, _gates, _ways, **_more)
    CASES[_name] = (_op, SEQ, _fixed, _outputs)
_op, _fixed, _outputs = layers("lstm", 4, batch_first=1)
CASES["LSTM, the batch first"] = (_op, np.ascontiguousarray(SEQ.swapaxes(0, 1)), _fixed, _outputs)
SCANS: dict[str, tuple[Op, np.ndarray, Arrays, Sequence[str]]] = {}
for _static in (False, True):
    for _make in (caffe_lstm, caffe_rnn):
        _op, _fixed, _outputs = _make(_static)
        SCANS[f"{_make.__name__} {_static}"] = (_op, SEQ, _fixed, _outputs)


def by_engine(net: Net, feeds: Arrays, outputs: Sequence[str]) -> list[np.ndarray]:
    workspace = Workspace()
    for blob, value in feeds.items():
        workspace.feed(blob, torch.from_numpy(value.copy()))
    workspace.run_once(net)
    return [workspace.get(blob).numpy().copy() for blob in outputs]


def model_of(net: Net, x: np.ndarray, fixed: Arrays, outputs: Sequence[str]) -> Any:
    tensor = torch.from_numpy(x)
    parameters = {blob: torch.from_numpy(value) for blob, value in fixed.items()}
    return to_onnx(net, parameters, {"x": (tuple(x.shape), tensor.dtype)}, outputs)


def by_runtime(proto: Any, feeds: Arrays) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    checker = pytest.importorskip("onnx", reason="the onnx package is not installed")
    data = proto.SerializeToString()
    checker.checker.check_model(data, full_check=True)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(data, options).run(None, feeds)


def close(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray], **how: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, **{"rtol": 1e-4, "atol": 1e-5, **how})


@pytest.mark.parametrize("name", CASES)
def test_written_and_read(name: str) -> None:
    step, x, fixed, outputs = CASES[name]
    net = Net("n", [step])
    proto = model_of(net, x, fixed, outputs)
    close(run(proto, {"x": x}), by_engine(net, {"x": x, **fixed}, outputs))


@pytest.mark.parametrize("name", [*CASES, *SCANS])
def test_written_for_onnx_runtime(name: str) -> None:
    step, x, fixed, outputs = {**CASES, **SCANS}[name]
    net = Net("n", [step])
    proto = model_of(net, x, fixed, outputs)
    close(by_runtime(proto, {"x": x}), by_engine(net, {"x": x, **fixed}, outputs))


@pytest.mark.parametrize("name", SCANS)
def test_markers_make_a_scan(name: str) -> None:
    """ONNX's own LSTM cannot begin anew in the middle; the body's names are none of the graph's."""
    step, x, fixed, outputs = SCANS[name]
    graph = model_of(Net("n", [step]), x, fixed, outputs).graph
    (scan,) = [node for node in graph.node if node.op_type == "Scan"]
    body = next(a.g for a in scan.attribute if a.name == "body")
    outside = {name for node in graph.node for name in node.output} | {t.name for t in graph.initializer}
    assert not outside & {name for node in body.node for name in node.output}
    assert len(body.output) == len(scan.output)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "attention"])
def test_captured_modules(name: str) -> None:
    """module -> net -> ONNX -> net: the module's outputs."""
    net, case = made(name), MODULES[name]
    x = case.inputs(2)
    captured = capture(net, x)
    inputs = {captured.inputs[0]: (tuple(x.shape), x.dtype)}
    proto = to_onnx(captured.net, captured.parameters, inputs, captured.outputs)
    with torch.no_grad():
        wanted = net(x)
    wanted = [value.numpy() for value in (wanted if isinstance(wanted, tuple) else (wanted,))]
    feeds = {captured.inputs[0]: x.numpy()}
    close(run(proto, feeds), wanted, rtol=1e-3, atol=1e-4)


def test_what_is_left_out_may_not_be_read() -> None:
    ops = [op("LRN", "x", "y s", size=3), op("Relu", "s", "z")]
    with pytest.raises(NotSupportedError, match="'s' is an output that is not converted"):
        model_of(Net("n", ops), IMAGE, {}, ["z"])
    with pytest.raises(NotSupportedError, match="'s' is an output that is not converted"):
        model_of(Net("n", ops[:1]), IMAGE, {}, ["y", "s"])


@pytest.mark.parametrize(
    ("step", "fixed", "words"),
    [
        (op("Gelu", fast_gelu=1), {}, "the approximation"),
        (op("AdaptiveAveragePool", sizes=[4, 3]), {}, "does not divide"),
        (op("Pad", pads=[1, 1], mode="wrap"), {}, "the mode wrap"),
        (op("Gather", "x i", match_outer=1), {"i": np.zeros((2, 1), "i8")}, "match_outer"),
        (op("Shape", axes=[0]), {}, "axes are not converted"),
        (op("TopK", "x", "y i f", k=1), {}, "flattened indices"),
        (op("ConstantFill", "", shape=[1 << 20, 1 << 20]), {}, "too many numbers for a file"),
        (op("ConstantFill", "", shape=[1, (1 << 63) - 1]), {}, "not known beforehand|does not fit"),
    ],
)
def test_what_is_not_written(step: Op, fixed: Arrays, words: str) -> None:
    with pytest.raises(NotSupportedError, match=words):
        model_of(Net("n", [step]), IMAGE, fixed, step.outputs[:1])


def test_recurrent_layers_in_training_are_refused() -> None:
    step, fixed, outputs = layers("lstm", 4, count=2, dropout=0.5, is_test=0)
    with pytest.raises(NotSupportedError, match="form for use"):
        model_of(Net("n", [step]), SEQ, fixed, outputs)


# ---- whole nets of Caffe -------------------------------------------------------------------------------
FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.1 max: 0.1 }'


def layer(name: str, type: str, bottoms: str, param: str = "", top: str = "") -> str:
    read = "".join(f'bottom: "{bottom}" ' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{type}" {read}top: "{top or name}" {param} }}\n'


def conv(name: str, bottom: str, count: int, kernel: int, **more: int) -> str:
    said = " ".join(f"{key}: {value}" for key, value in more.items())
    param = f"convolution_param {{ num_output: {count} kernel_size: {kernel} {said} {FILL} }}"
    return layer(name, "Convolution", bottom, param) + layer(f"{name}_relu", "ReLU", name, top=name)


def pool(name: str, bottom: str, kernel: int, stride: int, pad: int = 0, how: str = "MAX") -> str:
    param = f"pooling_param {{ pool: {how} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer(name, "Pooling", bottom, param)


def lrn(name: str, bottom: str) -> str:
    return layer(name, "LRN", bottom, "lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 }")


def fc(name: str, bottom: str, count: int) -> str:
    return layer(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {count} {FILL} }}")


def start(size: int) -> str:
    return f'name: "n"\nlayer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: {size} dim: {size} }} }} }}\n'  # noqa: E501


def alexnet(pool_first: bool) -> str:
    """AlexNet normalises, then pools; CaffeNet pools, then normalises. An eighth of the width."""

    def both(i: int, bottom: str) -> str:
        if pool_first:
            return pool(f"pool{i}", bottom, 3, 2) + lrn(f"norm{i}", f"pool{i}")
        return lrn(f"norm{i}", bottom) + pool(f"pool{i}", f"norm{i}", 3, 2)

    last = ["pool", "norm"][pool_first]
    text = start(227) + conv("conv1", "data", 12, 11, stride=4) + both(1, "conv1")
    text += conv("conv2", f"{last}1", 32, 5, pad=2, group=2) + both(2, "conv2")
    text += conv("conv3", f"{last}2", 48, 3, pad=1) + conv("conv4", "conv3", 48, 3, pad=1, group=2)
    text += conv("conv5", "conv4", 32, 3, pad=1, group=2) + pool("pool5", "conv5", 3, 2)
    for i, bottom in ((6, "pool5"), (7, "fc6")):
        text += fc(f"fc{i}", bottom, 64) + layer(f"relu{i}", "ReLU", f"fc{i}", top=f"fc{i}")
        text += layer(f"drop{i}", "Dropout", f"fc{i}", top=f"fc{i}")
    return text + fc("fc8", "fc7", 10) + layer("prob", "Softmax", "fc8")


def googlenet() -> str:
    """Stem, inceptions between pools whose sizes round up, a global mean."""

    def inception(name: str, bottom: str, n: int) -> str:
        text = conv(f"{name}_1", bottom, n, 1) + conv(f"{name}_3r", bottom, n, 1)
        text += conv(f"{name}_3", f"{name}_3r", 2 * n, 3, pad=1) + conv(f"{name}_5r", bottom, n, 1)
        text += conv(f"{name}_5", f"{name}_5r", n, 5, pad=2) + pool(f"{name}_p", bottom, 3, 1, 1)
        text += conv(f"{name}_pp", f"{name}_p", n, 1)
        return text + layer(name, "Concat", f"{name}_1 {name}_3 {name}_5 {name}_pp")

    text = start(112) + conv("conv1", "data", 8, 7, stride=2, pad=3) + pool("pool1", "conv1", 3, 2)
    text += lrn("norm1", "pool1") + conv("conv2r", "norm1", 8, 1) + conv("conv2", "conv2r", 16, 3, pad=1)
    text += lrn("norm2", "conv2") + pool("pool2", "norm2", 3, 2)
    text += inception("3a", "pool2", 4) + inception("3b", "3a", 4) + pool("pool3", "3b", 3, 2)
    text += inception("4a", "pool3", 6) + pool("pool4", "4a", 3, 2) + inception("5a", "pool4", 8)
    text += layer("mean", "Pooling", "5a", "pooling_param { pool: AVE global_pooling: true }")
    return (
        text
        + layer("drop", "Dropout", "mean", top="mean")
        + fc("fc", "mean", 10)
        + layer("prob", "Softmax", "fc")
    )


RECURRENT = """name: "n"
layer { name: "data" type: "Input" top: "data" top: "cont"
  input_param { shape { dim: 5 dim: 2 dim: 3 } shape { dim: 5 dim: 2 } } }
layer { name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "lstm"
  recurrent_param { num_output: 6 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "rnn" type: "RNN" bottom: "lstm" bottom: "cont" top: "rnn"
  recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
"""
NETS = {
    "AlexNet": alexnet(False), "CaffeNet": alexnet(True), "GoogLeNet": googlenet(), "LSTM and RNN": RECURRENT,
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_whole_nets_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    """To 1e-5."""
    from freshpot.torch._modes import in_mode
    from freshpot.torch._sources import read

    path = tmp_path / "net.prototxt"
    path.write_text(NETS[name])
    caffe.set_random_seed(1)
    net = caffe.Net(str(path), caffe.TEST)
    source = read(net, None, None, None)
    feeds = {}
    for blob in source.inputs:
        feeds[blob] = (
            MARKS if blob == "cont" else RNG.standard_normal(net.blobs[blob].data.shape).astype("f4")
        )
    inputs = {blob: (tuple(value.shape), torch.float32) for blob, value in feeds.items()}
    ops = [in_mode(step, False) for step in source.ops]
    proto = to_onnx(Net("n", ops), source.values, inputs, source.outputs)
    for blob, value in feeds.items():
        net.blobs[blob].data[...] = value
    net.forward()
    wanted = [net.blobs[blob].data.copy() for blob in source.outputs]
    if name != "LSTM and RNN":  # a Scan is not read
        close(run(proto, feeds), wanted, rtol=1e-5, atol=1e-5)
    close(by_runtime(proto, feeds), wanted, rtol=1e-5, atol=1e-5)


def test_every_new_converter_is_tested() -> None:
    tested = {step.type for step, *_ in [*CASES.values(), *SCANS.values()]}
    families = ("normalization", "recurrent", "shapes")
    untested = {
        type
        for type, converter in converters().items()
        if converter.__module__.endswith(families) and type not in tested
    }
    assert untested == {
        "Concat", "Flatten", "Reshape", "Transpose", "Crop",  # in the nets of test_onnx.py and test_captured_modules
        "ResizeLike", "FlattenToVec", "Shape", "ArgMin",
        "FillSized", "ConstantFill", "GivenTensorFill", "GivenTensorIntFill", "GivenTensorInt64Fill",
    }  # fmt: skip
