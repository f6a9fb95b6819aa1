"""What the whole door shares: element types, places, flags, and the default of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError, DeviceError, DTypeError, NotSupportedError, near_matches

__all__ = [
    "DTYPES",
    "CPUPlace",
    "CUDAPinnedPlace",
    "CUDAPlace",
    "DType",
    "GeneratorState",
    "Place",
    "current_device",
    "finfo",
    "get_default_dtype",
    "get_device",
    "get_flags",
    "get_rng_state",
    "iinfo",
    "is_compiled_with_cuda",
    "place_of",
    "scalars_are_1d",
    "set_default_dtype",
    "set_device",
    "set_flags",
    "set_rng_state",
    "to_device",
    "to_dtype",
]


class DType:
    """An element type: equal to its name (``"float32"``), to numpy's and to itself."""

    def __init__(self, name: str, torch_dtype: torch.dtype) -> None:
        self.name = name
        self.torch = torch_dtype

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self.name == other.name
        if isinstance(other, str):
            return other.removeprefix("paddle.") == self.name
        if isinstance(other, torch.dtype):
            return other == self.torch
        try:
            return np.dtype(other).name == self.name  # type: ignore[call-overload]
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"paddle.{self.name}"


DTYPES = {
    name: DType(name, getattr(torch, name))
    for name in (
        [
            "float16",
            "float32",
            "float64",
            "bfloat16",
            "uint8",
            "int8",
            "int16",
            "int32",
            "int64",
            "bool",
            "complex64",
            "complex128",
        ]
    )
}
_BY_TORCH = {dtype.torch: dtype for dtype in DTYPES.values()}


def dtype_of(tensor: torch.Tensor) -> DType:
    """The door's name for a tensor's element type."""
    return _BY_TORCH[tensor.dtype]


def to_dtype(dtype: Any) -> torch.dtype:
    """torch's element type for a name, a :class:`DType`, or numpy's type.

    Raises:
        DTypeError: not one that Paddle has.
    """
    if isinstance(dtype, DType):
        return dtype.torch
    if isinstance(dtype, torch.dtype) and dtype in _BY_TORCH:
        return dtype
    name = dtype.removeprefix("paddle.") if isinstance(dtype, str) else None
    if name is None:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = str(dtype)
    if name not in DTYPES:
        raise DTypeError(
            f"unknown element type {dtype!r}; known are {', '.join(DTYPES)}.{near_matches(name, DTYPES)}"
        )
    return DTYPES[name].torch


def finfo(dtype: Any) -> Any:
    """Limits of a float type: ``min``, ``max``, ``eps``, ``tiny``, ``bits``."""
    return torch.finfo(to_dtype(dtype))


def iinfo(dtype: Any) -> Any:
    """Limits of an integer type: ``min``, ``max``, ``bits``."""
    return torch.iinfo(to_dtype(dtype))


_default_dtype = DTYPES["float32"]


def set_default_dtype(d: Any) -> None:
    """The element type of floats that are made without one: float16, float32 or float64."""
    global _default_dtype
    found = _BY_TORCH[to_dtype(d)]
    if not found.torch.is_floating_point:
        raise DTypeError(f"the default element type must be a float, got {found.name}")
    _default_dtype = found


def get_default_dtype() -> str:
    """The name of the default element type."""
    return _default_dtype.name


def default_float() -> torch.dtype:
    """The default element type, as torch has it."""
    return _default_dtype.torch


# ---- places --------------------------------------------------------------------------------------------
class Place:
    """Where a tensor lies."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.device == other.device

    def __hash__(self) -> int:
        return hash(self.device)

    def is_cpu_place(self) -> bool:
        """True for the processor's memory."""
        return self.device.type == "cpu"

    def is_gpu_place(self) -> bool:
        """True for a GPU's memory."""
        return self.device.type == "cuda"

    def __repr__(self) -> str:
        return "Place(cpu)" if self.is_cpu_place() else f"Place(gpu:{self.device.index or 0})"


class CPUPlace(Place):
    """The processor's memory."""

    def __init__(self) -> None:
        super().__init__("cpu")


class CUDAPlace(Place):
    """The memory of GPU number ``id``."""

    def __init__(self, id: int = 0) -> None:
        super().__init__(f"cuda:{id}")


class CUDAPinnedPlace(CPUPlace):
    """The processor's memory; pages are not pinned here."""


def is_compiled_with_cuda() -> bool:
    """Whether a GPU can be used."""
    return torch.cuda.is_available()


_device = torch.device("cpu")


