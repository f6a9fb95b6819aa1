"""Operators that few programs use, against values that the original computed; and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from one_operator import arange, feed, run

from caffe2.proto import hsm_pb2
from caffe2.python import core, workspace
from freshpot.errors import (
    ArgumentError,
    ArityError,
    FormatError,
    KernelError,
    NetError,
    NotSupportedError,
    ShapeError,
)

pytestmark = pytest.mark.usefixtures("fresh")


CTC = [[[0.1, 0.7, 0.2]], [[0.3, 0.3, 0.4]], [[0.2, 0.1, 0.7]], [[0.6, 0.3, 0.1]]]
PEAK = [[[[0, 1, 2], [1, 4, 3], [0, 2, 1]]]]
BOX = ([[0, 0, 6, 3]], "f")
TREE = b"\n\x18\n\x0c\n\x06\x10\x03\x10\x01\x18\x04\x10\x00\x18\x02\n\x06\x10\x04\x10\x02\x18\x08\x18\x00"

#: type, inputs, outputs, what is fed, arguments, what the original computed
VALUES: list[tuple[str, str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "CTCBeamSearchDecoder",
        "x",
        "ol v p",
        {"x": (CTC, "f")},
        {"beam_width": 3, "num_candidates": 2},
        {"ol": [2, 3], "v": [1, 2, 1, 2, 1], "p": [0.4027, 0.1953]},
    ),
    (
        "NGramFromCategorical",
        "x",
        "y",
        {"x": ([[1, 2, 3], [4, 2, 0], [1.4, 9, 3], [0.5, 1, 2.5], [-3.5, 2, 5.4]], "f")},
        {"col_ids": [0, 2], "categorical_limits": [2, 3], "vals": [1, 4, 0, 3, 5]},
        {"y": [2, 1, 2, 2, 4]},
    ),
    (
        "HeatmapMaxKeypoint",
        "h b",
        "k",
        {"h": (PEAK, "f"), "b": BOX},
        {"should_output_softmax": True},
        {"k": [[[3.489028215], [1.587774277], [4.144200325], [0.54808259]]]},
    ),
    (
        "HeatmapMaxKeypoint",
        "h b",
        "k",
        {"h": ([[[[0, 1], [1, 4]]]], "f"), "b": BOX},
        {},
        {"k": [[[4.5], [2.25], [4.0], [0.0]]]},
    ),
    (
        "VariableLengthSequencePadding",
        "x l",
        "x",
        {"x": (arange(3, 2, 2, start=1), "f"), "l": ([1, 3], "i")},
        {},
        {"x": [[[1, 2], [3, 4]], [[0, 0], [7, 8]], [[0, 0], [11, 12]]]},
    ),
    (
        "TT",
        "x b k",
        "y",
        {"x": (arange(2, 4), "f"), "b": (arange(6), "f"), "k": (arange(20), "f")},
        {"inp_sizes": [2, 2], "out_sizes": [2, 3], "tt_ranks": [1, 2, 1]},
        {"y": [[1080, 1147, 3290, 3501, 1280, 1359], [3964, 4219, 1474, 1565, 4644, 4943]]},
    ),
    (
        "ConcatBatchMatMulBatchGatherOp",
        "i a b c",
        "y",
        {
            "i": ([1, 2, 5], "i"),
            "a": (arange(2, 2), "f"),
            "b": (arange(2, 2, start=4), "f"),
            "c": (arange(2, 2, start=8), "f"),
        },
        {},
        {"y": [[5, 9, 77], [33, 53, 137]]},
    ),
    ("SumInt", "a b", "c", {"a": ([1, 2], "int64"), "b": ([3, 4], "int64")}, {}, {"c": [4, 6]}),
    (
        "UnsafeCoalesce",
        "a b",
        "d e c",
        {"a": ([[1, 2], [3, 4]], "f"), "b": ([5, 6, 7], "f")},
        {},
        {"d": [[1, 2], [3, 4]], "e": [5, 6, 7], "c": [1, 2, 3, 4, 5, 6, 7]},
    ),
    (
        "WeightedMultiSampling",
        "c",
        "y",
        {"c": ([0, 0, 1, 1], "f")},
        {"num_samples": 3},
        {"y": [2, 2, 2]},
    ),
    (
        "WeightedMultiSampling",
        "c s",
        "y",
        {"c": ([0, 0, 1, 1], "f"), "s": ([[0.0], [0.0]], "f")},
        {},
        {"y": [[2], [2]]},
    ),
    ("WeightedMultiSampling", "c", "y", {"c": ([], "f")}, {"num_samples": 3}, {"y": []}),
    (
        "HuffmanTreeHierarchy",
        "l",
        "t",
        {"l": ([2, 0, 2, 1, 2, 4, 4, 0], "int64")},
        {"num_classes": 5},
        {"t": [TREE]},
    ),
]


@pytest.mark.parametrize(("type_", "inputs", "outputs", "fed", "args", "wanted"), VALUES)
def test_values(
    type_: str, inputs: str, outputs: str, fed: dict[str, Any], args: dict[str, Any], wanted: dict[str, Any]
) -> None:
    feed(fed)
    run(type_, inputs.split(), outputs.split(), **args)
    for name, value in wanted.items():
        found = workspace.FetchBlob(name)
        assert found.shape == np.shape(value)
        if found.dtype == object:
            assert found.tolist() == value
        else:
            np.testing.assert_allclose(found, value, rtol=1e-5)


X, W = (np.ones((2, 2)), "f"), (np.ones((3, 2)), "f")
#: type, inputs, outputs, what is fed, arguments, error, words of its message
REFUSED: list[tuple[str, str, str, dict[str, Any], dict[str, Any], type[NetError], str]] = [
    ("APMeter", "x l", "y", {}, {"buffer_size": 0}, ArgumentError, "must be positive, got 0"),
    ("ReservoirSampling", "r n d m", "r n", {}, {}, ArgumentError, "'num_to_collect' must be positive"),
    (
        "ReservoirSampling",
        "r n d m o",
        "r n",
        {},
        {"num_to_collect": 1},
        ArityError,
        "takes 4 inputs for 2 outputs, or 7 for 4",
    ),
    ("CollectTensor", "v t u", "v", {}, {"num_to_collect": 1}, ArityError, "there must be 2 inputs"),
    (
        "CollectTensor",
        "v t",
        "v",
        {"v": X, "t": X},
        {"num_to_collect": 1},
        ArgumentError,
        "make them with CreateTensorVector",
    ),
    ("CTCBeamSearchDecoder", "x", "l v", {}, {"beam_width": 0}, ArgumentError, "must be positive"),
    (
        "CTCBeamSearchDecoder",
        "x l",
        "ol v",
        {"x": (CTC, "f"), "l": ([5], "i")},
        {},
        ShapeError,
        "lengths must be from 0 to 4, got 5 to 5",
    ),
    ("HeatmapMaxKeypoint", "h b", "k", {"h": ([[[[1]]]], "f"), "b": BOX}, {}, ShapeError, "2 x 2 at least"),
    ("NGramFromCategorical", "x", "y", {}, {"col_ids": [1]}, ArgumentError, "needs one of"),
    (
        "NGramFromCategorical",
        "x",
        "y",
        {},
        {"col_ids": [1], "categorical_limits": [2], "vals": [1]},
        ArgumentError,
        "add up to 2, but there are 1 'vals'",
    ),
    (
        "NGramFromCategorical",
        "x",
        "y",
        {"x": X},
        {"col_ids": [2], "categorical_limits": [1], "vals": [1]},
        ShapeError,
        "has no column 2",
    ),
    (
        "VariableLengthSequencePadding",
        "x l",
        "x",
        {"x": (arange(1, 1, 1), "f"), "l": ([-1], "i")},
        {},
        ShapeError,
        "must not be negative, got -1",
    ),
    ("TT", "x b k", "y", {}, {}, ArgumentError, "equally long"),
    (
        "TT",
        "x b k",
        "y",
        {},
        {"inp_sizes": [2], "out_sizes": [2], "tt_ranks": [1, 2]},
        ArgumentError,
        "the first and last rank 1",
    ),
    (
        "TT",
        "x b k",
        "y",
        {"x": X, "b": ([0, 0], "f"), "k": ([0], "f")},
        {"inp_sizes": [2], "out_sizes": [2], "tt_ranks": [1, 1]},
        ShapeError,
        "cores 4 (got 1)",
    ),
    (
        "TTSparseLengthsSum",
        "a b c i l",
        "y p q d",
        {},
        {"factor_i": [1]},
        ArgumentError,
        "there must be 3 'factor_i'",
    ),
    ("TTSparseLengthsSum", "a b c i l", "y p q d", {}, {}, ArgumentError, "multiply to 'emb_size'"),
    (
        "ConcatBatchMatMulBatchGatherOp",
        "i a b",
        "y",
        {"i": ([4], "i"), "a": X, "b": X},
        {},
        ShapeError,
        "indices must be from 0 to 3",
    ),
    (
        "ConcatBatchMatMulBatchGatherOp",
        "i a b",
        "y",
        {"i": ([0], "i"), "a": X, "b": W},
        {},
        ShapeError,
        "matrices of one shape",
    ),
    ("UnsafeCoalesce", "a", "b", {}, {}, ArityError, "for 1 inputs there must be 2 outputs, got 1"),
    ("Free", "a", "b", {}, {}, ArityError, "outputs must be the inputs"),
    ("WeightedMultiSampling", "c s", "y", {}, {"num_samples": 1}, ArgumentError, "leave 'num_samples' out"),
    ("HuffmanTreeHierarchy", "l", "t", {}, {}, ArgumentError, "must be positive, got -1"),
    (
        "HuffmanTreeHierarchy",
        "l",
        "t",
        {"l": ([5], "int64")},
        {"num_classes": 5},
        ArgumentError,
        "labels must be from 0 to 4",
    ),
    ("IncrementPut", "v", "", {}, {"magnitude_expand": 0}, ArgumentError, "must be positive, got 0"),
    ("IncrementPut", "v", "", {"v": ([], "f")}, {}, KernelError, "give a 'default_value'"),
    ("AveragePut", "v", "", {"v": ([np.nan], "f")}, {}, KernelError, "the number is nan"),
    ("StdDevPut", "v", "", {"v": ([1e30], "f")}, {}, KernelError, "too large for a factor of 1"),
    ("CreateTextFileReader", "", "h", {}, {"filename": "x"}, ArgumentError, "'field_types' must name types"),
    ("TextFileReaderRead", "h", "a", {"h": X}, {}, ArgumentError, "make it with CreateTextFileReader"),
    ("FileStoreHandlerCreate", "", "h", {}, {"prefix": "x"}, ArgumentError, "'path' must name a folder"),
    ("StoreGet", "h", "a", {"h": X}, {}, ArgumentError, "make it with FileStoreHandlerCreate"),
    ("Allreduce", "w x", "x", {"w": X, "x": X}, {}, ArgumentError, "make it with CreateCommonWorld"),
    ("CreateBlobsQueueDB", "q", "r", {"q": X}, {}, ArgumentError, "make it with CreateBlobsQueue"),
    ("LogFatal", "", "", {}, {}, KernelError, "asks for this failure"),
    ("Crash", "", "", {}, {}, KernelError, "asks for this failure"),
    ("ThrowChildThreadException", "", "", {}, {}, KernelError, "asks for this failure"),
    (
        "HSoftmax",
        "x w b l",
        "y i",
        {"x": X, "w": W, "b": ([0] * 3, "f"), "l": ([7, 7], "i")},
        {},
        ArgumentError,
        "the hierarchy has no class 7",
    ),
    (
        "HSoftmaxSearch",
        "x w b",
        "n s",
        {"x": X, "w": W, "b": ([0] * 3, "f")},
        {},
        ArgumentError,
        "must have a name and an offset",
    ),
    (
        "PackedInt8BGRANHWCToNCHWCStylizerPreprocess",
        "x m",
        "y",
        {},
        {"noise_size": 0},
        ArgumentError,
        "must be positive, got 0",
    ),
]


@pytest.mark.parametrize(("type_", "inputs", "outputs", "fed", "args", "error", "words"), REFUSED)
def test_refused(
    type_: str,
    inputs: str,
    outputs: str,
    fed: dict[str, Any],
    args: dict[str, Any],
    error: type[NetError],
    words: str,
) -> None:
    for name in inputs.split():
        workspace.FeedBlob(name, np.zeros(1, "f"))
    feed(fed)
    with pytest.raises(error) as caught:
        run(type_, inputs.split(), outputs.split(), **args)
    assert words in str(caught.value)


def test_what_cannot_be_read_or_done() -> None:
    workspace.FeedBlob("x", np.ones(2, "f"))
    with pytest.raises(NotSupportedError, match="the original has no gradient of TT"):
        run("TTLinearGradient", ["x"], ["y"])
    for type_, argument in (("HSoftmax", "hierarchy"), ("HSoftmaxSearch", "tree")):
        outputs = ["y", "z"]
        with pytest.raises(FormatError, match=f"argument '{argument}' is no"):
            run(type_, ["x"] * (4 if type_ == "HSoftmax" else 3), outputs, **{argument: b"\xff"})


def test_gradient_of_hsoftmax() -> None:
    """Along random directions, the loss rises as the gradient says."""
    paths = hsm_pb2.HierarchyProto()
    paths.paths.add(word_id=0).path_nodes.add(index=0, length=2, target=0)
    deep = paths.paths.add(word_id=1)
    deep.path_nodes.add(index=0, length=2, target=1)
    deep.path_nodes.add(index=2, length=3, target=2)
    values = {n: np.random.rand(*s).astype("f") for n, s in (("X", (3, 4)), ("W", (5, 4)), ("b", (5,)))}
    for name, value in values.items():
        workspace.FeedBlob(name, value)
    workspace.FeedBlob("l", np.array([0, 1, 1], "i"))
    net = core.Net("hsm")
    net.HSoftmax(["X", "W", "b", "l"], ["Y", "between"], hierarchy=paths.SerializeToString())
    net.SumElements("Y", "loss")
    grads = net.AddGradientOperators(["loss"])
    workspace.RunNetOnce(net)
    before, found = workspace.FetchBlob("loss"), {n: workspace.FetchBlob(grads[n]) for n in values}
    for name, value in values.items():
        way = np.random.randn(*value.shape).astype("f") * 1e-3
        workspace.FeedBlob(name, value + way)
        workspace.RunNetOnce(net)
        np.testing.assert_allclose(workspace.FetchBlob("loss") - before, (way * found[name]).sum(), atol=2e-5)
        workspace.FeedBlob(name, value)


def test_gradient_of_tt_lookup() -> None:
    shapes = {"a": (2, 1, 2, 2), "b": (3, 2, 2, 3), "c": (2, 3, 1, 1)}
    values = {n: torch.rand(s, requires_grad=True) for n, s in shapes.items()}
    for name, value in values.items():
        workspace.FeedBlob(name, value.detach().numpy())
    feed({"i": ([0, 11, 5, 5], "int64"), "l": ([1, 0, 3], "i")})
    net = core.Net("tt")
    sizes = {"factor_i": [2, 3, 2], "factor_j": [2, 2, 1], "ranks": [1, 2, 3, 1], "emb_size": 4}
    net.TTSparseLengthsSum(["a", "b", "c", "i", "l"], ["y", "p", "q", "d"], **sizes)
    net.Sqr("y", "yy")
    net.SumElements("yy", "loss")
    grads = net.AddGradientOperators(["loss"])
    workspace.RunNetOnce(net)
    table = torch.einsum("iaxr,jrys,kszt->kjixyz", *values.values()).reshape(12, 4)
    loss = table[0].square().sum() + table[[11, 5, 5]].sum(0).square().sum()
    loss.backward()
    np.testing.assert_allclose(workspace.FetchBlob("loss"), loss.item(), rtol=1e-5)
    for name, value in values.items():
        np.testing.assert_allclose(workspace.FetchBlob(grads[name]), value.grad, rtol=1e-4, atol=1e-5)
