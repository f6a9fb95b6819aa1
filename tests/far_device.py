"""A GPU made of CPU tensors, for tests on machines without one.

A `FarTensor` says that it is on ``cuda:0`` and computes with the CPU's kernels, but is as far away as the real
thing: it has no numpy array, it meets no CPU tensor in an operation (but for what CUDA allows: numbers, indices,
copies), takes no CPU generator, and no operation that only CPUs have. Uploads, downloads and reads of single
numbers are counted. What it cannot show is a kernel whose result differs on a GPU, or is missing there.

    with far_device(monkeypatch) as traffic:
        caffe.set_mode_gpu()
        …
        assert traffic.uploads == 1
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAR = torch.device("cuda", 0)


@dataclass
class Traffic:
    """What went to the device and came from it."""

    uploads: int = 0
    downloads: int = 0
    #: single numbers that were read: `item()` and its like
    reads: int = 0
    #: operations that a real GPU's host would wait for: all of the above but copies from pinned memory, and constants
    waits: int = 0

    def reset(self) -> None:
        self.uploads = self.downloads = self.reads = self.waits = 0

    def upload(self, waits: bool = True) -> None:
        self.uploads += 1
        self._wait("a copy to the device", waits)

    def download(self) -> None:
        self.downloads += 1
        self._wait("a copy from the device")

    def read(self) -> None:
        self.reads += 1
        self._wait("a number is read")

    def constant(self) -> None:
        """A tensor was made of numbers of the host's."""
        self._wait("a copy of constants to the device")

    def _wait(self, what: str, waits: bool = True) -> None:
        self.waits += waits
        refuse(what)


_traffic = Traffic()
#: what is said of operations that are refused at present: during a capture (`far_graph`)
_refusal: str | None = None


def capturing() -> bool:
    """True during a capture."""
    return _refusal is not None


def refuse(what: str) -> None:
    """Raise, during a capture."""
    if _refusal is not None:
        raise RuntimeError(f"{_refusal} ({what})")


@contextlib.contextmanager
def refusing(words: str) -> Iterator[None]:
    """Inside, refuse what waits for the device."""
    global _refusal
    _refusal = words
    try:
        yield
    finally:
        _refusal = None


#: operations whose arguments may lie on either side
_COPIES = {"copy_", "_foreach_copy_"}
#: operations that take indices, or numbers as tensors, from the CPU
_INDEXING = {
    "index",
    "index_put",
    "index_put_",
    "_index_put_impl_",
    "fill",
    "fill_",
    "masked_fill",
    "masked_fill_",
}


class FarTensor(torch.Tensor):
    """A tensor on the device; ``near`` is its memory."""

    near: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, near: Tensor) -> FarTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device="meta",
        )
        made.near = near
        return made

    device = property(lambda self: FAR)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    def __repr__(self) -> str:
        return f"FarTensor({self.near})"

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.near.data_ptr()

    def untyped_storage(self) -> Any:
        return self.near.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        _check(func, name, args, kwargs)
        if func.namespace == "aten" and name == "_local_scalar_dense":
            _traffic.read()
        to_cpu = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        if kwargs.get("device") is not None:
            kwargs["device"] = "cpu"
        made = func(*tree_map(_near, args), **tree_map(_near, kwargs))
        if to_cpu:
            _traffic.download()
            return made
        return _results(func, name, args, kwargs, made)


def _check_generator(func: Any, generator: Any, far: bool) -> None:
    """Refuse a source of random numbers that is on the other side."""
    if generator is not None and getattr(generator, "is_far", False) != far:
        wanted, found = ("cuda", "cpu") if far else ("cpu", "cuda")
        raise RuntimeError(f"{func}: expected a '{wanted}' device type for generator but found '{found}'")


def _near(value: Any) -> Any:
    return value.near if isinstance(value, FarTensor) else value


def _far(value: Any) -> Any:
    return FarTensor(value) if isinstance(value, Tensor) and not isinstance(value, FarTensor) else value


def _check(func: Any, name: str, args: Any, kwargs: Any) -> None:
    """Refuse what a GPU refuses."""
    if func.namespace != "aten" or "mkldnn" in name:
        raise NotImplementedError(f"{func} has no kernel for the device")
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    near = [t for t in tensors if not isinstance(t, FarTensor)]
    if not near:
        return
    if name in _COPIES:
        if isinstance(args[0], FarTensor):
            _traffic.upload()
        else:
            _traffic.download()
        return
    numbers = all(t.dim() == 0 for t in near)
    if numbers and (torch.Tag.pointwise in func.tags or name in _INDEXING):
        return
    if name in _INDEXING and isinstance(args[0], FarTensor):
        values = [t for t in args[2:] if isinstance(t, Tensor)]
        if all(isinstance(t, FarTensor) or t.dim() == 0 for t in values):
            return
    raise RuntimeError(
        f"{func}: expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
    )


