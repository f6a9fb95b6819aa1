"""The spellings of 1.8: programs as the tutorials of 2019 and 2020 have them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, FormatError, NotSupportedError
from freshpot.paddle import fluid

layers = fluid.layers


def samples() -> Any:
    """Pictures that show their label as a bright column."""
    chance = np.random.RandomState(3)
    for number in range(96):
        image = chance.rand(1, 28, 28).astype(np.float32) * 0.1
        image[0, :, 2 * (number % 10) : 2 * (number % 10) + 3] += 1.0
        yield image, number % 10


class LeNet(fluid.dygraph.Layer):  # type: ignore[misc]
    """As the tutorials have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = fluid.dygraph.Conv2D(num_channels=1, num_filters=6, filter_size=5, act="sigmoid")
        self.pool1 = fluid.dygraph.Pool2D(pool_size=2, pool_stride=2, pool_type="max")
        self.conv2 = fluid.dygraph.Conv2D(num_channels=6, num_filters=16, filter_size=5, act="relu")
        self.fc1 = fluid.dygraph.Linear(input_dim=16 * 4 * 4, output_dim=64, act="relu")
        self.fc2 = fluid.dygraph.Linear(input_dim=64, output_dim=10, act="softmax")

    def forward(self, x: Any) -> Any:
        x = self.pool1(self.conv2(self.pool1(self.conv1(x))))
        return self.fc2(self.fc1(layers.reshape(x, [x.shape[0], -1])))


def test_the_dynamic_mode(tmp_path: Path) -> None:
    paddle.seed(1)
    with fluid.dygraph.guard(fluid.CPUPlace()):
        model = LeNet()
        adam = fluid.optimizer.AdamOptimizer(learning_rate=0.003, parameter_list=model.parameters())
        reader = paddle.batch(paddle.reader.shuffle(samples, 50), batch_size=32, drop_last=True)
        costs = []
        for _ in range(20):
            for batch in reader():
                image = fluid.dygraph.to_variable(np.array([x[0] for x in batch]))
                label = fluid.dygraph.to_variable(
                    np.array([x[1] for x in batch]).astype("int64").reshape(-1, 1)
                )
                label.stop_gradient = True
                predict = model(image)
                loss = layers.cross_entropy(predict, label)
                assert loss.shape == [32, 1]
                cost = layers.mean(loss)
                accuracy = layers.accuracy(input=predict, label=label)
                cost.backward()
                adam.minimize(cost)
                model.clear_gradients()
                costs.append(float(cost.numpy()[0]))
        assert costs[-1] < 0.1 * costs[0]
        assert float(accuracy.numpy()[0]) == 1.0
        fluid.save_dygraph(model.state_dict(), str(tmp_path / "mnist"))
        fluid.save_dygraph(adam.state_dict(), str(tmp_path / "mnist"))
        state, rates = fluid.load_dygraph(str(tmp_path / "mnist"))
        other = LeNet()
        other.load_dict(state)
        other.eval()
        assert np.allclose(other(image).numpy(), model(image).numpy())
        assert any("moment1" in key for key in rates)


def test_the_static_mode(tmp_path: Path) -> None:
    paddle.enable_static()
    try:
        paddle.seed(1)
        main, startup = fluid.Program(), fluid.Program()
        with fluid.program_guard(main, startup):
            image = layers.data(name="image", shape=[1, 28, 28], dtype="float32")
            label = layers.data(name="label", shape=[1], dtype="int64")
            x = layers.conv2d(image, num_filters=6, filter_size=5, act="relu")
            x = layers.pool2d(x, pool_size=2, pool_stride=2, pool_type="max")
            predict = layers.fc(input=x, size=10, act="softmax")
            cost = layers.mean(layers.cross_entropy(input=predict, label=label))
            accuracy = layers.accuracy(input=predict, label=label)
            fluid.optimizer.Adam(learning_rate=0.01).minimize(cost)
        assert image.shape == [-1, 1, 28, 28]
        exe = fluid.Executor(fluid.CPUPlace())
        exe.run(startup)
        batch = list(samples())
        feed = {"image": np.array([x[0] for x in batch]), "label": np.array([[x[1]] for x in batch])}
        runs = [exe.run(main, feed=feed, fetch_list=[cost, accuracy]) for _ in range(15)]
        assert runs[-1][0][0] < 0.2 * runs[0][0][0]
        assert runs[-1][1][0] > 0.95
        fluid.io.save_inference_model(str(tmp_path / "net"), ["image"], [predict], exe, main)
        program, feeds, fetches = fluid.io.load_inference_model(str(tmp_path / "net"), exe)
        found = exe.run(program, feed={feeds[0]: feed["image"]}, fetch_list=fetches)[0]
        assert (found.argmax(1) == feed["label"][:, 0]).mean() > 0.95
        assert not fluid.in_dygraph_mode()
        with fluid.dygraph.guard():
            assert fluid.dygraph.enabled()
        assert not fluid.dygraph.enabled()
    finally:
        paddle.disable_static()


