"""Sums of blobs over the GPUs of one machine, as operators of a net.

Source: caffe2/python/muji.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import workspace
from freshpot.errors import ArgumentError

__all__ = [
    "Allreduce",
    "Allreduce2",
    "Allreduce4",
    "Allreduce4Group2",
    "Allreduce8",
    "AllreduceFallback",
    "OnCPU",
    "OnGPU",
]


def OnGPU(gpu_id: int) -> Any:
    """The DeviceOption of a GPU."""
    return caffe2_pb2.DeviceOption(device_type=workspace.GpuDeviceType, device_id=gpu_id)


def OnCPU() -> Any:
    """The DeviceOption of the CPU."""
    return caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CPU)


def Allreduce(
    net: Any, blobs: Sequence[Any], reduced_affix: str = "_reduced", gpu_indices: Sequence[int] | None = None
) -> Any:
    """Add operators that sum blobs, one on each GPU, and give every GPU the sum; the blobs of the sums.

    Which GPUs reach each other's memory decides how.

    Args:
        net: where they go.
        blobs: the blobs.
        reduced_affix: what is added to their names.
        gpu_indices: whose GPU is which; 0, 1, … by default.

    Raises:
        ArgumentError: another number of GPUs than of blobs.
    """
    gpus = list(range(len(blobs))) if gpu_indices is None else list(gpu_indices)
    if len(gpus) != len(blobs):
        raise ArgumentError(f"gpu_indices length and blobs length mismatch: {len(gpus)} vs {len(blobs)}")
    reach = np.asarray(workspace.GetGpuPeerAccessPattern(), dtype=bool)
    count = len(reach) if reach.ndim == 2 else 0

    def together(first: int, end: int) -> bool:
        return count >= end and bool(reach[first:end, first:end].all())

    if len(blobs) == 2 and together(0, 2):
        return Allreduce2(net, blobs, reduced_affix, gpus)
    if len(blobs) == 4 and together(0, 4):
        return Allreduce4(net, blobs, reduced_affix, gpus)
    if len(blobs) == 4 and together(0, 2) and together(2, 4):
        return Allreduce4Group2(net, blobs, reduced_affix, gpus)
    if len(blobs) == 8 and together(0, 8):
        return Allreduce8(net, blobs, reduced_affix, gpus)
    return AllreduceFallback(net, blobs, reduced_affix, gpus)


def _copy(source: Any, name: Any, gpu: int) -> Any:
    return source.Copy([], name, device_option=OnGPU(gpu))


def Allreduce2(net: Any, blobs: Sequence[Any], reduced_affix: str, gpu_indices: Sequence[int]) -> Any:
    """For two GPUs that reach each other."""
    first, second = blobs
    total = net.Add([first, second], first + reduced_affix, device_option=OnGPU(gpu_indices[0]))
    return total, _copy(total, second + reduced_affix, gpu_indices[1])


def _four(net: Any, blobs: Sequence[Any], affix: str, gpus: Sequence[int], apart: bool) -> Any:
    a, b, c, d = blobs
    left = net.Add([a, b], str(a) + affix, device_option=OnGPU(gpus[0]))
    right = net.Add([c, d], str(c) + affix, device_option=OnGPU(gpus[2]))
    other = _copy(right, str(right) + "_copy", gpus[0]) if apart else right
    left = left.Add(other, left, device_option=OnGPU(gpus[0]))
    right = _copy(left, right, gpus[2])
    second = _copy(left, str(b) + affix, gpus[1])
    return left, second, right, _copy(right, str(d) + affix, gpus[3])


def Allreduce4(net: Any, blobs: Sequence[Any], reduced_affix: str, gpu_indices: Sequence[int]) -> Any:
    """For four GPUs that all reach each other."""
    return _four(net, blobs, reduced_affix, gpu_indices, False)


def Allreduce4Group2(net: Any, blobs: Sequence[Any], reduced_affix: str, gpu_indices: Sequence[int]) -> Any:
    """For four GPUs, of which the first two and the last two reach each other."""
    return _four(net, blobs, reduced_affix, gpu_indices, True)


def Allreduce8(net: Any, blobs: Sequence[Any], reduced_affix: str, gpu_indices: Sequence[int]) -> Any:
    """For eight GPUs, of which the first four and the last four reach each other."""
    made: list[Any] = [None] * 8
    for i in (0, 2, 4, 6):
        made[i] = net.Add(
            [blobs[i], blobs[i + 1]], blobs[i] + reduced_affix, device_option=OnGPU(gpu_indices[i])
        )
    for i in (0, 4):
        made[i] = net.Add(
            [made[i], made[i + 2]], str(blobs[i]) + reduced_affix, device_option=OnGPU(gpu_indices[i])
        )
    other = _copy(made[4], str(made[4]) + "_copy", gpu_indices[0])
    made[0] = made[0].Add(other, made[0], device_option=OnGPU(gpu_indices[0]))
    made[4] = _copy(made[0], made[4], gpu_indices[4])
    for i in (2, 6):
        made[i] = _copy(made[i - 2], made[i], gpu_indices[i])
    for i in (1, 3, 5, 7):
        made[i] = _copy(made[i - 1], blobs[i] + reduced_affix, gpu_indices[i])
    return made


def AllreduceFallback(
    net: Any, blobs: Sequence[Any], reduced_affix: str, gpu_indices: Sequence[int]
) -> list[Any]:
    """For any GPUs: all are copied to the first and added there."""
    there = OnGPU(gpu_indices[0])
    made: list[Any] = [blobs[0]] * len(blobs)
    if reduced_affix:
        made[0] = net.Copy(blobs[0], blobs[0] + reduced_affix, device_option=there)
    on_the_way = made[0] + "_temp_copy"
    for blob in blobs[1:]:
        copied = net.Copy(blob, on_the_way, device_option=there)
        made[0] = net.Add([copied, made[0]], made[0], device_option=there)
    for i in range(1, len(blobs)):
        made[i] = net.Copy(made[0], blobs[i] + reduced_affix, device_option=OnGPU(gpu_indices[i]))
    return made
