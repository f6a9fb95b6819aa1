"""From each to each: nets trained through every door as those of every other; the first table of docs/convert.md."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trained import DATA, DOORS, Trained

import caffe
import freshpot.paddle as paddle
import freshpot.torch as ft
from caffe2.proto import caffe2_pb2
from caffe2.python import workspace
from freshpot.cli import main
from freshpot.convert.folded import folded
from freshpot.errors import ArgumentError, NetError
from freshpot.formats.protobuf import load, parse_message
from freshpot.net import Net, Op
from freshpot.paddle.static import InputSpec

Way = Callable[[Trained, Path], np.ndarray]


def shapes(net: Trained) -> dict[str, tuple[int, ...]]:
    return {blob: x.shape for blob, x in net.feeds.items()}


def to_caffe(net: Trained, folder: Path) -> np.ndarray:
    net.captured.write(folder / "net.prototxt", shapes(net))
    made = caffe.Net(str(folder / "net.prototxt"), str(folder / "net.caffemodel"), caffe.TEST)
    for blob, x in net.feeds.items():
        made.blobs[blob].data[...] = x
    return made.forward()[made.outputs[0]]


def to_caffe2(net: Trained, folder: Path) -> np.ndarray:
    net.captured.write(folder / "pair")
    init, predict = (caffe2_pb2.NetDef() for _ in range(2))
    init.ParseFromString((folder / "pair" / "init_net.pb").read_bytes())
    predict.ParseFromString((folder / "pair" / "predict_net.pb").read_bytes())
    workspace.ResetWorkspace()
    workspace.RunNetOnce(init)
    for blob, x in net.feeds.items():
        workspace.FeedBlob(blob, x)
    workspace.RunNetOnce(predict)
    return workspace.FetchBlob(predict.external_output[0])


def to_paddle(net: Trained, folder: Path) -> np.ndarray:
    net.captured.write(folder / "net.pdmodel")
    layer = paddle.jit.load(str(folder / "net"))
    return layer(*[paddle.to_tensor(net.feeds[blob]) for blob in layer.input_names]).numpy()


def to_module(net: Trained, folder: Path) -> np.ndarray:
    made = ft.module(net.captured)
    with torch.no_grad():
        return made(**{blob: torch.from_numpy(x) for blob, x in net.feeds.items()}).numpy()


def to_state(net: Trained, folder: Path) -> np.ndarray:
    net.captured.write(folder / "net.pt")
    made = ft.module(net.captured)
    with torch.no_grad():
        for value in made.state_dict().values():
            value.zero_()
        made.load_state_dict(torch.load(folder / "net.pt", weights_only=True))
        return made(**{blob: torch.from_numpy(x) for blob, x in net.feeds.items()}).numpy()


def to_onnx(net: Trained, folder: Path) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    net.captured.write(folder / "net.onnx", shapes(net))
    return runtime.InferenceSession(str(folder / "net.onnx")).run(None, net.feeds)[0]


WAYS: dict[str, Way] = {
    "Caffe": to_caffe,
    "Caffe2": to_caffe2,
    "Paddle": to_paddle,
    "torch.nn.Module": to_module,
    "state_dict": to_state,
    "ONNX": to_onnx,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", DATA)
def test_the_same_predictions(name: str, door: str, way: str, tmp_path: Path) -> None:
    net = DOORS[door](name, tmp_path)
    found = WAYS[way](net, tmp_path)
    np.testing.assert_allclose(found.reshape(net.wanted.shape), net.wanted, rtol=1e-5, atol=1e-5)


def test_the_document_says_so() -> None:
    """The ways of docs/convert.md are those that are gone here."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "convert.md").read_text().partition("## Files")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    assert rows[0][1:] == list(WAYS)
    assert [row[0] for row in rows[2:]] == list(DOORS)
    assert {cell for row in rows[2:] for cell in row[1:]} == {"yes"}


def test_a_paddle_layer_of_any_net(tmp_path: Path) -> None:
    """It predicts, learns on, and keeps what it learnt."""
    net = DOORS["Caffe"]("residual", tmp_path)
    layer = paddle.layer(net.captured)
    x = paddle.to_tensor(net.feeds["data"])
    np.testing.assert_allclose(layer(x).numpy(), net.wanted, rtol=1e-5, atol=1e-5)
    layer.train()
    sgd = paddle.optimizer.SGD(0.1, parameters=layer.parameters())
    losses = []
    for _ in range(10):
        loss = -paddle.log(layer(x)[:, 0]).mean()
        loss.backward()
        sgd.step()
        sgd.clear_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "again"), [InputSpec([None, 3, 10, 10], name="picture")])
    again = paddle.jit.load(str(tmp_path / "again"))
    assert again.input_names == ["picture"]
    assert again._input_spec()[0].shape == (-1, 3, 10, 10)
    np.testing.assert_allclose(again(x).numpy(), layer(x).numpy(), rtol=1e-5, atol=1e-5)


