"""What programs use beside layers: mixed precision, one process, operations counted. Numbers: test_recorded.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, NotSupportedError, ShapeError
from freshpot.paddle.distributed import _groups

nn = paddle.nn

#: printed by paddlepaddle 2.6.2 (3.3.1 fails with numpy 2)
COUNTED = """\
<class 'paddle.nn.layer.conv.Conv2D'>'s flops has been counted
<class 'paddle.nn.layer.norm.BatchNorm2D'>'s flops has been counted
<class 'paddle.nn.layer.activation.ReLU'>'s flops has been counted
<class 'paddle.nn.layer.pooling.AvgPool2D'>'s flops has been counted
Cannot find suitable count function for <class 'paddle.nn.layer.common.Flatten'>. Treat it as zero FLOPs.
<class 'paddle.nn.layer.common.Linear'>'s flops has been counted
+----------------+--------------+--------------+--------+-------+
|   Layer Name   | Input Shape  | Output Shape | Params | Flops |
+----------------+--------------+--------------+--------+-------+
|    conv2d_0    | [2, 3, 8, 8] | [2, 4, 6, 6] |  112   |  8064 |
| batch_norm2d_0 | [2, 4, 6, 6] | [2, 4, 6, 6] |   16   |  576  |
|    re_lu_0     | [2, 4, 6, 6] | [2, 4, 6, 6] |   0    |   0   |
|  avg_pool2d_0  | [2, 4, 6, 6] | [2, 4, 3, 3] |   0    |   72  |
|   flatten_0    | [2, 4, 3, 3] |   [2, 36]    |   0    |   0   |
|    linear_0    |   [2, 36]    |    [2, 2]    |   74   |  144  |
+----------------+--------------+--------------+--------+-------+
Total Flops: 8856     Total Params: 202
"""


def test_operations_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with paddle.utils.unique_name.guard():
        net = nn.Sequential(
            nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.AvgPool2D(2), nn.Flatten(), nn.Linear(36, 2)
        )
    assert paddle.flops(net, [2, 3, 8, 8], print_detail=True) == 8856
    assert capsys.readouterr().out == COUNTED
    assert all(layer.training for layer in net.sublayers())


def test_operations_counted_by_oneself(capsys: pytest.CaptureFixture[str]) -> None:
    def count(layer: Any, inputs: Any, output: Any) -> None:
        layer.total_ops += 7

    assert paddle.flops(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), [1, 4], {nn.Flatten: count}) == 7 + 8
    assert "Customize Function has been applied to" in capsys.readouterr().out
    assert paddle.flops(paddle.vision.models.LeNet(), [1, 1, 28, 28]) == 347560


def test_amp_says_that_it_has_no_effect() -> None:
    with pytest.warns(UserWarning, match="auto_cast has no effect on a CPU"), paddle.amp.auto_cast():
        assert nn.Linear(2, 2)(paddle.ones([1, 2])).dtype == paddle.float32
    with pytest.warns(UserWarning, match="GradScaler has no effect on a CPU"):
        paddle.amp.GradScaler()
    net = nn.Linear(2, 2)
    assert paddle.amp.decorate(net, level="O2") is net


def test_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules, as on a GPU: a bad step is left out and halves the scale; two good ones double it."""
    monkeypatch.setattr(paddle.amp, "_on_gpu", lambda: True)
    scaler = paddle.amp.GradScaler(init_loss_scaling=8.0, incr_every_n_steps=2)
    layer = nn.Linear(
        1, 1, weight_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(0.0)), bias_attr=False
    )
    sgd = paddle.optimizer.SGD(1.0, parameters=layer.parameters())
    seen = []
    for value in (1.0, 1.0, np.inf, 1.0):
        scaler.scale(layer(paddle.to_tensor([[value]], "float32")).sum()).backward()
        scaler.step(sgd)
        scaler.update()
        sgd.clear_grad()
        seen.append((float(layer.weight.numpy()[0, 0]), scaler.state_dict()["scale"]))
    assert seen == [(-1.0, 8.0), (-2.0, 16.0), (-2.0, 8.0), (-3.0, 8.0)]
    other = paddle.amp.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict()["scale"] == 8.0
    with pytest.raises(ArgumentError, match="the state is empty"):
        other.load_state_dict({})
    with (
        pytest.raises(NotSupportedError, match="lists of one's own"),
        paddle.amp.auto_cast(custom_white_list={"x"}),
    ):
        pass
    with pytest.raises(NotSupportedError, match="level O2 on a GPU"):
        paddle.amp.decorate(layer, level="O2")


def test_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    D = paddle.distributed
    monkeypatch.setattr(_groups, "_world", None)
    monkeypatch.setattr(_groups, "_groups", {})
    x, made, objects, ran = paddle.ones([2]), [], [], []
    D.all_reduce(x)
    D.all_gather(made, x)
    D.all_gather_object(objects, {"a": 1})
    D.scatter(x, [paddle.zeros([2])])
    D.barrier()
    D.spawn(ran.append, args=(3,))
    assert (made[0].tolist(), objects, x.tolist(), ran) == ([1.0, 1.0], [{"a": 1}], [0.0, 0.0], [3])
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(ArgumentError, match="nor PADDLE_TRAINER_ENDPOINTS names an address"):
        D.init_parallel_env()
    with pytest.raises(ArgumentError, match=r"call paddle\.distributed\.init_parallel_env\(\) first"):
        paddle.DataParallel(paddle.nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["Normal", "Uniform", "Laplace", "Gumbel", "LogNormal"])
