"""Tests of one's own operators: what is drawn, and what each check finds."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import caffe2.python.hypothesis_test_util as hu
from caffe2.python import core, workspace
from freshpot.errors import ArgumentError, ArityError

hypothesis.settings.load_profile("steady")  # as it was before hu came

EXAMPLES = hypothesis.settings(max_examples=10, deadline=None, phases=[hypothesis.Phase.generate])


class Softsign(hu.HypothesisTestCase):
    """A user's test case, as the original's documentation has it."""

    @hypothesis.given(X=hu.tensor(max_dim=2), inplace=st.booleans(), **hu.gcs)
    @EXAMPLES
    def test_softsign(self, X: Any, inplace: bool, gc: Any, dc: Any) -> None:
        op = core.CreateOperator("Softsign", ["X"], ["X" if inplace else "Y"])
        self.assertReferenceChecks(
            gc, op, [X], lambda X: (X / (1 + np.abs(X)),), ensure_outputs_are_inferred=True
        )
        self.assertDeviceChecks(dc, op, [X], [0])
        if not inplace:
            self.assertGradientChecks(gc, op, [X], 0, [0], stepsize=1e-3, threshold=1e-2)


def case() -> Any:
    made = hu.HypothesisTestCase()
    made.ws = workspace.C.Workspace()
    return made


RELU = core.CreateOperator("Relu", ["X"], ["Y"])
X = np.array([-1.0, 2.0], np.float32)


def test_checks_that_hold() -> None:
    workspace.FeedBlob("X", np.zeros(5))
    before = workspace.CurrentWorkspace()
    made = case().assertReferenceChecks(
        hu.cpu_do, RELU, [X], lambda X: [np.maximum(X, 0)], output_to_grad="Y",
        grad_reference=lambda dY, outputs, inputs: [dY * (outputs[0] > 0)],
    )  # fmt: skip
    assert made[0].tolist() == [0, 2]
    gather = core.CreateOperator("Gather", ["D", "I"], ["Y"])
    D, indices = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([2, 0])
    case().assertReferenceChecks(
        hu.cpu_do, gather, [D, indices], lambda D, i: [D[i]], output_to_grad="Y",
        grad_reference=lambda dY, outputs, inputs: [(dY, inputs[1]), None],
    )  # fmt: skip
    seen: list[Any] = []
    case().assertValidationChecks(hu.cpu_do, RELU, [X], lambda X, Y: seen.append((X, Y)))
    case().assertValidationChecks(
        hu.cpu_do, RELU, [X], lambda inputs, outputs: seen.append((inputs[0], outputs[0])), as_kwargs=False
    )
    assert [pair[1].tolist() for pair in seen] == [[0, 2]] * 2
    case().assertRunOpRaises(hu.cpu_do, RELU, [X.astype("i")], regexp="float32")
    case().assertRunOpRaises(hu.cpu_do, RELU, [X.astype("i")], exception=TypeError)
    assert hu.runOpOnInput(hu.cpu_do, RELU, [X])[0].tolist() == [0, 2]
    assert hu.runOpBenchmark(hu.cpu_do, RELU, [X], iterations=2)[0] >= 0
    assert workspace.CurrentWorkspace() == before
    assert workspace.FetchBlob("X").shape == (5,)


WRONG = {
    "values": lambda c: c.assertReferenceChecks(hu.cpu_do, RELU, [X], lambda X: [X]),
    "gradient": lambda c: c.assertReferenceChecks(
        hu.cpu_do, RELU, [X], lambda X: [np.maximum(X, 0)], output_to_grad="Y",
        grad_reference=lambda dY, outputs, inputs: [dY + 1],
    ),
    "slope": lambda c: c.assertGradientChecks(
        hu.cpu_do, RELU, [X], 0, [0], grad_ops=[core.CreateOperator("Negative", ["Y"], ["X_grad"])]
    ),
    "number": lambda c: c.assertReferenceChecks(hu.cpu_do, RELU, [X], lambda X: [X, X]),
    "no error": lambda c: c.assertRunOpRaises(hu.cpu_do, RELU, [X]),
    "not inferred": lambda c: c.assertReferenceChecks(
        hu.cpu_do, core.CreateOperator("Unique", ["X"], ["Y"]), [np.array([1, 1])], lambda X: [np.array([1])],
        ensure_outputs_are_inferred=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_checks_that_fail(name: str) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        WRONG[name](case())


@pytest.mark.parametrize(
    ("error", "match", "act"),
    [
        (ArgumentError, "wrong reference", lambda: WRONG_REFERENCE()),
        (ArgumentError, "output_to_grad", lambda: WITHOUT_OUTPUT()),
        (ArgumentError, "in-place", lambda: IN_PLACE()),
        (ArityError, "an input for each input", lambda: hu.runOpOnInput(hu.cpu_do, RELU, [])),
        (ArgumentError, "Unexpected dtype", lambda: hu.elements_of_type(np.uint8)),
        (ArgumentError, "min_segments is 3", lambda: hu.lengths(5, 3, 2)),
        (ArgumentError, "at least one segment", lambda: hu.lengths(5, 0, 0)),
    ],
)
def test_what_is_refused(error: type[Exception], match: str, act: Any) -> None:
    with pytest.raises(error, match=match):
        act()


def WRONG_REFERENCE() -> None:
    case().assertReferenceChecks(hu.cpu_do, RELU, [X], lambda X: X)


def WITHOUT_OUTPUT() -> None:
    case().assertReferenceChecks(
        hu.cpu_do, RELU, [X], lambda X: [np.maximum(X, 0)], grad_reference=lambda *_: [None]
    )


def IN_PLACE() -> None:
    case().assertValidationChecks(hu.cpu_do, core.CreateOperator("Relu", ["X"], ["X"]), [X], lambda **_: None)


@hypothesis.given(data=st.data())
@EXAMPLES
def test_what_is_drawn(data: Any) -> None:
    draw = data.draw
    assert draw(hu.tensor(2, 2, np.float16, min_value=3, max_value=4)).shape[0] in (3, 4)
    assert draw(hu.tensor1d(2, 5, np.bool_)).ndim == 1
    assert len({a.shape for a in draw(hu.tensors(3))}) == 1
    assert len({a.shape for a in draw(hu.tensors1d(2, dtype=np.int64))}) == 1
    rows, ids = draw(hu.segmented_tensor(allow_empty=True))
    assert len(rows) == len(ids)
    assert not len(ids) or (ids[0] == 0 and set(np.diff(ids)) <= {0, 1})
    _, ids = draw(hu.segmented_tensor(is_sorted=False))
    assert ids.min() >= 0
    rows, lengths = draw(hu.lengths_tensor(1, 3))
    assert lengths.sum() == len(rows)
    assert len(lengths) <= 3
    rows, indices, lengths = draw(hu.sparse_lengths_tensor(allow_empty=True))
    assert lengths.sum() == len(indices)
    assert not len(indices) or indices.max() < len(rows)
    assert len(draw(hu.lengths(0))) == 0
    assert abs(draw(hu.floats(min_value=-0.1, max_value=0.1))) <= np.float32(0.1)
    assert draw(hu.gradient_checker_device_option()) in draw(hu.device_checker_device_options())


def test_settings_of_older_versions() -> None:
    assert hu.settings(timeout=2, min_satisfying_examples=1, max_examples=3).max_examples == 3
    assert hu.settings(timeout=2).deadline.total_seconds() == 2
    assert hu.to_float32(0.1) == np.float32(0.1)
    assert not hu.is_sandcastle() or hu.is_travis() in (True, False)
