"""Control flow made of execution steps: loops, conditions, sequences.

Owned here: steps that look at a condition. Who calls it: programs that drive nets with plans.

A condition is a bool blob, or a net whose last external output is one; the net runs each time the
condition is looked at. A body is a net, a step, or a list of either. Names of nets and steps are those
of caffe2/python/control.py.
"""

from __future__ import annotations

import itertools
from typing import Any

from caffe2.python import core
from caffe2.python._errors import require

_used_step_names: set[str] = set()
_numbers = itertools.count(1)


def _step_name(control: str, name: str) -> str:
    base = made = f"{name}/{control}"
    while made in _used_step_names:
        made = f"{base}_{next(_numbers)}"
    _used_step_names.add(made)
    return made


def _step(control: str, name: str, parts: list[Any], **options: Any) -> core.ExecutionStep:
    return core.scoped_execution_step(_step_name(control, name), parts, **options)


def _as_list(parts: tuple[Any, ...]) -> list[Any]:
    """The arguments of a call as a list; a single list stands for its items."""
    if not parts:
        raise ValueError("nothing was given: expected nets, steps or conditions.")
    if len(parts) == 1:
        return parts[0] if isinstance(parts[0], list) else [parts[0]]
    return list(parts)


def _is_nets(body: Any) -> bool:
    return all(isinstance(part, core.Net) for part in (body if isinstance(body, list) else [body]))


def _before(body: Any, nets: list[core.Net]) -> list[Any]:
    """The body with nets to run first, every time."""
    parts = _as_list((body,))
    return [*nets, *parts] if _is_nets(parts) else [Do("prepend", nets), *parts]


def _after(body: Any, nets: list[core.Net]) -> list[Any]:
    """The body with nets to run last, every time."""
    parts = _as_list((body,))
    return [*parts, *nets] if _is_nets(parts) else [*parts, Do("append", nets)]


# ---- conditions ------------------------------------------------------------------------------------
def GetConditionBlobFromNet(condition_net: core.Net) -> core.BlobReference:
    """The blob of a condition net: its last external output.

    Raises:
        MisuseError: it has none.
    """
    outputs = condition_net.Proto().external_output
    require(outputs, f"condition net '{condition_net.Name()}' has no external output.")
    return core.BlobReference(outputs[-1])


def BoolNet(*blobs_with_bool_value: Any) -> core.Net:
    """A net that sets bool blobs, given as pairs (blob, value)."""
    net = core.Net("bool_net")
    for blob, value in _as_list(blobs_with_bool_value):
        net.AddExternalOutput(net.ConstantFill([], [blob], shape=[], value=value, dtype=core.DataType.BOOL))
    return net


def NotNet(condition_blob_or_net: Any) -> tuple[core.Net, core.BlobReference]:
    """A net that negates a condition, and its output."""
    condition = _blob_of(condition_blob_or_net)
    return _one_operator_net("not_net", "Not", condition)


def _blob_of(condition: Any) -> Any:
    return GetConditionBlobFromNet(condition) if isinstance(condition, core.Net) else condition


def _one_operator_net(name: str, op_type: str, blob: Any) -> tuple[core.Net, core.BlobReference]:
    net = core.Net(name)
    output = getattr(net, op_type)(blob)
    net.AddExternalOutput(output)
    return net, output


def MergeConditionNets(name: str, condition_nets: Any, relation: str) -> Any:
    """One net with the operators of several condition nets, whose outputs are joined by an operator.

    Args:
        relation: "And", "Or" or "Xor".

    Raises:
        MisuseError: the nets differ in device or type.
    """
    if not isinstance(condition_nets, list):
        return condition_nets
    if len(condition_nets) <= 1:
        return condition_nets[0] if condition_nets else None
    merged = core.Net(name)
    joined: Any = None
    for net in condition_nets:
        mine, other = merged.Proto(), net.Proto()
        same = (mine.device_option, mine.type) == (other.device_option, other.type)
        require(
            same, f"condition net '{net.Name()}' has a device or type of its own, so it cannot be merged."
        )
        mine.op.extend(other.op)
        mine.external_input.extend(other.external_input)
        condition = GetConditionBlobFromNet(net)
        joined = condition if joined is None else getattr(merged, relation)([joined, condition])
        for key, values in net._attr_dict.items():
            merged._attr_dict[key] += values
    merged.AddExternalOutput(joined)
    return merged


