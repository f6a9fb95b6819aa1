"""Block-wise model updates: devices train apart for some steps, then their models are averaged with a momentum.

Source: caffe2/python/data_parallel_model.py; K. Chen, Q. Huo: Scalable training of deep learning machines by
incremental block training with intra-block parallel optimization and blockwise model-update filtering (ICASSP 2016).

Owned here: `Parallelize_BMUF`. Who calls it: `data_parallel_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, model_helper, scope, workspace
from caffe2.python._data_parallel import blobs, build, sync, worlds
from caffe2.python._errors import require


def Parallelize_BMUF(
    model_helper_obj: Any,
    input_builder_fun: build.Builder,
    forward_pass_builder_fun: build.Builder,
    param_update_builder_fun: build.Builder,
    block_learning_rate: float = 1.0,
    block_momentum: float | None = None,
    devices: Sequence[int] | None = None,
    rendezvous: worlds.Rendezvous | None = None,
    net_type: str = "dag",
    master_device: int | None = None,
    use_nccl: bool = False,
    nesterov: bool = False,
    optimize_gradient_memory: bool = False,
    reset_momentum_sgd: bool = False,
    warmup_iterations: int | None = None,
    max_concurrent_distributed_ops: int = 4,
    add_blobs_to_sync: Sequence[str] | None = None,
    num_threads_per_device: int = 4,
    cpu_device: bool = False,
    barrier_net_timeout_sec: int = build.DEFAULT_BARRIER_NET_TIMEOUT_SEC,
) -> None:
    """Build a model on several devices that train apart; ``RunNet(model, n)`` runs n steps, then one block update.

    Args:
        model_helper_obj, input_builder_fun, forward_pass_builder_fun, param_update_builder_fun: as of `Parallelize`.
        block_learning_rate: scale of a block's change.
        block_momentum: share of the last change that is added; by default 1 - 1 / (number of devices).
        devices: numbers of GPUs, or any numbers on the CPU; by default all GPUs.
        rendezvous: of several machines.
        master_device: the device that keeps the averages; by default the first.
        use_nccl: sum up with NCCL's operators.
        nesterov: Nesterov's form of the momentum.
        optimize_gradient_memory: freshpot reuses memory by itself.
        reset_momentum_sgd: set the momentum of MomentumSGDUpdate to zero after each block.
        warmup_iterations: steps of `RunWarmup`, after which the first device's model is copied to all.
        max_concurrent_distributed_ops: exchanges between machines at a time.
        add_blobs_to_sync: blobs, without device, that are copied after each block.
        cpu_device: the devices are parts of the CPU.
        num_threads_per_device, net_type: kept in the nets.
        barrier_net_timeout_sec: seconds to wait for other machines before training.

    Raises:
        MisuseError: what is asked for does not go together, or a builder returns something else.
    """
    model = model_helper_obj
    current = scope.CurrentDeviceScope()
    require(
        current is None or current.device_type == caffe2_pb2.CPU,
        f"Parallelize must be called without device-scope, device scope was: {current}",
    )
    require(isinstance(model, model_helper.ModelHelper), "the model must be a ModelHelper.")
    worlds.check(rendezvous)
    devices = list(range(workspace.NumGpuDevices())) if devices is None else devices
    require(len(devices) > 0, "there is no device to train on; give devices, or call Parallelize_CPU_BMUF.")
    master = devices[0] if master_device is None else master_device
    require(master in devices, f"master_device {master} is none of the devices {list(devices)}.")
    shards = rendezvous["num_shards"] if rendezvous else 1
    count = len(devices) * shards
    workers = num_threads_per_device * len(devices) + (8 if rendezvous else 0)
    build.remember(model, devices, cpu_device, False, False, rendezvous)
    model._max_concurrent_distributed_ops = min(max_concurrent_distributed_ops, workers - 1)
    model._global_model_init_net = core.Net("global_model_init")
    model._global_model_param_updates_net = core.Net("global_model")
    if warmup_iterations is not None:
        model._warmup_iterations = warmup_iterations
        model._warmup_broadcast = core.Net("warmup-broadcast")
    for net in (
        model.net,
        model._global_model_init_net,
        model._global_model_param_updates_net,
        *([model._warmup_broadcast] if warmup_iterations is not None else ()),
    ):
        net.Proto().type, net.Proto().num_workers = net_type, workers

    before = list(model.params)
    losses = build.build_forward(model, input_builder_fun, forward_pass_builder_fun, True)
    model._losses_by_gpu = losses
    model._device_grouped_blobs = blobs.group_by_device(model, devices, model.params, before)
    names = model._param_names = list(model._device_grouped_blobs)
    model._computed_param_names = []
    build.add_gradients(model, losses)
    blobs.validate_params(model.params)
    blobs.infer_devices(model)
    for _ in build.on_each_device(model):
        param_update_builder_fun(model)

    option = core.DeviceOption(model._device_type, master)
    if warmup_iterations is not None:
        sync.sync_all(devices, model, model.param_init_net, model._warmup_broadcast, names)
        with core.DeviceScope(option):
            for name in names:
                param = model._device_grouped_blobs[name][master]
                model._warmup_broadcast.Copy(param, f"{param}_g")
    with core.DeviceScope(option):
        for name in names:
            _begin(model._global_model_init_net, model._device_grouped_blobs[name][master], nesterov)
    updates = model._global_model_param_updates_net
    sync.all_reduce(names, devices, model, updates, use_nccl)
    with core.DeviceScope(option):
        for name in names:
            param = model._device_grouped_blobs[name][master]
            _update(
                updates, param, 1.0 / count, block_learning_rate, _momentum(block_momentum, count), nesterov
            )
    sync.sync_all(devices, model, model.param_init_net, updates, names)
    if add_blobs_to_sync is not None:
        sync.add_blob_sync(model, add_blobs_to_sync, updates)
    if reset_momentum_sgd:
        for op in list(model.net.Proto().op):
            if op.type == "MomentumSGDUpdate":
                with core.DeviceScope(op.device_option):
                    updates.ConstantFill([op.input[1]], op.input[1], value=0.0)
    model._data_parallel_model_init_nets = [model.param_init_net, model._global_model_init_net]
    model._data_parallel_model_nets = [model.net, (updates, 1)]
    build.add_barrier(model, barrier_net_timeout_sec)


def _momentum(given: float | None, count: int) -> float:
    return 1.0 - 1.0 / count if given is None else given


def _begin(net: Any, param: Any, nesterov: bool) -> None:
    """The block's momentum, 0, and the global model, which begins as the first one."""
    net.ConstantFill(param, f"{param}_v", value=0.0)
    net.Copy(param, f"{param}_g")
    if nesterov:
        net.ConstantFill(param, f"{param}_prev", value=0.0)


def _update(net: Any, param: Any, mean: float, rate: float, momentum: float, nesterov: bool) -> None:
    """From the sum of all models in ``param``: v = momentum v + rate (average - g), g += v; then param = g.

    Nesterov: g += v - momentum (v - the v before).
    """
    v, g, before = f"{param}_v", f"{param}_g", f"{param}_prev"
    net.Scale(param, param, scale=mean)
    net.Sub([param, g], param)
    net.Scale(param, param, scale=rate)
    net.Scale(v, v, scale=momentum)
    net.Add([v, param], v)
    net.Add([g, v], g)
    if nesterov:
        net.Sub([v, before], before)
        net.Scale(before, before, scale=momentum)
        net.Sub([g, before], g)
        net.Copy(v, before)
    net.Copy(g, param)
