"""caffe2.python.control: how often the bodies of loops and conditions run, as in the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.python import control, core, workspace


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    for name, value in (("i", 0), ("one", 1), ("two", 2), ("five", 5)):
        workspace.FeedBlob(name, np.full(1, value, np.float32))
    workspace.FeedBlob("yes", np.array(True))
    workspace.FeedBlob("no", np.array(False))
    yield
    workspace.ResetWorkspace()


def count() -> core.Net:
    net = core.Net("count")
    net.Sum(["i", "one"], "i")
    return net


def below(limit: str) -> core.Net:
    net = core.Net("below")
    net.AddExternalOutput(net.LT(["i", limit]))
    return net


STEPS: dict[str, tuple[Callable[[], Any], int]] = {
    "if": (lambda: control.If("a", below("two"), count()), 1),
    "if else": (lambda: control.If("a", "no", count(), [count(), count()]), 2),
    "if not": (lambda: control.IfNot("a", "no", count()), 1),
    "if not else": (
        lambda: control.IfNot("a", "yes", count(), control.Do("x", count(), count(), count())),
        3,
    ),
    "while": (lambda: control.While("w", below("five"), count()), 5),
    "while, a step": (lambda: control.While("w", below("five"), control.Do("z", count(), count())), 6),
    "until": (lambda: control.Until("u", below("two"), count()), 0),
    "do while": (lambda: control.DoWhile("w", below("five"), count()), 5),
    "do until": (lambda: control.DoUntil("w", below("two"), count()), 1),
    "do until a blob": (lambda: control.DoUntil("w", "yes", count()), 1),
    "for": (lambda: control.For("f", count(), 4), 4),
    "switch": (lambda: control.Switch("s", ("yes", count()), ("no", count()), (below("five"), [count()])), 2),
    "switch not": (lambda: control.SwitchNot("s", ("yes", count()), ("no", count())), 1),
    "parallel": (lambda: control.DoParallel("p", control.Do("q", count())), 1),
    "merged": (
        lambda: control.If(
            "m", control.MergeConditionNets("b", [below("two"), below("five")], "And"), count()
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_how_often(name: str) -> None:
    make, times = STEPS[name]
    workspace.RunPlan(make())
    assert workspace.FetchBlob("i").tolist() == [times]


def test_combined_conditions() -> None:
    nets = [below("two"), below("five")]
    combined = control.CombineConditions("c", nets, "Or")
    for net in (*nets, combined):
        workspace.RunNetOnce(net)
    assert workspace.FetchBlob(control.GetConditionBlobFromNet(combined)).all()
    assert [op.type for op in control.CombineConditions("c", nets[:1], "Or").Proto().op] == ["Copy"]
    assert control.CombineConditions("c", [], "Or") is None


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda: control.Do("x"), ValueError, "nothing was given: expected nets, steps or conditions."),
        (
            lambda: control.If("x", core.Net("bare"), count()),
            AssertionError,
            "has no external output.",
        ),
        (
            lambda: control.CombineConditions("x", "net", "Or"),
            ValueError,
            "condition_nets must be a list of nets, got str.",
        ),
    ],
)
def test_refused(action: Callable[[], Any], error: type[BaseException], message: str) -> None:
    with pytest.raises(error) as caught:
        action()
    assert message in str(caught.value)
