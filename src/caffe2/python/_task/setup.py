"""What runs before and after a task: attributes of nets with ``setup`` and ``exit``.

Owned here: finding them and putting them around a step. Who calls it: `task`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2.python import core


class SetupNets:
    """Nets to run before and after, as an attribute of a net.

    ``net.add_attribute(Task.TASK_SETUP, SetupNets([init_net]))`` runs them once a task,
    `TaskGroup.LOCAL_SETUP` once a node. Added to several nets of a task they still run once.
    """

    def __init__(self, init_nets: Any = None, exit_nets: Any = None) -> None:
        self.init_nets = init_nets
        self.exit_nets = exit_nets

    def setup(self, init_net: core.Net) -> Any:
        """The nets to run before."""
        return self.init_nets

    def exit(self, exit_net: core.Net) -> Any:
        """The nets to run after."""
        return self.exit_nets

    def __repr__(self) -> str:
        return f"SetupNets(init_nets={self.init_nets}, exit_nets={self.exit_nets})"


def get_setup_nets(key: str, steps_or_nets: Iterable[Any], target: Any) -> tuple[list[Any], list[Any]]:
    """What to run before and after steps and nets, from their attributes of that name.

    An attribute has ``setup(net)``, ``exit(net)`` or both: they add to the net they get, return nets or
    steps, or do both. Each is asked once; one with a ``_setup_target`` only for that target.

    Raises:
        TypeError: one returns something else.
    """
    init_net, exit_net = core.Net(f"{key}/init"), core.Net(f"{key}/exit")
    init_parts: list[Any] = []
    exit_parts: list[Any] = []
    for item in _attributes(key, steps_or_nets):
        if getattr(item, "_setup_used", False) or getattr(item, "_setup_target", target) != target:
            continue
        for method, net, parts in (("setup", init_net, init_parts), ("exit", exit_net, exit_parts)):
            if hasattr(item, method):
                parts.extend(_as_parts(getattr(item, method)(net), item, method))
                item._setup_used = True
    return _with_net(init_net, init_parts), _with_net(exit_net, exit_parts)


def _attributes(key: str, steps_or_nets: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for part in steps_or_nets:
        if hasattr(part, "get_all_attributes"):
            found += part.get_all_attributes(key)
        elif hasattr(part, "get_attributes"):
            found += part.get_attributes(key)
    return found


def _as_parts(given: Any, item: Any, method: str) -> list[Any]:
    if given is None:
        return []
    if isinstance(given, (list, tuple)):
        return list(given)
    if isinstance(given, (core.Net, core.ExecutionStep)):
        return [given]
    raise TypeError(
        f"{type(item).__name__}.{method} must return a net, a step, a list of these or None; "
        f"got {type(given).__name__}."
    )


def _with_net(net: core.Net, parts: list[Any]) -> list[Any]:
    return [net, *parts] if net.Proto().op else parts


def add_setup_steps(step: Any, init_nets: list[Any], exit_nets: list[Any], name: str) -> Any:
    """A step that runs nets before and after ``step``; the step itself if there are none."""
    if not init_nets and not exit_nets:
        return step
    steps = [core.execution_step(f"{name}:init", init_nets)] if init_nets else []
    steps.append(step)
    if exit_nets:
        steps.append(core.execution_step(f"{name}:exit", exit_nets))
    return core.execution_step(name, steps)
