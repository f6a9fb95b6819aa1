"""Caffe2's net drawer: the DOT text is what the original wrote through pydot (``recorded/``)."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from PIL import Image

from caffe2.proto import caffe2_pb2
from caffe2.python import net_drawer
from freshpot.errors import FormatError, NotSupportedError
from freshpot.viz import render

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture(autouse=True)
def _no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render.shutil, "which", lambda program: None)


def tiny() -> caffe2_pb2.NetDef:
    """Named, in place, several outputs, one blob read twice, no output, and names that need quotes."""
    net = caffe2_pb2.NetDef(name="tiny")
    for kind, inputs, outputs, name in [
        ("Conv", ["data", "w", "b"], ["c"], "first"),
        ("Relu", ["c"], ["c"], ""),
        ("Split", ["c"], ["left", "right/half"], ""),
        ("Sum", ["left", "right/half", "left"], ["out-put"], ""),
        ("Print", ["out-put"], [], ""),
    ]:
        net.op.add(type=kind, input=inputs, output=outputs, name=name)
    return net


def plan() -> caffe2_pb2.PlanDef:
    made = caffe2_pb2.PlanDef(name="plan")
    made.execution_step.add(
        name="train", report_net="report", should_stop_blob="stop", network=["init", "body"]
    )
    many = made.execution_step.add(name="many", concurrent_substeps=True, only_once=True)
    for i in range(5):
        many.substep.add(name=f"sub{i}", network=[f"n{i}"])
    made.network.add(name="init").op.add(type="A")
    made.network.add().op.add(type="B")
    return made


def test_full_graph_as_recorded() -> None:
    assert net_drawer.GetPydotGraph(tiny()).to_string() == (RECORDED / "tiny_full.dot").read_text()


def test_minimal_graph_as_recorded() -> None:
    graph = net_drawer.GetPydotGraphMinimal(tiny(), rankdir="TB")
    assert graph.to_string() == (RECORDED / "tiny_minimal.dot").read_text()


def test_outputs_in_labels_as_recorded() -> None:
    make = net_drawer.GetOpNodeProducer(True, shape="box")
    graph = net_drawer.GetPydotGraphMinimal(tiny().op, minimal_dependency=True, op_node_producer=make)
    assert graph.to_string() == (RECORDED / "tiny_outputs.dot").read_text()


def test_plan_as_recorded() -> None:
    assert net_drawer.GetPlanGraph(plan(), "p").to_string() == (RECORDED / "plan.dot").read_text()


def test_json_as_recorded(tmp_path: Path) -> None:
    net_drawer.GetGraphInJson(tiny(), str(tmp_path / "net.json"))
    assert json.loads((tmp_path / "net.json").read_text()) == json.loads((RECORDED / "tiny.json").read_text())


PROGRAMS = json.loads((RECORDED / "programs.json").read_text())


@pytest.mark.parametrize("program", PROGRAMS)
def test_reference_programs_as_recorded(shared: Path, tmp_path: Path, program: str) -> None:
    """Digests of what the original, with pydot, wrote for every reference program."""
    net = caffe2_pb2.NetDef()
    text_format.Parse((shared / "reference/caffe2/programs" / f"{program}.net.pbtxt").read_text(), net)
    make = net_drawer.GetOpNodeProducer(True, shape="box")
    net_drawer.GetGraphInJson(net, str(tmp_path / "net.json"))
    found = {
        "full": net_drawer.GetPydotGraph(net),
        "minimal": net_drawer.GetPydotGraphMinimal(net.op, "mnist", minimal_dependency=True),
        "outputs": net_drawer.GetPydotGraphMinimal(net, rankdir="TB", op_node_producer=make),
        "json": json.dumps(json.loads((tmp_path / "net.json").read_text()), sort_keys=True),
    }
    wanted = dict(PROGRAMS[program])
    if program == "core_net_autonames":  # pydot cuts "auto/Split:0" at its colon; we keep it
        del wanted["outputs"], found["outputs"]
    assert {
        name: hashlib.sha256(str(text).encode()).hexdigest()[:16] for name, text in found.items()
    } == wanted


def test_minimal_dependency_leaves_out_what_a_longer_way_says() -> None:
    net = caffe2_pb2.NetDef(name="n")
    net.op.add(type="A", output=["a"])
    net.op.add(type="B", input=["a"], output=["b"])
    net.op.add(type="C", input=["a", "b"], output=["c"])
    all_edges = {
        (e.get_source(), e.get_destination()) for e in net_drawer.GetPydotGraphMinimal(net).get_edges()
    }
    graph = net_drawer.GetPydotGraphMinimal(net, minimal_dependency=True)
    assert len(all_edges) == 3
    assert [e.get_source() for e in graph.get_edges()] == ["A (op#0)", "B (op#1)"]


def test_anything_with_a_proto_is_a_net() -> None:
    class Net:
        def __init__(self, proto: object) -> None:
            self.proto = proto

        def Proto(self) -> object:
            return self.proto

    assert net_drawer.GetPydotGraph(Net(tiny())).to_string() == net_drawer.GetPydotGraph(tiny()).to_string()
    assert net_drawer.GetPydotGraph(tiny().op).get_name() == "unnamed"
    assert net_drawer.GetPydotGraph(tiny(), name="mine").get_name() == "mine"
    with pytest.raises(RuntimeError, match="Expecting NetDef, but got"):
        net_drawer.GetPydotGraph(Net(plan()))


def test_own_node_makers() -> None:
    graph = net_drawer.GetPydotGraph(
        tiny(), blob_node_producer=net_drawer.GetBlobNodeProducer(shape="box", color="red")
    )
    assert graph.get_node('"w0"')[0].get_color() == "red"


def test_operator_map_of_a_plan() -> None:
    found = {name: [op.type for op in ops] for name, ops in net_drawer.GetOperatorMapForPlan(plan()).items()}
    assert found == {"plan_init": ["A"], "plan_network_1": ["B"]}


def test_a_step_without_work_is_named() -> None:
    empty = caffe2_pb2.PlanDef()
    empty.execution_step.add(name="idle")
    with pytest.raises(ValueError, match="execution step 'idle' has neither nets nor substeps"):
        net_drawer.GetPlanGraph(empty)


def test_pictures_without_graphviz() -> None:
    graph = net_drawer.GetPydotGraph(tiny())
    assert Image.open(io.BytesIO(graph.create_png())).width > 300
    assert b"first/Conv (op#0)" in graph.create_svg()
    with pytest.raises(NotSupportedError, match="as 'xdot' needs Graphviz"):
        graph.create_xdot()


def test_png_safe_gives_a_picture_or_one_empty_pixel(caplog: pytest.LogCaptureFixture) -> None:
    png = net_drawer.GetGraphPngSafe(net_drawer.GetPydotGraph, tiny())
    assert Image.open(io.BytesIO(png)).width > 300
    for bad in (lambda: 1 / 0, lambda: "no graph"):
        image = Image.open(io.BytesIO(net_drawer.GetGraphPngSafe(bad)))
        image.load()
        assert image.size == (1, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "Failed to draw graph: division by zero",
        "Failed to draw graph: expected a function that returns a graph (Dot), it returned str",
    ]


@pytest.mark.parametrize(
    ("flags", "nodes"), [([], 13), (["--minimal"], 5), (["--minimal_dependency", "--append_output"], 5)]
)
def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], nodes: int) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.pbtxt").write_text(text_format.MessageToString(tiny()))
    net_drawer.main(["--input", "net.pbtxt", "--output_prefix", "my_", *flags])
    lines = set(Path("my_tiny.dot").read_text().splitlines())
    assert sum(" [" in line for line in lines) == nodes
    assert Path("my_tiny.pdf").read_bytes().startswith(b"%PDF")


def test_command_line_draws_every_net_of_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.pbtxt").write_text(text_format.MessageToString(plan()))
    net_drawer.main(["--input", "plan.pbtxt"])
    assert sorted(p.name for p in tmp_path.glob("*.dot")) == ["plan_init.dot", "plan_network_1.dot"]


def test_command_line_refuses_other_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello {")
    with pytest.raises(FormatError, match=r"x\.txt: not a PlanDef: .*; not a NetDef: "):
        net_drawer.main(["--input", str(path)])
