"""Control flow: what the recorded cases do not show - gradients, scopes, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freshpot.engine import Workspace
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DTypeError,
    GradientError,
    MissingBlobError,
    ShapeError,
)
from freshpot.net import Net, Op
from freshpot.net.gradient import backward, gradient_of

TRUE, FALSE = np.array([True]), np.array([False])


def do(net: Net, inputs: list[str], outputs: list[str], **args: Any) -> Op:
    """A Do that binds every blob under its own name."""
    places = [*inputs, *outputs]
    names = list(dict.fromkeys(places))
    idx = [places.index(name) for name in names]
    blobs = {"net": net, "inner_blobs": names, "outer_blobs_idx": idx}
    return Op("Do", [*inputs, "scope"], [*outputs, "scope"], {**blobs, **args})


def square(x: str = "x", y: str = "y") -> Net:
    return Net("square", [Op("Mul", [x, x], [y])])


def workspace(**blobs: Any) -> Workspace:
    ws = Workspace()
    for name, value in blobs.items():
        ws.feed(name, value)
    return ws


def test_do_keeps_its_own_blobs_to_itself() -> None:
    ws = workspace(x=np.float32([3]))
    inner = Net("inner", [Op("Mul", ["x", "x"], ["local"]), Op("Add", ["local", "x"], ["y"])])
    ws.create_net(Net("n", [Op("CreateScope", [], ["scope"]), do(inner, ["x"], ["y"])])).run(2)
    assert ws.get("y").tolist() == [12]
    assert ws.names() == ["scope", "x", "y"]


@pytest.mark.parametrize("reuse", [0, 1])
def test_scope_counts_the_runs_that_can_be_undone(reuse: int) -> None:
    ws = workspace(x=np.float32([3]))
    ws.run_op(Op("CreateScope", [], ["scope"]))
    plan = ws.create_net(Net("n", [do(square(), ["x"], ["y"], reuse_workspace=reuse)]))
    plan.run(3)
    assert len(ws.get("scope")) == (1 if reuse else 3)


@pytest.mark.parametrize(("condition", "value", "slope"), [(TRUE, [9], [6]), (FALSE, [6], [2])])
def test_gradient_flows_through_the_branch_that_ran(
    condition: np.ndarray, value: list[float], slope: list[float]
) -> None:
    double = Net("double", [Op("Add", ["x", "x"], ["y"])])
    branch = Op("If", ["c", "x"], ["y"], {"then_net": square(), "else_net": double})
    ops, grads = backward([branch], {"y": None})
    ws = workspace(c=condition, x=np.float32([3]))
    plan = ws.create_net(Net("n", [branch, *ops]))
    for _ in range(2):
        plan.run()
        assert ws.get("y").tolist() == value
        assert ws.get(str(grads["x"])).tolist() == slope


def test_branch_that_gives_no_gradient_gives_zeros() -> None:
    other = Net("other", [Op("Mul", ["w", "w"], ["y"])])
    branch = Op("If", ["c", "x", "w"], ["y"], {"then_net": square(), "else_net": other})
    ops, grads = backward([branch], {"y": None})
    ws = workspace(c=TRUE, x=np.float32([3]), w=np.float32([5]))
    ws.run_once(Net("n", [branch, *ops]))
    assert ws.get(str(grads["x"])).tolist() == [6]
    assert ws.get(str(grads["w"])).tolist() == [0]


def test_gradient_of_do_runs_in_the_workspace_of_its_forward_run() -> None:
    inner = Net("cube", [Op("Mul", ["x", "x"], ["local"]), Op("Mul", ["local", "x"], ["y"])])
    forward = do(inner, ["x"], ["y"])
    result = gradient_of(forward, ["y_grad", None])
    assert result.input_grads == ["x_grad", None]
    assert result.ops[-1].args["saved_fwd_blobs"] == ["local"]
    ws = workspace(x=np.float32([2]), y_grad=np.float32([1]))
    ws.run_once(Net("n", [Op("CreateScope", [], ["scope"]), forward, *result.ops]))
    assert ws.get("x_grad").tolist() == [12]
    assert len(ws.get("scope")) == 0


def test_gradient_of_while_undoes_every_round() -> None:
    """y doubles three times, so y's gradient does too on the way back."""
    body = Net("body", [Op("Scale", ["y"], ["y"], {"scale": 2.0}), Op("Add", ["i", "one"], ["i"])])
    round_ = do(body, ["y", "i", "one"], ["y", "i"], copy_external_blobs=1)
    decide = Net("decide", [Op("LT", ["i", "limit"], ["c"])])
    loop = Op("While", ["c", "y"], ["y"], {"loop_net": Net("loop", [round_]), "cond_net": decide})
    result = gradient_of(loop, ["given"])
    assert result.input_grads == [None, "y_grad"]
    ws = workspace(c=TRUE, one=np.int32([1]), limit=np.int32([3]), given=np.float32([1]))
    ws.run_op(Op("CreateScope", [], ["scope"]))
    for _ in range(2):
        for name, value in {"y": np.float32([5]), "i": np.int32([0]), "given": np.float32([1])}.items():
            ws.feed(name, value)
        ws.run_once(Net("n", [loop, *result.ops]))
        assert ws.get("y").tolist() == [40]
        assert ws.get("y_grad").tolist() == [8]


