"""CPU or GPU, and this process's place among several that train together.

Owned here: what `caffe.set_mode_*`, `set_device` and the solver ranks set. Who calls it: `caffe`, nets at each pass,
solvers, the command line.
"""

from __future__ import annotations

import torch

from freshpot.engine.device import torch_device
from freshpot.errors import ArgumentError
from freshpot.net.op import CUDA, Device

CPU, GPU = 0, 1

#: CPU or GPU
mode: int = CPU
#: number of the GPU that GPU mode uses
device: int = 0
#: where passes run: the GPU of GPU mode, or the CPU
place: torch.device = torch_device(None)
solver_count: int = 1
solver_rank: int = 0
multiprocess: bool = False


def set_mode_cpu() -> None:
    """Run on the CPU. Nets that are on a GPU move at their next pass."""
    global mode, place
    mode, place = CPU, torch_device(None)


def set_mode_gpu() -> None:
    """Run on the GPU that `set_device` named, 0 by default. Nets, also those made before, move at their next pass.

    A machine without that GPU runs on the CPU, and says so once.

    Raises:
        DeviceError: there is no such GPU, and ``FRESHPOT_STRICT_DEVICE=1`` forbids the CPU instead.
    """
    global mode, place
    place = torch_device(Device(CUDA, device))
    mode = GPU


def set_device(number: int) -> None:
    """Name the GPU to use, by its number; see `set_mode_gpu` for machines without it.

    Raises:
        ArgumentError: a negative number.
        DeviceError: ``FRESHPOT_STRICT_DEVICE=1``, which forbids the CPU instead.
    """
    global device, place
    if number < 0:
        raise ArgumentError(f"GPUs are numbered from 0, got {number}.")
    found = torch_device(Device(CUDA, int(number)))
    device = int(number)
    if mode == GPU:
        place = found


def operators_device() -> Device | None:
    """What nets ask their operators to run on; None: the CPU."""
    return Device(CUDA, device) if place.type != "cpu" else None


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
