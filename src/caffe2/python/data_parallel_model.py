"""One model on several devices, of one machine or more, each with a part of the data.

Source: caffe2/python/data_parallel_model.py.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, model_helper, scope, workspace
from caffe2.python._data_parallel import worlds
from caffe2.python._data_parallel.blobs import blobs_to_sync, prefix_of, stripBlobName
from caffe2.python._data_parallel.bmuf import Parallelize_BMUF
from caffe2.python._data_parallel.build import DEFAULT_BARRIER_NET_TIMEOUT_SEC, Parallelize
from caffe2.python._data_parallel.sync import add_blob_sync, group, sync_all
from caffe2.python._errors import require
from freshpot.errors import NotSupportedError

__all__ = [
    "AddBlobSync",
    "AddDistributedBlobSync",
    "ConvertNetForDevice",
    "CreateNet",
    "ExtractPredictorNet",
    "FinalizeAfterCheckpoint",
    "GetCheckpointParams",
    "GetLearningRateBlobNames",
    "OptimizeGradientMemory",
    "Parallelize",
    "Parallelize_BMUF",
    "Parallelize_CPU",
    "Parallelize_CPU_BMUF",
    "Parallelize_GPU",
    "Parallelize_GPU_BMUF",
    "Parallelize_iDeep",
    "RunInitNet",
    "RunNet",
    "RunWarmup",
    "Synchronize",
    "stripBlobName",
]

log = logging.getLogger("data_parallel_model")


def Parallelize_GPU(*args: Any, **kwargs: Any) -> None:
    """`Parallelize` on GPUs."""
    kwargs["cpu_device"] = False
    Parallelize(*args, **kwargs)


def Parallelize_CPU(*args: Any, **kwargs: Any) -> None:
    """`Parallelize` on the CPU; ``devices`` are any numbers."""
    kwargs["cpu_device"] = True
    Parallelize(*args, **kwargs)


def Parallelize_iDeep(*args: Any, **kwargs: Any) -> None:
    """`Parallelize` on the CPU, with Intel's names."""
    kwargs["ideep"] = True
    Parallelize(*args, **kwargs)


def Parallelize_GPU_BMUF(*args: Any, **kwargs: Any) -> None:
    """`Parallelize_BMUF` on GPUs."""
    kwargs["cpu_device"] = False
    Parallelize_BMUF(*args, **kwargs)


def Parallelize_CPU_BMUF(*args: Any, **kwargs: Any) -> None:
    """`Parallelize_BMUF` on the CPU; ``devices`` are any numbers."""
    kwargs["cpu_device"] = True
    Parallelize_BMUF(*args, **kwargs)


def CreateNet(model: Any, overwrite: bool = False) -> None:
    """Create the nets of a training."""
    for net in model._data_parallel_model_nets:
        workspace.CreateNet(net[0] if isinstance(net, tuple) else net, overwrite=overwrite)


def RunInitNet(model: Any) -> None:
    """Initialise the parameters of all devices, and create the nets."""
    for net in model._data_parallel_model_init_nets:
        workspace.RunNetOnce(net)
    CreateNet(model)


def RunWarmup(model: Any) -> None:
    """Of a model of `Parallelize_BMUF` with warm-up: train its steps, then copy the first device's model to all."""
    workspace.RunNet(model.net, model._warmup_iterations)
    workspace.RunNetOnce(model._warmup_broadcast)


def RunNet(model: Any, num_iterations: int) -> None:
    """Train some steps."""
    for net in model._data_parallel_model_nets:
        if isinstance(net, tuple):
            workspace.RunNet(net[0].Proto().name, net[1])
        else:
            workspace.RunNet(net, num_iterations)


def Synchronize(model: Any, timeout_sec: int = DEFAULT_BARRIER_NET_TIMEOUT_SEC) -> None:
    """Deprecated: wait for the other machines.

    Raises:
        MisuseError: another timeout than at the first call.
        DistributedError: another machine was lost, or did not come in time.
    """
    warnings.warn(
        "Synchronize is deprecated: the nets of a training wait for other machines by themselves.",
        category=DeprecationWarning,
        stacklevel=2,
    )
    if not worlds.several(model._rendezvous):
        return
    if model._sync_barrier_net is None:
        init_net = core.Net("sync_barrier_init_net")
        model._sync_barrier_net = worlds.barrier_net(model, init_net, "sync", timeout_sec)
        workspace.RunNetOnce(init_net)
        workspace.CreateNet(model._sync_barrier_net)
        model._sync_barrier_net_timeout = timeout_sec
    known = model._sync_barrier_net_timeout
    require(known == timeout_sec, f"Must use fixed timeout, {known} != {timeout_sec}")
    workspace.RunNet(model._sync_barrier_net)


