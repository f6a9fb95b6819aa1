"""``caffe device_query``: what is known of the GPUs that -gpu names."""

from __future__ import annotations

from typing import Any

import torch

from caffe import _log
from caffe._cli import brew
from freshpot.errors import DeviceError


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Print; 0 when done.

    Raises:
        DeviceError: there is no such GPU.
    """
    _log.info("caffe.cpp:138", f"Querying GPUs {flags['gpu']}")
    for number in brew.gpus(flags["gpu"]):
        if not 0 <= number < torch.cuda.device_count():
            raise DeviceError(
                f"Cannot use GPU {number}: this machine has {torch.cuda.device_count()} that torch can use."
            )
        found = torch.cuda.get_device_properties(number)
        for name, value in {
            "Device id": number,
            "Major revision number": found.major,
            "Minor revision number": found.minor,
            "Name": found.name,
            "Total global memory": found.total_memory,
            "Warp size": getattr(found, "warp_size", 32),
            "Number of multiprocessors": found.multi_processor_count,
        }.items():
            _log.info("common.cpp:290", f"{name + ':':<31}{value}")
    return 0
