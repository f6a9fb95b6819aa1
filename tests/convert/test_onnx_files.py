"""ONNX files from anywhere: damaged, hostile, with data beside them; and what `freshpot convert` makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_models import model, node, run_net
from test_onnx import NETS, result, written

import caffe
import freshpot.torch as ft
from freshpot.cli import main
from freshpot.convert.from_onnx import read_onnx
from freshpot.convert.netdef import net_from_bytes
from freshpot.engine import Workspace
from freshpot.errors import ArgumentError, FormatError, FreshpotError, NotSupportedError
from freshpot.formats.onnx import MESSAGES, tensor
from freshpot.formats.onnx_file import tensor_value

X = np.arange(6, dtype="f4").reshape(2, 3)
OPEN = ("float32", ("N", 3))


def plain(**options: Any) -> Any:
    return model(node("Add", "x c"), {"x": OPEN}, {"c": np.ones(3, "f4")}, **options)


def beside(folder: Path, **said: str) -> Path:
    """A model whose constant lies in a file beside it."""
    proto = plain()
    kept = proto.graph.initializer[0]
    kept.ClearField("raw_data")
    kept.data_location = 1
    for key, value in {"location": "c.bin", **said}.items():
        kept.external_data.add(key=key, value=value)
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    (folder / "c.bin").write_bytes(b"\0" * 4 + np.full(3, 7, "<f4").tobytes())
    return path


def test_data_beside_the_model(tmp_path: Path) -> None:
    made = read_onnx(beside(tmp_path, offset="4", length="12"))
    assert run_net(made, {"x": X})[0].tolist() == (X + 7).tolist()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"location": "../c.bin"}, "no file within"),
        ({"location": "/etc/hostname"}, "no file within"),
        ({"location": "link"}, "no file within"),
        ({"location": "nothing"}, "no file within"),
        ({"location": "a\0b"}, "no file within"),
        ({"location": "."}, "no file within"),
        ({"offset": "-4"}, "12 bytes are said to be 12 at -4"),
        ({"offset": "8"}, "at 8 of 'c.bin', which has 16"),
        ({"length": str(1 << 62)}, "said to be 4611686018427387904"),
        ({"length": "8"}, "12 bytes are said to be 8"),
        ({"offset": "four"}, "no numbers"),
    ],
)
def test_data_outside_the_folder_is_refused(said: dict[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes(b"\0" * 16)
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "c.bin")
    with pytest.raises(FormatError, match=words):
        read_onnx(beside(inside, **said))


def changed(change: Callable[[Any], Any], **options: Any) -> Any:
    made = plain(**options)
    change(made)
    return made


def twice(made: Any) -> None:
    made.graph.initializer.append(made.graph.initializer[0])


IMAGE = ("float32", (1, 3, 8, 8))


def doubled(type: str, **attributes: Any) -> Any:
    """A constant that every node makes longer, forty times."""
    fixed = {"c0": np.ones((4096, 1), "i8"), "row": np.ones((1, 4096), "i8")}
    nodes = []
    for i in range(40):
        other = "row" if type == "Max" else f"c{i}"
        nodes.append(node(type, f"c{i} {other}", f"c{i + 1}", **attributes))
    return model([*nodes, node("Reshape", "x c40")], {"x": OPEN}, fixed)


def recurrent(steps: int) -> Any:
    weights = {"w": np.ones((1, 8, 3), "f4"), "r": np.ones((1, 8, 2), "f4")}
    return model(node("LSTM", "x w r", direction="reverse"), {"x": ("float32", (steps, 1, 3))}, weights)


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (changed(lambda m: m.ClearField("graph")), FormatError, "holds no graph"),
        (changed(twice), FormatError, "tensor 'c' is there twice"),
        (changed(lambda m: m.graph.input.append(m.graph.input[0])), FormatError, "input 'x' is there twice"),
        (changed(lambda m: m.graph.node.append(m.graph.node[0])), FormatError, "makes 'y', which is there already"),
        (changed(lambda m: m.graph.initializer[0].dims.append(1 << 40)), FormatError, "the message holds 3"),
        (changed(lambda m: m.graph.initializer[0].dims.append(-3)), FormatError, "negative size"),
        (changed(lambda m: m.graph.initializer[0].dims.extend([1] * 99)), FormatError, "a shape of 100 axes"),
        (changed(lambda m: setattr(m.graph.initializer[0], "raw_data", b"12345")), FormatError, "5 bytes of float32"),
        (changed(lambda m: setattr(m.graph.initializer[0], "data_type", 8)), NotSupportedError, "element type 8"),
        (changed(lambda m: setattr(m.graph.initializer[0], "data_type", 77)), NotSupportedError, "element type 77"),
        (changed(lambda m: setattr(m.graph.output[0], "name", "z")), FormatError, "output 'z' is made by no node"),
        (changed(lambda m: setattr(m.graph.output[0], "name", "x")), NotSupportedError, "output 'x' is an input"),
        (changed(lambda m: setattr(m.opset_import[0], "version", 3)), NotSupportedError, "operator set 3; 5 to"),
        (changed(lambda m: setattr(m.opset_import[0], "version", 999)), NotSupportedError, "operator set 999"),
        (changed(lambda m: m.functions.add(name="f")), NotSupportedError, "functions of its own"),
        (changed(lambda m: m.graph.sparse_initializer.add()), NotSupportedError, "sparse parameters"),
        (changed(lambda m: m.graph.input[0].type.ClearField("tensor_type")), NotSupportedError, "'x' is no tensor"),
        (model(node("Add", "x z"), {"x": OPEN}), FormatError, "reads 'z', which nothing before it makes"),
        (model([node("Relu", "z"), node("Relu", "x", "z")], {"x": OPEN}), FormatError, "reads 'z'"),
        (model(node("Relu", "x"), {"x": ("float32", ("N", "C"))}), ArgumentError, "--shape x=N,N"),
        (model(node("Relu", "x"), {"x": ("float32", (1 << 40, 1 << 40))}), FormatError, "is no tensor"),
        (model(node("Relu", "x", odd=1), {"x": OPEN}), NotSupportedError, "attribute odd is not converted"),
        (
            model([node("Nonsense", "x", "a"), node("Scan", "a"), node("F", "a", "b", domain="com.me")], {"x": OPEN}),
            NotSupportedError,
            r"Nonsense has no converter(.|\n)*Scan has no converter(.|\n)*com\.me\.F has no converter",
        ),
        (
            model([node("Conv", "x x", "a"), node("Elu", "x", "b", beta=1.0), node("Add", "a b")], {"x": OPEN}),
            NotSupportedError,
            r"Conv(.|\n)*no dimension of space(.|\n)*attribute beta",
        ),
        (
            model(
                [node("ConstantOfShape", "s", "o"), node("Add", "x o")],
                {"x": OPEN},
                {"s": np.array([1 << 20, 1 << 20, 1 << 20])},
            ),
            FreshpotError,
            "cannot be broadcast|does not fit",
        ),
        (
            model([node("Expand", "c s", "o"), node("Mul", "o o")], {"x": OPEN}, {"c": X, "s": np.array([-1, 3])}),
            FreshpotError,
            "Expand",
        ),
        (
            model([node("Gather", "c s", "o"), node("Mul", "o x")], {"x": OPEN}, {"c": X, "s": np.array([9])}),
            NotSupportedError,
            "cannot be worked out",
        ),
        (
            model([node("Div", "s s", "o"), node("Reshape", "x o")], {"x": OPEN}, {"s": np.array([0])}),
            NotSupportedError,
            "a division by 0",
        ),
        (
            model(node("Conv", "x w", pads=1.5), {"x": IMAGE}, {"w": np.ones((2, 3, 3, 3), "f4")}),
            NotSupportedError,
            "attribute pads is float, not list",
        ),
        (
            model(node("Conv", "x w", auto_pad="SAME_UPPER"), {"x": IMAGE}, {"w": np.ones((2, 3, 3), "f4")}),
            NotSupportedError,
            "Conv.*does not fit",
        ),
        (model(node("Conv", "x"), {"x": IMAGE}), NotSupportedError, "input 1 is missing"),
        (model(node("Relu", ""), {"x": OPEN}), NotSupportedError, r"Relu -> \(y\): .*does not fit"),
        (model(node("Relu", "x", ""), {"x": OPEN}, outputs=()), NotSupportedError, r"Relu -> \(\)"),
        (doubled("Concat", axis=0), NotSupportedError, "Reshape"),
        (doubled("Gather", axis=0), FreshpotError, "Gather"),
        (doubled("Max"), FreshpotError, "Max"),
        (recurrent(1 << 40), NotSupportedError, "sequences of 1099511627776 steps"),
        (
            model(node("Upsample", "x s"), {"x": IMAGE}, {"s": np.array([1, 1, 1, 1e9], "f4")}, opset=9),
            NotSupportedError,
            "are too large",
        ),
        (
            model(
                node("LayerNormalization", "x s"),
                {"x": ("float32", (1, 1 << 40)), "s": ("float32", (1 << 40,))},
                opset=17,
            ),
            NotSupportedError,
            "is too large",
        ),
    ],
)  # fmt: skip
def test_models_that_are_refused(made: Any, error: type[Exception], words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(error, match=words):
        read_onnx(path)


def test_every_cut_of_a_file_is_refused_or_read(tmp_path: Path) -> None:
    """A file may end anywhere, and any byte may be another: an error of ours, or a net."""
    data = model(
        [node("Conv", "x w", "c", pads=[1] * 4), node("Reshape", "c s")],
        {"x": ("float32", ("N", 2, 4, 4))},
        {"w": np.ones((2, 2, 3, 3), "f4"), "s": np.array([0, -1])},
    ).SerializeToString()
    path = tmp_path / "net.onnx"
    rng = np.random.default_rng(4)
    variants = [data[:n] for n in range(0, len(data), 7)]
    for _ in range(150):
        bad = bytearray(data)
        bad[rng.integers(len(data))] = rng.integers(256)
        variants.append(bytes(bad))
    seen = 0
    for variant in variants:
        path.write_bytes(variant)
        try:
            read_onnx(path)
        except FreshpotError:
            seen += 1
    assert seen > len(data) // 7 - 3


@pytest.mark.parametrize(
    ("number", "dtype", "words"),
    [(1, "f4", {"float_data": [1.5, -2]}), (11, "f8", {"double_data": [1.5, -2]}), (7, "i8", {"int64_data": [5, -2]}),
     (6, "i4", {"int32_data": [5, -2]}), (9, "?", {"int32_data": [1, 0]}), (10, "f2", {"int32_data": [0x3E00, 0xC000]}),
     (13, "u8", {"uint64_data": [1 << 63, 2]}), (3, "i1", {"int32_data": [-3, 4]}),
     (16, "f4", {"raw_data": b"\xc0\x3f\x00\xc0"})],
)  # fmt: skip
def test_kinds_of_tensors(number: int, dtype: str, words: dict[str, Any]) -> None:
    found = tensor_value(MESSAGES.TensorProto(dims=[2], data_type=number, **words))
    wanted = {"?": [True, False], "u8": [1 << 63, 2], "i8": [5, -2], "i4": [5, -2], "i1": [-3, 4]}.get(
        dtype, [1.5, -2]
    )
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == wanted
    assert np.array_equal(tensor_value(tensor("t", found)), found)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    made = model(node("Add", "x c"), {"x": ("float16", ("N", 3))}, {"c": np.ones(3, "f2")})
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    assert run_net(read_onnx(path), {"x": X})[0].dtype == np.float32


# ---- freshpot convert ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETS)
def test_caffe_to_onnx_and_on(name: str, tmp_path: Path, capsys: Any) -> None:
    """prototxt -> ONNX -> module, predictor pair, state_dict, ONNX: the net's outputs each time."""
    net, path, weights = written(name, tmp_path)
    onnx = tmp_path / "net.onnx"
    assert main(["convert", str(path), str(weights), str(onnx)]) == 0
    x, wanted = net.blobs["data"].data.copy(), result(net)
    close = {"rtol": 1e-4, "atol": 1e-5}
    module = ft.module(onnx).eval()
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), wanted, **close)
    assert main(["convert", str(onnx), str(tmp_path / "pair")]) == 0
    workspace = Workspace()
    workspace.run_once(net_from_bytes((tmp_path / "pair/init_net.pb").read_bytes()))
    workspace.feed("data", torch.from_numpy(x))
    predict = net_from_bytes((tmp_path / "pair/predict_net.pb").read_bytes())
    workspace.run_once(predict)
    np.testing.assert_allclose(workspace.get(predict.outputs[0]), wanted, **close)
    assert main(["convert", str(onnx), str(tmp_path / "state.pt")]) == 0
    other = ft.module(onnx)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    np.testing.assert_allclose(other(torch.from_numpy(x)).detach(), wanted, **close)
    assert main(["convert", str(onnx), str(tmp_path / "again.onnx")]) == 0
    again = read_onnx(tmp_path / "again.onnx")
    np.testing.assert_allclose(run_net(again, {"data": x})[0], wanted, **close)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.onnx", "net.onnx", "pair"], "leave WEIGHTS out"),
        (["module.pt2", "a.onnx"], "archives of PyTorch hold pickles"),
        (["net.onnx", "a.onnx", "--shape", "y=1,3"], "there is no input 'y'"),
        (["net.onnx", "a.onnx", "--shape", "x=1,3,4"], "has 2 dimensions, 3 sizes were given"),
        (["net.onnx", "a.onnx", "--shape", "x=1,4"], "size 1 of input 'x' is 3, 4 was given"),
        (["net.onnx", "a.onnx", "--fixed-batch"], "give them, --shape x=N,3"),
        (["torn.onnx", "a.onnx"], "not a complete onnx.ModelProto message"),
        (["no.onnx", "a.onnx"], "there is no such file"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    data = plain().SerializeToString()
    Path("net.onnx").write_bytes(data)
    Path("torn.onnx").write_bytes(data[:-3])
    Path("module.pt2").write_bytes(b"PK")
    assert main(["convert", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


def test_the_batch_of_a_written_model(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(plain().SerializeToString())
    for more, size in (([], 1), (["--shape", "x=4,3"], 4)):
        assert main(["convert", "net.onnx", "a.onnx", *more]) == 0
        shape = (
            MESSAGES.ModelProto.FromString(Path("a.onnx").read_bytes()).graph.input[0].type.tensor_type.shape
        )
        assert [d.dim_value for d in shape.dim] == [size, 3]


TRAINED = """
layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4
  weight_filler { type: "xavier" } } }
layer { name: "side" type: "TanH" bottom: "fc" top: "side" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def test_of_a_net_that_was_trained_what_is_compared_with_labels_is_written(tmp_path: Path) -> None:
    path, weights, onnx = (tmp_path / name for name in ("train_test.prototxt", "w.caffemodel", "net.onnx"))
    path.write_text(TRAINED)
    net = caffe.Net(str(path), caffe.TEST)
    net.save(str(weights))
    assert main(["convert", str(path), str(weights), str(onnx)]) == 0
    found = ft.module(str(onnx)).eval()(torch.from_numpy(X))
    net.blobs["data"].data[...] = X
    net.forward()
    for value, blob in zip(found, ("fc", "side"), strict=True):
        np.testing.assert_allclose(value.detach(), net.blobs[blob].data, rtol=1e-5, atol=1e-6)