X = np.cos(np.arange(24)).reshape(2, 3, 4).astype(np.float32)
TWO = fluid.ParamAttr(initializer=fluid.initializer.Constant(2.0))
#: what functions give, by their definitions in numpy
FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "elementwise_add": (lambda x: layers.elementwise_add(x, x[0, :, 0], axis=1), lambda x: x + x[0, :, :1]),
    "elementwise_mul with relu": (lambda x: layers.elementwise_mul(x, x, act="relu"), lambda x: x * x),
    "reduce_sum": (lambda x: layers.reduce_sum(x, dim=[1, 2], keep_dim=True), lambda x: x.sum((1, 2), keepdims=True)),
    "reduce_max": (lambda x: layers.reduce_max(x, dim=-1), lambda x: x.max(-1)),
    "mul": (lambda x: layers.mul(x, paddle.ones([12, 2])), lambda x: x.reshape(2, 12) @ np.ones((12, 2), "float32")),
    "matmul": (lambda x: layers.matmul(x, x, transpose_y=True, alpha=0.5), lambda x: 0.5 * x @ x.transpose(0, 2, 1)),
    "flatten": (lambda x: layers.flatten(x, axis=2), lambda x: x.reshape(6, 4)),
    "squeeze": (lambda x: layers.squeeze(layers.unsqueeze(x, axes=[1]), axes=[]), lambda x: x),
    "relu6": (lambda x: layers.relu6(x, 0.5), lambda x: np.clip(x, 0, 0.5)),
    "leaky_relu": (lambda x: layers.leaky_relu(x), lambda x: np.where(x > 0, x, 0.02 * x)),
    "clip": (lambda x: layers.clip(x, -0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5)),
    "sums": (lambda x: layers.sums([x, x]), lambda x: 2 * x),
    "fill_constant": (lambda x: layers.fill_constant([2, 2], "float32", 3.0), lambda x: np.full((2, 2), 3.0)),
    "one_hot": (lambda x: layers.one_hot(paddle.to_tensor([[1], [0]]), 3), lambda x: np.eye(3)[[1, 0]]),
    "dropout in use": (lambda x: layers.dropout(x, 0.25, is_test=True), lambda x: x * 0.75),
    "softmax": (lambda x: layers.softmax(x), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "pooling of all": (
        lambda x: fluid.dygraph.Pool2D(pool_type="avg", global_pooling=True)(x.reshape([1, 2, 3, 4])),
        lambda x: x.mean((1, 2)).reshape(1, 2, 1, 1),
    ),
    "an embedding": (
        lambda x: fluid.dygraph.Embedding([4, 2], param_attr=TWO)(paddle.to_tensor([1, 3])),
        lambda x: np.full((2, 2), 2.0),
    ),
    "layer norm": (
        lambda x: fluid.dygraph.LayerNorm([4], act="relu")(x),
        lambda x: np.maximum((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5), 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    ours, numpys = FUNCTIONS[name]
    found = ours(paddle.to_tensor(X)).numpy()
    assert np.allclose(found, numpys(X), atol=1e-5)


def test_dropout_scales_afterwards() -> None:
    drop = fluid.dygraph.Dropout(0.5)
    x = paddle.ones([1000])
    assert set(np.unique(drop(x).numpy())) == {0.0, 1.0}
    drop.eval()
    assert set(np.unique(drop(x).numpy())) == {0.5}


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adagrad", "Adam", "Adamax", "Adadelta", "RMSProp"])
def test_update_rules(name: str) -> None:
    layer = fluid.dygraph.Linear(2, 1)
    more = {"momentum": 0.9} if name == "Momentum" else {}
    decay = fluid.regularizer.L2Decay(0.1)
    rule = getattr(fluid.optimizer, name)(
        learning_rate=0.1, parameter_list=layer.parameters(), regularization=decay, **more
    )
    before = layer.weight.numpy()
    loss = layers.mean(layer(paddle.ones([3, 2])))
    loss.backward()
    rule.minimize(loss)
    assert not np.array_equal(before, layer.weight.numpy())


def test_data_as_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.full((5, 28, 28), 255, np.uint8), np.arange(5)
    monkeypatch.setattr(
        paddle.dataset.mnist, "load_mnist", lambda split: SimpleNamespace(images=images, labels=labels)
    )
    found = list(paddle.dataset.mnist.train()())
    assert [label for _, label in found] == [0, 1, 2, 3, 4]
    assert found[0][0].shape == (784,)
    assert found[0][0].max() == 1.0
    assert sorted(label for _, label in paddle.reader.shuffle(paddle.dataset.mnist.test(), 2)()) == [
        0,
        1,
        2,
        3,
        4,
    ]


@pytest.mark.parametrize("place", ["fluid", "fluid.layers", "fluid.dygraph", "fluid.optimizer"])
def test_names_that_are_missing(place: str) -> None:
    home: Any = paddle
    for part in place.split("."):
        home = getattr(home, part)
    with pytest.raises(AttributeError, match=f"paddle.{place} has no 'Nothing' here"):
        home.Nothing  # noqa: B018
    with pytest.raises(NotSupportedError, match=r"dataset\.flowers: done here are cifar"):
        paddle.dataset.flowers  # noqa: B018


def test_parameters_in_a_folder_and_batches_by_name(tmp_path: Path) -> None:
    paddle.enable_static()
    try:
        with fluid.program_guard(fluid.Program(), fluid.Program()):
            x, y = fluid.data("x", [None, 3]), fluid.data("y", [None, 1], "int64")
            loss = fluid.layers.mean(fluid.layers.cross_entropy(fluid.layers.fc(x, 4, act="softmax"), y))
            fluid.optimizer.SGD(0.1).minimize(loss)
            exe, main = fluid.Executor(fluid.CPUPlace()), fluid.default_main_program()
            exe.run(fluid.default_startup_program())
            rows = [(np.full(3, i, np.float32), np.array([i % 4])) for i in range(4)]
            for batch in paddle.io.DataLoader(rows, feed_list=[x, y], batch_size=2):
                exe.run(main, feed=batch, fetch_list=[loss])
            with pytest.raises(ArgumentError, match="values by name"):
                exe.run(main, feed=[{}, {}], fetch_list=[loss])
            kept = {p.name: p.numpy() for p in main.all_parameters()}
            for filename in (None, "all"):
                fluid.io.save_params(exe, str(tmp_path), filename=filename)
                exe.run(fluid.default_startup_program())
                fluid.io.load_params(exe, str(tmp_path), filename=filename)
                for parameter in main.all_parameters():
                    np.testing.assert_array_equal(parameter.numpy(), kept[parameter.name])
            assert {path.name for path in tmp_path.iterdir()} == {*kept, "all"}
            (tmp_path / min(kept)).write_bytes((tmp_path / max(kept)).read_bytes())
            with pytest.raises(FormatError, match="the program says"):
                fluid.io.load_params(exe, str(tmp_path))
            fluid.save(main, str(tmp_path / "whole"))
            assert set(paddle.load(str(tmp_path / "whole.pdparams"))) == set(kept)
    finally:
        paddle.disable_static()
