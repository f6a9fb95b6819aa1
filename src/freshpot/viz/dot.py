"""A graph in Graphviz's DOT language: nodes and edges with attributes, in the order they were added.

The classes carry the names, methods and DOT text of the pydot package, which the originals draw with, so that programs
that say ``graph.create_png()`` or ``graph.write_svg(path)`` keep working without it. Pictures come from
Graphviz's ``dot`` where it is installed, and from freshpot's own layout where it is not (:mod:`freshpot.viz.render`).

Differs: a colon in a node's name is part of the name here; pydot takes it for a port and cuts it off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from freshpot.formats.atomic import write_bytes

__all__ = ["Dot", "Edge", "Node", "quote"]

_KEYWORDS = {"graph", "subgraph", "digraph", "node", "edge", "strict"}
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|[0-9]*\.[0-9]+)\Z")
_IDENTIFIER = re.compile(r"[_a-zA-Z][a-zA-Z0-9_]*\Z")
_QUOTED = re.compile(r'".*"\Z', re.S)
_HTML = re.compile(r"<.*>\Z", re.S)
_ESCAPES = {ord('"'): r"\"", ord("\n"): r"\n", ord("\r"): r"\r"}
_TEXT_FORMATS = {"raw", "dot", "canon"}
_PICTURE_FORMATS = ("png", "svg", "pdf", "ps", "jpg", "jpeg", "gif", "dot", "canon", "xdot", "plain", "svgz")


def quote(text: str, *, identifier: bool) -> str:
    """``text`` as DOT wants it, in quotes if it needs them.

    An identifier (a name) may hold underscores without quotes. An attribute's value may not, as pydot
    decided. What is quoted or ``<html>`` already stays as it is.
    """
    if _QUOTED.match(text) or _HTML.match(text) or _NUMBER.match(text) or text.isdigit():
        return text
    plain = text.isalnum() and not text[0].isdigit()
    if identifier:
        plain = plain or bool(_IDENTIFIER.match(text))
    if plain and text.lower() not in _KEYWORDS:
        return text
    return f'"{text.translate(_ESCAPES)}"'


class _Element:
    """Attributes, a place in the order, and pydot's ``get_x()`` / ``set_x(value)`` for every attribute x."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        self.sequence = 0

    def get(self, name: str) -> Any:
        """The attribute's value, or None."""
        return self.attributes.get(name)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute."""
        self.attributes[name] = value

    def get_attributes(self) -> dict[str, Any]:
        """All attributes, in the order they were set."""
        return self.attributes

    def get_sequence(self) -> int:
        """The place among what was added to the graph, from 1; 0 before."""
        return self.sequence

    def __getattr__(self, name: str) -> Any:
        verb, _, attribute = name.partition("_")
        if attribute and verb == "get":
            return lambda: self.get(attribute)
        if attribute and verb == "set":
            return lambda value: self.set(attribute, value)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __str__(self) -> str:
        return self.to_string()

    def to_string(self) -> str:
        """The DOT text."""
        raise NotImplementedError

    def _attribute_texts(self) -> list[str]:
        return [_attribute_text(key, value) for key, value in self.attributes.items()]

    def _attribute_list(self) -> str:
        texts = self._attribute_texts()
        return f" [{', '.join(texts)}]" if texts else ""


def _attribute_text(key: str, value: Any) -> str:
    if value is None:
        return key
    if isinstance(value, bool):
        return f"{key}={str(value).lower()}"
    if value == "":
        return f'{key}=""'
    return f"{key}={quote(value, identifier=False) if isinstance(value, str) else value}"


class Node(_Element):
    """A node: a name, which identifies it, and attributes (label, shape, color, style, fontcolor …)."""

    def __init__(self, name: str = "", **attributes: Any) -> None:
        super().__init__(attributes)
        self.name = str(name)

    def get_name(self) -> str:
        """The name, as given (quotes included)."""
        return self.name

    def set_name(self, name: str) -> None:
        """Rename it; edges that were made before keep the old name."""
        self.name = name

    @property
    def text(self) -> str:
        """What a reader sees in the node: its label, else its name, without quotes and escapes."""
        label = self.attributes.get("label")
        return _unquote(str(label if label is not None else self.name))

    def to_string(self) -> str:
        """The DOT text, one line."""
        return f"{quote(self.name, identifier=True)}{self._attribute_list()};"


class Edge(_Element):
    """An arrow between two nodes, given as nodes or as names."""

    def __init__(self, source: Node | str, target: Node | str, **attributes: Any) -> None:
        super().__init__(attributes)
        self.source = source.name if isinstance(source, Node) else str(source)
        self.target = target.name if isinstance(target, Node) else str(target)

    def get_source(self) -> str:
        """Name of the node it leaves."""
        return self.source

    def get_destination(self) -> str:
        """Name of the node it points to."""
        return self.target

    def to_string(self) -> str:
        """The DOT text, one line."""
        ends = " -> ".join(quote(name, identifier=True) for name in (self.source, self.target))
        return f"{ends}{self._attribute_list()};"


class Dot(_Element):
    """A directed graph that can be written as DOT text or drawn.

    Args:
        name: of the graph; None leaves it out.
        attributes: of the graph, such as ``rankdir`` ("LR", "TB", "BT", "RL").
    """

    def __init__(self, name: str | None = "G", **attributes: Any) -> None:
        super().__init__(attributes)
        self.name = name
        self.prog: str | Sequence[str] = "dot"
        self._nodes: dict[str, list[Node]] = {}
        self._edges: dict[tuple[str, str], list[Edge]] = {}
        self._count = 0

    def get_name(self) -> str | None:
        """The graph's name."""
        return self.name

    def set_name(self, name: str) -> None:
        """Rename the graph."""
        self.name = name

    def set_prog(self, prog: str | Sequence[str]) -> None:
        """The Graphviz program for this graph, with arguments if it is a list."""
        self.prog = prog

    def add_node(self, node: Node) -> None:
        """Add a node. Adding it again moves it to the end of the order and lists it twice, as pydot does."""
        if not isinstance(node, Node):
            raise TypeError(f"add_node() takes a Node, got {type(node).__name__}")
        self._nodes.setdefault(node.name, []).append(node)
        node.sequence = self._next()

    def add_edge(self, edge: Edge) -> None:
        """Add an edge; several between the same nodes are all kept."""
        if not isinstance(edge, Edge):
            raise TypeError(f"add_edge() takes an Edge, got {type(edge).__name__}")
        self._edges.setdefault((edge.source, edge.target), []).append(edge)
        edge.sequence = self._next()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def get_nodes(self) -> list[Node]:
        """All nodes, by first appearance; one added twice is listed twice."""
        return [node for same in self._nodes.values() for node in same]

    get_node_list = get_nodes

    def get_node(self, name: str) -> list[Node]:
        """The nodes of that name; none is an empty list."""
        return list(self._nodes.get(name, ()))

    def get_edges(self) -> list[Edge]:
        """All edges, by first appearance of their two ends."""
        return [edge for same in self._edges.values() for edge in same]

    get_edge_list = get_edges

    def get_edge(self, source: str, target: str) -> list[Edge]:
        """The edges between two names; none is an empty list."""
        return list(self._edges.get((source, target), ()))

    def unique_nodes(self) -> Iterator[Node]:
        """Each name once, also the names that only edges mention; the last attributes win, as in Graphviz."""
        seen = {name: same[-1] for name, same in self._nodes.items()}
        for ends in self._edges:
            for name in ends:
                seen.setdefault(name, Node(name))
        return iter(seen.values())

    def to_string(self) -> str:
        """The DOT text of the whole graph, one element a line, in the order of adding."""
        head = ["digraph"] if not self.name else ["digraph", quote(self.name, identifier=True)]
        lines = [" ".join([*head, "{"])]
        lines += [f"{text};" for text in self._attribute_texts()]
        elements: list[_Element] = [*self.get_edges(), *self.get_nodes()]
        lines += [element.to_string() for element in sorted(elements, key=_Element.get_sequence)]
        return "\n".join([*lines, "}", ""])

    def create(self, prog: str | Sequence[str] | None = None, format: str = "ps") -> bytes:
        """The picture as bytes.

        Args:
            prog: Graphviz program ("dot", "neato" …), or a list of it and its arguments.
            format: anything Graphviz knows; without Graphviz: png, svg, pdf, jpg, gif, dot, raw.

        Raises:
            NotSupportedError: Graphviz is not installed and freshpot does not draw that format itself.
        """
        if format in _TEXT_FORMATS and format != "canon":
            return self.to_string().encode()
        from freshpot.viz.render import render  # pictures are loaded by those who draw

        return render(self, format, prog or self.prog)

    def write(
        self, path: str | os.PathLike[str], prog: str | Sequence[str] | None = None, format: str = "raw"
    ) -> bool:
        """Write the picture, or with format "raw" the DOT text, atomically; True, as pydot says."""
        write_bytes(Path(path), self.create(prog, format))
        return True

    def __getattr__(self, name: str) -> Any:
        verb, _, format = name.partition("_")
        if verb == "create" and format in _PICTURE_FORMATS:
            return lambda prog=None: self.create(prog, format)
        if verb == "write" and format in (*_PICTURE_FORMATS, "raw"):
            return lambda path, prog=None: self.write(path, prog, format)
        return super().__getattr__(name)

    def _repr_svg_(self) -> str:
        """The picture a notebook shows."""
        return self.create(format="svg").decode()


def _unquote(text: str) -> str:
    if not (len(text) > 1 and _QUOTED.match(text)):
        return text
    return re.sub(r"\\(.)", lambda hit: {"n": "\n", "l": "\n", "r": "\n"}.get(hit[1], hit[1]), text[1:-1])