def to_device(place: Any) -> torch.device:
    """torch's device for a place or a name: ``"cpu"``, ``"gpu"``, ``"gpu:1"``.

    Raises:
        DeviceError: there is no such GPU here.
        NotSupportedError: a kind of device that freshpot does not serve.
    """
    if place is None:
        return _device
    if isinstance(place, Place):
        device = place.device
    elif isinstance(place, torch.device):
        device = place
    elif isinstance(place, str) and place.partition(":")[0] in ("cpu", "gpu", "cuda"):
        device = torch.device(place.replace("gpu", "cuda"))
    else:
        raise NotSupportedError(f"device {place!r}: freshpot's paddle runs on 'cpu' and 'gpu[:number]'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {place!r}: this machine has {torch.cuda.device_count()} usable GPUs; use 'cpu'"
        )
    return device


def set_device(device: str) -> Place:
    """Choose where new tensors are made: ``"cpu"``, ``"gpu"`` or ``"gpu:1"``."""
    global _device
    _device = to_device(device)
    return place_of(_device)


def get_device() -> str:
    """Where new tensors are made: ``"cpu"`` or ``"gpu:0"``."""
    return "cpu" if _device.type == "cpu" else f"gpu:{_device.index or 0}"


def current_device() -> torch.device:
    """Where new tensors are made, as torch has it."""
    return _device


def place_of(device: torch.device) -> Place:
    """The place of a device."""
    return CPUPlace() if device.type == "cpu" else CUDAPlace(device.index or 0)


# ---- random numbers ------------------------------------------------------------------------------------
class GeneratorState:
    """Where a sequence of random numbers stands."""

    def __init__(self, device: str, state: torch.Tensor) -> None:
        self.device, self.state = device, state


def get_rng_state(device: str | None = None) -> list[GeneratorState]:
    """Where the random numbers stand: of the processor, then of each GPU."""
    made = [GeneratorState("cpu", torch.get_rng_state())]
    if torch.cuda.is_available():
        made += [GeneratorState(f"cuda:{n}", state) for n, state in enumerate(torch.cuda.get_rng_state_all())]
    return made


def set_rng_state(state_list: list[GeneratorState], device: str | None = None) -> None:
    """Go on from where :func:`get_rng_state` was asked.

    Raises:
        ArgumentError: something that it did not give.
    """
    for one in state_list:
        if not isinstance(one, GeneratorState):
            raise ArgumentError(f"set_rng_state: {type(one).__name__} is not what get_rng_state gives")
        if one.device == "cpu":
            torch.set_rng_state(one.state)
        else:
            torch.cuda.set_rng_state(one.state, one.device)


# ---- flags ---------------------------------------------------------------------------------------------
_SCALARS = "FLAGS_set_to_1d"
#: flags of the original that change nothing that a program computes; what is set is remembered
_INERT = ("FLAGS_cudnn_deterministic", "FLAGS_cudnn_exhaustive_search", "FLAGS_fraction_of_gpu_memory_to_use")
_flags: dict[str, Any] = {
    _SCALARS: True,
    "FLAGS_check_nan_inf": False,
    "FLAGS_eager_delete_tensor_gb": 0.0,
    "FLAGS_allocator_strategy": "auto_growth",
    **dict.fromkeys(_INERT, False),
}


def set_flags(flags: dict[str, Any]) -> None:
    """Set flags by name. ``FLAGS_set_to_1d`` (default True): a single number has shape [1], as in Paddle 2.0 to
    2.5; False gives it shape [], as in 2.6 and later.

    Raises:
        ArgumentError: no such flag.
        NotSupportedError: ``FLAGS_check_nan_inf``.
    """
    for name, value in flags.items():
        if name not in _flags:
            raise ArgumentError(f"unknown flag {name!r}.{near_matches(name, _flags)}")
        if name == "FLAGS_check_nan_inf" and value:
            raise NotSupportedError("FLAGS_check_nan_inf: values are not checked after every operation here")
        _flags[name] = value


def get_flags(flags: str | list[str] | tuple[str, ...]) -> dict[str, Any]:
    """The values of flags by name."""
    names = [flags] if isinstance(flags, str) else list(flags)
    missing = [name for name in names if name not in _flags]
    if missing:
        raise ArgumentError(f"unknown flag {missing[0]!r}.{near_matches(missing[0], _flags)}")
    return {name: _flags[name] for name in names}


def scalars_are_1d() -> bool:
    """Whether a single number has shape [1]."""
    return bool(_flags[_SCALARS])
