"""``caffe train``: train a net as a solver file says, and show how it goes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from caffe import _log, _mode
from caffe._cli import brew, together
from caffe._cli.curves import Curves
from caffe._cli.flags import CommandError
from caffe._cli.progress import progress_bar
from caffe._solver import nets
from caffe._solver.several import NONE, REQUESTS, Several
from caffe._solver.solver import Solver, make_solver
from caffe.proto import caffe_pb2


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Train; 0 at the end, also after a stop that was asked for."""
    path = brew.need(flags, "solver", 167, "Need a solver definition to train.")
    if flags["snapshot"] and flags["weights"]:
        raise CommandError(
            "caffe.cpp:168",
            "Check failed: !FLAGS_snapshot.size() || !FLAGS_weights.size() "
            "Give a snapshot to resume training or weights to finetune but not both.",
        )
    param = nets.read_solver(path)
    param.train_state.level = flags["level"]
    param.train_state.stage.extend(brew.stages(flags["stage"]))
    numbers = _gpus(flags["gpu"], param)
    with together.solvers(flags, numbers) as several:
        _choose_device(numbers, param)
        _train(flags, param, several)
    return 0


def _train(flags: dict[str, Any], param: Any, several: Several | None) -> None:
    effects = {signal.SIGINT: _effect(flags["sigint_effect"])}
    if hasattr(signal, "SIGHUP"):
        effects[signal.SIGHUP] = _effect(flags["sighup_effect"])
    if flags["snapshot"]:
        del param.weights[:]
    elif flags["weights"]:
        param.weights[:] = [flags["weights"]]
    with _signals(effects) as requests:
        solver = make_solver(param)
        solver._request = requests
        if flags["snapshot"]:
            _log.info("caffe.cpp:235", f"Resuming from {flags['snapshot']}")
            solver.restore(flags["snapshot"])
        _log.info("caffe.cpp:239", "Starting Optimization")
        if several is not None:
            several.copy_weights(solver._train)
            solver._train_with(several)
        _solve(solver, flags)
        if several is not None:
            several.finish()
    _log.info("caffe.cpp:250", "Optimization Done.")


def _solve(solver: Solver, flags: dict[str, Any]) -> None:
    with ExitStack() as stack:
        curves = Curves(flags["csv"], flags["plot"], flags["tensorboard"])
        if curves.wanted:
            solver._watchers.append(curves.iteration)
            solver._test_watchers.append(curves.test)
            stack.callback(curves.finish)  # also after an error: hours of training may be in them
        if flags["progress"]:
            stack.enter_context(progress_bar(solver))
        solver.solve()


def _gpus(gpu: str, param: Any) -> list[int]:
    """The GPUs of the flag, else that of the solver file; none: the CPU."""
    if not gpu and param.HasField("solver_mode") and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        gpu = str(param.device_id)
    return brew.gpus(gpu)


def _choose_device(numbers: list[int], param: Any) -> None:
    """The CPU, or this solver's GPU of those that were named."""
    if not numbers:
        _log.info("caffe.cpp:197", "Use CPU.")
        _mode.set_mode_cpu()
        return
    _log.info("caffe.cpp:204", f"Using GPUs {', '.join(map(str, numbers))}")
    own = numbers[together.place_on_machine() % len(numbers)]
    param.device_id = own
    _mode.set_device(own)
    _mode.set_mode_gpu()
    if torch.cuda.is_available():
        for number in numbers:
            _log.info("caffe.cpp:209", f"GPU {number}: {torch.cuda.get_device_name(number)}")


def _effect(word: str) -> str:
    if word not in REQUESTS:
        raise CommandError("caffe.cpp:162", f'Invalid signal effect "{word}" was specified')
    return word


@contextmanager
def _signals(effects: dict[signal.Signals, str]) -> Iterator[Any]:
    """While inside, signals only leave a note; yields a function that answers the oldest one's effect."""
    noted: list[str] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, effect in effects.items():
            before[number] = signal.signal(number, lambda *_, effect=effect: noted.append(effect))
    try:
        yield lambda: noted.pop(0) if noted else NONE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
