"""Recording what a GPU does, so that it can be played again with one launch.

Owned here: the interface to what records (`Recorder`), torch.cuda's implementation of it, and noticing what cannot
be recorded. Who calls it: `graph`. `tests/far_graph.py` has an implementation for the GPU made of CPU tensors.

While a CUDA graph is captured, nothing is computed: kernels are noted with the addresses of their memory and with
the numbers that the host gave them. So nothing may wait for the device, read from it, or copy from ordinary memory
of the host: the capture would be lost, and with it the state of torch's random numbers, which then refuse all work.
Therefore nothing is tried: what is to be captured is run once before, on the stream of captures, and watched
(`Watch`, `Recorder.notices`); only steps that did nothing of the sort are captured.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Work = Callable[[], None]


class Recorder(Protocol):
    """What records work on one device."""

    def aside(self) -> AbstractContextManager[None]:
        """Run what is inside where captures run: after what the device was given before, before what follows."""

    def notices(self) -> AbstractContextManager[list[str]]:
        """Watch the device; when left, the list says what waited for it inside, or copied from the host's memory."""

    def capture(self, work: Work, generators: Iterable[torch.Generator]) -> Work:
        """Record what ``work`` gives the device, without computing it; calling the result computes it.

        Random numbers go on at every call. ``generators``: sources other than the device's own that the work draws
        from. The memory that ``work`` asks for is the recording's as long as that lives.

        Raises:
            Exception: whatever ``work`` or the device raised; the device is fit for other work then.
        """

    def wait(self) -> None:
        """Wait until the device has done what it was given: before recordings are dropped."""


@functools.cache
def recorder_for(device: torch.device) -> Recorder | None:
    """What records on a device; None where nothing can."""
    return _Cuda(device) if device.type == "cuda" and torch.cuda.is_available() else None


class _Cuda:
    """Recording by CUDA graphs: `torch.cuda.CUDAGraph`, whose rules are in torch's notes on CUDA semantics."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        before = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream):
            yield
        before.wait_stream(self._stream)

    @contextlib.contextmanager
    def notices(self) -> Iterator[list[str]]:
        found: list[str] = []
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield found
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        for warning in caught:
            if "synchronizing CUDA operation" in str(warning.message):
                found.append("waits for the GPU")
            elif "Synchronization debug mode" not in str(warning.message):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def capture(self, work: Work, generators: Iterable[torch.Generator]) -> Work:
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        with (
            warnings.catch_warnings()
        ):  # late versions of torch register generators by themselves, and say so
            warnings.simplefilter("ignore")
            for generator in generators:
                graph.register_generator_state(generator)
        try:
            # Other threads may ask for memory meanwhile: those that prepare batches do.
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                work()
        except BaseException:
            self._recover(before, generators)
            raise
        return graph.replay

    def _recover(self, stream: torch.cuda.Stream, generators: Iterable[torch.Generator]) -> None:
        """After a capture that was lost: go back to the stream, and to random numbers that are not captured."""
        torch.cuda.set_stream(stream)
        torch.cuda.synchronize(self._device)
        for generator in (torch.cuda.default_generators[self._device.index or 0], *generators):
            generator.graphsafe_set_state(generator.clone_state())

    def wait(self) -> None:
        torch.cuda.synchronize(self._device)


class Watch(TorchDispatchMode):
    """Looks at the operations inside, and says why they cannot be captured.

    ``count`` is how many there were; ``why`` is None if all can.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self.count = 0
        self.why: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if self.why is None:
            self.why = self._why(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def _why(self, func: Any, args: Any, kwargs: Any) -> str | None:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        here = [t for t in tensors if t.device == self._device]
        if not here:
            return None
        name = func.overloadpacket.__name__
        if len(here) < len(tensors):
            return f"{name} takes a tensor of the host"
        tags = func.tags
        if torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags:
            return f"{name} reads numbers on the host"
        place = kwargs.get("device")
        if place is not None and torch.device(place).type != self._device.type:
            return f"{name} copies to the host"
        if name.startswith(("index", "_index")) and any(
            t.dtype in (torch.bool, torch.uint8) for t in here[1:]
        ):
            return f"{name} counts on the host what a mask leaves"
        return None
