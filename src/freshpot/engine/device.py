"""Devices: what a net asks for, what this machine has.

Owned here: `Device` -> `torch.device`. Who calls it: plan, workspace.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from pathlib import Path
from types import FrameType

import torch

from freshpot.engine.precision import use_gpu
from freshpot.errors import DeviceError
from freshpot.net.op import CPU, CUDA, IDEEP, Device

_CPU = torch.device("cpu")
_SRC = Path(__file__).resolve().parents[2]
_OURS = tuple(f"{_SRC / name}{os.sep}" for name in ("freshpot", "caffe", "caffe2"))


def torch_device(device: Device | None) -> torch.device:
    """The torch device for what an operator or net asks for.

    A GPU that this machine lacks becomes the CPU, said once; with ``FRESHPOT_STRICT_DEVICE=1`` it
    is refused.

    Raises:
        DeviceError: in strict mode; or the device type is none of CPU, IDEEP and CUDA.
    """
    if device is None or device.type in (None, CPU, IDEEP):
        return _CPU
    if device.type != CUDA:
        raise DeviceError(
            f"device type {device.type} is not available: freshpot runs on CPU ({CPU}) and CUDA ({CUDA})."
        )
    return _cuda(device.index or 0)


def _cuda(index: int) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index < count:
        use_gpu()
        return torch.device("cuda", index)
    message = f"GPU {index} was asked for, and this machine has {count or 'none'}"
    if os.environ.get("FRESHPOT_STRICT_DEVICE") == "1":
        raise DeviceError(message + " (FRESHPOT_STRICT_DEVICE=1 forbids the CPU instead).")
    _say(message + ": running on the CPU.")
    return _CPU


@functools.cache
def _say(message: str) -> None:
    """Warn, once."""
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)  # the user's line


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given: before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
