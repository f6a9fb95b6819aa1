"""caffe2.python.gradient_checker and device_checker: right gradients pass, wrong ones are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.device_checker import DeviceChecker
from caffe2.python.gradient_checker import GradientChecker, NetGradientChecker, getGradientForOp
from freshpot.errors import ShapeError

RNG = np.random.default_rng(5)
CPU = caffe2_pb2.DeviceOption()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def values(*shape: int) -> np.ndarray:
    return RNG.uniform(0.2, 1, shape).astype(np.float32)


def python_operator(slope: float) -> Any:
    """Doubles its input; its gradient claims another factor."""
    net = core.Net("python")
    net.Python(
        lambda inputs, outputs: outputs[0].feed(inputs[0].data * 2),
        lambda inputs, outputs: outputs[0].feed(inputs[2].data * slope),
    )(["X"], ["Y"])
    return net.Proto().op[0]


RIGHT: dict[str, tuple[Any, list[np.ndarray]]] = {
    "Sqr": (core.CreateOperator("Sqr", ["X"], ["Y"]), [values(2, 5)]),
    "FC": (core.CreateOperator("FC", ["X", "W", "b"], ["Y"]), [values(2, 3), values(4, 3), values(4)]),
    "sparse": (
        core.CreateOperator("Gather", ["X", "I"], ["Y"]),
        [values(4, 2), np.array([2, 0, 2], np.int32)],
    ),
    "python": (python_operator(2), [values(3)]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name: str) -> None:
    op, inputs = RIGHT[name]
    before = [array.copy() for array in inputs]
    workspace.FeedBlob("mine", values(1))
    ok, grad, slope = GradientChecker(0.01, 0.05).CheckSimple(op, inputs, 0, [0])
    assert ok
    np.testing.assert_allclose(grad, slope, rtol=0.05)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert (workspace.CurrentWorkspace(), workspace.Blobs()) == ("default", ["mine"])


@pytest.mark.parametrize(("full", "places"), [("0", "0 1 2 7 8 9"), ("1", "0 1 2 3 4 5 6 7 8 9")])
def test_wrong_gradients_are_found(
    full: str, places: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAFFE2_FULL_GRAD_CHECK", full)
    ok, grad, slope = GradientChecker(0.01, 0.05).CheckSimple(python_operator(3), [values(2, 5)], 0, [0])
    assert not ok
    wrong = ~np.isclose(grad, slope, rtol=0.05, atol=0.05)
    assert np.flatnonzero(wrong).tolist() == [int(place) for place in places.split()]
    assert capsys.readouterr().out.startswith("Failed. [idx, grad, grad_estimate] are:\n[[")


def test_gradient_operators_of_the_programs_own() -> None:
    op = core.CreateOperator("Sqr", ["X"], ["Y"])
    own = [
        core.CreateOperator("Mul", ["X", "Y_grad"], ["half"]),
        core.CreateOperator("Scale", ["half"], ["X_grad"], scale=2.0),
    ]
    assert GradientChecker(0.01, 0.05).CheckSimple(op, [values(3)], 0, [0], grad_ops=own)[0]


def test_inferred_shapes_are_checked_too() -> None:
    op = core.CreateOperator("Sqr", ["X"], ["Y"])
    checker = GradientChecker(0.01, 0.05)
    assert checker.CheckSimple(op, [values(2, 3)], 0, [0], ensure_outputs_are_inferred=True)[0]
    with pytest.raises(ShapeError, match="no shape was inferred"):
        checker.CheckSimple(python_operator(2), [values(3)], 0, [0], ensure_outputs_are_inferred=True)


def test_a_gradient_of_another_shape() -> None:
    op = core.CreateOperator("Sqr", ["X"], ["Y"])
    own = [core.CreateOperator("ConstantFill", [], ["X_grad"], shape=[7])]
    with pytest.raises(ShapeError, match=r"shape \(7,\), expected \(3,\)"):
        GradientChecker(0.01, 0.05).CheckSimple(op, [values(3)], 0, [0], grad_ops=own)
    assert workspace.CurrentWorkspace() == "default"


def test_gradient_names() -> None:
    ops, grads = getGradientForOp(core.CreateOperator("Relu", ["X"], ["Y"]))
    assert ([op.type for op in ops], grads) == (["ReluGradient"], ["X_grad"])


# ---- nets ------------------------------------------------------------------------------------------
def loss_net(name: str, scale: float = 1.0) -> core.Net:
    net = core.Net(name)
    net.FC(["x", "w", "b"], f"{name}_y")
    net.SquaredL2Distance([f"{name}_y", "t"], f"{name}_d")
    net.AveragedLoss(f"{name}_d", f"{name}_a")
    net.Scale(f"{name}_a", f"{name}_l", scale=scale)
    return net


INPUTS = {"x": values(2, 3), "w": values(4, 3), "b": values(4), "t": values(2, 4)}


@pytest.mark.parametrize("blob", ["x", "w", "b"])
def test_nets_pass(blob: str) -> None:
    mean, largest = NetGradientChecker.Check(loss_net("n"), ["n_l"], INPUTS, blob, step_size=0.01)
    assert 0 <= mean <= largest < 0.05


def test_sparse_gradients_of_nets_pass() -> None:
    net = core.Net("g")
    net.Gather(["table", "rows"], "picked")
    net.SumElements("picked", "l")
    inputs = {"table": values(4, 2), "rows": np.array([1, 1, 3], np.int64)}
    NetGradientChecker.Check(net, ["l"], inputs, "table", step_size=0.01)


def test_wrong_nets_are_found() -> None:
    net = core.Net("n")
    net._ExtendOps([python_operator(3)])
    net.SumElements("Y", "l")
    with pytest.raises(AssertionError, match=r"gradient of 'X' in net 'n.*' differs from the slope"):
        NetGradientChecker.Check(net, ["l"], {"X": values(3)}, "X", step_size=0.01)
    with pytest.raises(MisuseError, match="'q' has no gradient to check"):
        NetGradientChecker.Check(net, ["l"], {"X": values(3)}, "q")
    workspace.ResetWorkspace()
    with pytest.raises(MisuseError, match="input 'x' has no value"):
        NetGradientChecker.CompareNets([loss_net("n")], [["n_l"]], [0], ["x"])


@pytest.mark.parametrize(("scale", "same"), [(1.0, True), (2.0, False)])
def test_nets_are_compared(scale: float, same: bool) -> None:
    nets = [loss_net("a"), loss_net("b", scale)]
    outputs = [[f"{name}_y", f"{name}_l"] for name in "ab"]

    def compare() -> None:
        NetGradientChecker.CompareNets(nets, outputs, [1], ["x", "w"], INPUTS)

    if same:
        compare()
    else:
        with pytest.raises(AssertionError, match="output 1 differs: blobs 'a_l' and 'b_l'"):
            compare()


# ---- devices ---------------------------------------------------------------------------------------
def test_devices_that_agree() -> None:
    checker = DeviceChecker(0.01, [CPU, CPU])
    op = core.CreateOperator("Relu", ["X"], ["Y"])
    assert checker.CheckSimple(op, [values(3)], [0])
    net = loss_net("n").Proto()
    assert checker.CheckNet(net, INPUTS)
    assert (workspace.CurrentWorkspace(), workspace.Blobs()) == ("default", [])


def test_devices_that_do_not_agree(capsys: pytest.CaptureFixture[str]) -> None:
    op = core.CreateOperator("UniformFill", [], ["Y"], shape=[3])
    net = caffe2_pb2.NetDef(op=[op])
    checker = DeviceChecker(1e-6, [CPU, CPU])
    assert not checker.CheckSimple(op, [], [0])
    assert "Failure in checking device option 1 and output Y." in capsys.readouterr().out
    assert not checker.CheckNet(net)
    assert checker.CheckNet(net, ignore=["Y"])