def test_draws_have_gradients(name: str) -> None:
    place, width = paddle.to_tensor([0.0]), paddle.to_tensor([1.0])
    place.stop_gradient = width.stop_gradient = False
    draws = getattr(paddle.distribution, name)(place, width).rsample([8])
    draws.sum().backward()
    assert draws.shape == [8, 1]
    assert place.grad is not None
    assert width.grad is not None


def test_draws_of_a_seed() -> None:
    normal = paddle.distribution.Normal(0.0, 1.0)
    before = paddle.get_rng_state()[0].state
    assert normal.sample([3], seed=5).tolist() == normal.sample([3], seed=5).tolist()
    assert bool((before == paddle.get_rng_state()[0].state).all())


def test_a_divergence_of_one_s_own() -> None:
    class Mine(paddle.distribution.Normal):  # type: ignore[misc]
        """A kind of its own."""

    @paddle.distribution.register_kl(Mine, Mine)
    def same(p: Any, q: Any) -> Any:
        return 42

    assert paddle.distribution.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0)) == 42


@pytest.mark.parametrize("kind", ["pil", "array", "tensor"])
def test_random_warps(kind: str) -> None:
    from PIL import Image

    T = paddle.vision.transforms
    array = (np.arange(10 * 12 * 3) * 37 % 251).astype(np.uint8).reshape(10, 12, 3)
    image = Image.fromarray(array) if kind == "pil" else array if kind == "array" else T.to_tensor(array)
    for change in (
        T.RandomAffine(30, (0.1, 0.2), (0.8, 1.2), 10, "bilinear"),
        T.RandomAffine((0, 0)),
        T.RandomPerspective(1.0, 0.4),
        T.RandomPerspective(0.0),
    ):
        made = change(image)
        assert isinstance(made, Image.Image) == (kind == "pil")
        assert np.asarray(made).shape == np.asarray(image).shape
    assert np.array_equal(np.asarray(T.RandomAffine((0, 0))(image)), np.asarray(image))


def test_chance_in_place() -> None:
    paddle.seed(5)
    x = paddle.zeros([20000])
    assert abs(float(paddle.cauchy_(x, 1.0, 2.0).median()) - 1.0) < 0.1
    assert abs(float(paddle.geometric_(x, 0.3).mean()) - 1.0 / -np.log(0.7)) < 0.1
    assert float(x.min()) > 0
    y = paddle.to_tensor([1.0, -1.0])
    assert paddle.where_(y > 0, y, paddle.zeros([2])).tolist() == [1.0, 0.0]
    assert y.tolist() == [1.0, 0.0]


def test_state_dicts_are_hooked() -> None:
    layer = nn.Linear(2, 1)
    hook = layer.register_state_dict_hook(lambda state: {f"x.{name}": value for name, value in state.items()})
    assert list(layer.state_dict()) == ["x.weight", "x.bias"]
    assert list(layer.state_dict(use_hook=False)) == ["weight", "bias"]
    hook.remove()
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_derivatives_that_are_refused() -> None:
    x = paddle.ones([2, 2])
    with pytest.raises(ArgumentError, match=r"xs must have 0 or 1 axes; got shape \[2, 2\]"):
        paddle.autograd.jacobian(paddle.ones([2]), x)
    with pytest.raises(ArgumentError, match="batch_axis must be None or 0, got 1"):
        paddle.autograd.jacobian(x, x, batch_axis=1)
    with pytest.raises(ArgumentError, match=r"ys must be one number .* got shape \[2\]"):
        paddle.autograd.hessian(paddle.ones([2]), paddle.ones([2]))
    with pytest.raises(ShapeError, match=r"gather_tree: ids and parents must be .* \[2, 2\], \[2, 2\]"):
        nn.functional.gather_tree(x, x)
    assert not bool((paddle.normal_(paddle.zeros([8])) == 0).all())


def test_steps_of_one_s_own(tmp_path: Any) -> None:
    st = paddle.static
    with pytest.raises(ArgumentError, match="decay must be from 0 to below 1, got 1"):
        st.ExponentialMovingAverage(1)
    with pytest.raises(NotSupportedError, match="thres_steps"):
        st.ExponentialMovingAverage(0.5, thres_steps=3)
    with pytest.raises(ArgumentError, match="x and out must be variables"):
        st.py_func(abs, 1, 2)
    with pytest.raises(ArgumentError, match="content must be bytes, got str"):
        st.save_to_file(str(tmp_path / "a"), "text")
    st.save_to_file(str(tmp_path / "b" / "a"), b"bytes")
    assert st.load_from_file(str(tmp_path / "b" / "a")) == b"bytes"
    paddle.enable_static()
    try:
        program = st.Program()
        with st.program_guard(program):
            x = st.data("x", [None, 2])
            out = program.global_block().create_var("out", [-1, 3])
            st.py_func(lambda x: x, x, out)
        with pytest.raises(ShapeError, match=r"'out' must be \[-1, 3\], the function gave \[1, 2\]"):
            st.Executor().run(program, {"x": np.zeros((1, 2), "f4")}, [out])
    finally:
        paddle.disable_static()