def ConvertNetForDevice(net: Any, device: Any = None) -> Any:
    """A copy of a net whose blobs and operators are those of a device, by default of the scope's.

    Raises:
        NotSupportedError: it has recurrent networks, as in the original.
        MisuseError: no device.
    """
    made = copy.deepcopy(net)
    device = scope.CurrentDeviceScope() if device is None else device
    require(device is not None, "give a device, or call it within a device scope.")
    kind = {caffe2_pb2.CPU: "cpu", caffe2_pb2.IDEEP: "ideep"}.get(device.device_type, "gpu")
    start = f"{kind}_{device.device_id}/"
    proto = made.Proto()
    for op in proto.op:
        if "RecurrentNetwork" in op.type:
            raise NotSupportedError(f"net '{made.Name()}': RecurrentNetwork conversion not yet supported")
        for names in (op.input, op.output, op.control_input):
            names[:] = [start + name for name in names]
        op.device_option.CopyFrom(device)
    for names in (proto.external_input, proto.external_output):
        names[:] = [start + name for name in names]
    return made


def ExtractPredictorNet(
    model: Any, inputs: Sequence[Any], outputs: Sequence[Any], device: Any
) -> tuple[Any, list[Any]]:
    """The first device's part of the net, for prediction, with names without device; and its parameters."""
    start = prefix_of(model, model._devices[0])
    own_inputs, own_outputs = [start + str(b) for b in inputs], [start + str(b) for b in outputs]
    return model_helper.ExtractPredictorNet(
        net_proto=model.net.Proto(),
        input_blobs=own_inputs,
        output_blobs=own_outputs,
        device=device,
        renames=dict(zip([*own_inputs, *own_outputs], [*inputs, *outputs], strict=True)),
    )


def GetCheckpointParams(model: Any) -> set[Any]:
    """Blobs that a checkpoint needs: those of the first device, and counters of iterations."""
    start = prefix_of(model, model._devices[0])
    first = {b for b in blobs_to_sync(model)[0] if str(b).startswith(start)}
    counters = {
        op.output[0]
        for op in model.net.Proto().op
        if op.type in ("Iter", "AtomicIter") and not op.output[0].startswith(f"{model._device_prefix}_")
    }
    return first | counters


def FinalizeAfterCheckpoint(model: Any, blobs: Sequence[Any] | None = None, cpu_mode: bool = False) -> None:
    """Copy what was loaded for the first device, of the first machine, to the others.

    ``blobs``: these, else all that are kept alike.
    """
    if not hasattr(model, "_checkpoint_net"):
        names = sorted(blobs_to_sync(model)[1]) if blobs is None else [stripBlobName(p) for p in blobs]
        devices = model.GetDevices()
        group(model, names, devices)
        model._checkpoint_net = core.Net("checkpoint_sync_net")
        init_net = core.Net("checkpoint_init_net") if worlds.several(model._rendezvous) else None
        if not cpu_mode:
            for net in (model._checkpoint_net, init_net):
                if net is not None:
                    net.RunAllOnGPU()
        sync_all(devices, model, init_net, model._checkpoint_net, names, most=1)
        if init_net is not None:
            workspace.RunNetOnce(init_net)
        workspace.CreateNet(model._checkpoint_net)
    workspace.RunNet(model._checkpoint_net.Proto().name)


def GetLearningRateBlobNames(model: Any) -> list[str]:
    """Names of the blobs with the learning rate: one, or one a GPU."""
    if model._optimizer is None:
        return [op.output[0] for op in model.net.Proto().op if op.type == "LearningRate"]
    if core.IsGPUDeviceType(model._device_type):
        return [model._optimizer.get_gpu_blob_name("lr", gpu, "") for gpu in model._devices]
    return [model._optimizer.get_cpu_blob_name("lr")]


def AddBlobSync(model: Any, blobs: Sequence[str], net: Any = None) -> None:
    """Add operators that copy blobs, named without device, from the first device to the others."""
    add_blob_sync(model, blobs, model.net if net is None else net)


def AddDistributedBlobSync(model: Any, blobs: Sequence[Any]) -> None:
    """Add an operator that makes blobs the sum of all machines', but not of devices."""
    rendezvous = model._rendezvous
    if rendezvous is None:
        return
    name = "_".join(str(b) for b in blobs)
    found = worlds.world(model.param_init_net, f"blob_sync_cw_{name}", rendezvous)
    model.net.Allreduce(inputs=[found, *blobs], outputs=blobs, engine=rendezvous["engine"])


def OptimizeGradientMemory(
    model: Any, input_shapes: Any, excluded_blobs: Sequence[str], recycle_activations: bool
) -> None:
    """Nothing to do: freshpot reuses memory by itself."""
    log.info("freshpot reuses memory by itself; the net stays as it is.")