# ---- the original's files of Paddle, by the command --------------------------------------------------------
PROGRAMS = Path(__file__).resolve().parents[1] / "paddle" / "recorded" / "programs.zip"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """net.pdmodel and net.pdiparams of paddlepaddle 2.6.2 in the current folder; an input and the outputs."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(PROGRAMS) as archive:
        for ending in ("pdmodel", "pdiparams"):
            Path(f"net.{ending}").write_bytes(archive.read(f"convolutions.{ending}"))
        outputs = list(np.load(io.BytesIO(archive.read("convolutions.npz"))).values())
    spec = importlib.util.spec_from_file_location("programs", PROGRAMS.parents[1] / "cases" / "programs.py")
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    layer = paddle.jit.load("net")
    shape = [2 if size < 0 else size for size in layer._input_spec()[0].shape]
    (x,) = cases.inputs([(shape, "float32")])
    return {"x": x, "wanted": outputs[0], "name": layer.input_names[0]}


def test_the_original_s_paddle_program(program: Any, tmp_path: Path) -> None:
    x, wanted, name = program["x"], program["wanted"], program["name"]
    said = ["--shape", f"{name}={','.join(map(str, x.shape))}"]
    for target in ("made.prototxt", "pair", "made.onnx", "made.pdmodel", "made.pt"):
        assert main(["convert", "net.pdmodel", target, *said]) == 0
    assert main(["convert", "net.pdmodel", "net.pdiparams", "other.prototxt", *said]) == 0
    assert Path("other.caffemodel").read_bytes() == Path("made.caffemodel").read_bytes()
    for file in ("made.prototxt", "other.prototxt"):
        net = caffe.Net(file, file.replace("prototxt", "caffemodel"), caffe.TEST)
        net.blobs[name].data[...] = x
        np.testing.assert_allclose(net.forward()[net.outputs[0]], wanted, rtol=2e-5, atol=2e-5)
    modules = [ft.module("net.pdmodel"), ft.module("made.onnx"), ft.module("made.pdmodel")]
    modules[0].load_state_dict(torch.load("made.pt", weights_only=True))
    for module in modules:
        with torch.no_grad():
            np.testing.assert_allclose(module.eval()(torch.from_numpy(x)), wanted, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(
        to_caffe2(Trained(ft.capture("net.pdmodel"), {name: x}, wanted), tmp_path),
        wanted,
        rtol=2e-5,
        atol=2e-5,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.pdmodel", "a.doc"], "give FILE.onnx, FILE.prototxt, FILE.pdmodel, FILE.pt, or a folder"),
        (["cut.pdmodel", "a.onnx"], "cut.pdmodel"),
        (["open.pdmodel", "a.onnx"], "--shape x=N,3,N,N"),
        (["empty.pdmodel", "a.onnx"], "empty.pdmodel"),
        (["lonely.pdmodel", "a.onnx"], "parameters, and no file of them was found"),
    ],
)
def test_wrong_paddle_files(arguments: list[str], words: str, program: Any, capsys: Any) -> None:
    whole = Path("net.pdmodel").read_bytes()
    Path("cut.pdmodel").write_bytes(whole[: len(whole) // 2])
    Path("empty.pdmodel").write_bytes(b"")
    Path("lonely.pdmodel").write_bytes(whole)
    desc = parse_message(load("paddle").ProgramDesc, whole)
    for var in desc.blocks[0].vars:
        if var.name == program["name"]:
            var.type.lod_tensor.tensor.dims[:] = [-1, 3, -1, -1]
    Path("open.pdmodel").write_bytes(desc.SerializeToString())
    Path("open.pdiparams").write_bytes(Path("net.pdiparams").read_bytes())
    assert main(["convert", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(Path().glob("a.*"))


# ---- capture and write -------------------------------------------------------------------------------------
def test_capture_says_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="capture of module 'Linear' takes example inputs"):
        ft.capture(torch.nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"capture: what goes in is not known: give input_spec"):
        ft.capture(paddle.nn.Linear(2, 2))
    with pytest.raises(NetError, match="a float is no net"):
        ft.capture(1.5)
    captured = ft.capture(torch.nn.Linear(2, 2), torch.rand(3, 2))
    assert ft.capture(captured) is captured
    assert captured.shapes == {captured.inputs[0]: ([None, 2], torch.float32)}
    with pytest.raises(ArgumentError, match=r"net\.doc: give FILE\.onnx, FILE\.prototxt, FILE\.pdmodel"):
        captured.write(tmp_path / "net.doc")
    net = Net("n", [Op("Relu", ["x"], ["y"])], ["x"], ["y"])
    with pytest.raises(ArgumentError, match=r"the shape of x is not known.* shapes=\{'x'"):
        ft.capture(ft.module(net, {})).write(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_names_of_a_captured_net() -> None:
    captured = ft.capture(torch.nn.Linear(2, 2), torch.rand(3, 2))
    captured.rename({captured.inputs[0]: "x", captured.outputs[0]: "weight"})
    assert captured.inputs == ["x"]
    assert captured.outputs != ["weight"]  # a parameter's
    assert captured.run(torch.ones(4, 2)).shape == (4, 2)


def test_what_parameters_lead_to_is_worked_out() -> None:
    """But not what is returned, what is overwritten, and what begins with data."""
    ops = [
        Op("Transpose", ["w"], ["t"]),
        Op("Scale", ["t"], ["s"], {"scale": 2.0}),
        Op("FC", ["x", "s", "b"], ["y"]),
        Op("Copy", ["b"], ["out"]),
        Op("Copy", ["b"], ["twice"]),
        Op("Scale", ["twice"], ["twice"], {"scale": 2.0}),
        Op("Add", ["y", "twice"], ["z"]),
    ]
    values = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.ones(2)}
    net, left = folded(Net("n", ops, ["x", "w", "b"], ["z", "out"]), values, ["z", "out"])
    assert [op.type for op in net.ops] == ["FC", "Copy", "Copy", "Scale", "Add"]
    assert left["s"].tolist() == [[2.0, 6.0], [4.0, 8.0]]
    assert sorted(left) == ["b", "s"]
    assert sorted(net.inputs) == ["b", "s", "x"]
