"""Running plans: steps of nets, in turn or at the same time.

Owned here: what the fields of an ExecutionStep mean, and that no plan still runs when Python ends: a thread that comes
back from PyTorch's code into a Python that is gone aborts the process. Who calls it: `workspace.RunPlan`.
Source of the rules: caffe2/core/plan_executor.cc.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from freshpot.convert import netdef
from freshpot.engine import Plan, Workspace
from freshpot.errors import MissingBlobError, NetError, NotSupportedError, near_matches
from freshpot.net import Net

#: seconds that plans in threads have to end the nets they run, when Python ends
_LAST_PATIENCE_S = 30.0

#: the plans that run
_RUNNING: set[_Runner] = set()


@atexit.register
def _end_all() -> None:
    """Let plans that run in threads stop after the nets they are at."""
    running, end = list(_RUNNING), time.monotonic() + _LAST_PATIENCE_S
    for runner in running:
        runner.stopped.set()
    for runner in running:
        runner.ended.wait(max(0.0, end - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RUNNING.clear)  # a forked child has none of the threads


def run_plan(proto: Any, ws: Workspace) -> bool:
    """Create the nets of a PlanDef in a workspace, replacing those of the same names, and run its steps.

    Raises:
        NetError: two nets of one name, a step that names none of them, or a net that fails.
        NotSupportedError: a step with a criteria network.
    """
    nets = [netdef.net_from_proto(net) for net in proto.network]
    names = [net.name for net in nets]
    for name in names:
        if names.count(name) > 1:
            raise NetError(f"plan '{proto.name}' has two nets of this name.", net=name)
    runner = _Runner({net.name: net for net in nets})
    _RUNNING.add(runner)
    try:
        _run_steps(proto, nets, runner, ws)
    finally:
        _RUNNING.discard(runner)
        runner.ended.set()
    return True


def _run_steps(proto: Any, nets: Sequence[Net], runner: _Runner, ws: Workspace) -> None:
    wanted = {name for step in proto.execution_step if not step.create_workspace for name in _net_names(step)}
    bound = {net.name: _bind(net, ws) for net in nets if net.name in wanted}
    for step in proto.execution_step:
        runner.run(step, bound, ws)


def _bind(net: Net, ws: Workspace) -> Plan:
    """The net made ready to run; it can be run by its name afterwards, if it has one."""
    return ws.create_net(net, overwrite=True) if net.name else Plan(net, ws)


class _Runner:
    """The state that the steps of one plan share."""

    def __init__(self, nets: dict[str, Net]) -> None:
        self.nets = nets
        #: no round is to be begun any more: a net failed, or Python ends
        self.stopped = threading.Event()
        #: all that the plan did is done
        self.ended = threading.Event()

    def run(self, step: Any, plans: dict[str, Plan], ws: Workspace) -> None:
        """Run a step as often as it says."""
        if step.criteria_network:
            raise NotSupportedError(
                f"step '{step.name}' has a criteria_network, which the original stopped reading too. "
                "Use should_stop_blob."
            )
        if step.create_workspace:
            ws = Workspace(parent=ws)
            wanted = set(_net_names(step))
            plans = {name: Plan(net, ws) for name, net in self.nets.items() if name in wanted}
        with _Reporter(self._reports(step, plans, ws)):
            for _ in self._rounds(step):
                if self._round(step, plans, ws):
                    return

    def _rounds(self, step: Any) -> Iterator[int]:
        if step.should_stop_blob and step.HasField("num_iter"):
            raise NetError(
                f"step '{step.name}' has both num_iter and should_stop_blob; they exclude each other."
            )
        count = 1 if not step.HasField("num_iter") else step.num_iter
        endless = bool(step.should_stop_blob) and not step.only_once
        i = 0
        while (endless or i < count) and not self.stopped.is_set():
            yield i
            i += 1

    def _round(self, step: Any, plans: dict[str, Plan], ws: Workspace) -> bool:
        """Run nets or substeps once; True if the step is to stop."""
        for name in () if step.substep else step.network:
            self._run_net(name, step, plans)
            if _stops(step, ws):
                return True
        substeps = [s for s in step.substep if not s.run_every_ms]
        instances = max(1, step.num_concurrent_instances)
        if (step.concurrent_substeps or instances > 1) and len(substeps) * instances > 1:
            self._run_together(substeps * instances, plans, ws)
            return _stops(step, ws)
        for substep in substeps:
            self.run(substep, plans, ws)
            if _stops(step, ws):
                return True
        return False

    def _run_net(self, name: str, step: Any, plans: dict[str, Plan]) -> None:
        if name not in plans:
            raise NetError(
                f"step '{step.name}' runs net '{name}', which the plan lacks.{near_matches(name, plans)}"
            )
        plans[name].run()

    def _run_together(self, substeps: Sequence[Any], plans: dict[str, Plan], ws: Workspace) -> None:
        """Run substeps in threads; with the first error, or an interrupt here, the others end after their nets."""
        errors: list[BaseException] = []

        def run(step: Any) -> None:
            try:
                self.run(step, plans, ws)
            except BaseException as error:
                errors.append(error)
                self.stopped.set()

        # not a pool of Python's: at its end Python waits for those, before it tells anybody that it ends
        threads = [threading.Thread(target=run, args=(step,), daemon=True) for step in substeps]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:
            self.stopped.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            raise
        if errors:
            raise errors[0]

    def _reports(
        self, step: Any, plans: dict[str, Plan], ws: Workspace
    ) -> list[tuple[float, Callable[[], None]]]:
        """What repeats beside the step, and at what interval in seconds: substeps and its report net."""
        reports: list[tuple[float, Callable[[], None]]] = [
            (s.run_every_ms / 1000, partial(self.run, s, plans, ws)) for s in step.substep if s.run_every_ms
        ]
        if step.report_net:
            run_net = partial(self._run_net, step.report_net, step, plans)
            reports.append((float(step.report_interval), run_net))
        return reports


def _net_names(step: Any) -> Iterator[str]:
    """Nets that a step runs in the workspace it runs in: not those of substeps with their own."""
    yield from step.network
    if step.report_net:
        yield step.report_net
    for substep in step.substep:
        if not substep.create_workspace:
            yield from _net_names(substep)


def _stops(step: Any, ws: Workspace) -> bool:
    """True if the step's ``should_stop_blob`` is true now."""
    name = step.should_stop_blob
    if not name:
        return False
    blob = ws.find(name)
    if blob is None or blob.empty:
        raise MissingBlobError(
            f"step '{step.name}' looks at should_stop_blob '{name}', which holds nothing.", blob=name
        )
    value = blob.value
    if not isinstance(value, torch.Tensor) or value.dtype != torch.bool or value.numel() != 1:
        raise NetError(f"should_stop_blob '{name}' of step '{step.name}' must be one bool.", blob=name)
    return bool(value.item())


class _Reporter:
    """Repeats actions in threads, each at its interval in seconds, while the block runs, and once after it."""

    def __init__(self, actions: Sequence[tuple[float, Callable[[], None]]]) -> None:
        self.actions = actions
        self.done = threading.Event()
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self._repeat, args=action, daemon=True) for action in actions]

    def _repeat(self, interval: float, action: Callable[[], None]) -> None:
        try:
            while not self.done.wait(interval):
                action()
            action()
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> _Reporter:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()
        if self.errors and kind is None:
            raise self.errors[0]
