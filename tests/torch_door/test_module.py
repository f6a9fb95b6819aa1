"""Nets as modules: outputs and gradients are the engine's."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from caffe2.python import brew, core, model_helper, workspace
from freshpot.engine import Workspace
from freshpot.errors import (
    ArityError,
    FreshpotError,
    MissingBlobError,
    NetError,
    NotSupportedError,
    ShapeError,
    UnknownOperatorError,
)
from freshpot.net import Net, Op
from freshpot.net.gradient import backward
from freshpot.torch import NetModule, module

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def conv(x: str, y: str, **args: Any) -> Op:
    return Op("Conv", [x, f"{y}_w", f"{y}_b"], [y], args)


LENET = [
    conv("data", "conv1", kernel=5),
    Op("MaxPool", ["conv1"], ["pool1"], {"kernel": 2, "stride": 2}),
    conv("pool1", "conv2", kernel=5),
    Op("MaxPool", ["conv2"], ["pool2"], {"kernel": 2, "stride": 2}),
    Op("FC", ["pool2", "fc3_w", "fc3_b"], ["fc3"]),
    Op("Relu", ["fc3"], ["fc3"]),
    Op("FC", ["fc3", "pred_w", "pred_b"], ["pred"]),
    Op("SoftmaxWithLoss", ["pred", "label"], ["softmax", "loss"]),
]
LENET_SHAPES = {
    "conv1": (20, 1, 5, 5),
    "conv2": (50, 20, 5, 5),
    "fc3": (500, 800),
    "pred": (10, 500),
}
BN = Op(
    "SpatialBN",
    ["a", "bn_s", "bn_b", "bn_rm", "bn_riv"],
    ["y", "bn_rm", "bn_riv", "bn_sm", "bn_siv"],
    {"is_test": 0},
)
NETS: dict[str, tuple[list[Op], dict[str, tuple[int, ...]]]] = {
    "batch normalisation": ([conv("data", "a", kernel=3, pad=1), BN], {"a": (4, 3, 3, 3), "bn": (4,)}),
    "group normalisation": (
        [
            conv("data", "a", kernel=3),
            Op("GroupNorm", ["a", "g_gamma", "g_beta"], ["y", "m", "s"], {"group": 2}),
        ],
        {"a": (4, 3, 3, 3), "g": (4,)},
    ),
    "response normalisation": (
        [
            conv("data", "a", kernel=3, stride=2),
            Op("LRN", ["a"], ["y", "scale"], {"size": 3, "alpha": 0.1, "beta": 0.75, "bias": 1.0}),
        ],
        {"a": (4, 3, 3, 3)},
    ),
    "a residual block": (
        [
            conv("data", "a", kernel=3, pad=1),
            Op("Relu", ["a"], ["r"]),
            conv("r", "b", kernel=3, pad=1),
            Op("Sum", ["b", "data"], ["s"]),
            Op("Relu", ["s"], ["s"]),
            Op("AveragePool", ["s"], ["y"], {"kernel": 2, "stride": 2}),
        ],
        {"a": (4, 3, 3, 3), "b": (3, 4, 3, 3)},
    ),
    "ties of a maximum": (
        [conv("data", "a", kernel=3), Op("Relu", ["a"], ["r"]), Op("MaxPool", ["r"], ["y"], {"kernel": 3})],
        {"a": (4, 3, 3, 3)},
    ),
}


def values(shapes: dict[str, tuple[int, ...]], ops: list[Op]) -> dict[str, torch.Tensor]:
    made: dict[str, torch.Tensor] = {}
    torch.manual_seed(5)
    for op in ops:
        for blob in op.inputs:
            stem, _, end = blob.rpartition("_")
            if stem in shapes and end in ("w", "b", "s", "gamma", "beta", "rm", "riv"):
                shape = shapes[stem] if end == "w" else shapes[stem][:1]
                made[blob] = torch.rand(shape) * 0.2 + (0.5 if end in ("riv", "s", "gamma") else -0.1)
    return made


def engine(ops: list[Op], feeds: dict[str, torch.Tensor], y: str) -> tuple[Workspace, dict[str, Any]]:
    """The net and its gradients, run by the engine."""
    ops = [Op(o.type, list(o.inputs), list(o.outputs), dict(o.args)) for o in ops]
    made, grads = backward(ops, {y: None})
    ws = Workspace()
    for blob, value in feeds.items():
        ws.feed(blob, value)
    ws.run_once(Net("n", ops + made))
    return ws, grads


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_gradients_are_the_engines(name: str) -> None:
    ops, shapes = NETS[name]
    parameters = values(shapes, ops)
    x = torch.randn(2, 3, 9, 9)
    ws, grads = engine(ops, {**parameters, "data": x}, "y")
    net = module(Net("n", ops, outputs=["y"]), parameters)
    leaf = x.clone().requires_grad_()
    made = net(leaf)
    made.sum().backward()
    torch.testing.assert_close(made.detach(), ws.get("y"), **CLOSE)
    torch.testing.assert_close(leaf.grad, ws.get(grads["data"]), **CLOSE)
    for key, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, ws.get(grads[net.blob_of(key)]), **CLOSE)
    for key, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, ws.get(net.blob_of(key)), **CLOSE)


def lenet() -> tuple[NetModule, dict[str, torch.Tensor]]:
    parameters = values(LENET_SHAPES, LENET)
    return module(Net("lenet", LENET, ["data", "label"], ["loss"]), parameters), parameters


def test_lenet_of_caffe2() -> None:
    net, parameters = lenet()
    assert net.input_names == ("data", "label")
    assert list(net.state_dict()) == [f"{n}.{k}" for n in LENET_SHAPES for k in ("weight", "bias")]
    x, label = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    ws, grads = engine(LENET, {**parameters, "data": x, "label": label}, "loss")
    loss = net(x, label)
    loss.backward()
    torch.testing.assert_close(loss.detach(), ws.get("loss"), **CLOSE)
    for key, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, ws.get(grads[net.blob_of(key)]), **CLOSE)


def test_it_learns() -> None:
    net, _ = lenet()
    x, label = torch.rand(8, 1, 28, 28), torch.arange(8, dtype=torch.int32)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = net(data=x, label=label)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_model_helper() -> None:
    workspace.ResetWorkspace()
    model = model_helper.ModelHelper("m")
    brew.conv(model, "data", "conv1", 1, 4, 3)
    brew.spatial_bn(model, "conv1", "bn", 4, is_test=False)
    brew.relu(model, "bn", "bn")
    brew.fc(model, "bn", "pred", 4 * 26 * 26, 10)
    brew.softmax(model, "pred", "softmax")
    workspace.RunNetOnce(model.param_init_net)
    x = np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32)
    workspace.FeedBlob("data", x)
    net = module(model)
    assert [n for n, _ in net.named_parameters()] == [
        "conv1.weight",
        "conv1.bias",
        "bn.weight",
        "bn.bias",
        "pred.weight",
        "pred.bias",
    ]
    assert [n for n, _ in net.named_buffers()] == ["bn.running_mean", "bn.running_var"]
    made = net(torch.from_numpy(x))
    workspace.RunNetOnce(model.net)
    torch.testing.assert_close(made.detach(), torch.from_numpy(workspace.FetchBlob("softmax")), **CLOSE)
    for key in ("bn.running_mean", "bn.running_var"):
        wanted = torch.from_numpy(workspace.FetchBlob(net.blob_of(key)))
        torch.testing.assert_close(net.state_dict()[key], wanted, **CLOSE)
    assert not torch.equal(net.eval()(torch.from_numpy(x)), made)


def test_net_and_init_net() -> None:
    init, net = core.Net("init"), core.Net("net")
    init.XavierFill([], "w", shape=[3, 4])
    init.ConstantFill([], "b", shape=[3], value=1.0)
    net.FC(["x", "w", "b"], "y")
    made = module(net.Proto(), init.Proto())
    assert list(made.state_dict()) == ["w", "b"]
    assert made(torch.zeros(2, 4)).tolist() == [[1.0] * 3] * 2


def test_the_forward_part_of_a_training_net() -> None:
    net = core.Net("net")
    net.FC(["x", "w", "b"], "y")
    net.AveragedLoss("y", "loss")
    net.AddGradientOperators(["loss"])
    made = module(net, {"w": torch.ones(3, 4), "b": torch.zeros(3)})
    assert [op.type for op in made.ops] == ["FC", "AveragedLoss"]


# ---- Caffe ---------------------------------------------------------------------------------------------
CAFFE_LENET = """name: "LeNet"
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 4 dim: 1 dim: 28 dim: 28 } shape { dim: 4 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
  inner_product_param { num_output: 50 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def test_lenet_of_caffe(tmp_path: Path) -> None:
    path = tmp_path / "lenet.prototxt"
    path.write_text(CAFFE_LENET)
    net = caffe.Net(str(path), caffe.TEST)
    weights = tmp_path / "lenet.caffemodel"
    net.save(str(weights))
    rng = np.random.default_rng(1)
    net.blobs["data"].data[...] = rng.random((4, 1, 28, 28))
    net.blobs["label"].data[...] = [1, 2, 3, 4]
    net.forward()
    net.backward()
    x, label = (torch.from_numpy(net.blobs[b].data.copy()) for b in ("data", "label"))
    for made in (module(net), module(path, weights)):
        assert list(made.state_dict()) == [
            f"{n}.{k}" for n in ("conv1", "ip1", "ip2") for k in ("weight", "bias")
        ]
        loss = made(x, label)
        loss.backward()
        np.testing.assert_allclose(loss.item(), net.blobs["loss"].data, rtol=1e-5)
        for key, parameter in made.named_parameters():
            layer, kind = key.split(".")
            diff = net.params[layer][("weight", "bias").index(kind)].diff
            torch.testing.assert_close(parameter.grad, torch.from_numpy(diff.copy()), **CLOSE)


BATCHES = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "shape" type: "Reshape" bottom: "fc" top: "shape" reshape_param { shape { dim: %s dim: %s } } }
"""


def test_other_batches_of_a_caffe_net(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(BATCHES % (2, -1))
    net = module(path)
    x = torch.rand(5, 3, 4, 4)
    made = net(x)
    assert made.shape == (5, 6)
    torch.testing.assert_close(made[3:], net(x[3:]), **CLOSE)
    path.write_text(BATCHES % (1, 12))  # which makes one row of the batch
    with pytest.raises(ShapeError, match="'shape'"):
        module(path)(x)


def test_copies_and_hooks() -> None:
    net, _ = lenet()
    x, label = torch.rand(4, 1, 28, 28), torch.arange(4, dtype=torch.int32)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        next(iter(net.parameters())).zero_()
    assert not torch.equal(net(x, label), twin(x, label))
    seen: list[float] = []
    handle = twin.register_forward_hook(lambda module, given, made: seen.append(made.item()))
    wanted = twin(x, label).item()
    handle.remove()
    twin(x, label)
    assert seen == [wanted]
    with pytest.raises(FreshpotError, match="must be float32"):
        twin.double()(x.double(), label)


def test_recorded_nets_of_caffe(shared: Path, tmp_path: Path) -> None:
    """Each recorded net gives the outputs and parameters' gradients that the Caffe door gives."""
    cases = json.loads((shared / "reference/caffe/nets/nets.json").read_text())
    seen = []
    for case in cases:
        path = tmp_path / f"{case['id']}.prototxt"
        path.write_text(case["prototxt"])
        net = caffe.Net(str(path), caffe.TEST)
        if any(layer.type == "Python" for layer in net.layers):
            continue
        made = module(net)
        rng = np.random.default_rng(2)
        for name in made.input_names:
            blob = net.blobs[name].data
            blob[...] = rng.random(blob.shape) if blob.ndim > 1 else rng.integers(0, 2, blob.shape)
        given = [torch.from_numpy(net.blobs[n].data.copy()) for n in made.input_names]
        net.forward()
        found = made(*given)
        found = found if isinstance(found, tuple) else (found,)
        for name, value in zip(made.output_names, found, strict=True):
            wanted = torch.from_numpy(net.blobs[name].data.copy()).reshape(value.shape)
            torch.testing.assert_close(value.detach(), wanted, **CLOSE)
        seen.append(case["id"])
    assert len(seen) >= 6, seen


# ---- state, modes, export, compile ---------------------------------------------------------------------
def test_modes() -> None:
    ops = [Op("Dropout", ["x"], ["y", "mask"], {"ratio": 0.5, "is_test": 1})]
    net = module(Net("n", ops, ["x"], ["y"]), {})
    x = torch.ones(1000)
    assert not net.training
    assert torch.equal(net(x), x)
    net.train()
    assert sorted(set(net(x).tolist())) == [0.0, 2.0]


@pytest.mark.parametrize("strict", [False, True])
def test_export(strict: bool) -> None:
    net, _ = lenet()
    x, label = torch.rand(4, 1, 28, 28), torch.arange(4, dtype=torch.int32)
    program = torch.export.export(net.eval(), (x, label), strict=strict)
    torch.testing.assert_close(program.module()(x, label), net(x, label), **CLOSE)
    assert set(program.state_dict) == set(net.state_dict())


def test_compile() -> None:
    net, _ = lenet()
    x, label = torch.rand(4, 1, 28, 28), torch.arange(4, dtype=torch.int32)
    wanted = net(x, label)
    wanted.backward()
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    made = compiled(x, label)
    made.backward()
    torch.testing.assert_close(made, wanted, **CLOSE)
    for parameter, grad in zip(net.parameters(), grads, strict=True):
        torch.testing.assert_close(parameter.grad, grad, **CLOSE)


def test_state_dict_comes_back() -> None:
    one, _ = lenet()
    two, _ = lenet()
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.mul_(2)
    two.load_state_dict(one.state_dict())
    x, label = torch.rand(4, 1, 28, 28), torch.arange(4, dtype=torch.int32)
    assert torch.equal(one(x, label), two(x, label))


def test_sparse_gradients() -> None:
    net = module(
        Net("n", [Op("Gather", ["table_w", "rows"], ["y"])], ["rows"], ["y"]), {"table_w": torch.rand(5, 2)}
    )
    net(torch.tensor([1, 1, 3])).sum().backward()
    assert net.get_parameter("table_w").grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1], [0, 0]]


