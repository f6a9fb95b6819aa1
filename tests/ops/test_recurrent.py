"""Recurrent networks: the fast path against the general one, lengths, windows, helpers, refusals."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshpot.engine import Workspace, static
from freshpot.engine.kept import glance
from freshpot.errors import ArgumentError, DTypeError, NotSupportedError, ShapeError
from freshpot.net import Net, Op
from freshpot.ops.recurrent import _lstm
from freshpot.testing import reference

LSTM = ["RecurrentNetwork-000-lstm", "RecurrentNetwork-002-lstm_fb", "RecurrentNetwork-003-lstm_memopt"]


@pytest.mark.parametrize("small", [0, _lstm._SMALL], ids=["large", "small"])
@pytest.mark.parametrize("case_id", LSTM)
def test_lstm_over_the_whole_sequence(
    case_id: str, small: int, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run goes step by step, later ones do not: both must give what was recorded."""
    monkeypatch.setattr(_lstm, "_SMALL", small)
    passes: list[str] = []
    for name in ("forward", "backward"):
        monkeypatch.setattr(_lstm, name, _noting(passes, name, getattr(_lstm, name)))
    cases = reference.load(shared / "reference" / "caffe2", "RecurrentNetwork")
    case = next(c for c in cases if c.id == case_id)
    ws = Workspace()
    reference._feed(ws, case, "in/", case.spec["inputs"])
    plan = ws.create_net(case.net)
    for run in range(3):
        plan.run()
        assert reference._compare_all(ws, case, "out/", case.spec["outputs"]) is None
        assert passes == ["forward", "backward"] * run