def CombineConditions(name: str, condition_nets: list[core.Net], relation: str) -> core.Net | None:
    """A net that joins the outputs of condition nets which run elsewhere.

    Raises:
        ValueError: not a list.
    """
    if not condition_nets:
        return None
    if not isinstance(condition_nets, list):
        raise ValueError(f"condition_nets must be a list of nets, got {type(condition_nets).__name__}.")
    joined: Any = GetConditionBlobFromNet(condition_nets[0])
    if len(condition_nets) == 1:
        return _one_operator_net("copy_condition_blob_net", "Copy", joined)[0]
    net = core.Net(name)
    for other in condition_nets[1:]:
        joined = getattr(net, relation)([joined, GetConditionBlobFromNet(other)])
    net.AddExternalOutput(joined)
    return net


# ---- sequences -------------------------------------------------------------------------------------
def Do(name: str, *nets_or_steps: Any) -> core.ExecutionStep:
    """A step that runs nets or steps one after the other."""
    parts = _as_list(nets_or_steps)
    if len(parts) == 1 and isinstance(parts[0], core.ExecutionStep):
        return parts[0]
    return _step("Do", name, parts)


def DoParallel(name: str, *nets_or_steps: Any) -> core.ExecutionStep:
    """A step that runs nets or steps at the same time."""
    parts = _as_list(nets_or_steps)
    if len(parts) == 1 and isinstance(parts[0], core.ExecutionStep):
        return parts[0]
    return _step("DoParallel", name, parts, concurrent_substeps=True)


# ---- conditions that run a body at most once -------------------------------------------------------
def _run_if(name: str, condition: Any, body: Any) -> core.ExecutionStep:
    not_net, stop = NotNet(condition)
    parts = _before(body, [condition, not_net] if isinstance(condition, core.Net) else [not_net])
    options: dict[str, Any] = {"should_stop_blob": stop, "only_once": True}
    if not _is_nets(parts):
        return _step("_RunOnceIf", name, parts, **options)
    # The stop blob is looked at after the first net too, before NotNet has set it.
    reset = BoolNet((stop, False))
    return Do(f"{name}/_RunOnceIf", reset, _step("_RunOnceIf-inner", name, parts, **options))


def _run_if_not(name: str, condition: Any, body: Any) -> core.ExecutionStep:
    if isinstance(condition, core.Net):
        first, stop = condition, GetConditionBlobFromNet(condition)
    else:
        first, stop = _one_operator_net("copy_condition_blob_net", "Copy", condition)
    parts = _before(body, [first])
    return _step("_RunOnceIfNot", name, parts, should_stop_blob=stop, only_once=True)


def If(
    name: str, condition_blob_or_net: Any, true_nets_or_steps: Any, false_nets_or_steps: Any = None
) -> core.ExecutionStep:
    """A step that runs one body if the condition holds, else the other, if there is one."""
    if not false_nets_or_steps:
        return _run_if(f"{name}/If", condition_blob_or_net, true_nets_or_steps)
    blob = _blob_of(condition_blob_or_net)
    return Do(
        f"{name}/If",
        _run_if(f"{name}/If-true", condition_blob_or_net, true_nets_or_steps),
        _run_if_not(f"{name}/If-false", blob, false_nets_or_steps),
    )


