"""Which layers of a net description belong to a state (phase, level, stages).

Owned here: include and exclude rules. Who calls it: `_net.net`, the upgrade tools.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe import _log
from caffe.proto import caffe_pb2
from freshpot.errors import NetError


def filter_net(param: Any, place: Callable[[int], str] | None = None) -> tuple[Any, list[int]]:
    """The net with only the layers that its own state includes, and each one's index in the original.

    Args:
        param: a NetParameter with current layers and its ``state`` set.
        place: says where layer i stands, for errors.

    Raises:
        NetError: a layer has both include and exclude rules.
    """
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(param)
    del filtered.layer[:]
    kept = []
    for index, layer in enumerate(param.layer):
        if layer.include and layer.exclude:
            raise NetError(
                "has both include and exclude rules; keep one kind.",
                net=param.name or None,
                op=place(index) if place else f"layer '{layer.name}' ({layer.type})",
            )
        if _included(layer, param.state):
            filtered.layer.add().CopyFrom(layer)
            kept.append(index)
    return filtered, kept


def _included(layer: Any, state: Any) -> bool:
    if layer.include:
        return any(meets(state, rule, layer.name) for rule in layer.include)
    return not any(meets(state, rule, layer.name) for rule in layer.exclude)


def meets(state: Any, rule: Any, layer_name: str) -> bool:
    """True if a state meets every condition of a rule; if not, the log says which it breaks."""
    broken = None
    if rule.HasField("phase") and rule.phase != state.phase:
        broken = 296, f"phase ({state.phase}) differed from the phase ({rule.phase})"
    elif rule.HasField("min_level") and state.level < rule.min_level:
        broken = 304, f"level ({state.level}) is above the min_level ({rule.min_level})"
    elif rule.HasField("max_level") and state.level > rule.max_level:
        broken = 312, f"level ({state.level}) is above the max_level ({rule.max_level})"
    else:
        missing = next((s for s in rule.stage if s not in state.stage), None)
        present = next((s for s in rule.not_stage if s in state.stage), None)
        if missing is not None:
            broken = 327, f"did not contain stage '{missing}'"
        elif present is not None:
            broken = 341, f"contained a not_stage '{present}'"
    if broken is None:
        return True
    line, what = broken
    _log.info(f"net.cpp:{line}", f"The NetState {what} specified by a rule in layer {layer_name}")
    return False
