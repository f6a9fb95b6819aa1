"""DOT text, pydot's methods, and pictures with and without Graphviz."""

from __future__ import annotations

import gzip
import io
import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from freshpot.errors import DataError, NotSupportedError
from freshpot.viz import render
from freshpot.viz.dot import Dot, Edge, Node, quote
from freshpot.viz.graph import OP_STYLE, Operator, dependency_graph, net_graph


def sample() -> Dot:
    graph = Dot("sample", rankdir="LR")
    conv, data = Node("Conv (op#0)", **OP_STYLE), Node('"data0"', label='"data <1>"', shape="octagon")
    graph.add_node(conv)
    graph.add_node(data)
    graph.add_edge(Edge(data, conv))
    graph.add_edge(Edge(conv, "bare", style="dashed", arrowhead="dot"))
    return graph


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("abc", "abc", "abc"),
        ("a_b", "a_b", '"a_b"'),
        ("12", "12", "12"),
        ("1.5", "1.5", "1.5"),
        ("1a", '"1a"', '"1a"'),
        ("a b", '"a b"', '"a b"'),
        ("node", '"node"', '"node"'),
        ('"q"', '"q"', '"q"'),
        ("<b>", "<b>", "<b>"),
        ("a:b", '"a:b"', '"a:b"'),
        ('a"b', r'"a\"b"', r'"a\"b"'),
        ("a\nb", r'"a\nb"', r'"a\nb"'),
        ("", '""', '""'),
    ],
)
def test_quotes(text: str, name: str, value: str) -> None:
    assert quote(text, identifier=True) == name
    assert quote(text, identifier=False) == value


def test_text_of_a_graph() -> None:
    assert sample().to_string() == (
        "digraph sample {\n"
        "rankdir=LR;\n"
        '"Conv (op#0)" [shape=box, color="#0F9D58", style=filled, fontcolor="#FFFFFF"];\n'
        '"data0" [label="data <1>", shape=octagon];\n'
        '"data0" -> "Conv (op#0)";\n'
        '"Conv (op#0)" -> bare [style=dashed, arrowhead=dot];\n'
        "}\n"
    )
    assert str(Dot(None, strict=True, note="", flag=None)) == 'digraph {\nstrict=true;\nnote="";\nflag;\n}\n'


def test_pydot_methods() -> None:
    graph = sample()
    assert [node.get_name() for node in graph.get_nodes()] == ["Conv (op#0)", '"data0"']
    assert [(e.get_source(), e.get_destination()) for e in graph.get_edge_list()] == [
        ('"data0"', "Conv (op#0)"),
        ("Conv (op#0)", "bare"),
    ]
    node = graph.get_node("Conv (op#0)")[0]
    node.set_color("red")
    node.set("penwidth", 2)
    assert (node.get_color(), node.get_penwidth(), node.get_label()) == ("red", 2, None)
    assert node.get_attributes()["color"] == "red"
    assert graph.get_rankdir() == "LR"
    assert graph.get_edge('"data0"', "Conv (op#0)")[0].get_sequence() == 3
    assert graph.get_node("none") == graph.get_edge("a", "b") == []
    node.set_name("x")
    graph.set_name("other")
    graph.set_prog("neato")
    assert (node.get_name(), graph.get_name(), graph.prog) == ("x", "other", "neato")
    with pytest.raises(AttributeError, match="Dot has no attribute 'layout'"):
        graph.layout  # noqa: B018
    with pytest.raises(TypeError, match=r"add_node\(\) takes a Node, got str"):
        graph.add_node("a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"add_edge\(\) takes an Edge, got Node"):
        graph.add_edge(node)  # type: ignore[arg-type]


@pytest.fixture
def no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render.shutil, "which", lambda program: None)
    monkeypatch.setattr(render, "_said", False)


