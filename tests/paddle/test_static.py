"""The static mode: programs, what they refuse, and their files. What runs give is compared in test_recorded.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import (
    ArgumentError,
    DTypeError,
    FreshpotError,
    GradientError,
    NotSupportedError,
    ShapeError,
)
from freshpot.paddle.static import planned

st, nn, F, opt = paddle.static, paddle.nn, paddle.nn.functional, paddle.optimizer
X = np.cos(np.arange(8 * 64)).reshape(8, 1, 8, 8).astype(np.float32)
Y = (np.arange(8) % 3).reshape(8, 1)


@pytest.fixture(autouse=True)
def _static() -> Iterator[None]:
    paddle.enable_static()
    with paddle.utils.unique_name.guard():
        yield
    paddle.disable_static()


def lenet() -> dict[str, Any]:
    """A small network in a program of its own, with what trains it."""
    made: dict[str, Any] = {"main": st.Program(), "startup": st.Program()}
    paddle.seed(4)
    with st.program_guard(made["main"], made["startup"]):
        image, label = st.data("image", [None, 1, 8, 8]), st.data("label", [None, 1], "int64")
        x = F.max_pool2d(st.nn.conv2d(image, 4, 3, padding=1, act="relu"), 2, 2)
        x = F.dropout(st.nn.batch_norm(x), 0.2)
        out = st.nn.fc(x, 3)
        loss = paddle.mean(F.cross_entropy(out, label))
        made.update(image=image, label=label, out=out, loss=loss, test=made["main"].clone(for_test=True))
        made["adam"] = opt.Adam(0.02)
        made["adam"].minimize(loss)
    made["exe"] = st.Executor(paddle.CPUPlace())
    made["exe"].run(made["startup"])
    return made


def learnt(net: dict[str, Any], runs: int = 30) -> list[float]:
    feed = {"image": X, "label": Y}
    return [
        float(net["exe"].run(net["main"], feed=feed, fetch_list=[net["loss"]])[0][0]) for _ in range(runs)
    ]


def test_a_network_learns() -> None:
    net = lenet()
    losses = learnt(net)
    assert losses[-1] < 0.2 * losses[0]
    tested = net["exe"].run(
        net["test"], feed={"image": X, "label": Y}, fetch_list=[net["out"], net["loss"].name]
    )
    assert (tested[0].argmax(1) == Y[:, 0]).mean() == 1.0
    assert not paddle.in_dynamic_mode()
    assert [v.name for v in net["main"].all_parameters()][:2] == ["conv2d_0.w_0", "conv2d_0.b_0"]
    assert "minimize" in str(net["main"])


def test_the_startup_program_begins_anew() -> None:
    net = lenet()
    paddle.seed(4)
    net["exe"].run(net["startup"])
    before = [p.numpy() for p in net["main"].all_parameters()]
    learnt(net, 2)
    paddle.seed(4)
    net["exe"].run(net["startup"])
    assert all(
        np.array_equal(a, p.numpy()) for a, p in zip(before, net["main"].all_parameters(), strict=True)
    )


def test_parameters_in_files(tmp_path: Path) -> None:
    net, other = lenet(), lenet()
    learnt(net, 3)
    st.save(net["main"], str(tmp_path / "net"))
    state = st.load_program_state(str(tmp_path / "net"))
    renamed = dict(zip([p.name for p in other["main"].all_parameters()], state.values(), strict=False))
    st.set_program_state(other["test"], renamed)
    feed = {"image": X, "label": Y}
    a, b = (n["exe"].run(n["test"], feed=feed, fetch_list=[n["out"]])[0] for n in (net, other))
    assert np.allclose(a, b)
    wanted = learnt(net, 1)
    net["exe"].run(net["startup"])
    st.load(net["main"], str(tmp_path / "net"))
    assert [p.numpy().tolist() for p in net["main"].all_parameters()] == [
        state[p.name].tolist() for p in net["main"].all_parameters()
    ]
    assert wanted


def test_a_network_for_use(tmp_path: Path) -> None:
    net = lenet()
    learnt(net, 3)
    st.save_inference_model(str(tmp_path / "net"), [net["image"]], [net["out"]], net["exe"])
    program, feeds, fetches = st.load_inference_model(str(tmp_path / "net"), net["exe"])
    assert feeds == ["image"]
    found = net["exe"].run(program, feed={"image": X[:3]}, fetch_list=fetches)[0]
    wanted = net["exe"].run(net["test"], feed={"image": X[:3], "label": Y[:3]}, fetch_list=[net["out"]])[0]
    assert np.allclose(found, wanted, atol=1e-5)
    paddle.disable_static()
    assert np.allclose(paddle.jit.load(str(tmp_path / "net"))(X[:3]).numpy(), wanted, atol=1e-5)


def test_layers_and_random_numbers() -> None:
    main = st.Program()
    with st.program_guard(main):
        x = st.data("x", [None, 5, 4])
        out, _ = nn.LSTM(4, 3)(x)
        noise = paddle.rand([3])
        total = paddle.sum(out, axis=[1, 2]) + noise[0] * 0.0
    exe = st.Executor()
    run = [
        exe.run(main, feed={"x": np.ones((2, 5, 4), np.float32)}, fetch_list=[out, noise, total])
        for _ in range(2)
    ]
    assert run[0][0].shape == (2, 5, 3)
    assert np.array_equal(run[0][0], run[1][0])
    assert not np.array_equal(run[0][1], run[1][1])
    assert out.shape == [-1, 5, 3]


def test_the_default_program_and_shared_parameters() -> None:
    x = st.data("shared_x", [None, 2])
    a = st.nn.fc(x, 2, weight_attr=paddle.ParamAttr(name="shared_w"), bias_attr=False)
    b = st.nn.fc(a, 2, weight_attr=paddle.ParamAttr(name="shared_w"), bias_attr=False)
    exe = st.Executor()
    exe.run(st.default_startup_program())
    found = exe.run(feed={"shared_x": np.eye(2, dtype=np.float32)}, fetch_list=[a, b])
    assert np.allclose(found[0] @ found[0], found[1], atol=1e-6)
    assert np.allclose(np.array(st.global_scope().find_var("shared_w").get_tensor()), found[0])


def test_a_scheduler_decides() -> None:
    main = st.Program()
    with st.program_guard(main):
        x = st.data("x", [1, 1])
        w = st.create_parameter([1, 1], "float32", default_initializer=nn.initializer.Constant(0.0))
        rates = opt.lr.StepDecay(1.0, 1, 0.5)
        opt.SGD(rates).minimize(paddle.sum(paddle.matmul(x, w)))
    exe, seen = st.Executor(), []
    for _ in range(3):
        exe.run(main, feed={"x": np.ones((1, 1), np.float32)})
        seen.append(float(w.numpy()[0, 0]))
        rates.step()
    assert seen == [-1.0, -1.5, -1.75]


def run(**given: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda net: net["exe"].run(net["main"], **given)


FEED = {"image": X, "label": Y}
REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], type[FreshpotError], str]] = {
    "no such input": (run(feed={"imge": X}, fetch_list=[]), ArgumentError, "no 'imge'. Did you mean image"),
    "nothing fed": (run(feed={"label": Y}), ArgumentError, "needs 'image', which was not fed"),
    "another size": (run(feed={**FEED, "image": X[:, :, :4]}), ShapeError, r"'image' must be \[-1, 1, 8, 8\], got"),
    "another type": (run(feed={**FEED, "image": X.astype("float64")}), DTypeError, "must be float32, got float64"),
    "no such variable": (run(feed=FEED, fetch_list=["loss"]), ArgumentError, "fetch_list: the program has no 'loss'"),
    "a number to fetch": (run(feed=FEED, fetch_list=[3]), ArgumentError, "int is neither variable nor name"),
    "no program": (lambda net: net["exe"].run(3), ArgumentError, "int is no Program"),
    "no guard's program": (lambda net: st.program_guard(3).__enter__(), ArgumentError, "int is no Program"),
    "a value": (lambda net: net["loss"].numpy(), NotSupportedError, "no value before an Executor runs it"),
    "a condition": (lambda net: bool(net["loss"]), NotSupportedError, "no value before"),
    "writing into it": (lambda net: net["out"].__setitem__(0, 1.0), NotSupportedError, "writing into variable"),
    "its length": (lambda net: len(net["out"]), NotSupportedError, "first size is open"),
    "sizes that do not fit": (lambda net: paddle.matmul(net["out"], net["out"]), ShapeError, "matmul in a static"),
    "nothing that learns": (lambda net: unlearning(), ArgumentError, "without parameters that learn"),
    "a loss without parameters": (lambda net: apart(), GradientError, "depends on no parameter"),
    "an activation": (lambda net: st.nn.fc(net["out"], 2, activation="reluu"), ArgumentError, "'reluu' is not known"),
    "a pooling": (lambda net: st.nn.pool2d(net["image"], 2, "sum"), ArgumentError, "'max' or 'avg'"),
    "a prelu": (lambda net: st.nn.prelu(net["image"], "element"), ArgumentError, "'all' or 'channel'"),
    "open sizes of a full layer": (lambda net: st.nn.fc(st.data("o", [None, None]), 2), ArgumentError, "must be known"),
    "no filter": (lambda net: st.nn.conv2d_transpose(net["image"], 2, 16), ArgumentError, "give filter_size"),
    "counts": (lambda net: st.accuracy(net["out"], net["label"], total=1), NotSupportedError, "correct and total"),
    "gradients of inputs": (
        lambda net: st.gradients([net["loss"]], [net["image"]]), NotSupportedError, "with respect to parameters",
    ),
    "a data set": (lambda net: net["exe"].train_from_dataset(), NotSupportedError, "feed batches"),
    "a model in memory": (lambda net: st.load_inference_model(None, net["exe"]), NotSupportedError, "in memory"),
    "an inference model of arrays": (
        lambda net: st.save_inference_model("x", [X], [net["out"]]), ArgumentError, "variables",
    ),
    "an open size": (lambda net: widely(), NotSupportedError, "only the first"),
}  # fmt: skip


def unlearning() -> Any:
    with st.program_guard(st.Program(), st.Program()):
        return opt.SGD(0.1).minimize(paddle.sum(st.data("x", [1])))


def apart() -> Any:
    with st.program_guard(st.Program(), st.Program()):
        x = st.data("x", [None, 2])
        st.nn.fc(x, 2)
        opt.SGD(0.1).minimize(paddle.sum(x))
        return st.Executor().run(st.default_main_program(), feed={"x": np.ones((1, 2), np.float32)})


def widely() -> Any:
    x = st.data("wide", [None, None])
    return st.save_inference_model("x", [x], [x * 2.0])


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    work, kind, said = REFUSED[name]
    net = lenet()
    with pytest.raises(kind, match=said), st.program_guard(net["main"], net["startup"]):
        work(net)


def test_static_data_needs_the_static_mode() -> None:
    paddle.disable_static()
    with pytest.raises(ArgumentError, match="enable_static"):
        st.data("x", [1])


# ---- programs whose training goes over to a plan (static.planned) ---------------------------------------------
def convolutional(
    opt_: Callable[[], Any], change: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """A small network without chance, its accuracy beside the loss, and a step of training."""
    made: dict[str, Any] = {"main": st.Program(), "startup": st.Program(), "exe": st.Executor()}
    with paddle.utils.unique_name.guard(), st.program_guard(made["main"], made["startup"]):
        paddle.seed(4)
        image, label = st.data("image", [None, 1, 8, 8]), st.data("label", [None, 1], "int64")
        x = F.max_pool2d(F.relu(nn.Conv2D(1, 4, 3, padding=1)(image)), 2, 2)
        made["out"] = nn.Linear(64, 3)(paddle.flatten(x, 1))
        made["loss"] = F.cross_entropy(made["out"], label)
        made["fetch"] = [made["loss"], st.accuracy(F.softmax(made["out"]), label), "conv2d_0.w_0@GRAD"]
        opt_().minimize(made["loss"])
    made["exe"].run(made["startup"])
    return made


def trained(net: dict[str, Any], runs: int, feed: Any = None) -> list[list[Any]]:
    feed = feed or {"image": X, "label": Y}
    return [net["exe"].run(net["main"], feed=feed, fetch_list=net["fetch"]) for _ in range(runs)]


def plans(net: dict[str, Any]) -> list[bool]:
    return [kind.planned for kind in net["main"].kinds.values()]


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: opt.Adam(0.02),
    "momentum": lambda: opt.Momentum(0.05, weight_decay=0.01, grad_clip=nn.ClipGradByGlobalNorm(0.5)),
    "schedule": lambda: opt.SGD(opt.lr.StepDecay(0.1, 2)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_plan_trains_as_the_program_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = convolutional(OPTIMIZERS[name])
    expected = trained(ordinary, 12)
    monkeypatch.setattr(planned, "AFTER", 2)
    net = convolutional(OPTIMIZERS[name])
    found = trained(net, 7)
    assert (plans(ordinary), plans(net)) == ([False], [True])
    kept = st.global_scope  # a parameter that is set from outside is where the plan reads it
    with st.program_guard(net["main"], net["startup"]):
        held = kept().find_var("conv2d_0.w_0")
        assert held is not None
        held.set(np.array(held))
    found += trained(net, 5)
    for step, (own, other) in enumerate(zip(found, expected, strict=True)):
        for a, b in zip(own, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=f"step {step}")
    assert not np.shares_memory(found[-1][2], found[-2][2])


def test_other_sizes_and_names_are_other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "AFTER", 1)
    net = convolutional(OPTIMIZERS["adam"])
    trained(net, 3)
    trained(net, 1, {"image": X[:3], "label": Y[:3]})
    assert plans(net) == [True, False]
    values = net["exe"].run(
        net["main"], feed={"image": X, "label": Y}, fetch_list=[net["out"]], return_numpy=False
    )
    before = values[0].numpy()
    trained(net, 3)
    np.testing.assert_array_equal(values[0].numpy(), before)  # what was fetched is not written again
    with st.program_guard(net["main"], net["startup"]):
        net["fetch"].append(paddle.mean(net["out"]))
    assert len(trained(net, 4)[-1]) == 4


def test_what_a_plan_refuses_is_said_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "AFTER", 1)
    net = convolutional(OPTIMIZERS["adam"])
    trained(net, 3)
    with pytest.raises(FreshpotError, match="out of bounds"):
        trained(net, 1, {"image": X, "label": Y + 7})
    assert np.isfinite(trained(net, 2)[-1][0]).all()


def test_chance_and_memory_take_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "AFTER", 1)
    net = lenet()
    losses = learnt(net, 6)
    assert losses[-1] < losses[0]
    assert plans(net) == [False]