def test_a_part_that_nobody_reads() -> None:
    net = module(Net("n", [Op("Split", ["x"], ["a", "b"], {"axis": 1})], ["x"], ["a"]), {})
    x = torch.rand(2, 4, requires_grad=True)
    net(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 1, 0, 0]] * 2


# ---- errors --------------------------------------------------------------------------------------------
def test_all_operators_with_effects_are_named() -> None:
    ops = [
        Op("CreateDB", [], ["db"], {"db": "x", "db_type": "minidb"}),
        Op("Relu", ["x"], ["y"]),
        Op("Print", ["y"], []),
    ]
    with pytest.raises(NotSupportedError, match=r"2 operators(.|\n)*CreateDB(.|\n)*Print"):
        module(Net("n", ops), {})
    assert module(Net("n", ops), {}, outputs=["y"])(-torch.ones(1)).item() == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: module(object()), NetError, "a object is no net"),
        (
            lambda: module(Net("n", [Op("Rellu", ["x"], ["y"])]), {}),
            UnknownOperatorError,
            "Did you mean Relu",
        ),
        (lambda: lenet()[0](1, 2, 3), ArityError, "takes inputs data, label; got 3"),
        (lambda: lenet()[0](torch.rand(1)), MissingBlobError, "missing: label"),
        (lambda: lenet()[0](dta=torch.rand(1)), ArityError, "'dta' is none or given twice"),
        (
            lambda: lenet()[0](torch.rand(2, 3, 28, 28), torch.zeros(2, dtype=torch.int32)),
            ShapeError,
            "conv1.*3 channels",
        ),
        (lambda: lenet()[0].blob_of("conv1.wait"), MissingBlobError, "Did you mean conv1.weight"),
        (
            lambda: module(Net("n", [Op("Relu", ["x"], ["y"])]), {}, outputs=["z"]),
            MissingBlobError,
            "no operator makes output 'z'",
        ),
        (
            lambda: module(Net("n", [Op("FC", ["x", "w", "b"], ["y"])]), {"w": "text"}),
            NetError,
            "parameter 'w' is no tensor",
        ),
    ],
)
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_an_operator_without_a_gradient_says_so() -> None:
    net = module(Net("n", [Op("Floor", ["x"], ["y"])], ["x"], ["y"]), {})
    made = net(torch.ones(2, requires_grad=True))
    with pytest.raises(NetError, match="has no gradient"):
        made.sum().backward()