@pytest.mark.usefixtures("no_graphviz")
@pytest.mark.parametrize(
    ("format", "begins"),
    [
        ("png", b"\x89PNG"),
        ("svg", b"<svg"),
        ("svgz", b"\x1f\x8b"),
        ("pdf", b"%PDF"),
        ("jpg", b"\xff\xd8"),
        ("gif", b"GIF8"),
    ],
)
def test_own_pictures(tmp_path: Path, format: str, begins: bytes) -> None:
    graph = sample()
    path = tmp_path / f"graph.{format}"
    assert getattr(graph, f"write_{format}")(str(path)) is True
    assert path.read_bytes() == getattr(graph, f"create_{format}")() or format == "pdf"
    assert path.read_bytes().startswith(begins)


@pytest.mark.usefixtures("no_graphviz")
def test_text_formats(tmp_path: Path) -> None:
    graph = sample()
    for write in (graph.write, graph.write_raw, graph.write_dot):
        write(tmp_path / "g.dot")
        assert (tmp_path / "g.dot").read_text() == graph.to_string()


@pytest.mark.usefixtures("no_graphviz")
def test_said_once_that_graphviz_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    graph = sample()
    graph.create_png()
    graph.create_svg()
    said = "freshpot: Graphviz ('dot') is not installed; drawing graphs without it\n"
    assert capsys.readouterr().err == said
    with pytest.raises(NotSupportedError, match="drawing a graph as 'ps' needs Graphviz"):
        graph.create()


@pytest.mark.usefixtures("no_graphviz")
def test_svg_shows_everything_and_is_well_formed() -> None:
    root = ET.fromstring(sample().create_svg())
    space = "{http://www.w3.org/2000/svg}"
    assert [text.text for text in root.iter(f"{space}text")] == ["Conv (op#0)", "data <1>", "bare"]
    assert [path.get("stroke-dasharray") for path in root.iter(f"{space}path")] == [None, "5 4"]
    assert len(list(root.iter(f"{space}ellipse"))) == len(list(root.iter(f"{space}circle"))) == 1
    assert sample()._repr_svg_().startswith("<svg")


@pytest.mark.usefixtures("no_graphviz")
def test_png_has_the_colours_of_the_nodes() -> None:
    image = Image.open(io.BytesIO(sample().create_png())).convert("RGB")
    colours = {colour for _, colour in image.getcolors(1 << 20)}
    assert {(0x0F, 0x9D, 0x58), (255, 255, 255)} <= colours


@pytest.mark.usefixtures("no_graphviz")
def test_odd_input_is_drawn_too() -> None:
    graph = Dot(None)
    assert graph.create_svg().startswith(b"<svg")
    graph.add_node(Node("x", color="no such colour", style="filled,dashed", shape="trapezium"))
    graph.add_edge(Edge("x", "x"))
    graph.add_edge(Edge("x", "y", arrowhead="none"))
    graph.add_edge(Edge("y", "x"))
    for format in ("svg", "png"):
        assert graph.create(format=format)


@pytest.mark.usefixtures("no_graphviz")
def test_a_large_net_is_drawn_within_limits() -> None:
    ops = [Operator("", "Relu", [f"b{i}"], [f"b{i + 1}"]) for i in range(700)]
    image = Image.open(io.BytesIO(net_graph(ops).create_png()))
    assert max(image.size) <= 30_000
    ops += [Operator("", "Sum", [f"b{i}", "b700"], [f"s{i}"]) for i in range(700)]
    assert gzip.decompress(dependency_graph(ops).create_svgz()).count(b"<g>") == 1400


def fake_dot(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_graphviz_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dot(tmp_path, monkeypatch, 'echo "$@"; cat')
    graph = sample()
    assert graph.create_svg().decode() == f"-Tsvg\n{graph.to_string()}"
    assert graph.create(["dot", "-Gdpi=9"], "xdot").decode().startswith("-Gdpi=9 -Txdot\n")


def test_graphviz_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dot(tmp_path, monkeypatch, "echo syntax error in line 1 >&2; exit 1")
    with pytest.raises(DataError, match="could not draw 'sample': syntax error in line 1"):
        sample().create_png()


def test_graphviz_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dot(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(render, "GRAPHVIZ_SECONDS", 0.2)
    with pytest.raises(DataError, match=r"Graphviz took longer than 0\.2 s to draw 'sample'"):
        sample().create_png()
