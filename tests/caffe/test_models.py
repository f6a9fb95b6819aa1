"""Real nets and weights from public repositories: read, written back, built, run."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe
from caffe import _files
from caffe.proto import caffe_pb2
from caffe2.proto import caffe2_pb2
from caffe2.python import workspace
from conftest import SHARED
from freshpot.data.mnist import load_mnist
from freshpot.errors import FormatError, FreshpotError, UnknownOperatorError
from freshpot.formats import caffemodel, protobuf
from freshpot.formats.prototxt import TextMessage, format_prototxt, parse_prototxt
from freshpot.formats.solverstate import read_solverstate

MODELS = SHARED / "models" if SHARED else Path("models")
INDEX: list[dict[str, Any]] = json.loads((MODELS / "index.json").read_text()) if SHARED else []
FILES = [file for entry in INDEX for file in entry["files"]]
NETS = [(entry["files"][0], entry["expects"]) for entry in INDEX if entry["kind"] == "caffe-net"]
#: BVLC Caffe has all their layers; what they lack is data
RUNNABLE = [(file, expects) for file, expects in NETS if "TEST-phase outputs" in expects]
LENET = "everpeace+caffe/examples/mnist"

pytestmark = pytest.mark.usefixtures("shared")


def with_ending(*endings: str) -> list[str]:
    return [file for file in FILES if file.endswith(endings)]


# ---- reading and writing back ---------------------------------------------------------------------


def read_text(path: Path, text: str | None = None) -> TextMessage:
    kind = caffe2_pb2.NetDef if path.suffix == ".pbtxt" else caffe_pb2.NetParameter
    return parse_prototxt(path.read_text() if text is None else text, kind(), path)


def shown(fields: list[Any]) -> list[Any]:
    """Unknown fields without their lines."""
    return [[f.name, [shown(v) if isinstance(v, list) else v.text for v in f.values]] for f in fields]


@pytest.mark.parametrize("file", with_ending(".prototxt", ".pbtxt"))
def test_text_is_written_back_without_loss(file: str) -> None:
    first = read_text(MODELS / file)
    again = read_text(MODELS / file, format_prototxt(first))
    assert again.message == first.message
    assert {where: shown(f) for where, f in again.unknown.items()} == {
        where: shown(f) for where, f in first.unknown.items()
    }
    # every word and number of the file is somewhere in what was written, unknown or not
    assert leaves(again) == leaves(first)
    assert len(re.findall(r"\blayers?\s*\{", re.sub("#.*", "", (MODELS / file).read_text()))) == len(
        getattr(first.message, "layer", [])
    ) + len(getattr(first.message, "layers", []))


def leaves(made: TextMessage) -> int:
    """How many fields there are, known and unknown."""
    return len(made.lines) + sum(map(_count, made.unknown.values()))


def _count(fields: list[Any]) -> int:
    return sum(_count(v) if isinstance(v, list) else 1 for f in fields for v in f.values)


BINARY = {
    ".caffemodel": caffe_pb2.NetParameter,
    ".solverstate": caffe_pb2.SolverState,
    ".binaryproto": caffe_pb2.BlobProto,
    ".pb": caffe2_pb2.NetDef,
}


@pytest.mark.parametrize("file", with_ending(*BINARY))
def test_binary_is_written_back_without_loss(file: str, tmp_path: Path) -> None:
    data = (MODELS / file).read_bytes()
    message = protobuf.parse_message(BINARY[Path(file).suffix], data, path=file)
    caffemodel.write_message(tmp_path / "copy", message)
    copy = (tmp_path / "copy").read_bytes()
    assert protobuf.parse_message(type(message), copy) == message
    assert len(copy) == len(data)
    assert copy == data or sorted(copy) == sorted(data)  # the same fields, perhaps in another order


def test_unknown_binary_fields_are_kept(tmp_path: Path) -> None:
    data = (MODELS / LENET / "lenet_iter_10000.caffemodel").read_bytes()
    strange = b"\xc2\x3e\x06forked" + b"\xc8\x3e\x2a"  # fields 1000 (text) and 1001 (a number)
    message = caffemodel.read_binary_net(_written(tmp_path / "fork.caffemodel", data + strange))
    caffemodel.write_message(tmp_path / "copy", message)
    assert strange in (tmp_path / "copy").read_bytes()


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# ---- structure ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "expects"), NETS)
def test_layers_are_those_listed(file: str, expects: str) -> None:
    message = read_text(MODELS / file).message
    count, types = re.match(r"(\d+) layer messages, types ([^;]*);", expects).groups()
    found = [layer.type for layer in message.layer]
    found += [message.layers[0].LayerType.Name(layer.type) for layer in message.layers]
    assert len(found) == int(count)
    assert sorted(set(found)) == types.split(", ")


@pytest.mark.parametrize(
    ("file", "expects"),
    [pytest.param(*row, marks=[pytest.mark.slow] if "UNet" in row[0] else []) for row in RUNNABLE],
)
def test_nets_have_the_listed_outputs_and_parameters(file: str, expects: str) -> None:
    net = caffe.Net(str(MODELS / file), caffe.TEST)
    outputs = json.loads(re.search(r"outputs (\{.*?\})", expects).group(1))
    assert {name: list(net.blobs[name].shape) for name in net.outputs} == outputs
    learned = sum(
        blob.count for layer in net.layers if layer.type != "BatchNorm" for blob in layer.blobs
    )  # fmt: skip
    assert learned == int(re.search(r"(\d+) learned parameters", expects).group(1))


def caffe2_net(file: str) -> Any:
    return read_text(MODELS / file).message


@pytest.mark.parametrize("entry", [e for e in INDEX if e["kind"] == "caffe2-net"], ids=lambda e: e["from"])
def test_caffe2_nets_are_those_listed(entry: dict[str, Any]) -> None:
    message = caffe2_net(entry["files"][0])
    count, types = re.match(r"(\d+) ops(?:, types)?: ([^;]*)", entry["expects"]).groups()
    assert len(message.op) == int(count)
    assert sorted({op.type for op in message.op}) == types.split(", ")
    outputs = re.search(r"external_output \[(.*)\]", entry["expects"])
    if outputs:
        assert list(message.external_output) == [name.strip(" '") for name in outputs.group(1).split(",")]


# ---- running what cannot run ----------------------------------------------------------------------

#: file -> layer types that no layer of BVLC Caffe has
FORKED = {
    "cwlacewe+netscope/presets/fasterRCNN_ZynqNet.prototxt": {"implicit"},
    "eric612+MobileNet-YOLO/models/darknet/darknet19_deploy.prototxt": {"Reorg", "YoloDetectionOutput"},
    "lltcggie+waifu2x-caffe/bin/models/upresnet10/noise0_scale2.0x_model.prototxt": {"CropCenter"},
}


@pytest.mark.parametrize("file", FORKED)
def test_all_unknown_layers_are_reported_at_once(file: str) -> None:
    path = MODELS / file
    with pytest.raises(UnknownOperatorError) as caught:
        caffe.Net(str(path), caffe.TEST)
    lines = path.read_text().splitlines()
    reported = re.findall(
        r"\n  (.*):(\d+): layer '(.*)' \((.*)\): there is no layer type '(.*?)'", str(caught.value)
    )
    wanted = [layer for layer in read_text(path).message.layer if layer.type in FORKED[file]]
    assert [row[2] for row in reported] == [layer.name for layer in wanted]
    for where, line, _, kind, same in reported:
        assert where == str(path)
        assert same == kind
        assert kind in FORKED[file]
        assert re.match(r"\s*layer\s*\{", lines[int(line) - 1])


@pytest.mark.parametrize("file", [file for file, expects in NETS if "TEST-phase outputs" not in expects])
def test_other_nets_run_or_say_why_not(file: str) -> None:
    """Nothing but typed errors, and those name the file."""
    said = ""
    try:
        caffe.Net(str(MODELS / file), caffe.TEST)
    except FreshpotError as error:
        said = str(error)
    assert not said or str(MODELS / file) in said


def test_layer_and_layers_in_one_net() -> None:
    path = MODELS / "cwlacewe+netscope/presets/vgg-16.prototxt"
    with pytest.raises(
        FormatError, match=r"vgg-16\.prototxt: line 16: the net has both 'layer' and 'layers'"
    ):
        caffe.Net(str(path), caffe.TEST)


# ---- weights --------------------------------------------------------------------------------------


def listed_outputs(expects: str) -> dict[str, tuple[list[int], float, list[float]]]:
    rows = re.findall(r"([\w-]+) shape \[([\d, ]+)\] sum (-?[\d.]+) first \[([^\]]*)\]", expects)
    return {
        name: (json.loads(f"[{shape}]"), float(total), json.loads(f"[{first}]"))
        for name, shape, total, first in rows
    }


def runs(file: str) -> bool:
    return "upresnet" not in file  # a layer of a fork: CropCenter


WEIGHTS = [(*e["files"], e["expects"]) for e in INDEX if len(e["files"]) == 2 and e["kind"] == "caffe-model"]


@pytest.mark.parametrize(("file", "weights", "expects"), [row for row in WEIGHTS if runs(row[0])])
def test_weights_give_the_listed_outputs(file: str, weights: str, expects: str) -> None:
    net = caffe.Net(str(MODELS / file), str(MODELS / weights), caffe.TEST)
    shape = tuple(json.loads(re.search(r"uniform\(-1,1,\((.*?)\)", expects).expand(r"[\1]")))
    data = np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)
    net.blobs[net.inputs[0]].reshape(*shape)
    found = net.forward(**{net.inputs[0]: data})
    wanted = listed_outputs(expects)
    assert set(found) == set(wanted)
    for name, (dims, total, first) in wanted.items():
        assert list(found[name].shape) == dims
        np.testing.assert_allclose(found[name].sum(), total, atol=1e-4)
        np.testing.assert_allclose(found[name].ravel()[: len(first)], first, atol=1e-4)


@pytest.mark.parametrize(("file", "weights", "expects"), WEIGHTS)
def test_every_blob_is_loaded(file: str, weights: str, expects: str) -> None:
    net = caffemodel.read_binary_net(MODELS / weights)
    blobs = [caffemodel.read_blob(blob) for layer in (*net.layer, *net.layers) for blob in layer.blobs]
    assert len(blobs) >= 8
    assert all(np.isfinite(blob).all() for blob in blobs)
    described = read_text(MODELS / file).message
    named = {layer.name for layer in (*described.layer, *described.layers)}
    stored = {layer.name for layer in (*net.layer, *net.layers) if layer.blobs}
    assert stored - named <= {"conv5-3"}  # R-Net's landmarks, which the description leaves out
    assert stored & named


def test_trained_lenet_scores_on_the_test_set(shared: Path) -> None:
    net = caffe.Net(str(MODELS / LENET / "lenet.prototxt"), caffe.TEST, weights=str(_lenet_weights()))
    images, labels = _test_set(shared)
    scores = net.forward_all(data=images[:, None].astype(np.float32) / 256)["prob"]
    assert (scores.argmax(1) == labels).mean() == pytest.approx(0.9905)


def _lenet_weights() -> Path:
    return MODELS / LENET / "lenet_iter_10000.caffemodel"


def _test_set(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    data = load_mnist(shared / "mnist", "test")
    return data.images, data.labels


def test_mean_image() -> None:
    blob = protobuf.parse_message(
        caffe_pb2.BlobProto, (MODELS / "leetonfreestyle+DMSH/examples/cifar10/mean.binaryproto").read_bytes()
    )
    mean = caffemodel.read_blob(blob)
    assert mean.shape == (1, 3, 32, 32)
    assert 0 <= mean.min() < mean.max() <= 255


# ---- solver states --------------------------------------------------------------------------------

CIFAR = "everpeace+caffe/examples/cifar10/cifar10_quick_iter_4000.solverstate"
CIFAR_SOLVER = """
base_lr: 0.0001 momentum: 0.9 weight_decay: 0.004 lr_policy: "fixed" max_iter: 5000
net_param {
  layer { name: "data" type: "DummyData" top: "data" top: "label"
          dummy_data_param { shape { dim: 4 dim: 3 dim: 32 dim: 32 } shape { dim: 4 } } }
  layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          convolution_param { num_output: 32 pad: 2 kernel_size: 5 } }
  layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
  layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
          convolution_param { num_output: 32 pad: 2 kernel_size: 5 } }
  layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 3 stride: 2 } }
  layer { name: "conv3" type: "Convolution" bottom: "pool2" top: "conv3"
          convolution_param { num_output: 64 pad: 2 kernel_size: 5 } }
  layer { name: "pool3" type: "Pooling" bottom: "conv3" top: "pool3" pooling_param { kernel_size: 3 stride: 2 } }
  layer { name: "ip1" type: "InnerProduct" bottom: "pool3" top: "ip1" inner_product_param { num_output: 64 } }
  layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
}
"""


def test_solver_state_is_restored_and_goes_on(tmp_path: Path) -> None:
    state = read_solverstate(MODELS / CIFAR)
    (tmp_path / "solver.prototxt").write_text(CIFAR_SOLVER)
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    params = [blob for blobs in solver.net.params.values() for blob in blobs]
    assert state.iteration == 4000
    sizes = [int(np.prod(blob.shape)) for blob in params]
    assert [array.size for array in state.history] == sizes
    solver.net.save(str(tmp_path / Path(state.learned_net).name))  # the weights of that run are not there
    shutil.copy(MODELS / CIFAR, tmp_path / "state.solverstate")
    solver.restore(str(tmp_path / "state.solverstate"))
    assert solver.iter == 4000
    before = params[0].data.copy()
    solver.step(1)
    assert solver.iter == 4001
    # the first step moves by the restored momentum: history is 0.9 * history + what the new gradient adds
    moved = before - params[0].data
    momentum = 0.9 * state.history[0].reshape(before.shape)
    assert np.corrcoef(moved.ravel(), momentum.ravel())[0, 1] > 0.99


# ---- Caffe2 ---------------------------------------------------------------------------------------


@pytest.fixture
def resnet() -> Iterator[list[Any]]:
    workspace.ResetWorkspace()
    folder = MODELS / "BIGBALLON+Caffe2-Tutorial/03_cpp_forward"
    nets = []
    for name in ("init_net.pb", "predict_net.pb"):
        net = protobuf.parse_message(caffe2_pb2.NetDef, (folder / name).read_bytes())
        net.ClearField("device_option")
        for op in net.op:
            op.ClearField("device_option")  # they name a GPU
        nets.append(net)
    nets[1].external_output.append("softmax")
    yield nets
    workspace.ResetWorkspace()


def test_caffe2_resnet_gives_the_listed_output(resnet: list[Any]) -> None:
    data = np.random.RandomState(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    (softmax,) = workspace.Predictor(*resnet).run({"data": data})
    assert softmax.shape == (1, 10)
    np.testing.assert_allclose(softmax[0, :4], [1.8e-13, 2.67e-14, 3.28e-08, 9.49e-12], rtol=0.01)
    np.testing.assert_allclose(softmax.sum(), 1, atol=1e-5)


def test_upgraded_fork_nets_keep_what_they_say() -> None:
    """A V1 file with fields and types of a fork comes through the upgrade with them."""
    text = """
layers { name: "data" type: DUMMY_DATA top: "data" dummy_data_param { num: 1 channels: 1 height: 2 width: 2 } }
layers { name: "roi" type: ROI_POOLING bottom: "data" top: "roi" roi_pooling_param { pooled_w: 7 } }
"""
    made = _files.read_net_text(text)
    assert [layer.type for layer in made.message.layer] == ["DummyData", "RoiPooling"]
    assert made.unknown_names() == ["line 3: layer.1.roi_pooling_param"]
    assert "roi_pooling_param {\n    pooled_w: 7\n  }" in format_prototxt(made)
