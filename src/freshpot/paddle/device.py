"""``paddle.device``: which devices there are, and where new tensors are made."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.paddle._missing import missing
from freshpot.paddle._state import get_device, is_compiled_with_cuda, set_device

__all__ = [
    "get_all_custom_device_type", "get_all_device_type", "get_available_custom_device", "get_available_device",
    "get_cudnn_version", "get_device", "is_compiled_with_cinn", "is_compiled_with_cuda",
    "is_compiled_with_custom_device", "is_compiled_with_distribute", "is_compiled_with_ipu", "is_compiled_with_npu",
    "is_compiled_with_rocm", "is_compiled_with_xpu", "set_device", "synchronize",
]  # fmt: skip


def get_cudnn_version() -> int | None:
    """cuDNN's version, such as 8902; None without a GPU."""
    return torch.backends.cudnn.version() if is_compiled_with_cuda() else None


def get_all_device_type() -> list[str]:
    """Kinds of devices: "cpu", and "gpu" where one can be used."""
    return ["cpu", "gpu"] if is_compiled_with_cuda() else ["cpu"]


def get_available_device() -> list[str]:
    """The devices: "cpu", "gpu:0" …"""
    return ["cpu", *(f"gpu:{number}" for number in range(torch.cuda.device_count()))]


def get_all_custom_device_type() -> list[str]:
    """None: devices of plug-ins are not served."""
    return []


get_available_custom_device = get_all_custom_device_type


def is_compiled_with_xpu() -> bool:
    """False: only CPUs and GPUs are served."""
    return False


is_compiled_with_npu = is_compiled_with_ipu = is_compiled_with_cinn = is_compiled_with_xpu


def is_compiled_with_custom_device(device_type: str) -> bool:
    """False: devices of plug-ins are not served."""
    return False


def is_compiled_with_rocm() -> bool:
    """Whether GPUs are AMD's."""
    return torch.version.hip is not None


def is_compiled_with_distribute() -> bool:
    """Whether several processes can work together."""
    return torch.distributed.is_available()


def synchronize(device: object = None) -> None:
    """Wait until the GPU has done what it was told."""
    if is_compiled_with_cuda():
        torch.cuda.synchronize()


def __getattr__(name: str) -> Any:
    raise missing("device", name, __all__)
