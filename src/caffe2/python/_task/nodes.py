"""Names of the places where tasks run.

Owned here: `Node`, `Cluster`, `WorkspaceType`. Who calls it: `task`, programs through it.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import context


class Cluster(context.DefaultManaged):
    """Remembers the nodes that are named while it is current, and what was said about them."""

    def __init__(self) -> None:
        self._nodes: list[str] = []
        self._node_kwargs: dict[str, dict[str, Any]] = {}

    def add_node(self, node: Node) -> None:
        """Remember a node. What was said about it first stays."""
        name = str(node)
        if name not in self._nodes:
            self._nodes.append(name)
        self._node_kwargs[name] = {**node.kwargs(), **self._node_kwargs.get(name, {})}

    def nodes(self) -> list[str]:
        """The names, in the order in which they first came up."""
        return self._nodes

    def node_kwargs(self) -> dict[str, dict[str, Any]]:
        """Name -> what was said about the node."""
        return self._node_kwargs

    def __repr__(self) -> str:
        return f"Cluster(nodes={self.nodes()}, node_kwargs={self.node_kwargs()})"


class Node(context.DefaultManaged):
    """The place where tasks that are made while it is current will run; its name is all that counts.

    Args:
        node: its name, or a node.
        kwargs: anything to say about it.
    """

    def __init__(self, node: Any = "local", **kwargs: Any) -> None:
        self._name = str(node)
        self._kwargs = kwargs
        Cluster.current().add_node(self)

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"Node(name={self._name}, kwargs={self._kwargs})"

    def kwargs(self) -> dict[str, Any]:
        """What was said about it."""
        return self._kwargs


class WorkspaceType:
    """Where tasks keep their blobs.

    PRIVATE: in a workspace under the session's, gone after the run. GLOBAL: in the session's own.
    """

    PRIVATE = "private"
    GLOBAL = "global"
