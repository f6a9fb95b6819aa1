"""CPU or GPU, and this process's place among several that train together.

Owned here: what `caffe.set_mode_*`, `set_device` and the solver ranks set. Who calls it: `caffe`, solvers, the
command line.
"""

from __future__ import annotations

import functools
import os
import warnings

from freshpot.engine.device import torch_device
from freshpot.errors import ArgumentError, DeviceError
from freshpot.net.op import CUDA, Device

CPU, GPU = 0, 1

#: CPU or GPU
mode: int = CPU
#: number of the GPU that GPU mode uses
device: int = 0
solver_count: int = 1
solver_rank: int = 0
multiprocess: bool = False


def set_mode_cpu() -> None:
    """Run on the CPU."""
    global mode
    mode = CPU


def set_mode_gpu() -> None:
    """Run on the GPU that `set_device` named, 0 by default; see there for machines without one."""
    global mode
    _look_for(device)
    mode = GPU


def set_device(number: int) -> None:
    """Name the GPU to use, by its number.

    Nets of this door run on the CPU, with or without that GPU; that is said once.

    Raises:
        ArgumentError: a negative number.
        DeviceError: ``FRESHPOT_STRICT_DEVICE=1``, which forbids the CPU instead.
    """
    global device
    if number < 0:
        raise ArgumentError(f"GPUs are numbered from 0, got {number}.")
    _look_for(number)
    device = int(number)


def _look_for(number: int) -> None:
    if torch_device(Device(CUDA, int(number))).type == "cuda":
        _say_cpu()


@functools.cache
def _say_cpu() -> None:
    """Nets of this door have no way to a GPU yet, and nobody shall believe that they took it."""
    words = "nets of the Caffe door run on the CPU, also where there is a GPU"
    if os.environ.get("FRESHPOT_STRICT_DEVICE") == "1":
        raise DeviceError(f"{words} (FRESHPOT_STRICT_DEVICE=1 forbids the CPU instead).")
    warnings.warn(f"{words}.", stacklevel=4)


def set_solver_count(count: int) -> None:
    """Say how many solvers train together."""
    global solver_count
    solver_count = int(count)


def set_solver_rank(rank: int) -> None:
    """Say which of them this one is; 0 is the one that logs and snapshots."""
    global solver_rank
    solver_rank = int(rank)


def set_multiprocess(several: bool) -> None:
    """Say whether the solvers are processes of their own."""
    global multiprocess
    multiprocess = bool(several)