def _results(func: Any, name: str, args: Any, kwargs: Any, made: Any) -> Any:
    """What an operation gives back: the argument that it wrote to, or new tensors on the device."""
    written = [a for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if not written or name.startswith("_foreach"):
        return tree_map(_far, made)
    if name in ("resize_", "set_", "t_", "transpose_", "squeeze_", "unsqueeze_", "as_strided_"):
        raise NotImplementedError(f"FarTensor cannot follow {func}")
    by_name = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
    returned = [by_name[a.name] for a in written if a.name in by_name]
    if not isinstance(made, (tuple, list)):
        return returned[0]
    return tuple(returned) if len(returned) == len(made) else tree_map(_far, made)


class _Calls(TorchFunctionMode):
    """Makes tensors on the device for calls that ask for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return _move(func, args, kwargs)
        is_far = any(isinstance(t, FarTensor) for t in tree_leaves((args, kwargs)))
        wants_far = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda"
        _check_generator(func, kwargs.get("generator"), is_far or wants_far)
        if is_far:
            if wants_far:
                del kwargs["device"]
            if func is Tensor.new_tensor:
                _traffic.constant()
                return FarTensor(args[0].near.new_tensor(*args[1:], **kwargs))
            with _Numbers():
                return func(*args, **kwargs)
        if not wants_far:
            return func(*args, **kwargs)
        kwargs["device"] = "cpu"
        if func in (torch.tensor, torch.as_tensor):
            _traffic.constant()
        return tree_map(_far, func(*args, **kwargs))


class _Numbers(TorchDispatchMode):
    """Within a call that got far tensors: numbers that it makes tensors of are far, too, not ``meta``."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        is_factory = not any(isinstance(t, Tensor) for t in tree_leaves((args, kwargs)))
        if is_factory and kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta":
            kwargs["device"] = "cpu"
            return tree_map(_far, func(*args, **kwargs))
        return func(*args, **kwargs)


def _move(func: Any, args: Any, kwargs: Any) -> Any:
    tensor, rest = args[0], args[1:]
    if func is Tensor.cpu:
        device, dtype = torch.device("cpu"), None
    elif func is Tensor.cuda:
        device, dtype = FAR, None
    elif rest and isinstance(rest[0], Tensor):
        device, dtype = rest[0].device, rest[0].dtype
    else:
        copy = kwargs.pop("copy", False)
        device, dtype, *_ = torch._C._nn._parse_to(*rest, **kwargs)
        kwargs = {"copy": copy}
    is_far = isinstance(tensor, FarTensor)
    values = tensor.near if is_far else tensor
    dtype = dtype or tensor.dtype
    if device is None or (device.type == "cuda") == is_far:
        moved = values.to(dtype=dtype, copy=kwargs.get("copy", False))
        return tensor if moved is values else _far(moved) if is_far else moved
    if device.type == "meta":
        return values.to(device)
    if is_far:
        _traffic.download()
        return values.to(dtype=dtype, copy=True)
    _traffic.upload()
    return FarTensor(values.to(dtype=dtype, copy=True))


class FarPort:
    """The way to the device through pinned memory (`freshpot.data.pinned.Port`): copies are done late.

    A copy takes what its memory holds when somebody waits for its event, or when ``late`` more were begun. So memory
    that is written to before that gives wrong data, as on a real GPU.
    """

    def __init__(self, late: int = 3) -> None:
        self._late = late
        self._queue: list[_FarCopy] = []
        self._lock = threading.RLock()
        self.pinned = 0

    def memory(self, shape: Any, dtype: torch.dtype) -> Tensor:
        self.pinned += 1
        return torch.empty(tuple(shape), dtype=dtype)

    def upload(self, source: Tensor) -> tuple[Tensor, _FarCopy]:
        made = FarTensor(torch.full_like(source, 77))
        return made, self.copy(made, source)

    def copy(self, target: Any, source: Tensor) -> _FarCopy:
        _traffic.upload(waits=False)
        begun = _FarCopy(self, target.near, source)
        with self._lock:
            self._queue.append(begun)
            self.run(len(self._queue) - self._late)
        return begun

    def run(self, count: int) -> None:
        """Do the copies that were begun first."""
        with self._lock:
            for _ in range(count):
                self._queue.pop(0).do()

    def run_to(self, copy: _FarCopy) -> None:
        """Do the copies up to this one."""
        with self._lock:
            if copy in self._queue:
                self.run(self._queue.index(copy) + 1)


class _FarCopy:
    """A copy that was put in the queue; it is its own event."""

    def __init__(self, port: FarPort, target: Tensor, source: Tensor) -> None:
        self._port, self._target, self._source = port, target, source
        self._expected = source.clone()

    def do(self) -> None:
        assert torch.equal(self._source, self._expected), "pinned memory was written to before it was read"
        self._target.copy_(self._source)

    def synchronize(self) -> None:
        self._port.run_to(self)


class _Generator(torch.Generator):
    """A source of random numbers, which may be the device's."""

    is_far: bool

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls, "cpu")
        made.is_far = torch.device(device).type == "cuda"
        return made


_real_run = threading.Thread.run


def _run_thread(self: threading.Thread) -> None:
    """A thread's work; torch's modes are each thread's own."""
    with _Calls():
        _real_run(self)


@contextlib.contextmanager
def far_device(patch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """Let this machine have one GPU, inside; yields what goes there and back."""
    from freshpot.engine import device

    with patch.context() as inside:
        inside.setattr(device, "_cuda", lambda index: torch.device("cuda", index))
        inside.setattr(device, "synchronize", lambda place: None)
        inside.setattr(torch, "Generator", _Generator)
        inside.setattr(torch.cuda, "get_rng_state", lambda place: torch.get_rng_state())
        inside.setattr(torch.cuda, "set_rng_state", lambda state, place: torch.set_rng_state(state))
        inside.setattr(threading.Thread, "run", _run_thread)
        _traffic.reset()
        with _Calls():
            yield _traffic
