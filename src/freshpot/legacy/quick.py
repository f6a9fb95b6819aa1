"""``--quick N``: training capped at N steps, said aloud. For trying a program out; its results then mean little.

The program is not edited: the objects that train do nothing more after N steps. A solver's ``step`` and ``solve``
return, a Caffe2 net with gradients is not run, a PyTorch or Paddle data loader ends.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from freshpot.legacy.notes import Notes

__all__ = ["capped"]


@contextlib.contextmanager
def capped(steps: int | None, text: str, notes: Notes) -> Iterator[None]:
    """Cap training while the block runs.

    Args:
        steps: at most so many; None for no cap.
        text: the program; only the doors that it names are loaded and capped.
    """
    if steps is None:
        yield
        return
    done = []
    with contextlib.ExitStack() as stack:
        for word, cap in _CAPS.items():
            if word in text:
                with contextlib.suppress(_NotHereError):
                    stack.enter_context(cap(steps))
                    done.append(word.rstrip("."))
        notes.add(
            f"--quick {steps}: trainings through {', '.join(done)} were stopped after {steps} steps; figures and "
            "accuracies are not the real ones"
            if done
            else f"--quick {steps}: nothing in this program is known to train"
        )
        yield


class _NotHereError(Exception):
    """The door to cap is not installed."""


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def _solvers(steps: int) -> Iterator[None]:
    """Caffe: a solver's ``step`` goes no further than iteration ``steps``; ``solve`` steps."""
    from caffe._solver.solver import Solver

    plain: Callable[..., Any] = Solver.step

    def step(self: Any, iters: int) -> Any:
        return plain(self, max(0, min(iters, steps - self.iter)))

    with _replaced(Solver, "step", step):
        yield


@contextlib.contextmanager
def _nets(steps: int) -> Iterator[None]:
    """Caffe2: a net that computes gradients runs so often."""
    from caffe2.python import workspace

    plain: Callable[..., Any] = workspace.RunNet
    done: dict[str, int] = {}

    def run(name: Any, num_iter: int = 1, *args: Any, **keywords: Any) -> Any:
        key = workspace.StringifyNetName(name)
        key = key.decode() if isinstance(key, bytes) else str(key)
        if not _trains(workspace, name):
            return plain(name, num_iter, *args, **keywords)
        allowed = min(num_iter, steps - done.get(key, 0))
        done[key] = done.get(key, 0) + max(0, allowed)
        return plain(name, allowed, *args, **keywords) if allowed > 0 else True

    with _replaced(workspace, "RunNet", run):
        yield


def _trains(workspace: Any, net: Any) -> bool:
    """True for a net (the object; a name says too little) with operators that compute gradients."""
    proto = net.Proto() if hasattr(net, "Proto") else net
    return any(op.type.endswith("Gradient") for op in getattr(proto, "op", ()))


@contextlib.contextmanager
def _loaders(steps: int, module: str, name: str) -> Iterator[None]:
    """A data loader gives so many batches each time it is gone through."""
    try:
        owner = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise _NotHereError(module) from None
    plain = owner.__iter__

    def limited(self: Any) -> Iterator[Any]:
        return itertools.islice(plain(self), steps)

    with _replaced(owner, "__iter__", limited):
        yield


_CAPS: dict[str, Callable[[int], contextlib.AbstractContextManager[None]]] = {
    "caffe.": _solvers,
    "caffe2": _nets,
    "paddle": lambda steps: _loaders(steps, "freshpot.paddle.io", "DataLoader"),
    "torch": lambda steps: _loaders(steps, "torch.utils.data", "DataLoader"),
}
