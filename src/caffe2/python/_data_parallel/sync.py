"""Sums of gradients over devices, and copies of parameters to all of them.

Owned here: the operators for that on one machine; `worlds` has those for several. Who calls it: `build`, `bmuf`,
`data_parallel_model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from caffe2.python._data_parallel import worlds
from caffe2.python._data_parallel.blobs import is_gpu_blob, is_ideep_blob, prefix_of
from caffe2.python._errors import require


def broadcast(devices: Sequence[int], model: Any, net: Any, param: str, use_nccl: bool = False) -> None:
    """Copy a blob from the first device to the others."""
    blobs = model._device_grouped_blobs[param]
    if use_nccl and is_gpu_blob(model, param):
        with core.DeviceScope(core.DeviceOption(model._device_type, devices[0])):
            net.NCCLBroadcast([*blobs.values()], [*blobs.values()], root=0)
        return
    for device in devices[1:]:
        if is_gpu_blob(model, param):
            option = core.DeviceOption(workspace.GpuDeviceType, device)
        else:
            kind = caffe2_pb2.IDEEP if is_ideep_blob(model, param) else caffe2_pb2.CPU
            option = core.DeviceOption(kind, 0)
        with core.DeviceScope(option):
            net.Copy(blobs[devices[0]], blobs[device])


#: number of devices -> which are summed up, onto the first of each, one after the other
_TREES: dict[int, list[tuple[int, ...]]] = {
    4: [(0, 1), (2, 3), (0, 2)],
    8: [*((2 * j, 2 * j + 1) for j in range(4)), (0, 2), (4, 6), (0, 4)],
    16: [
        *((2 * j, 2 * j + 1) for j in range(8)),
        *((4 * j, 4 * j + 2) for j in range(4)),
        (0, 4),
        (8, 12),
        (0, 8),
    ],
}


def _all_reduce_on_gpus(
    devices: Sequence[int], model: Any, net: Any, param: str, use_nccl: bool, control_input: Any
) -> None:
    blobs = list(model._device_grouped_blobs[param].values())
    if model._device_type == caffe2_pb2.CUDA and use_nccl:
        model.NCCLAllreduce(blobs, blobs, control_input=control_input)
        return
    pattern = workspace.GetGpuPeerAccessPattern()
    for places in _TREES.get(len(devices), [tuple(range(len(devices)))]):
        numbers, parts = [model._devices[i] for i in places], [blobs[i] for i in places]
        with core.DeviceScope(core.DeviceOption(model._device_type, numbers[0])):
            for i, peer in enumerate(numbers[1:], 1):
                if len(pattern) and not pattern[numbers[0]][peer]:
                    copy_name = f"gpu_{numbers[0]}/{param}_gpu{peer}_copy"
                    parts[i] = model.Copy(parts[i], copy_name)
            net.Sum(parts, [parts[0]], name="dpm")
    broadcast(devices, model, net, param)


def _gather_slices(
    model: Any, net: Any, devices: Sequence[int], name: str, slices: Sequence[Any], done: set[Any]
) -> None:
    """All devices' sparse gradients, one after the other, on each of them; indices that are shared once."""
    master = f"{model._device_prefix}_{devices[0]}"
    grouped = model._device_grouped_blobs[name]

    def gathered(part: str, blobs: list[Any], info: str) -> None:
        made, _ = net.Concat(
            blobs,
            [f"{master}/{name}_{part}_concat", f"{master}/{name}_{part}_splitinfo"],
            axis=0,
            name="note:data_parallel_model",
        )
        for device, found in grouped.items():
            with core.DeviceScope(core.DeviceOption(model._device_type, device)):
                model.Copy(made, getattr(found, info))

    if not any(g.indices in done for g in slices):
        gathered("index", [g.indices for g in slices], "indices")
        done.update(g.indices for g in grouped.values())
    gathered("val", [g.values for g in slices], "values")


def all_reduce(names: Iterable[str], devices: Sequence[int], model: Any, net: Any, use_nccl: bool) -> None:
    """Make each of these blobs the sum of all devices', of all machines.

    Raises:
        MisuseError: a device lacks one; or a sparse gradient on the CPU, or over machines.
    """
    if worlds.several(model._rendezvous):
        worlds.all_reduce(names, devices, model, net)
        return
    if len(devices) == 1:
        return
    last: Any = None
    done: set[Any] = set()
    for name in names:
        blobs = list(model._device_grouped_blobs[name].values())
        if len(blobs) == 1:
            continue
        require(len(blobs) == len(devices), f"Each GPU from {devices}, should have a copy of {name}.")
        if is_gpu_blob(model, name):
            with core.DeviceScope(core.DeviceOption(model._device_type, devices[0])):
                if isinstance(blobs[0], core.GradientSlice):
                    _gather_slices(model, net, devices, name, blobs, done)
                else:
                    _all_reduce_on_gpus(devices, model, net, name, use_nccl, last)
                    last = blobs[0]
            continue
        require(
            not isinstance(blobs[0], core.GradientSlice),
            f"sparse gradients ({name}) are not summed up over devices on the CPU.",
        )
        kind = caffe2_pb2.IDEEP if is_ideep_blob(model, name) else caffe2_pb2.CPU
        with core.DeviceScope(core.DeviceOption(kind)):
            net.Sum(blobs, [blobs[0]])
            if not model._shared_model:
                broadcast(devices, model, net, name)


def sync_all(
    devices: Sequence[int], model: Any, init_net: Any, net: Any, names: Iterable[str], most: int = 4
) -> None:
    """Copy blobs from the first device, of the first machine, to the others.

    ``init_net`` makes what machines need for it; ``most``: exchanges between machines at a time.
    """
    if worlds.several(model._rendezvous):
        worlds.sync_all(devices, model, init_net, net, names, most)
        return
    for name in names:
        broadcast(devices, model, net, name)


def group(model: Any, names: Iterable[str], devices: Sequence[int]) -> None:
    """Note the blobs of these names on each device, where they are not known."""
    for name in names:
        model._device_grouped_blobs.setdefault(
            name, {d: core.BlobReference(prefix_of(model, d) + name) for d in devices}
        )


def add_blob_sync(model: Any, blobs: Sequence[str], net: Any) -> None:
    """Add operators that copy blobs, named without device, from the first device to the others.

    Raises:
        MisuseError: a name with its device.
    """
    for blob in blobs:
        require(not blob.startswith(model._device_prefix), f"Provide unprefixed blob name: {blob}")
    group(model, blobs, model._devices)
    if blobs:
        sync_all(model._devices, model, model.param_init_net, net, sorted(set(blobs)))
