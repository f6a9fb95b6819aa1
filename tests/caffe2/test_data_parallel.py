"""data_parallel_model: one model on several devices; and residual nets, which programs train so."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, optimizer, workspace
from caffe2.python import data_parallel_model as dpm
from caffe2.python._errors import MisuseError
from caffe2.python.models import resnet, shufflenet
from freshpot.errors import NotSupportedError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(core.Net, "_net_names_used", set())
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def layers(model: Any, scale: float, normalized: bool = False) -> list[Any]:
    conv = brew.conv(model, "data", "conv", 3, 4, kernel=3)
    if normalized:
        conv = brew.spatial_bn(model, conv, "bn", 4, is_test=False)
    fc = brew.fc(model, conv, "fc", 4 * 6 * 6, 2)
    _, loss = model.SoftmaxWithLoss([fc, "label"], ["softmax", "loss"])
    return [model.Scale(loss, scale=scale)]


def updates(model: Any) -> None:
    counter = brew.iter(model, "iter")
    rate = model.net.LearningRate([counter], "LR", base_lr=-0.1, policy="fixed")
    one = model.param_init_net.ConstantFill([], "ONE", shape=[1], value=1.0)
    for param in model.GetParams():
        model.WeightedSum([param, one, model.param_to_grad[param], rate], param)


def parallel(devices: list[int], build: Callable[..., Any] = dpm.Parallelize_CPU, **args: Any) -> Any:
    model = model_helper.ModelHelper("model", arg_scope={"order": "NCHW"})
    if build in (dpm.Parallelize_BMUF, dpm.Parallelize_CPU_BMUF):
        args.setdefault("param_update_builder_fun", updates)
    elif not args.keys() & {"param_update_builder_fun", "optimizer_builder_fun"}:
        args["optimizer_builder_fun"] = lambda m: optimizer.build_sgd(m, 0.1, policy="fixed", momentum=0.9)
    args.setdefault("forward_pass_builder_fun", layers)
    build(model, lambda m: None, devices=devices, **args)
    return model


def with_momentum(model: Any) -> None:
    rate = model.net.LearningRate([brew.iter(model, "iter")], "LR", base_lr=-0.1, policy="fixed")
    for param in model.GetParams():
        momentum = model.param_init_net.ConstantFill([param], param + "_mom", value=0.0)
        grad = model.param_to_grad[param]
        model.net.MomentumSGDUpdate([grad, momentum, rate, param], [grad, momentum, param], momentum=0.9)


def machine(shard: int = 1, shards: int = 2) -> dict[str, Any]:
    return {"kv_handler": "store", "num_shards": shards, "shard_id": shard, "engine": "GLOO"}


def train(model: Any, steps: int = 3) -> dict[str, Any]:
    """Parameters of the first device after some steps; each device has its part of one batch."""
    random = np.random.RandomState(0)
    data, labels = random.rand(12, 3, 8, 8).astype("f"), random.randint(0, 2, 12).astype("i")
    count = len(model._devices)
    for i, device in enumerate(model._devices):
        workspace.FeedBlob(f"cpu_{device}/data", data[i::count])
        workspace.FeedBlob(f"cpu_{device}/label", labels[i::count])
    dpm.RunInitNet(model)
    first = f"cpu_{model._devices[0]}/"
    for name in sorted(set(model._param_names) - set(model._computed_param_names)):
        shape = workspace.FetchBlob(first + name).shape
        workspace.FeedBlob(first + name, random.rand(*shape).astype("f") - 0.5)
    if not model._shared_model:
        dpm.FinalizeAfterCheckpoint(model, cpu_mode=True)
    dpm.RunNet(model, steps)
    return {name: workspace.FetchBlob(first + name) for name in model._param_names}


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"param_update_builder_fun": updates},
        {"shared_model": True},
        {
            "forward_pass_builder_fun": lambda m, s: layers(m, s, normalized=True),
            "combine_spatial_bn": True,
        },
    ],
)
def test_several_devices_learn_what_one_learns(args: dict[str, Any]) -> None:
    alone = {k: v for k, v in args.items() if k not in ("shared_model", "combine_spatial_bn")}
    wanted = train(parallel([0], **alone))
    workspace.ResetWorkspace()
    model = parallel([0, 1, 2], **args)
    found = train(model)
    for name, value in wanted.items():
        if name not in model._computed_param_names:
            np.testing.assert_allclose(found[name], value, rtol=2e-3, atol=2e-4)
    if not args.get("shared_model"):
        for name in set(model._param_names) - set(model._computed_param_names):
            np.testing.assert_allclose(workspace.FetchBlob(f"cpu_2/{name}"), found[name], atol=1e-5)


def digest(*nets: Any) -> str:
    lines = [
        f"{op.type} {[*op.input]} {[*op.output]} {op.name} {op.engine} {op.device_option.device_type} "
        f"{op.device_option.device_id} {[*op.control_input]} "
        f"{sorted((a.name, a.i, round(a.f, 5), a.s, [*a.ints]) for a in op.arg)}"
        for net in nets
        for op in net.Proto().op
    ]
    text = re.sub(r"SgdOptimizer_\d+", "SgdOptimizer", "\n".join(lines))  # optimizers are counted
    return hashlib.md5(text.encode()).hexdigest()


#: what the original built
NETS = {
    "cpu": "e529ac76dc32acf22c5319ce835a5ac7",
    "cpu_3_updates": "0d0a76ffb1310fa3cec3eb7b0b1df0e3",
    "cpu_bn": "37e6241793d3687392074e2360aa967c",
    "gpu_4": "6c28b7b831d8cb2b0929053c8e124f47",
    "gpu_8": "cb1e92a23b61b855c59129c7b1f00755",
    "ideep": "e5d8b397f39d67023f231c03c4f038db",
    "resnet32": "d6379e7a6d7f60fc9714ffb6244e5b23",
    "resnet50": "8d0e51ca6725352985a68135856aa1c5",
    "resnext101": "5c1cecd7de9a185de691623dc735b30d",
    "shufflenet": "7c6ebe10974af5bb321b294d611d562e",
    "shufflenet_wide": "fff9cd3807577a76e5ac488bd485f2cd",
}
#: the same, of all nets of a training
TRAININGS = {
    "machines": "a957d5abe8ef8f0916c28d907707489b",
    "machines_2_at_a_time": "fcb93027aff26ba90b255822e4e55247",
    "machines_bn": "8f67e164f0506ce74dae56bdb9ef5f8d",
    "machines_gpu": "e3374af1ec59dfee36ab0fecb1f1cc03",
    "blocks": "e08c236d35509eae238f6f11da460c3c",
    "blocks_machines": "a5c7d7ebec0c2a1fe1c97e6936a2d2c8",
    "blocks_warm": "13efc3da6e94f139d86680af36a31dc5",
}


def _resnet(build: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    model = model_helper.ModelHelper("model", arg_scope={"order": "NCHW"})
    build(model, "data", 3, *args, **kwargs)
    return model


def _shufflenet(**kwargs: Any) -> Any:
    model = model_helper.ModelHelper("model", arg_scope={"order": "NCHW"})
    shufflenet.ShuffleNetV2Builder(model, "data", 3, 10, **kwargs).create()
    return model


def normalized(model: Any, scale: float) -> list[Any]:
    return layers(model, scale, normalized=True)


MADE: dict[str, Callable[[], Any]] = {
    "cpu": lambda: parallel([0, 1]),
    "cpu_3_updates": lambda: parallel([0, 1, 2], param_update_builder_fun=updates),
    "cpu_bn": lambda: parallel([0, 1], forward_pass_builder_fun=normalized, combine_spatial_bn=True),
    "gpu_4": lambda: parallel(
        [0, 1, 2, 3], dpm.Parallelize_GPU, forward_pass_builder_fun=normalized, combine_spatial_bn=True
    ),
    "gpu_8": lambda: parallel([*range(8)], dpm.Parallelize_GPU),
    "ideep": lambda: parallel([0, 1], dpm.Parallelize_iDeep),
    "resnet32": lambda: _resnet(resnet.create_resnet_32x32, 3, 10),
    "resnet50": lambda: _resnet(resnet.create_resnet50, 1000, label="label"),
    "resnext101": lambda: _resnet(resnet.create_resnext, 10, 101, 32, 4, no_loss=True, no_bias=0),
    "shufflenet": lambda: _resnet(shufflenet.create_shufflenet, 10, label="label"),
    "shufflenet_wide": lambda: _shufflenet(width="2.0x", detection=True, is_test=True),
}


MADE_TRAININGS: dict[str, Callable[[], Any]] = {
    "machines": lambda: parallel([0], rendezvous=machine()),
    "machines_2_at_a_time": lambda: parallel(
        [0, 1], rendezvous=machine(), max_concurrent_distributed_ops=2, param_update_builder_fun=updates
    ),
    "machines_bn": lambda: parallel(
        [0, 1], rendezvous=machine(), forward_pass_builder_fun=normalized, combine_spatial_bn=True
    ),
    "machines_gpu": lambda: parallel(
        [0, 1], dpm.Parallelize_GPU, rendezvous={**machine(0), "transport": "ibverbs", "interface": "eth1"}
    ),
    "blocks": lambda: parallel([0, 1], dpm.Parallelize_CPU_BMUF),
    "blocks_machines": lambda: parallel(
        [0, 1],
        dpm.Parallelize_CPU_BMUF,
        rendezvous=machine(),
        nesterov=True,
        reset_momentum_sgd=True,
        block_learning_rate=0.5,
        param_update_builder_fun=with_momentum,
    ),
    "blocks_warm": lambda: parallel(
        [0, 1],
        dpm.Parallelize_CPU_BMUF,
        rendezvous=machine(),
        warmup_iterations=2,
        block_momentum=0.3,
        add_blobs_to_sync=["LR"],
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings_are_those_of_the_original(name: str) -> None:
    model = MADE_TRAININGS[name]()
    nets = [net[0] if isinstance(net, tuple) else net for net in model._data_parallel_model_nets]
    warm = [model._warmup_broadcast] if "warm" in name else []
    inits = [
        net
        for net in model._data_parallel_model_init_nets
        if "machines" in name or net is not model.param_init_net
    ]
    assert digest(*nets, *warm, *inits) == TRAININGS[name]


@pytest.mark.parametrize("name", NETS)
def test_nets_are_those_of_the_original(name: str) -> None:
    assert digest(MADE[name]().net) == NETS[name]


def test_what_a_checkpoint_and_a_predictor_need() -> None:
    model = parallel([3, 5])
    params = sorted(map(str, dpm.GetCheckpointParams(model)))
    assert params == [
        "cpu_3/conv_b",
        "cpu_3/conv_b_momentum",
        "cpu_3/conv_w",
        "cpu_3/conv_w_momentum",
        "cpu_3/fc_b",
        "cpu_3/fc_b_momentum",
        "cpu_3/fc_w",
        "cpu_3/fc_w_momentum",
        "optimizer_iteration",
    ]
    (rate,) = dpm.GetLearningRateBlobNames(model)
    assert re.fullmatch(r"SgdOptimizer_\d+_lr_cpu", rate)
    net, exported = dpm.ExtractPredictorNet(model, ["data"], ["softmax"], core.DeviceOption(caffe2_pb2.CPU))
    assert [op.type for op in net.Proto().op] == [
        "Conv",
        "FC",
        "Softmax",
    ] or "data" in net.Proto().external_input
    assert "cpu_3/conv_w" in map(str, exported)
    train(model, 1)
    extra = core.Net("extra")
    workspace.FeedBlob("cpu_3/more", np.ones(2, "f"))
    dpm.AddBlobSync(model, ["more"], extra)
    workspace.RunNetOnce(extra)
    assert workspace.FetchBlob("cpu_5/more").tolist() == [1, 1]


def test_one_shard_waits_for_nobody() -> None:
    rendezvous = {"kv_handler": None, "num_shards": 1, "shard_id": 0, "engine": "GLOO"}
    model = parallel([0], rendezvous=rendezvous)
    assert [net.Name() for net in model._data_parallel_model_nets] == ["pre_training_barrier_net", "model"]
    train(model, 1)
    with pytest.warns(DeprecationWarning, match="wait for other machines by themselves"):
        dpm.Synchronize(model)
    dpm.OptimizeGradientMemory(model, {}, [], False)


def test_a_block_of_one_step_is_a_step() -> None:
    """Without momentum the average of models that made one step each is what a step with half the gradients makes.

    (Losses are scaled by the number of devices, and the average divides once more.)
    """
    begun = train(parallel([0, 1], param_update_builder_fun=updates), 0)
    workspace.ResetWorkspace()
    stepped = train(parallel([0, 1], param_update_builder_fun=updates), 1)
    workspace.ResetWorkspace()
    model = parallel([0, 1], dpm.Parallelize_CPU_BMUF, block_momentum=0.0, warmup_iterations=1)
    train(model, 0)
    for name, value in begun.items():
        for blob in (f"cpu_0/{name}_g", f"cpu_0/{name}", f"cpu_1/{name}"):
            workspace.FeedBlob(blob, value)
    dpm.RunNet(model, 1)
    for name, value in begun.items():
        first, second = (workspace.FetchBlob(f"cpu_{d}/{name}") for d in (0, 1))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first - value, (stepped[name] - value) / 2, rtol=1e-3, atol=1e-6)
    dpm.RunWarmup(model)
    for name in begun:
        first, second = (workspace.FetchBlob(f"cpu_0/{name}{end}") for end in ("", "_g"))
        np.testing.assert_array_equal(first, second)


def test_a_net_for_a_device() -> None:
    net = core.Net("n")
    net.Relu("x", "y")
    with core.DeviceScope(core.DeviceOption(caffe2_pb2.CUDA, 2)):
        made = dpm.ConvertNetForDevice(net)
    op = made.Proto().op[0]
    assert (op.input[0], op.output[0], op.device_option.device_id) == ("gpu_2/x", "gpu_2/y", 2)
    with pytest.raises(MisuseError, match="give a device"):
        dpm.ConvertNetForDevice(net)
    net.Proto().op[0].type = "RecurrentNetwork"
    with pytest.raises(NotSupportedError, match="RecurrentNetwork conversion"):
        dpm.ConvertNetForDevice(net, core.DeviceOption(caffe2_pb2.CPU))


def test_a_test_net_that_initialises_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    model = model_helper.ModelHelper("test")
    dpm.Parallelize_CPU(model, lambda m: None, layers, devices=[0])
    assert "has init_params=True" in caplog.text
    assert not any(op.type.endswith("Gradient") for op in model.net.Proto().op)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"rendezvous": {"num_shards": 2, "engine": "GLOO"}}, MisuseError, "lacks kv_handler, shard_id"),
    ({"rendezvous": {**machine(), "engine": "MPI"}}, NotSupportedError, "2 shards by engine 'MPI'"),
    ({"rendezvous": machine(), "shared_model": True}, MisuseError, "only supported on single-node"),
    (
        {"param_update_builder_fun": updates, "optimizer_builder_fun": updates},
        MisuseError,
        "Can only specify one",
    ),
    (
        {"optimize_gradient_memory": True, "dynamic_memory_management": True},
        MisuseError,
        "do not go together",
    ),
    ({"shared_model": True, "build": dpm.Parallelize_GPU}, MisuseError, "Shared model only supported on CPU"),
    ({"devices": []}, MisuseError, "there is no device to train on"),
    ({"forward_pass_builder_fun": lambda m, s: "loss"}, MisuseError, "must return list of loss blobs"),
    ({"build": dpm.Parallelize_CPU_BMUF, "master_device": 7}, MisuseError, "master_device 7 is none of"),
    ({"build": dpm.Parallelize_CPU_BMUF, "devices": []}, MisuseError, "there is no device to train on"),
]


@pytest.mark.parametrize(("args", "error", "words"), REFUSED)
def test_refused(args: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parallel(**{"devices": [0], **args})


def test_an_unknown_number_of_layers() -> None:
    with pytest.raises(KeyError, match="51-layer is invalid"):
        _resnet(resnet.create_resnext, 10, 51, 1, 64)
