"""Building one model on several devices: forward, backward, sums of gradients, updates.

Owned here: `Parallelize`. Who calls it: `data_parallel_model`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import cpu_count
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, model_helper, scope, workspace
from caffe2.python._data_parallel import batch_norm, blobs, shared, sync, worlds
from caffe2.python._errors import require

log = logging.getLogger("data_parallel_model")

DEFAULT_BARRIER_NET_TIMEOUT_SEC = 300

Builder = Callable[..., Any]


def Parallelize(
    model_helper_obj: Any,
    input_builder_fun: Builder,
    forward_pass_builder_fun: Builder,
    param_update_builder_fun: Builder | None = None,
    optimizer_builder_fun: Builder | None = None,
    post_sync_builder_fun: Builder | None = None,
    pre_grad_net_transformer_fun: Builder | None = None,
    net_transformer_fun: Builder | None = None,
    devices: Sequence[int] | None = None,
    rendezvous: dict[str, Any] | None = None,
    net_type: str = "dag",
    broadcast_computed_params: bool = True,
    optimize_gradient_memory: bool = False,
    dynamic_memory_management: bool = False,
    blobs_to_keep: Sequence[str] | None = None,
    use_nccl: bool = False,
    max_concurrent_distributed_ops: int = 16,
    cpu_device: bool = False,
    ideep: bool = False,
    num_threads_per_device: int = 4,
    shared_model: bool = False,
    combine_spatial_bn: bool = False,
    barrier_net_timeout_sec: int = DEFAULT_BARRIER_NET_TIMEOUT_SEC,
) -> None:
    """Build a model on several devices of this machine, or of several; each takes a part of the data.

    Args:
        model_helper_obj: a ModelHelper; what it has already stays as it is.
        input_builder_fun: ``f(model)`` adds the input operators of a device.
        forward_pass_builder_fun: ``f(model, loss_scale)`` adds the layers, returns the losses, each times
            ``loss_scale``.
        param_update_builder_fun: ``f(model)`` adds the updates of a device's parameters; or
        optimizer_builder_fun: ``f(model)``, called once, adds an optimizer; without either nothing is trained.
        post_sync_builder_fun: ``f(model)`` adds to each device what follows the first copying of parameters.
        pre_grad_net_transformer_fun: ``f(model)`` changes the net before gradients are added.
        net_transformer_fun: ``f(model, count, device_prefix, device_type)`` changes it afterwards.
        devices: numbers of GPUs, or any numbers on the CPU; by default all.
        rendezvous: of several machines: "kv_handler" (the blob of a store), "num_shards", "shard_id" and "engine",
            which is "GLOO".
        net_type: how operators are run; of no effect here.
        broadcast_computed_params: each step copies computed parameters from the first device to the others.
        optimize_gradient_memory, dynamic_memory_management, blobs_to_keep: freshpot reuses memory by itself.
        use_nccl: sum up with NCCL's operators.
        cpu_device, ideep: the devices are parts of the CPU.
        max_concurrent_distributed_ops: exchanges between machines at a time.
        num_threads_per_device: kept in the net.
        shared_model: on the CPU, all devices use the first one's parameters.
        combine_spatial_bn: batch normalisation over the batches of all devices.
        barrier_net_timeout_sec: for ``rendezvous``.

    Raises:
        MisuseError: what is asked for does not go together, or a builder returns something else.
        NotSupportedError: several machines by another engine than GLOO.
    """
    model = model_helper_obj
    require(isinstance(model, model_helper.ModelHelper), "the model must be a ModelHelper.")
    current = scope.CurrentDeviceScope()
    require(
        current is None or current.device_type == caffe2_pb2.CPU,
        f"Parallelize must be called without device-scope, device scope was: {current}",
    )
    worlds.check(rendezvous)
    require(
        not (shared_model and worlds.several(rendezvous)),
        "Shared model only supported on single-node currently",
    )
    require(
        param_update_builder_fun is None or optimizer_builder_fun is None,
        "Can only specify one of param_update_builder_fun, optimizer_builder_fun",
    )
    require(
        not (optimize_gradient_memory and dynamic_memory_management),
        "optimize_gradient_memory and dynamic_memory_management do not go together.",
    )
    on_cpu = cpu_device or ideep
    require(on_cpu or not shared_model, "Shared model only supported on CPU")
    if devices is None:
        devices = list(range(cpu_count() if on_cpu else workspace.NumCudaDevices()))
    require(len(devices) > 0, "there is no device to train on; give devices, or call Parallelize_CPU.")
    remember(model, devices, on_cpu, ideep, shared_model, rendezvous)
    workers = len(devices) * num_threads_per_device + (8 if rendezvous is not None else 0)
    model.net.Proto().num_workers = workers
    model._max_concurrent_distributed_ops = min(max_concurrent_distributed_ops, workers - 1)
    model.net.Proto().type = net_type
    log.info("Parallelizing model for devices: %s", devices)

    before = list(model.params)
    trains = param_update_builder_fun is not None or optimizer_builder_fun is not None
    if not trains and model.init_params:
        log.warning(
            "Model %s is used for testing/validation but has init_params=True, which can conflict with "
            "training: make it with init_params=False.",
            model.name,
        )
    losses = build_forward(model, input_builder_fun, forward_pass_builder_fun, trains)
    _group_parameters(model, before)
    if pre_grad_net_transformer_fun:
        pre_grad_net_transformer_fun(model)
    if trains:
        add_gradients(model, losses)
    if net_transformer_fun:
        net_transformer_fun(model, len(devices), model._device_prefix, model._device_type)
    require(trains or not combine_spatial_bn, "combine_spatial_bn should only be used for train model")
    if not trains:
        log.info("Parameter update function not defined --> only forward")
        blobs.infer_devices(model)
        return
    if combine_spatial_bn:
        batch_norm.interleave(model)
        batch_norm.combine(model, on_gpu=not cpu_device)
    model._losses_by_gpu = losses
    _sum_up_gradients(model, before, broadcast_computed_params, use_nccl)
    all_params = set(model.GetParams(""))
    if shared_model:
        shared.prune_parameters(model)
    _add_updates(model, param_update_builder_fun, optimizer_builder_fun)
    if post_sync_builder_fun is not None:
        for _ in on_each_device(model):
            post_sync_builder_fun(model)
    if optimize_gradient_memory or dynamic_memory_management:
        log.info("freshpot reuses memory by itself; the net stays as it is.")
    model._data_parallel_model_init_nets = [model.param_init_net]
    model._data_parallel_model_nets = [model.net]
    add_barrier(model, barrier_net_timeout_sec)
    if shared_model:
        shared.remap_parameters(model, all_params)


def remember(
    model: Any,
    devices: Sequence[int],
    on_cpu: bool,
    ideep: bool,
    shared_model: bool,
    rendezvous: dict[str, Any] | None,
) -> None:
    """Note on the model what other functions ask for."""
    if on_cpu:
        model._device_type = caffe2_pb2.IDEEP if ideep else caffe2_pb2.CPU
        model._device_prefix = "ideep" if ideep else "cpu"
    else:
        if any(gpu >= workspace.NumGpuDevices() for gpu in devices):
            log.warning("** Only %s GPUs available, GPUs %s requested", workspace.NumGpuDevices(), devices)
        model._device_type = workspace.GpuDeviceType
        model._device_prefix = "gpu"
    model._shared_model = shared_model
    model._devices = devices
    model._rendezvous = rendezvous
    model._sync_barrier_net = None
    model._broadcast_context = None
    model._grad_names = []
    model._optimizer = None


def on_each_device(model: Any) -> Iterator[int]:
    """Each device, within its scopes."""
    for device in model._devices:
        with (
            core.DeviceScope(core.DeviceOption(model._device_type, device)),
            core.NameScope(f"{model._device_prefix}_{device}"),
        ):
            yield device


def build_forward(model: Any, add_input: Builder, add_layers: Builder, trains: bool) -> dict[int, Any]:
    """Losses by device."""
    shards = 1 if model._rendezvous is None else model._rendezvous["num_shards"]
    scale = 1.0 / (len(model._devices) * shards)
    losses: dict[int, Any] = {}
    for device in on_each_device(model):
        log.info("Model for %s : %s", model._device_prefix.upper(), device)
        add_input(model)
        found = add_layers(model, scale)
        if trains:
            require(
                isinstance(found, list) and all(isinstance(x, core.BlobReference) for x in found),
                "Model builder function must return list of loss blobs",
            )
        losses[device] = found
    blobs.validate_params(model.params)
    return losses


def _group_parameters(model: Any, before: Sequence[Any]) -> None:
    devices = model._devices
    model._device_grouped_blobs = blobs.group_by_device(model, devices, model.params, before)
    computed = blobs.group_by_device(model, devices, model.GetComputedParams(""), [])
    model._device_grouped_blobs.update(computed)
    model._param_names = list(model._device_grouped_blobs)
    model._computed_param_names = list(computed)


def add_gradients(model: Any, losses: dict[int, Any]) -> None:
    """Gradients of all losses, each begun with 1 on its device."""
    starts: dict[str, str] = {}
    for device in model._devices:
        with core.DeviceScope(core.DeviceOption(model._device_type, device)):
            for loss in losses[device]:
                starts[str(loss)] = str(model.ConstantFill(loss, f"{loss}_grad", value=1.0))
    model.AddGradientOperators(starts)


def _sum_up_gradients(model: Any, before: Sequence[Any], broadcast_computed: bool, use_nccl: bool) -> None:
    blobs.validate_params(model.params)
    devices, grads = model._devices, model.param_to_grad
    grouped = blobs.group_by_device(
        model,
        devices,
        [grads[p] for p in model.params if p in grads],
        [grads[p] for p in before],
    )
    model._device_grouped_blobs.update(grouped)
    model._grad_names = list(grouped)
    blobs.infer_devices(model)
    if broadcast_computed and len(devices) > 1:
        for name in model._computed_param_names:
            sync.broadcast(devices, model, model.net, name, use_nccl)
    if not grouped:
        log.info("NOTE: Param builder function did not create any parameters.")
    # the last layers' gradients are there first
    sync.all_reduce(reversed(model._grad_names), devices, model, model.net, use_nccl)


def _add_updates(
    model: Any, param_update_builder_fun: Builder | None, optimizer_builder_fun: Builder | None
) -> None:
    if param_update_builder_fun is not None:
        for _ in on_each_device(model):
            param_update_builder_fun(model)
    elif optimizer_builder_fun is not None:
        model._optimizer = optimizer_builder_fun(model)
    found, names = blobs.blobs_to_sync(model)
    model._device_grouped_blobs.update(blobs.group_by_device(model, model._devices, found, []))
    blobs.infer_devices(model)
    blobs.check_devices(model)
    model.Proto().arg.add(name="first_iter_only_one_worker", i=1)
    init_net = model.param_init_net
    sync.sync_all(model._devices, model, init_net, init_net, sorted(names), most=1)


def add_barrier(model: Any, timeout_sec: int) -> None:
    if model._rendezvous is None or model._rendezvous["engine"] != "GLOO":
        return
    model._barrier_init_net = core.Net("barrier_init_net")
    model._barrier_net = worlds.barrier_net(model, model._barrier_init_net, "pre_training", timeout_sec)
    model._data_parallel_model_init_nets.insert(0, model._barrier_init_net)
    model._data_parallel_model_nets.insert(0, model._barrier_net)
