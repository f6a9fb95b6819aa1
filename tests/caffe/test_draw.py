"""Pictures of nets: texts, colours, phases, files; with or without Graphviz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

import caffe.draw
from caffe.proto import caffe_pb2
from conftest import needs_shared

NET = """
name: "small"
layer { name: "mnist" type: "Data" top: "data" top: "label" data_param { batch_size: 64 }
  include { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 stride: 2 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "pool" top: "pool" }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" exclude { phase: TRAIN } }
"""


@pytest.fixture
def net() -> Any:
    return text_format.Parse(NET, caffe_pb2.NetParameter())


@pytest.mark.parametrize(
    ("index", "rankdir", "learning", "label"),
    [
        (0, "LR", True, r'"mnist\n(Data)"'),
        (1, "LR", False, r'"conv\n(Convolution)\nkernel size: 5\nstride: 2\npad: 0"'),
        (1, "TB", True, '"conv (Convolution) kernel size: 5 stride: 2 pad: 0 lr mult: 1.0, 2.0"'),
        (2, "BT", False, '"pool (Pooling AVE) kernel size: 3 stride: 1 pad: 0"'),
        (4, "TB", True, '"ip (InnerProduct) lr mult: 1.0, 1.0"'),
    ],
)
def test_labels(net: Any, index: int, rankdir: str, learning: bool, label: str) -> None:
    assert caffe.draw.get_layer_label(net.layer[index], rankdir, learning) == label


def test_edges_and_colours(net: Any) -> None:
    graph = caffe.draw.get_pydot_graph(net, "LR")
    assert (graph.get_name(), graph.get_rankdir()) == ("small", "LR")
    labels = {(e.get_source(), e.get_destination()): e.get_label() for e in graph.get_edges()}
    assert labels[r'"mnist\n(Data)"', "data"] == "Batch 64"
    assert labels[r'"ip\n(InnerProduct)"', "ip"] == "10"
    assert labels["pool", r'"relu\n(ReLU)"'] == '""'
    colours = {n.get_name().strip('"').partition("\\")[0]: n.get_fillcolor() for n in graph.get_nodes()}
    assert [colours[n] for n in ("mnist", "relu", "data", "label")] == [
        "#6495ED",
        "#90EE90",
        "#E0E0E0",
        "#E0E0E0",
    ]
    assert colours["acc"] in ("#6495ED", None)


def test_edges_without_labels(net: Any) -> None:
    graph = caffe.draw.get_pydot_graph(net, "LR", label_edges=False)
    assert {e.get_label() for e in graph.get_edges()} == {'""'}


@pytest.mark.parametrize(
    ("phase", "layers"),
    [
        (None, {"mnist", "conv", "pool", "relu", "ip", "acc"}),
        (caffe.TRAIN, {"mnist", "conv", "pool", "relu", "ip"}),
        (caffe.TEST, {"conv", "pool", "relu", "ip", "acc"}),
    ],
)
def test_phases(net: Any, phase: int | None, layers: set[str]) -> None:
    graph = caffe.draw.get_pydot_graph(net, "LR", phase=phase)
    boxes = [n.get_name() for n in graph.get_nodes() if n.get_shape() == "record"]
    assert {name.strip('"').partition("\\")[0] for name in boxes} == layers


def test_rules_that_contradict(net: Any) -> None:
    net.layer[0].exclude.add(phase=caffe.TEST)
    with pytest.raises(ValueError, match="layer 'mnist' has both include and exclude rules; keep one kind"):
        caffe.draw.get_pydot_graph(net, "LR", phase=caffe.TRAIN)


def test_learning_rates_that_are_not_there(net: Any) -> None:
    with pytest.raises(ValueError, match="Pooling layers do not have a learning rate multiplier"):
        caffe.draw.get_layer_lr_mult(net.layer[2])
    net.layer[1].param.add()
    with pytest.raises(ValueError, match="layer 'conv' has 3 learning rate multipliers"):
        caffe.draw.get_layer_lr_mult(net.layer[1])


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<"), ("raw", b"digraph small {")]
)
def test_files(net: Any, tmp_path: Path, ending: str, start: bytes) -> None:
    path = tmp_path / f"net.{ending}"
    caffe.draw.draw_net_to_file(net, str(path), "TB")
    assert path.read_bytes().startswith(start)


@needs_shared
def test_a_recorded_net_is_drawn(shared: Path) -> None:
    text = (shared / "reference/caffe/files/lenet_train_test.prototxt").read_text()
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    assert caffe.draw.draw_net(net, "LR", "png").startswith(b"\x89PNG")