@pytest.mark.parametrize("forget_bias", [0.0, 1.5])
@pytest.mark.parametrize("case_id", LSTM)
def test_lstm_of_one_sequence_in_memory_of_its_own(
    case_id: str, forget_bias: float, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bound to memory, with other data at each run, ended sequences between, and steps looked into."""
    cases = reference.load(shared / "reference" / "caffe2", "RecurrentNetwork")
    case = next(c for c in cases if c.id == case_id)
    results: list[list[np.ndarray]] = []
    for first_after in (2, 10**9):
        monkeypatch.setattr(static, "_FIRST_AFTER", first_after)
        net = copy.deepcopy(case.net)
        for op in net.ops:
            for part in (op.args.get(name) for name in ("step_net", "backward_step_net")):
                for inner in part.ops if isinstance(part, Net) else ():
                    if inner.type.startswith("LSTMUnit"):
                        inner.args["forget_bias"] = forget_bias
        ws, rng = Workspace(), np.random.default_rng(1)
        for name in case.spec["inputs"]:
            array = case.arrays["in/" + name]
            ws.feed(name, array[:, :1] if array.ndim == 3 else array[:1] if name == "len" else array)
        plan = ws.create_net(net)
        found = []
        for run in range(12):
            ws.feed("x", rng.standard_normal((4, 1, 3)).astype(np.float32))
            ws.feed("h0", rng.standard_normal((1, 1, 5)).astype(np.float32))
            ws.feed("len", np.array([2 if run == 9 else 4], np.int32))
            plan.run()
            names = [*case.spec["outputs"], "cell/i2h_grad", "h0_grad", "c0_grad"]
            found += [glance(ws.find(name)).numpy().copy() for name in names]
            if run in (7, 9, 11):
                steps = ws.get("cell/step_workspaces")
                found += [value.numpy().copy() for _, value in sorted(steps.blobs(1).items())]
        assert (plan._static is not None) == (first_after == 2)
        results.append(found)
    for ours, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)


def _noting(passes: list[str], name: str, function: Any) -> Any:
    def noted(*args: Any) -> Any:
        passes.append(name)
        return function(*args)

    return noted


def adder(**args: Any) -> Op:
    """h = h + x at every step."""
    step = Net("step", [Op("Add", ["x_t", "h_prev"], ["h"])])
    links = {"link_internal": ["h_prev", "h", "x_t"], "link_external": ["states", "states", "x"]}
    aliases = {"alias_src": ["states"] * 2, "alias_dst": ["all", "last"], "alias_offset": [1, -1]}
    states = {"recurrent_states": ["states"], "initial_recurrent_state_ids": [1]}
    given = {**links, "link_offset": [0, 1, 0], **aliases, **states, "step_net": step, **args}
    return Op("RecurrentNetwork", ["x", "h0"], ["all", "last", "steps"], given)


def fed(h0: Any, steps: int = 3) -> Workspace:
    ws = Workspace()
    ws.feed("x", np.arange(steps * 2, dtype=np.float32).reshape(steps, 2, 1))
    ws.feed("h0", np.asarray(h0, dtype=np.float32))
    return ws


@pytest.mark.parametrize("h0", [[[10], [10]], [[[10], [10]]], [10]], ids=["batch", "step", "one for all"])
def test_states_are_shown_step_by_step(h0: Any) -> None:
    ws = fed(h0)
    ws.run_op(adder())
    assert ws.get("all").flatten().tolist() == [10, 11, 12, 14, 16, 19]
    assert ws.get("last").tolist() == [[[16], [19]]]
    assert ws.get("h0").tolist() == h0


def test_no_steps_leave_the_initial_state() -> None:
    ws = fed([[10], [20]], steps=0)
    ws.run_op(adder())
    assert tuple(ws.get("all").shape) == (0, 2, 1)
    assert ws.get("last").flatten().tolist() == [10, 20]


def test_a_window_of_several_steps() -> None:
    step = Net("step", [Op("ReduceSum", ["window"], ["h"], {"axes": [0], "keepdims": 1})])
    op = adder(
        step_net=step,
        link_internal=["window", "h"],
        link_external=["wide", "states"],
        link_offset=[0, 1],
        link_window=[2, 1],
    )
    op.inputs.append("wide")
    ws = fed([[0], [0]])
    ws.feed("wide", np.float32([1, 2, 4, 8, 16, 32, 64, 128]).reshape(4, 2, 1))
    ws.run_op(op)
    assert ws.get("all").flatten().tolist() == [5, 10, 20, 40, 80, 160]


def test_a_window_over_what_the_step_writes_is_refused() -> None:
    step = Net("step", [Op("ReduceSum", ["window"], ["h"], {"axes": [0], "keepdims": 1})])
    op = adder(
        step_net=step,
        link_internal=["window", "h"],
        link_external=["states", "states"],
        link_offset=[0, 1],
        link_window=[2, 1],
    )
    with pytest.raises(NotSupportedError, match="'window' of the step net is 2 steps of 'states'"):
        fed([[0], [0]]).run_op(op)


def test_steps_can_be_looked_into(shared: Path) -> None:
    case = reference.load(shared / "reference" / "caffe2", "RecurrentNetwork")[0]
    ws = Workspace()
    reference._feed(ws, case, "in/", case.spec["inputs"])
    plan = ws.create_net(case.net)
    fetch = Op("RecurrentNetworkBlobFetcher", ["cell/step_workspaces"], ["names"], {"prefix": "p"})
    seen = []
    for _ in range(2):
        plan.run()
        ws.run_op(fetch)
        names = [name.decode() for name in ws.get("names")]
        assert {"p_cell/gates_t0", "p_cell/hidden_state1", "p_timestep_rnnexec_t00"} <= set(names)
        seen.append({name: ws.get(name).numpy() for name in names})
    for name, value in seen[0].items():
        np.testing.assert_allclose(seen[1][name], value, rtol=1e-4, atol=1e-5)


def test_single_steps_of_a_tensor() -> None:
    ws = Workspace()
    ws.feed("t", np.int32([1]))
    ws.feed("dY", np.arange(6, dtype=np.float32).reshape(3, 2))
    ws.feed("G", np.zeros((4, 2), np.float32))
    ws.run_op(Op("rnn_internal_accumulate_gradient_input", ["t", "dY", "G"], ["G"], {"offset": 1}))
    assert ws.get("G").tolist() == [[0, 0], [0, 0], [2, 3], [0, 0]]
    ws.run_op(Op("rnn_internal_apply_link", ["t", "dY"], ["part", "dY"], {"offset": 0, "window": 2}))
    assert ws.get("part").tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("op", "error", "words"),
    [
        (adder(link_external=["states", "states", "y"]), ArgumentError, r"\['y'\], which are neither"),
        (adder(alias_src=["z", "z"]), ArgumentError, r"\['z'\], which are neither"),
        (Op("RecurrentNetworkBlobFetcher", ["x"], ["n"]), DTypeError, "last output of RecurrentNetwork"),
        (Op("rnn_internal_apply_link", ["t", "x"], ["p", "x"], {"offset": 0}), ArgumentError, "'window'"),
        (
            Op("rnn_internal_apply_link", ["t", "x"], ["p", "x"], {"offset": 2, "window": 2}),
            ShapeError,
            "lie outside",
        ),
        (Op("rnn_internal_accumulate_gradient_input", ["t", "x", "h0"], ["h0"]), ArgumentError, "'offset'"),
    ],
)
def test_refusals(op: Op, error: type[Exception], words: str) -> None:
    ws = fed([[1], [1]])
    ws.feed("t", np.int32([0]))
    with pytest.raises(error, match=words):
        ws.run_op(op)


def test_initial_state_of_another_batch_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"initial state 'h0' .* for a batch of 2, got \(3, 1\)"):
        fed([[1], [1], [1]]).run_op(adder())


def test_steps_without_a_backward_net_are_not_kept() -> None:
    ws = fed([[1], [1]])
    ws.run_op(adder())
    with pytest.raises(NotSupportedError, match="only for networks with a backward step net"):
        ws.run_op(Op("RecurrentNetworkBlobFetcher", ["steps"], ["names"]))
