"""Several machines that train one model: sums and copies of blobs over all of them, and waiting for each other.

Owned here: the operators for that, and the worlds they run in. Who calls it: `sync`, `build`, `bmuf`,
`data_parallel_model`. A *rendezvous* is the dictionary that programs give: ``kv_handler``, ``num_shards``,
``shard_id``, ``engine``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core
from caffe2.python._data_parallel.blobs import is_gpu_blob, is_ideep_blob
from caffe2.python._errors import require
from freshpot.errors import NotSupportedError

Rendezvous = dict[str, Any]

DEFAULT_TIMEOUT_SEC = 30

#: what of a rendezvous a world is told, if it is there
_TOLD = ("transport", "interface", "mpi_rendezvous")


def several(rendezvous: Rendezvous | None) -> bool:
    """True if more machines than this one train."""
    return rendezvous is not None and rendezvous["num_shards"] > 1


def check(rendezvous: Rendezvous | None) -> None:
    """Refuse a rendezvous that freshpot cannot follow.

    Raises:
        MisuseError: a part of it is missing.
        NotSupportedError: several machines by another engine than GLOO.
    """
    if rendezvous is None:
        return
    missing = [key for key in ("kv_handler", "num_shards", "shard_id", "engine") if key not in rendezvous]
    require(not missing, f"the rendezvous lacks {', '.join(missing)}.")
    if several(rendezvous) and rendezvous["engine"] != "GLOO":
        raise NotSupportedError(
            f"data_parallel_model: {rendezvous['num_shards']} shards by engine '{rendezvous['engine']}'; machines "
            "exchange by GLOO alone. Give engine='GLOO'."
        )


def world(net: Any, blob: str, rendezvous: Rendezvous, timeout_sec: int | None = None) -> Any:
    """A world of all machines: made by ``net``, or cloned from one that it makes with the same timeout."""
    timeout = (DEFAULT_TIMEOUT_SEC if timeout_sec is None else timeout_sec) * 1000
    for op in net.Proto().op:
        if op.type == "CreateCommonWorld" and any(a.name == "timeout_ms" and a.i == timeout for a in op.arg):
            return net.CloneCommonWorld([op.output[0]], blob, name=f"{blob}_op", engine=rendezvous["engine"])
    return net.CreateCommonWorld(
        rendezvous["kv_handler"] or [],
        blob,
        name=f"{blob}_op",
        size=rendezvous["num_shards"],
        rank=rendezvous["shard_id"],
        engine=rendezvous["engine"],
        timeout_ms=timeout,
        **{key: rendezvous[key] for key in _TOLD if key in rendezvous},
    )


class Worlds:
    """Worlds for one kind of exchange, some at a time: operators that share one follow each other."""

    def __init__(self, name: str, most: int, init_net: Any, rendezvous: Rendezvous) -> None:
        self._name = name
        self._most = most
        self._init_net = init_net
        self._rendezvous = rendezvous
        self._count = 0
        self._worlds: list[Any] = []
        self._last: list[Any] = []

    def next(self, blob: Any) -> tuple[Any, Any]:
        """A world, and the blob that is exchanged in it before ``blob``; None if that is the first."""
        slot = self._count % self._most
        self._count += 1
        if len(self._worlds) < self._most:
            self._worlds.append(world(self._init_net, f"{self._name}_{slot}_cw", self._rendezvous))
            self._last.append(blob)
            return self._worlds[slot], None
        before, self._last[slot] = self._last[slot], blob
        return self._worlds[slot], before


def all_reduce(names: Iterable[str], devices: Sequence[int], model: Any, net: Any) -> None:
    """Make each of these blobs the sum over all devices of all machines.

    Raises:
        MisuseError: a sparse gradient.
    """
    rendezvous = model._rendezvous
    require(model.net.Proto().num_workers > 1, "Please specify more than 1 worker")
    worlds = Worlds("allreduce", model._max_concurrent_distributed_ops, model.param_init_net, rendezvous)
    for name in names:
        blobs = list(model._device_grouped_blobs[name].values())
        require(
            not any(isinstance(blob, core.GradientSlice) for blob in blobs),
            f"sparse gradients ({name}) are not summed up over machines.",
        )
        with core.DeviceScope(core.DeviceOption(model._device_type, devices[0])):
            found, before = worlds.next(blobs[0])
            net.Allreduce(
                inputs=[found, *blobs],
                outputs=blobs,
                name=name,
                engine=rendezvous["engine"],
                control_input=before,
                gpu_direct=rendezvous.get("transport") == "ibverbs",
            )


def sync_all(
    devices: Sequence[int], model: Any, init_net: Any, net: Any, names: Iterable[str], most: int
) -> None:
    """Copy blobs from the first device of the first machine to all devices of all."""
    rendezvous = model._rendezvous
    if model._broadcast_context is None:
        model._broadcast_context = Worlds("broadcast", most, init_net, rendezvous)
    for name in sorted(names):
        blobs = list(model._device_grouped_blobs[name].values())
        kind = caffe2_pb2.IDEEP if is_ideep_blob(model, name) else caffe2_pb2.CPU
        on_gpu = is_gpu_blob(model, name)
        option = core.DeviceOption(model._device_type, devices[0]) if on_gpu else core.DeviceOption(kind)
        with core.DeviceScope(option):
            found, before = model._broadcast_context.next(blobs)
            net.Broadcast(
                inputs=[found, *blobs],
                outputs=blobs,
                name=name,
                engine=rendezvous["engine"],
                control_input=before,
            )


def barrier_net(model: Any, init_net: Any, name_prefix: str, timeout_sec: int) -> Any:
    """A net in which all machines wait for each other; ``init_net`` makes what it needs."""
    rendezvous = model._rendezvous
    require(rendezvous["engine"] == "GLOO", "Engine does not support barrier")
    found = world(init_net, f"{name_prefix}_barrier_cw", rendezvous, timeout_sec)
    net = core.Net(f"{name_prefix}_barrier_net")
    net.Barrier(inputs=[found], outputs=[], engine=rendezvous["engine"])
    return net
