"""Graphs of the GPU made of CPU tensors (`far_device`): recordings that keep the rules of `torch.cuda.CUDAGraph`.

`FarRecorder` is a `freshpot.engine.graph_record.Recorder`. While it captures, as on a real GPU,

- nothing is computed: what the work wrote is undone afterwards, and what it made is garbage;
- whatever would wait for the device, or take something of the host's, is refused; then the capture is lost, and so
  are the device's random numbers until `recover` (which a real recorder does itself, too);
- random numbers do not go on.

Playing runs the recorded operations again on the very same memory, and writes what they make to the very memory that
they made. So a number that the host gave is what it was at the capture, memory that moved is not read, and a tensor
that was kept is overwritten: whatever is wrong with that on a GPU is wrong here.

    with far_graphs(monkeypatch) as graphs:
        …
        assert graphs.replays > 0
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import far_device
from far_device import FarPort, FarTensor, Traffic
from freshpot.data import pinned
from freshpot.engine import graph, graph_record

Work = Callable[[], None]
LOST = "CUDA error: operation not permitted when stream is capturing"


class FarRecorder:
    """Records what the far device is given."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.captures = self.replays = self.lost = 0
        #: operations in each recording
        self.sizes: list[int] = []

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def notices(self) -> Iterator[list[str]]:
        found: list[str] = []
        before = self._traffic.waits
        yield found
        if self._traffic.waits > before:
            found.append("waits for the far device")

    def capture(self, work: Work, generators: Iterable[torch.Generator]) -> Work:
        assert not far_device.capturing(), "two captures at once"
        random = [torch.default_generator, *generators]
        states = [generator.get_state() for generator in random]
        recording = _Recording()
        try:
            with far_device.refusing(LOST), recording:
                work()
        except BaseException:
            self.lost += 1
            raise
        finally:
            recording.undo()
            for generator, state in zip(random, states, strict=True):
                generator.set_state(state)
        self.captures += 1
        self.sizes.append(len(recording.calls))

        def replay() -> None:
            assert not far_device.capturing(), "played within a capture"
            self.replays += 1
            recording.play()

        return replay

    def wait(self) -> None:
        pass


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _near(tensor: Tensor) -> Tensor:
    return tensor.near if isinstance(tensor, FarTensor) else tensor


class _Recording(TorchDispatchMode):
    """Operations with their tensors, and what must be undone since nothing was to be computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        #: memory that was there before and was written to: where it is, what it held
        self._before: list[tuple[Tensor, Tensor]] = []
        self._seen: set[int] = set()
        self._made: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        tags = func.tags
        dynamic = torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags
        if dynamic and any(isinstance(t, FarTensor) for t in tensors):
            far_device.refuse(f"{func}")
        for tensor in _written(func, args, kwargs):
            self._keep(_near(tensor))
        made = func(*args, **kwargs)
        for tensor in tree_leaves(made):
            if not isinstance(tensor, Tensor) or not tensor.numel() or _storage(tensor) in self._seen:
                continue
            if all(_storage(tensor) != _storage(t) for t in tensors if t.numel()):
                self._seen.add(_storage(tensor))
                self._made.append(_near(tensor))
        self.calls.append((func, args, kwargs, made))
        return made

    def _keep(self, tensor: Tensor) -> None:
        if tensor.numel() and _storage(tensor) not in self._seen:
            self._seen.add(_storage(tensor))
            self._before.append((tensor, _bytes(tensor).clone()))

    def undo(self) -> None:
        """Nothing was computed."""
        for tensor, held in self._before:
            _bytes(tensor).copy_(held)
        for tensor in self._made:
            _bytes(tensor).fill_(0xFF if tensor.dtype.is_floating_point else 1)

    def play(self) -> None:
        tensors = tuple(t for t in tree_leaves(self.calls) if isinstance(t, Tensor))
        with (
            _unsafe_preserve_version_counter(tensors),
            torch._C.DisableTorchFunction(),
        ):  # torch sees no change
            for func, args, kwargs, made in self.calls:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and old.numel() and _storage(old) != _storage(new):
                        _near(old).copy_(_near(new))


def _bytes(tensor: Tensor) -> Tensor:
    """All of the memory that a tensor lies in."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[call-overload]


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    given = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
    for argument in func._schema.arguments:
        if argument.alias_info is not None and argument.alias_info.is_write and argument.name in given:
            yield from (t for t in tree_leaves(given[argument.name]) if isinstance(t, Tensor))


@contextlib.contextmanager
def far_graphs(patch: pytest.MonkeyPatch, traffic: Traffic) -> Iterator[FarRecorder]:
    """Within `far_device`: let the device record. Yields its recorder, which counts."""
    recorder, port = FarRecorder(traffic), FarPort(late=0)
    with patch.context() as inside:
        inside.setattr(graph_record, "recorder_for", lambda device: recorder)
        inside.setattr(pinned, "port_for", lambda device: port if device.type == "cuda" else None)
        inside.setattr(graph, "_given_up", None)
        inside.delenv("FRESHPOT_GRAPH", raising=False)
        yield recorder
