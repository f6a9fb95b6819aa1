"""What is refused, and what is said: names that are not here, arguments without effect, wrong uses."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    FreshpotError,
    GradientError,
    NotSupportedError,
    ShapeError,
)
from freshpot.paddle._missing import original_names

nets, dist = paddle.vision.models, paddle.distribution
nn, F, opt, io = paddle.nn, paddle.nn.functional, paddle.optimizer, paddle.io


def linear() -> Any:
    return nn.Linear(3, 2)


def model() -> Any:
    made = paddle.Model(linear())
    made.prepare(opt.SGD(0.1, made.parameters()), nn.CrossEntropyLoss())
    return made


def half() -> list[Any]:
    layer = linear()
    layer.to(dtype="float16")
    return list(layer.parameters())


X = np.ones((2, 3), np.float32)
T, P = paddle.vision.transforms, np.zeros((4, 4, 3), np.uint8)
REFUSED: dict[str, tuple[Callable[[], Any], type[FreshpotError], str]] = {
    "amp": (lambda: model().prepare(amp_configs="O1"), NotSupportedError, "amp_configs"),
    "multi_precision": (
        lambda: opt.Adam(parameters=half(), multi_precision=True), NotSupportedError, "multi_precision for float16",
    ),
    "lazy_mode": (
        lambda: opt.Adam(parameters=nn.Embedding(4, 2, sparse=True).parameters(), lazy_mode=True), NotSupportedError,
        "lazy_mode",
    ),
    "rescale_grad": (
        lambda: opt.Momentum(parameters=linear().parameters(), rescale_grad=0.5), NotSupportedError, "rescale_grad",
    ),
    "auto_skip_clip": (
        lambda: nn.ClipGradByGlobalNorm(1.0, auto_skip_clip=True), NotSupportedError,
        "auto_skip_clip",
    ),
    "nan checks": (lambda: paddle.set_flags({"FLAGS_check_nan_inf": True}), NotSupportedError, "check_nan_inf"),
    "a flag": (lambda: paddle.set_flags({"FLAGS_check_nan": 1}), ArgumentError, "FLAGS_check_nan_inf"),
    "trained weights of a variant": (
        lambda: nets.mobilenet_v2(True, scale=0.35, num_classes=2), NotSupportedError, "no trained weights",
    ),
    "a depth": (lambda: nets.ResNet(nets.resnet.BasicBlock, 20), ArgumentError, "depth 20; choose 18, 34"),
    "groups of a basic block": (lambda: nets.resnet18(groups=2), ArgumentError, "only 1 and 64"),
    "a version": (lambda: nets.SqueezeNet("1.2"), ArgumentError, "'1.2'; choose"),
    "a scale": (lambda: nets.ShuffleNetV2(0.7), ArgumentError, "scale 0.7; choose 0.25"),
    "an activation's name": (lambda: nets.ShuffleNetV2(act="mish"), ArgumentError, "'mish'; choose 'relu'"),
    "layers of a dense network": (lambda: nets.DenseNet(120), ArgumentError, "layers 120; choose 121"),
    "a level of amp": (lambda: paddle.amp.auto_cast(level="O3").__enter__(), ArgumentError, "'O3'; choose O0"),
    "a type of amp": (lambda: paddle.amp.decorate(1, dtype="int8"), ArgumentError, "'int8'; choose"),
    "a scaler": (lambda: paddle.amp.GradScaler(incr_ratio=0.5), ArgumentError, "incr_ratio 0.5 must be over 1"),
    "no processes": (lambda: paddle.distributed.spawn(print, nprocs=0), ArgumentError, "nprocs is 0"),
    "a launch": (lambda: paddle.distributed.launch(), NotSupportedError, "start the processes with torchrun"),
    "a batch of nothing": (lambda: paddle.batch(iter, 0), ArgumentError, "1 or more, got 0"),
    "attributes of a transformer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, weight_attr=[None] * 4), ArgumentError, "a list of up to 3; got 4",
    ),
    "betas of Lamb": (lambda: opt.Lamb(beta1=1.5, parameters=linear().parameters()), ArgumentError, "betas must be"),
    "flops of a function": (lambda: paddle.flops(abs, [1]), ArgumentError, "must be a layer, got builtin"),
    "random numbers": (lambda: paddle.set_rng_state([1]), ArgumentError, "int is not what get_rng_state gives"),
    "a norm apart": (lambda: nn.utils.weight_norm(linear(), "w"), ArgumentError, "Linear has no parameter 'w'"),
    "a norm apart twice": (
        lambda: nn.utils.weight_norm(nn.utils.weight_norm(linear())), ArgumentError, "has its norm apart already",
    ),
    "a norm's axis": (lambda: nn.utils.weight_norm(linear(), dim=3), ArgumentError, "dim 3 of 'weight' with 2 axes"),
    "no norm apart": (lambda: nn.utils.remove_weight_norm(linear()), ArgumentError, "has no norm apart"),
    "iterations": (lambda: nn.utils.spectral_norm(linear(), n_power_iterations=0), ArgumentError, "at least 1"),
    "a spectral norm twice": (
        lambda: nn.utils.spectral_norm(nn.utils.spectral_norm(linear())), ArgumentError, "is divided already",
    ),
    "no mean": (lambda: dist.Cauchy(0.0, 1.0).mean, ArgumentError, "Cauchy has no mean"),
    "no gradient of draws": (lambda: dist.Categorical(paddle.ones([2])).rsample(), NotSupportedError, "no gradient"),
    "no gradient of counts": (lambda: dist.Geometric(0.5).rsample(), NotSupportedError, "draws have no gradient"),
    "a concentration": (lambda: dist.Dirichlet(1.0), ArgumentError, "at least one axis"),
    "no draws": (lambda: dist.Multinomial(0, paddle.ones([2])), ArgumentError, "1 or more, got 0"),
    "a divergence": (
        lambda: dist.kl_divergence(dist.Cauchy(0.0, 1.0), dist.Bernoulli(0.5)), NotSupportedError, "see register_kl",
    ),
    "a distribution of one's own": (lambda: dist.Distribution().entropy(), NotSupportedError, "entropy is not known"),
    "a map of one's own": (lambda: dist.Transform().forward(X), NotSupportedError, "forward is not known"),
    "a map's shapes": (lambda: dist.ReshapeTransform((2,), (3,)), ArgumentError, r"\[2\] cannot become \[3\]"),
    "axes of draws": (lambda: dist.Independent(dist.Normal(0.0, 1.0), 1), ArgumentError, "rank 1 of 0 axes"),
    "a line search": (
        lambda: opt.LBFGS(line_search_fn="wolfe", parameters=linear().parameters()), ArgumentError, "'strong_wolfe' or",
    ),
    "no closure": (lambda: opt.LBFGS(parameters=linear().parameters()).step(), ArgumentError, "give a function"),
    "where_": (lambda: paddle.where_(paddle.ones([1], "bool")), ArgumentError, "give x and y"),
    "check_shape": (lambda: paddle.check_shape([1, -2], "full"), ArgumentError, r"full: \[1, -2\] is no list of sizes"),
    "a layer's backward": (lambda: linear().backward(), ArgumentError, "see autograd.PyLayer"),
    "an affine's scale": (lambda: T.affine(P, 0, [0, 0], 0, 0), ArgumentError, "scale must be greater than 0"),
    "an affine's move": (lambda: T.affine(P, 0, [0], 1, 0), ArgumentError, "two distances"),
    "a random move": (lambda: T.RandomAffine(0, translate=(2, 0)), ArgumentError, "shares from 0 to 1"),
    "random factors": (lambda: T.RandomAffine(0, scale=(0, 1)), ArgumentError, "scale must be greater than 0"),
    "a random view": (lambda: T.RandomPerspective(2.0), ArgumentError, "prob 2.0 and"),
    "no parameters": (lambda: opt.SGD(0.1), ArgumentError, r"parameters=model.parameters\(\)"),
    "a learning rate": (lambda: opt.SGD("0.1", linear().parameters()), ArgumentError, "number or an LRScheduler"),
    "a clip": (lambda: opt.SGD(0.1, linear().parameters(), grad_clip=1.0), ArgumentError, "ClipGradBy"),
    "no loss": (lambda: paddle.Model(linear()).train_batch([X]), ArgumentError, r"prepare\(optimizer, loss\)"),
    "a metric": (
        lambda: paddle.Model(linear()).prepare(metrics=[3]), ArgumentError,
        "int is no paddle.metric.Metric",
    ),
    "no data": (lambda: model().fit(), ArgumentError, "data set or a DataLoader"),
    "num_iters": (lambda: model().fit([X], num_iters=0), ArgumentError, "num_iters must be 1"),
    "a shape": (lambda: linear()(paddle.ones([2, 4])), ShapeError, r"\[2, 4\], the weight \[3, 2\]"),
    "labels": (lambda: F.cross_entropy(paddle.ones([2, 3]), paddle.zeros([3], "int64")), ShapeError, r"got \[3\]"),
    "a reduction": (lambda: nn.MSELoss(reduction="avg"), ArgumentError, "'avg'; choose 'mean'"),
    "a layer's argument": (lambda: nn.Softmax(dim=1), ArgumentError, "Softmax takes axis"),
    "an element type": (lambda: paddle.zeros([1], "float31"), DTypeError, "Did you mean float32"),
    "ragged rows": (lambda: paddle.to_tensor([[1, 2], [3]]), ArgumentError, "unequal length"),
    "words": (lambda: paddle.to_tensor(["a"]), ArgumentError, "no numbers"),
    "reshape": (lambda: paddle.ones([6]).reshape([4]), ArgumentError, r"\[6\] cannot become \[4\]"),
    "split": (lambda: paddle.split(paddle.ones([5]), 2), ArgumentError, "no 2 equal parts"),
    "item": (lambda: paddle.ones([2]).item(), ArgumentError, "2 elements; give an index"),
    "backward twice": (lambda: twice(), GradientError, "retain_graph=True"),
    "writing into a parameter": (lambda: linear().weight.__setitem__(0, 1.0), GradientError, "no_grad"),
    "negative steps beside lists": (lambda: paddle.ones([3, 3])[::-1, [0, 1]], NotSupportedError, "index twice"),
    "a name that is taken": (lambda: linear().register_buffer("weight", paddle.ones([1])), ArgumentError, "taken"),
    "before super().__init__": (lambda: early(), ArgumentError, r"call super\(\).__init__\(\)"),
    "channels last": (lambda: F.conv2d(paddle.ones([1, 1, 4, 4]), paddle.ones([1, 1, 2, 2]), data_format="NWHC"),
                      ArgumentError, "channels first"),
    "padding": (
        lambda: F.max_pool2d(paddle.ones([1, 1, 4, 4]), 2, padding="HALF"), ArgumentError,
        "'SAME' and 'VALID'",
    ),
    "groups": (lambda: nn.Conv2D(3, 4, 1, groups=2), ArgumentError, "cut into 2 groups"),
    "an initialiser's shape": (lambda: init([2]), ArgumentError, r"shape \[2\], the parameter \[3\]"),
    "a beta of 1": (lambda: rule("Adam", beta1=1.0), ArgumentError, "Adam: betas must be from 0 to below 1"),
    "Adamax's betas": (lambda: rule("Adamax", beta2=-0.1), ArgumentError, "Adamax: betas must be from 0"),
    "an epsilon": (lambda: rule("AdamW", epsilon=-1.0), ArgumentError, "epsilon must be 0 or more, got -1.0"),
    "other betas": (lambda: other_betas(), ArgumentError, "are not of beta1"),
    "a state's shape": (lambda: state_of([5]), ArgumentError, r"shape \[5\], expected \[2\]"),
    "both samplers": (
        lambda: io.BatchSampler([1], io.SequenceSampler([1])), ArgumentError,
        "dataset or a sampler",
    ),
    "a batch size": (lambda: io.BatchSampler([1, 2], batch_size=0), ArgumentError, "1 or more, got 0"),
    "num_samples": (lambda: io.RandomSampler([1, 2], num_samples=3), ArgumentError, "from 1 to 2, got 3"),
    "a rank": (lambda: io.DistributedBatchSampler([1, 2], 1, 2, 2), ArgumentError, "rank 2 of 2"),
    "unequal samples": (
        lambda: list(io.DataLoader([np.ones(2), np.ones(3)], batch_size=2)), DataError,
        "different shapes",
    ),
    "pictures in batches": (lambda: list(io.DataLoader([object()], batch_size=1)), DataError, "collate_fn"),
    "workers": (lambda: io.DataLoader([1], num_workers=-1), ArgumentError, "must not be negative"),
    "names of fields": (lambda: io.DataLoader([1], return_list=False), ArgumentError, "feed_list"),
    "a sampler and a size": (
        lambda: io.DataLoader([1], batch_sampler=io.BatchSampler([1]), batch_size=2), ArgumentError, "says batch_size",
    ),
    "parts": (lambda: io.random_split([1, 2], [1, 2]), ArgumentError, "add up to 3, the data set has 2"),
    "a mode": (lambda: paddle.vision.datasets.MNIST(mode="val"), ArgumentError, "'train' or 'test'"),
    "an archive": (lambda: paddle.vision.datasets.Cifar10("none.tar.gz"), DataError, "none.tar.gz is not there"),
    "a transform's key": (
        lambda: paddle.vision.transforms.Resize(3, keys=("mask",)), ArgumentError,
        "_apply_mask",
    ),
    "a hue": (lambda: paddle.vision.transforms.HueTransform(0.6), ArgumentError, "beyond its bounds"),
    "a small picture": (lambda: paddle.vision.transforms.RandomCrop(5)(np.zeros((3, 3), np.uint8)), ArgumentError,
                        "pad_if_needed"),
    "a picture of words": (
        lambda: paddle.vision.transforms.Resize(3)(np.array([["a"]])), DTypeError,
        "a picture must be",
    ),
    "both kinds of step": (lambda: paddle.callbacks.LRScheduler(True, True), ArgumentError, "not both"),
    "a result to watch": (
        lambda: paddle.callbacks.EarlyStopping("acc").on_eval_end({"loss": 1}), ArgumentError,
        "no 'acc'",
    ),
    "an rnn's direction": (lambda: nn.GRU(2, 3, direction="back"), ArgumentError, "'bidirect'"),
    "an rnn's states": (
        lambda: nn.GRU(2, 3)(paddle.ones([1, 4, 2]), paddle.ones([1, 3])), ShapeError,
        r"\[1, 1, 3\]",
    ),
    "a cache": (lambda: nn.MultiHeadAttention(4, 2)(paddle.ones([1, 2, 4]), cache=1), NotSupportedError, "cache"),
    "heads": (lambda: nn.MultiHeadAttention(5, 2), ArgumentError, "cut into 2 heads"),
    "a summary of nothing": (lambda: paddle.summary(linear()), ArgumentError, "input_size"),
    "print options": (lambda: paddle.set_printoptions(precision=-1), ArgumentError, "precision"),
    "a device": (lambda: paddle.set_device("npu"), NotSupportedError, "'cpu' and 'gpu"),
    "no_grad_vars": (lambda: paddle.grad(X, X, no_grad_vars=[X]), NotSupportedError, "no_grad_vars"),
    "an input without influence": (lambda: unused(), GradientError, "not have been used"),
    "unpooling": (lambda: F.max_unpool2d(X, X, 2, data_format="NHWC"), ArgumentError, "must be NCHW"),
    "a state's shape of one's own": (
        lambda: nn.GRUCell(2, 3).get_initial_states(paddle.ones([1, 2]), (4,)), NotSupportedError, "the cell's own",
    ),
    "no download": (lambda: paddle.vision.datasets.MNIST(download=False), ArgumentError, "download=False"),
    "minimize": (
        lambda: opt.SGD(0.1, linear().parameters()).minimize(X, parameters=[]), NotSupportedError,
        "static",
    ),
}  # fmt: skip


def unused() -> None:
    x, y = (paddle.to_tensor([2.0], stop_gradient=False) for _ in range(2))
    paddle.grad(x * x, y)


def twice() -> None:
    x = paddle.to_tensor([2.0], stop_gradient=False)
    y = (x * x).sum()
    y.backward()
    y.backward()


def early() -> None:
    class Early(nn.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.part = linear()

    Early()


def init(value: list[int]) -> None:
    paddle.create_parameter(
        [3], "float32", default_initializer=nn.initializer.Assign(np.ones(value, np.float32))
    )


def rule(name: str, **options: float) -> None:
    getattr(opt, name)(0.1, parameters=linear().parameters(), **options)


def other_betas() -> None:
    layer = linear()
    adam = opt.Adam(parameters=layer.parameters())
    adam.set_state_dict(
        {f"{layer.bias.name}_beta1_pow_acc_0": np.array([0.5]), f"{layer.bias.name}_beta2_pow_acc_0": [0.5]}
    )


def state_of(shape: list[int]) -> None:
    layer = linear()
    momentum = opt.Momentum(parameters=layer.parameters())
    momentum.set_state_dict({f"{layer.bias.name}_velocity_0": np.zeros(shape, np.float32)})


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    work, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said):
        work()


PLACES = [place for place in original_names() if place not in ("jit", "amp", "distribution", "distributed")]


@pytest.mark.parametrize("place", PLACES)
def test_every_name_of_the_original_is_there_or_said_to_be_missing(place: str) -> None:
    home: Any = paddle
    for part in place.split(".") if place else []:
        home = getattr(home, part)
    for name in original_names()[place]:
        if not hasattr(home, name) and not isinstance(home, type):
            with pytest.raises(NotSupportedError, match=f"{name} is Paddle's, but not supported here"):
                getattr(home, name)


def test_modules_that_are_missing_are_said_to_be() -> None:
    with pytest.raises(NotSupportedError, match=r"paddle\.distributed\.shard_tensor is Paddle's"):
        paddle.distributed.shard_tensor  # noqa: B018
    with pytest.raises(NotSupportedError, match=r"Tensor\.to_sparse_coo is Paddle's"):
        paddle.ones([1]).to_sparse_coo  # noqa: B018
    with pytest.raises(AttributeError, match=r"no 'zeroes' here\. Did you mean zeros"):
        paddle.zeroes  # noqa: B018
    with pytest.raises(AttributeError, match="Did you mean Conv2"):
        nn.Conv2  # noqa: B018


def test_every_public_name_is_there() -> None:
    places = """nn nn.functional nn.initializer nn.utils io metric optimizer optimizer.lr vision vision.transforms
    vision.datasets vision.models linalg autograd static regularizer jit onnx amp
    distributed distribution"""
    modules = [importlib.import_module(f"freshpot.paddle.{place}") for place in places.split()]
    for module in (paddle, paddle.callbacks, *modules):
        for name in module.__all__:
            assert getattr(module, name) is not None, f"{module.__name__}.{name}"


BETA = {
    "Conv2d": "Conv2D", "ConvTranspose2d": "Conv2DTranspose", "MaxPool2d": "MaxPool2D", "AdaptiveAvgPool2d":
    "AdaptiveAvgPool2D", "BatchNorm1d": "BatchNorm1D", "InstanceNorm3d": "InstanceNorm3D", "Dropout3d": "Dropout3D",
    "Pad2d": "Pad2D", "UpsamplingNearest2d": "UpsamplingNearest2D", "GradientClipByNorm": "ClipGradByNorm",
}  # fmt: skip


def test_names_of_beta() -> None:
    for old, new in BETA.items():
        assert getattr(nn, old) is getattr(nn, new)
    x = paddle.to_tensor(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3))
    np.testing.assert_array_equal(
        nn.ReflectionPad2d([1, 1, 1, 1])(x).numpy(), F.pad(x, [1, 1, 1, 1], mode="reflect").numpy()
    )
    assert nn.ConstantPad1d([1, 0], value=7.0)(x[0]).numpy()[0, 0, 0] == 7
    assert F.conv_transpose2d is F.conv2d_transpose


def test_learning_rates_of_beta(capsys: pytest.CaptureFixture[str]) -> None:
    names = paddle.optimizer.lr_scheduler
    rate = names.StepLR(learning_rate=0.5, step_size=1, gamma=0.5, verbose=True)
    rate.step()
    assert rate() == 0.25
    assert capsys.readouterr().out.endswith("Epoch 1: StepLR set learning rate to 0.25.\n")
    assert opt.NoamLR is names.NoamLR

    class Own(names._LRScheduler):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.factor = 3
            super().__init__(1.0)

        def get_lr(self) -> float:
            return float(self.base_lr / (1 + self.factor * self.last_epoch))

        def _state_keys(self) -> None:
            self.keys = ["last_epoch", "factor"]

    own = Own()
    own.step()
    assert own() == 0.25
    assert own.state_dict() == {"last_epoch": 1, "factor": 3}


def test_single_numbers_have_shape_1_as_in_2_0() -> None:
    x = paddle.to_tensor([1.0, 3.0])
    assert paddle.mean(x).shape == [1]
    assert str(paddle.mean(x).numpy()) == "[2.]"
    assert F.cross_entropy(paddle.ones([2, 3]), paddle.zeros([2], "int64")).shape == [1]


def test_arguments_have_effect() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2D(2))
    net.to(dtype="float64")
    net.float(excluded_layers=[nn.BatchNorm2D])
    assert [str(p.dtype) for p in net.parameters()] == ["paddle.float32"] * 2 + ["paddle.float64"] * 4
    assert nn.BatchNorm(2, dtype="float64").weight.dtype == paddle.float64
    assert paddle.nansum(paddle.ones([2]), dtype="float64").dtype == paddle.float64
    assert nn.GRUCell(2, 3).get_initial_states(paddle.ones([4, 2]), dtype="float64").dtype == paddle.float64
    x = paddle.to_tensor(np.arange(8, dtype=np.float32).reshape(1, 2, 4))
    mean, variance = paddle.to_tensor([1.0, 2.0]), paddle.to_tensor([4.0, 4.0])
    made = F.instance_norm(x, mean, variance, use_input_stats=False, eps=0.0).numpy()
    np.testing.assert_allclose(made[0, 0], (np.arange(4) - 1) / 2)
    layer = linear()
    layer(paddle.ones([1, 3])).sum().backward()
    layer.clear_gradients(set_to_zero=False)
    assert layer.weight.grad is None
