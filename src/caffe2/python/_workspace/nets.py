"""Creating and running nets in the current workspace.

Owned here: nets and operators as programs give them (objects, messages, bytes), and what is said when
one fails. Who calls it: `workspace`, `cpp`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from caffe2.proto import caffe2_pb2
from caffe2.python._core.tracebacks import operator_tracebacks
from caffe2.python._workspace import state
from freshpot.convert import netdef
from freshpot.engine import Plan, Workspace
from freshpot.errors import FreshpotError
from freshpot.net import Net

logger = logging.getLogger("caffe2.python.workspace")

#: nets larger than this are converted each time, rather than remembered with the weights in them
_REMEMBER_BELOW = 1 << 16
_T = TypeVar("_T")


def serialized(obj: Any) -> bytes:
    """The serialised message of a net, operator, step or plan, or of the message itself.

    Raises:
        ValueError: something else.
    """
    if isinstance(obj, bytes):
        return obj
    if isinstance(obj, Message):
        return obj.SerializeToString()
    if hasattr(obj, "Proto"):
        return obj.Proto().SerializeToString()
    hint = " A file's content is read so: open(name, 'rb').read()." if isinstance(obj, str) else ""
    raise ValueError(f"expected a net, operator or plan, or its message; got {type(obj).__name__}.{hint}")


def net_name(net: Any) -> str:
    """The name of a net, from its name, a Net or a NetDef.

    Raises:
        TypeError: something else.
    """
    if isinstance(net, str):
        return net
    if isinstance(net, caffe2_pb2.NetDef):
        return net.name
    if isinstance(net, bytes):
        return netdef.net_from_bytes(net).name
    if hasattr(net, "Proto") and hasattr(net, "Name"):
        return net.Name()
    raise TypeError(f"expected a net or its name, got {type(net).__name__}.")


def read_net(net: Any) -> Net:
    """The IR of a net; small ones are remembered by what they say. It must not be changed."""
    data = serialized(net)
    return netdef.cached_net(data) if len(data) < _REMEMBER_BELOW else netdef.net_from_bytes(data)


def create(net: Any, overwrite: bool = False, ws: Workspace | None = None) -> Plan:
    """Bind a net to a workspace under its name."""
    made = read_net(net)
    return guarded(made.name, lambda: (ws or state.current()).create_net(made, overwrite))


def run(name: str, num_iter: int = 1, allow_fail: bool = False) -> bool:
    """Run a net that was created before. With ``allow_fail``, a failing one gives False."""
    plan = state.current().net(name)
    try:
        plan.run(num_iter)
    except Exception as error:
        report(name, error)
        if allow_fail and isinstance(error, FreshpotError):
            return False
        raise
    return True


def run_once(net: Any, ws: Workspace | None = None) -> bool:
    """Bind a net, run it, forget it."""
    data = serialized(net)
    where = ws or state.current()
    small = len(data) < _REMEMBER_BELOW
    made = netdef.cached_net(data) if small else netdef.net_from_bytes(data)
    guarded(made.name, lambda: where.run_again(made) if small else where.run_once(made))
    return True


def run_operator(operator: Any, times: int = 1) -> bool:
    """Run one operator, given as an OperatorDef or its bytes."""
    data = serialized(operator)
    if len(data) < _REMEMBER_BELOW:
        state.current().run_again(netdef.cached_op(data), times)
    else:
        Plan(Net(ops=[netdef.op_from_bytes(data)]), state.current()).run(times)
    return True


def guarded(name: str, action: Callable[[], _T]) -> _T:
    """Do something with a net; if it fails, say where the program added the operator."""
    try:
        return action()
    except Exception as error:
        report(name, error)
        raise


def report(name: str, error: Exception) -> None:
    """Log where the program added the operator that failed."""
    position = getattr(error, "position", None)
    stack = operator_tracebacks.get(name, {}).get(position) if position is not None else None
    if not stack:
        return
    lines = [f'  File "{file}", line {line}, in {function}' for file, line, function in reversed(stack)]
    logger.warning(
        "Original python traceback for operator `%s` in network `%s` in exception above "
        "(most recent call last):\n%s",
        position,
        name,
        "\n".join(lines),
    )


def benchmark(
    name: str, warmup_runs: int = 5, main_runs: int = 10, run_individual: bool = True
) -> list[float]:
    """Time a net that was created before, and print the times.

    Returns:
        milliseconds of one run and, with ``run_individual``, of each operator.
    """
    plan = state.current().net(name)
    plan.run(warmup_runs)
    start = time.perf_counter()
    plan.run(main_runs)
    total = (time.perf_counter() - start) * 1000 / max(main_runs, 1)
    rate = 1000 / total if total else 0.0
    print(f"Main run finished. Milliseconds per iter: {total:g}. Iters per second: {rate:g}")
    if not run_individual:
        return [total]
    each = [seconds * 1000 for seconds in plan.time(max(main_runs, 1))]
    by_type: dict[str, float] = {}
    for i, (op, spent) in enumerate(zip(plan.net.ops, each, strict=True)):
        print(f"Operator #{i} ({op.name or ', '.join(op.outputs[:1])}, {op.type}) {spent:g} ms/iter")
        by_type[op.type] = by_type.get(op.type, 0.0) + spent
    print("Time per operator type:")
    for op_type, spent in sorted(by_type.items(), key=lambda item: -item[1]):
        share = 100 * spent / (sum(each) or 1.0)
        print(f"{spent:>15g} ms. {share:>10.4g}%. {op_type}")
    print(f"{sum(each):>15g} ms in Total")
    return [total, *each]