def IfNot(
    name: str, condition_blob_or_net: Any, true_nets_or_steps: Any, false_nets_or_steps: Any = None
) -> core.ExecutionStep:
    """A step that runs one body if the condition does not hold, else the other, if there is one."""
    if not false_nets_or_steps:
        return _run_if_not(f"{name}/IfNot", condition_blob_or_net, true_nets_or_steps)
    blob = _blob_of(condition_blob_or_net)
    return Do(
        f"{name}/IfNot",
        _run_if_not(f"{name}/IfNot-true", condition_blob_or_net, true_nets_or_steps),
        _run_if(f"{name}/IfNot-false", blob, false_nets_or_steps),
    )


def Switch(name: str, *conditions: Any) -> core.ExecutionStep:
    """A step that goes through pairs (condition, body) and runs each body whose condition holds."""
    steps = [_run_if(f"{name}/Switch", condition, body) for condition, body in _as_list(conditions)]
    return _step("Switch", name, steps)


def SwitchNot(name: str, *conditions: Any) -> core.ExecutionStep:
    """As `Switch`, for conditions that do not hold."""
    steps = [_run_if_not(f"{name}/SwitchNot", condition, body) for condition, body in _as_list(conditions)]
    return _step("SwitchNot", name, steps)


# ---- loops -----------------------------------------------------------------------------------------
def For(name: str, nets_or_steps: Any, iter_num: int) -> core.ExecutionStep:
    """A step that runs the body ``iter_num`` times."""
    init_net = core.Net("init-net")
    counter = init_net.CreateCounter([], init_count=iter_num)
    iter_net = core.Net("For-iter")
    done = iter_net.CountDown([counter])
    loop = _step("For-inner", name, _before(nets_or_steps, [iter_net]), should_stop_blob=done)
    return Do(f"{name}/For", Do(f"{name}/For-init-net", init_net), loop)


def While(name: str, condition_blob_or_net: Any, nets_or_steps: Any) -> core.ExecutionStep:
    """A step that runs the body while the condition, looked at before it, holds."""
    condition = condition_blob_or_net
    not_net, stop = NotNet(condition)
    nets = [condition, not_net] if isinstance(condition, core.Net) else [not_net]
    parts = _before(nets_or_steps, nets)
    if not _is_nets(parts):
        return _step("While", name, parts, should_stop_blob=stop)
    reset = BoolNet((stop, False))
    return Do(f"{name}/While", reset, _step("While-inner", name, parts, should_stop_blob=stop))


def Until(name: str, condition_blob_or_net: Any, nets_or_steps: Any) -> core.ExecutionStep:
    """A step that runs the body until the condition, looked at before it, holds."""
    condition = condition_blob_or_net
    if isinstance(condition, core.Net):
        stop = GetConditionBlobFromNet(condition)
        nets_or_steps = _before(nets_or_steps, [condition])
    else:
        stop = core.BlobReference(condition)
    return core.scoped_execution_step(_step_name("Until", name), nets_or_steps, should_stop_blob=stop)


def DoWhile(name: str, condition_blob_or_net: Any, nets_or_steps: Any) -> core.ExecutionStep:
    """A step that runs the body, and again while the condition, looked at after it, holds."""
    condition = condition_blob_or_net
    not_net, stop = NotNet(condition)
    parts = _after(nets_or_steps, [condition, not_net] if isinstance(condition, core.Net) else [not_net])
    reset = BoolNet((stop, False))
    return Do(f"{name}/DoWhile", reset, _step("DoWhile-inner", name, parts, should_stop_blob=stop))


def DoUntil(name: str, condition_blob_or_net: Any, nets_or_steps: Any) -> core.ExecutionStep:
    """A step that runs the body, and again until the condition, looked at after it, holds."""
    condition = condition_blob_or_net
    if not isinstance(condition, core.Net):
        stop = core.BlobReference(condition)
        return core.scoped_execution_step(_step_name("DoUntil", name), nets_or_steps, should_stop_blob=stop)
    parts = _after(nets_or_steps, [condition])
    stop = GetConditionBlobFromNet(condition)
    reset = BoolNet((stop, False))
    return Do(f"{name}/DoUntil", reset, _step("DoUntil-inner", name, parts, should_stop_blob=stop))