def test_stop_gradient() -> None:
    net = module(Net("n", [Op("StopGradient", ["x"], ["y"])], ["x"], ["y"]), {})
    assert not net(torch.ones(2, requires_grad=True)).requires_grad


def test_data_that_no_layer_reads_is_no_output(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    data = (
        'layer { name: "d" type: "DummyData" top: "x" top: "label" dummy_data_param { shape { dim: 2 } } }\n'
    )
    path.write_text(data + 'layer { name: "y" type: "AbsVal" bottom: "x" top: "y" }')
    net = module(path)
    assert (net.input_names, net.output_names) == (("x",), ("y",))
    path.write_text(data)
    with pytest.raises(NetError, match=r"its outputs \(label, x\) are data; no layer computes any"):
        module(path)


def test_silence_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'name: "n" layer { name: "x" type: "Input" top: "x" top: "z" input_param { shape { dim: 2 } } }\n'
        'layer { name: "s" type: "Silence" bottom: "z" }\nlayer { name: "y" type: "ReLU" bottom: "x" top: "y" }'
    )
    net = module(path)
    assert net.input_names == ("x",)
    assert net(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_export_of_recurrent_layers(kind: str, tmp_path: Path) -> None:
    """Whatever the markers of the example: those of the run count."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'name: "n" layer { name: "x" type: "Input" top: "x" top: "cont" '
        "input_param { shape { dim: 4 dim: 2 dim: 3 } shape { dim: 4 dim: 2 } } }\n"
        f'layer {{ name: "y" type: "{kind}" bottom: "x" bottom: "cont" top: "y" recurrent_param {{ num_output: 5 '
        'weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }'
    )
    net = module(path).eval()
    x, cont = torch.randn(4, 2, 3), torch.tensor([[0.0, 0], [1, 1], [0, 1], [1, 1]])
    with torch.no_grad():
        program = torch.export.export(copy.deepcopy(net), (x, torch.ones(4, 2)))
        torch.testing.assert_close(program.module()(x, cont), net(x, cont), **CLOSE)
    again = torch.export.export(copy.deepcopy(net), (x, torch.ones(4, 2))).module()
    grads = []
    for made in (again, net):  # as users export: gradients are on
        out = made(x, cont)
        (out * torch.arange(5)).sum().backward()
        grads.append({key: p.grad for key, p in made.named_parameters()})
    for key, grad in grads[1].items():
        torch.testing.assert_close(grads[0][key], grad, **CLOSE)


def test_export_of_what_looks_at_numbers() -> None:
    """The module runs; an export says which operator it cannot have."""
    net = module(
        Net("n", [Op("DetectionOutput", ["loc", "conf", "priors"], ["found"], {"classes": 2})]),
        inputs=["loc", "conf", "priors"],
    )
    given = torch.zeros(1, 8), torch.zeros(1, 4), torch.ones(1, 2, 8)
    assert net(*given).shape[-1] == 7
    with pytest.raises(
        NotSupportedError, match=r"operator DetectionOutput .* looks at numbers, which torch\.export"
    ):
        torch.export.export(net, given)
