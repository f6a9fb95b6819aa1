"""Modules of a function or two: functional, lazy, lazy_dyndep, hsm_util with HSoftmax, crf in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2.proto import hsm_pb2
from caffe2.python import core, crf, crf_predict, hsm_util, lazy, lazy_dyndep, model_helper, muji, workspace
from caffe2.python.functional import Functional
from freshpot.errors import (
    ArgumentError,
    ArityError,
    NotSupportedError,
    ShapeError,
    UnknownOperatorError,
)

X = np.array([[1.0, -2.0, 3.0, 4.0]], np.float32)


def test_operators_as_functions() -> None:
    assert Functional.Relu(X).output_0.tolist() == [[1, 0, 3, 4]]
    halves = Functional.Split(X, num_output=2, axis=1)
    assert [half.tolist() for half in halves] == [[[1, -2]], [[3, 4]]]
    assert len(Functional.Concat(X, X, axis=0)) == 2
    there = np.zeros((2, 4), np.float32)
    assert Functional.ScatterAssign(there, np.array([1]), X)[0].tolist() == [[0] * 4, X[0].tolist()]


@pytest.mark.parametrize(
    ("error", "match", "act"),
    [
        (ArityError, "inputs not in range: 1 - 1", lambda: Functional.Relu(X, X)),
        (ArityError, "output not in range", lambda: Functional.Relu(X, num_output=2)),
        (ArityError, "pass num_output", lambda: Functional.Split(X)),
        (UnknownOperatorError, "Relo", lambda: Functional.Relo(X)),
        (ArgumentError, "mismatch: 1 vs 2", lambda: muji.Allreduce(core.Net("n"), ["a", "b"], "r", [0])),
    ],
)
def test_what_is_refused(error: type[Exception], match: str, act: Any) -> None:
    with pytest.raises(error, match=match):
        act()


def test_libraries_wait(tmp_path: Path, capsys: Any) -> None:
    library = tmp_path / "ops.so"
    library.write_bytes(b"")
    seen: list[Exception] = []
    lazy_dyndep.SetErrorHandler(seen.append)
    lazy_dyndep.RegisterOpsLibrary("nowhere.so")
    assert "Ignoring nowhere.so" in capsys.readouterr().out
    lazy_dyndep.RegisterOpsLibrary(str(library))
    assert not seen
    core.RefreshRegisteredOperators()
    assert isinstance(seen[0], NotSupportedError)
    assert lazy_dyndep.GetImportedOpsLibraries() == set()


def test_calls_that_wait() -> None:
    calls: list[int] = []
    lazy.RegisterLazyImport(lambda: calls.append(1))
    try:
        lazy.TriggerLazyImport()
        core.RefreshRegisteredOperators()
    finally:
        lazy._calls.pop()
    assert calls == [1, 1]


def test_a_tree_of_words() -> None:
    leaves = [hsm_util.create_node_with_words([0, 1]), hsm_util.create_node_with_words([2, 3])]
    tree = hsm_pb2.TreeProto(root_node=hsm_util.create_node_with_nodes(leaves))
    hierarchy = hsm_util.create_hierarchy(tree)
    workspace.FeedBlob("x", np.ones((3, 4), np.float32))
    workspace.FeedBlob("w", np.random.RandomState(0).randn(hierarchy.size, 4).astype(np.float32))
    workspace.FeedBlob("b", np.zeros(hierarchy.size, np.float32))
    total = 0
    for word in range(4):
        workspace.FeedBlob("label", np.full(3, word, np.int32))
        workspace.RunOperatorOnce(
            core.CreateOperator(
                "HSoftmax", ["x", "w", "b", "label"], ["y", "z"], hierarchy=hierarchy.SerializeToString()
            )
        )
        total += np.exp(-workspace.FetchBlob("y"))
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_a_conditional_random_field_learns() -> None:
    workspace.ResetWorkspace()
    model = model_helper.ModelHelper(name="m")
    layer = crf.CRFWithLoss(model, 3)
    loss = model.net.AveragedLoss(layer.crf_loss("pred", "labels"), "loss")
    model.AddGradientOperators([loss])
    grad = model.param_to_grad[layer.transitions]
    scores = np.random.RandomState(0).randn(6, 3).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2], np.int32)
    workspace.FeedBlob("pred", scores)
    workspace.FeedBlob("labels", labels)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    losses = []
    for _ in range(60):
        workspace.RunNet(model.net)
        losses.append(float(workspace.FetchBlob("loss")))
        step = workspace.FetchBlob(layer.transitions) - 0.5 * workspace.FetchBlob(grad)
        workspace.FeedBlob(layer.transitions, step)
    assert 0 < losses[-1] < 0.2 * losses[0]
    net = core.Net("use")
    found = [
        crf_predict.apply_crf(model.param_init_net, net, layer.transitions, "pred", 3),
        layer.update_predictions("pred"),
    ]
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob(found[0]).argmax(1).tolist() == labels.tolist()


def test_cores_of_a_matrix() -> None:
    from caffe2.python import build, tt_core

    sizes, out, ranks = [2, 3], [4, 5], [1, 3, 1]
    drawn = tt_core.init_tt_cores(sizes, out, ranks)
    np.testing.assert_array_equal(drawn, tt_core.init_tt_cores(sizes, out, ranks))
    assert drawn.shape == (69,)
    # as the original's: the first numbers of a matrix's cores, but for the signs
    W = np.random.RandomState(0).randn(6, 20).astype(np.float32)
    np.testing.assert_allclose(np.abs(tt_core.matrix_to_tt(W, sizes, out, ranks)[:3]), CORES, atol=1e-3)
    for wrong in (
        lambda: tt_core.init_tt_cores([2], [4, 5], ranks),
        lambda: tt_core.matrix_to_tt(W, [3, 3], out, ranks),
        lambda: tt_core.tt_svd(W, [6, 20], [1, 1]),
    ):
        with pytest.raises(ShapeError):
            wrong()
    assert build.build_options
    assert not build.CAFFE2_NO_OPERATOR_SCHEMA


CORES = [2.5621, 2.6169, 0.0212]