@pytest.mark.parametrize(
    ("op", "error", "words"),
    [
        (Op("If", ["c"], [], {}), ArgumentError, "'then_net' .* is required"),
        (Op("While", ["c"], [], {}), ArgumentError, "'loop_net' .* is required"),
        (Op("If", ["two"], [], {"then_net": Net("e")}), ShapeError, "must be a single bool"),
        (Op("If", ["x"], [], {"then_net": Net("e")}), DTypeError, "must be bool"),
        (Op("HasScope", ["x"], ["h"]), DTypeError, "must hold a scope made by CreateScope"),
        (do(square("x", "x"), ["x"], [], inner_blobs=["x", "z"]), ArgumentError, "equally many"),
        (do(square("x", "x"), ["x"], [], outer_blobs_idx=[1]), ArgumentError, r"must lie in \[0, 1\)"),
        (do(square("x", "x"), ["x"], [], inner_blobs=[], outer_blobs_idx=[]), ArgumentError, "must be used"),
        (Op("Do", ["x", "scope"], ["x", "c"], {"net": Net("e")}), ArityError, "must be one scope"),
        (
            do(square(), ["x"], ["y"], reuse_workspace=1, copy_external_blobs=1),
            ArgumentError,
            "exclude each other",
        ),
    ],
)
def test_refusals(op: Op, error: type[Exception], words: str) -> None:
    ws = workspace(c=TRUE, two=np.array([True, False]), x=np.float32([1]))
    ws.run_op(Op("CreateScope", [], ["scope"]))
    with pytest.raises(error, match=words):
        ws.run_op(op)


def test_backward_run_without_a_forward_run_is_refused() -> None:
    ws = workspace(x=np.float32([1]), y_grad=np.float32([1]))
    ws.run_op(Op("CreateScope", [], ["scope"]))
    result = gradient_of(do(square(), ["x"], ["y"]), ["y_grad", None])
    ws.create("y")
    with pytest.raises(MissingBlobError, match="has no forward run left"):
        ws.run_once(Net("n", result.ops))


@pytest.mark.parametrize(
    ("op", "grads", "words"),
    [
        (Op("If", ["c"], ["y"], {"then_net": square()}), [None], "none of its outputs has a gradient"),
        (Op("While", ["c"], ["y"], {"loop_net": square()}), ["y_grad"], "must be a single Do"),
        (Op("Do", ["x", "s"], ["y", "s"], {}), ["y_grad", None], "argument 'net'"),
    ],
)
def test_gradients_that_cannot_be_made(op: Op, grads: list[Any], words: str) -> None:
    with pytest.raises(GradientError, match=words):
        gradient_of(op, grads)
