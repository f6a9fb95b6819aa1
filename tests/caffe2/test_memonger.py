"""Shared blobs: names as the original gives them, the same results, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, memonger, model_helper, workspace
from caffe2.python._memonger.hash_order import hash_order
from freshpot.errors import ArityError, MissingBlobError, NetError

Algorithm = memonger.AssignmentAlgorithm
#: outputs of the last operators that the original gives, gradients shared
NAMES = [
    ["gpu_0/__m0_shared"],
    ["gpu_0/fc3_w_grad", "gpu_0/fc3_b_grad", "gpu_0/fc1_grad"],
    ["gpu_0/fc2_grad"],
    ["gpu_0/fc2_w_grad", "gpu_0/fc2_b_grad", "_gpu_0/fc1_grad_autosplit_0"],
    ["gpu_0/fc1_grad"],
    ["gpu_0/fc1_w_grad", "gpu_0/fc1_b_grad", "gpu_0/__m0_shared"],
]


def branching(scope: str = "") -> Any:
    """Two branches of layers that join, with a loss."""
    model = model_helper.ModelHelper(name="m")
    with core.NameScope(scope):
        fc1 = brew.fc(model, "data", "fc1", dim_in=4, dim_out=4)
        left = brew.relu(model, brew.fc(model, fc1, "fc2", dim_in=4, dim_out=4), "relu2")
        right = brew.relu(model, brew.fc(model, fc1, "fc3", dim_in=4, dim_out=4), "relu3")
        last = brew.fc(model, brew.sum(model, [left, right], "sum"), "fc4", dim_in=4, dim_out=3)
        model.SoftmaxWithLoss([last, "label"], ["softmax", "loss"])
    return model


def feed() -> None:
    workspace.FeedBlob("data", np.arange(8, dtype=np.float32).reshape(2, 4))
    workspace.FeedBlob("label", np.array([0, 1], np.int32))


def values(model: Any, proto: Any, names: list[str]) -> list[np.ndarray]:
    workspace.ResetWorkspace()
    np.random.seed(1)
    workspace.RunNetOnce(model.param_init_net)
    for i, param in enumerate(model.params):
        shape = workspace.FetchBlob(param).shape
        workspace.FeedBlob(param, np.random.RandomState(i).randn(*shape).astype(np.float32))
    feed()
    workspace.CreateNet(proto)
    for _ in range(4):
        workspace.RunNet(proto.name)
    return [workspace.FetchBlob(name) for name in names]


@pytest.mark.parametrize("activations", [False, True])
@pytest.mark.parametrize("shapes", [False, True])
def test_gradients_that_share_are_the_same(activations: bool, shapes: bool) -> None:
    model = branching()
    grads = model.AddGradientOperators(["loss"])
    kept = [str(grads[str(param)]) for param in model.params]
    sizes = {name: [2, 4] for op in model.net.Proto().op for name in op.output} if shapes else None
    shared = memonger.share_grad_blobs(
        model.net, ["loss"], set(kept), "", share_activations=activations, blob_shapes=sizes
    )
    names = {name for op in shared.op for name in op.output}
    assert any(name.endswith("_shared") for name in names)
    assert len(names) < len({name for op in model.net.Proto().op for name in op.output})
    for got, wanted in zip(values(model, shared, kept), values(model, model.net.Proto(), kept), strict=True):
        np.testing.assert_array_equal(got, wanted)
        assert np.abs(wanted).sum() > 0


def test_the_originals_names() -> None:
    model = branching("gpu_0")
    loss = "gpu_0/loss"
    model.AddGradientOperators([loss])
    shared = memonger.share_grad_blobs(model.net, [loss], set(model.param_to_grad.values()), "gpu_0")
    assert [list(op.output) for op in shared.op][-6:] == NAMES


def test_a_net_that_predicts() -> None:
    model = branching()
    names = ["loss", "softmax"]
    wanted = values(model, model.net.Proto(), names)
    model.net.Proto().external_output.extend(names)
    for proto in (
        memonger.optimize_inference_for_dag(model.net, ["data"]),
        memonger.optimize_inference_fast(
            model.net.Proto(), {*names, "label", "data", *map(str, model.params)}
        ),
        memonger.optimize_interference(
            model.net.Proto(), [*names, "label", "data", *map(str, model.params)]
        ).net,
        memonger.release_blobs_when_used(model.net.Proto(), set()),
    ):
        for got, want in zip(values(model, proto, names), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_chain_deeper_than_pythons_stack() -> None:
    net = core.Net("deep")
    for i in range(3000):
        net.Relu(f"b{i}", f"b{i + 1}")
    net.Proto().external_output.append("b3000")
    shared = memonger.optimize_inference_for_dag(net, ["b0"])
    assert len({name for op in shared.op for name in op.output}) == 3


def test_recurrent_nets_tell_their_renamed_blobs() -> None:
    net = caffe2_pb2.NetDef(name="n")
    op = net.op.add(type="RecurrentNetwork", input=["x"], output=["y", "z"])
    step = op.arg.add(name="step_net").n
    step.op.add(type="Relu", input=["x"], output=["y"])
    step.external_input.append("x")
    memonger.apply_assignments(net, {"x": "shared", "other": "shared"})
    assert list(op.input) == ["shared"]
    assert list(op.arg[0].n.op[0].input) == ["shared"] == list(op.arg[0].n.external_input)
    assert {arg.name: arg.s for arg in op.arg[1:]} == {"x.rename": b"shared"}


def test_memory_of_a_net() -> None:
    net = core.Net("n")
    net.Relu("x", "y")
    net.Relu("y", "z")
    freed = memonger.release_blobs_when_used(net.Proto(), {"x"})
    assert [op.type for op in freed.op] == ["Relu", "Relu", "Free"]
    shapes = {name: [2, 3] for name in "xyz"}
    types = dict.fromkeys("xyz", caffe2_pb2.TensorProto.FLOAT)
    device = caffe2_pb2.DeviceOption()
    for op in freed.op:
        op.device_option.CopyFrom(device)
    total, most, by_type = memonger.estimate_memory_usage([freed], shapes, types, device)
    assert (total, most, dict(by_type)) == (48, 48, {"Relu": 48})
    workspace.FeedBlob("x", np.zeros((2, 3), np.float32))
    workspace.RunNetOnce(net)
    assert memonger.collect_blob_sizes(net.Proto()) == {"x": 24, "y": 24, "z": 24}
    entry = memonger.LiveRange(0, 1, None)
    assert memonger.compute_statistics([[("x", entry), ("y", entry)], [("nowhere", entry)]]) == (48, 24)


RANGES = [
    ("a", memonger.LiveRange(0, 1, 10)),
    ("b", memonger.LiveRange(1, 2, 1)),
    ("c", memonger.LiveRange(2, 4, 10)),
    ("d", memonger.LiveRange(3, 5, 1)),
]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_places(algorithm: Any) -> None:
    places = memonger.compute_assignments(dict(RANGES), ["d"], algorithm)
    memonger.verify_assignments(places)
    assert memonger.compute_blob_assignments(places) == {"a": "c", "c": "c"}
    assert memonger.get_memory_usage(places) == 12


def test_orders() -> None:
    net = core.Net("n")
    net.Copy("w", "w2")
    net.Relu("x", "y")
    net.Relu("y", "z")
    net.Add(["z", "w2"], "out")
    graph = memonger.compute_interference_graph(net.Proto().op)
    assert list(graph.edges()) == [(0, 3), (1, 2), (2, 3)]
    assert memonger.topological_sort_traversal_longest_path(graph) == [1, 2, 0, 3]
    assert sorted(memonger.topological_sort_traversal(graph)) == [0, 1, 2, 3]


def test_equal_graphs(capsys: Any) -> None:
    def made(*names: str) -> Any:
        net = core.Net("n")
        for one, other in itertools.pairwise(names):
            net.Relu(one, other)
        return net.Proto()

    assert memonger.verify_graph_equality(made("x", "y", "z"), made("x", "a", "b"))
    assert not memonger.verify_graph_equality(made("x", "y", "z"), made("x", "y"))
    other = made("x", "y", "z")
    other.op[1].input[0] = "x"
    assert not memonger.verify_graph_equality(made("x", "y", "z"), other)
    assert "Difference 1" in capsys.readouterr().out
    assert not memonger.verify_inplace_blobs(made("x", "y"), made("x", "x"))


def test_order_of_the_originals_tables() -> None:
    names = [f"fc{i}_grad" for i in range(20)]
    # as std::unordered_map of libstdc++ lists them
    order = "19 16 15 14 17 13 0 1 11 7 18 6 5 2 8 10 9 3 4 12"
    assert hash_order([*names, "fc1_grad"]) == [f"fc{i}_grad" for i in order.split()]


@pytest.mark.parametrize(
    ("error", "match", "act"),
    [
        (
            MissingBlobError,
            "no operator of the net writes this loss",
            lambda net: memonger.share_grad_blobs(net, ["loss"], set(), ""),
        ),
        (AssertionError, "x not in external input", lambda net: _without_inputs(net)),
        (ArityError, "must be the same blob", lambda net: _frozen(net)),
        (NetError, "reads 'z' before an operator writes it", lambda net: _backwards()),
        (AssertionError, "still used", lambda net: memonger.verify_assignments([RANGES[:2]])),
        (ValueError, "algo is 3", lambda net: memonger.compute_assignments(dict(RANGES), [], 3)),  # type: ignore[arg-type]
    ],
)
def test_what_is_refused(error: type[Exception], match: str, act: Any) -> None:
    net = core.Net("n")
    net.Relu("x", "y")
    with pytest.raises(error, match=match):
        act(net)


def _without_inputs(net: Any) -> None:
    del net.Proto().external_input[:]
    memonger.optimize_inference_for_dag(net, ["x"])


def _frozen(net: Any) -> None:
    net.IndexFreeze("a", "b")
    memonger.optimize_inference_for_dag(net, ["a"])


def _backwards() -> None:
    from caffe2.python._memonger.recycling import RecycleAlongGraph

    net = core.Net("n")
    net.Relu("z", "y")
    net.Relu("x", "z")
    RecycleAlongGraph(net.Proto(), [0, 1], {"y", "z"}, "", (), {}).run(["x"])
