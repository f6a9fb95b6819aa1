"""Operators that few programs use, against values that the original computed; and what they refuse."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe2.proto import hsm_pb2
from caffe2.python import core, workspace
from freshpot.data.tensor_protos import encode_tensors
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DataError,
    FormatError,
    KernelError,
    NetError,
    NotSupportedError,
    ShapeError,
)
from freshpot.ops.io import stats, store


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats.PROCESS, "_sums", {})
    workspace.ResetWorkspace()


def run(type_: str, inputs: list[str], outputs: list[str], **args: Any) -> None:
    workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs, **args))


def feed(blobs: dict[str, tuple[Any, str]]) -> None:
    for name, (value, dtype) in blobs.items():
        workspace.FeedBlob(name, np.array(value, dtype))


def arange(*shape: int, start: int = 0) -> Any:
    return np.arange(start, start + int(np.prod(shape))).reshape(shape)


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
    with pytest.raises(NotSupportedError, match="2 processes are not supported"):
        run("CreateCommonWorld", [], ["w"], size=2, rank=1)
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


def test_apmeter_forgets_what_it_sorted_to_the_front() -> None:
    """Two runs of a net; checked against the original."""
    net = core.Net("ap")
    net.APMeter(["p", "l"], ["ap"], buffer_size=3)
    feed({"p": ([[0.9], [0.1]], "f"), "l": ([[1], [1]], "i")})
    workspace.CreateNet(net)
    workspace.RunNet(net)
    np.testing.assert_allclose(workspace.FetchBlob("ap"), [1.0])
    feed({"p": ([[0.5], [0.2]], "f"), "l": ([[0], [1]], "i")})
    workspace.RunNet(net)
    np.testing.assert_allclose(workspace.FetchBlob("ap"), [7 / 12], rtol=1e-6)
    feed({"p": ([[0.5, 1]], "f"), "l": ([[0, 1]], "i")})
    with pytest.raises(ShapeError, match="there were 1 classes before, now there are 2"):
        workspace.RunNet(net)


def test_statistics() -> None:
    feed({"v": ([2.6], "f"), "e": ([], "f"), "n": ([np.nan], "f"), "big": ([-1e30], "f")})
    for args in ({"stat_name": "s", "magnitude_expand": 10}, {"stat_name": "s"}):
        run("StdDevPut", ["v"], [], **args)
    assert workspace.GetStats() == {
        "s/stat_value/sum": 28,
        "s/stat_value/count": 2,
        "s/stat_value/sumsqoffset": 0,
        "s/stat_value/sumoffset": 0,
    }
    run("IncrementPut", ["e"], [], default_value=3.0)
    run("IncrementPut", ["n"], [], bound=True)
    run("IncrementPut", ["big"], [], bound=True)
    found = workspace.GetStats()
    assert [found[f"{n}/stat_value"] for n in ("e", "n", "big")] == [3, 0, -(2**63)]


def test_a_reservoir_keeps_as_many_as_it_may() -> None:
    run("CreateMutex", [], ["m"])
    run("CreateMap", [], ["map"], key_dtype=10, value_dtype=2)
    net = core.Net("reservoir")
    net.ReservoirSampling(["r", "n", "d", "m"], ["r", "n"], num_to_collect=4)
    blobs = ["r2", "n2", "d", "m", "o", "map", "pos"]
    net.ReservoirSampling(blobs, ["r2", "n2", "map", "pos"], num_to_collect=4)
    feed({"r": ([], "f"), "n": (9, "int64"), "r2": ([], "f"), "n2": (0, "int64"), "pos": ([], "int64")})
    rows = arange(6)
    feed({"d": (rows, "f"), "o": ([7, 8, 7, 7, 8, 9], "int64")})
    workspace.CreateNet(net)
    workspace.RunNet(net)
    kept = workspace.FetchBlob("r")
    assert len(kept) == 4
    assert len(set(kept.tolist())) == 4
    assert workspace.FetchBlob("n") == 6
    assert workspace.FetchBlob("r2").tolist() == [0, 1, 5]
    assert workspace.FetchBlob("pos").tolist() == [7, 8, 9]
    assert workspace.FetchBlob("n2") == 3
    workspace.RunNet(net)
    assert workspace.FetchBlob("n") == 12
    assert workspace.FetchBlob("n2") == 3
    run("MapToKeyValue", ["map"], ["k", "v"])
    assert dict(zip(workspace.FetchBlob("k").tolist(), workspace.FetchBlob("v").tolist(), strict=True)) == {
        7: 0,
        8: 1,
        9: 2,
    }


def test_lists_collect_the_tensors_of_the_same_runs() -> None:
    for name in "ab":
        run("CreateTensorVector", [], [name])
    net = core.Net("collect")
    net.CollectTensor(["a", "b", "x", "y"], ["a", "b"], num_to_collect=3)
    workspace.FeedBlob("x", np.zeros(1, "f"))
    workspace.FeedBlob("y", np.zeros(1, "f"))
    workspace.CreateNet(net)
    for i in range(20):
        feed({"x": ([i], "f"), "y": ([i + 100], "f")})
        workspace.RunNet(net)
    for name in "ab":
        run("ConcatTensorVector", [name], [f"{name}_all"])
    found = workspace.FetchBlob("a_all")
    assert len(found) == 3
    assert (workspace.FetchBlob("b_all") == found + 100).all()


def test_text_files(tmp_path: Path) -> None:
    file = tmp_path / "rows.txt"
    file.write_bytes(b"1.5\ta\n2\tb c\n3e1\t\n4\tlast")
    types = [core.DataType.FLOAT, core.DataType.STRING]
    run("CreateTextFileReader", [], ["h"], filename=str(file), num_passes=2, field_types=types)
    found: list[tuple[float, bytes]] = []
    for count in (3, 3, 2, 0):
        run("TextFileReaderRead", ["h"], ["a", "b"], batch_size=3)
        columns = workspace.FetchBlobs(["a", "b"])
        assert [len(c) for c in columns] == [count, count]
        found += zip(*(c.tolist() for c in columns), strict=True)
    assert found == [(1.5, b"a"), (2, b"b c"), (30, b""), (4, b"last")] * 2
    with pytest.raises(ArityError, match="rows have 2 columns, but there are 1 outputs"):
        run("TextFileReaderRead", ["h"], ["a"])
    file.write_bytes(b"1\ta\tb\nx\ta\n5\ta\n")
    run("CreateTextFileReader", [], ["h"], filename=str(file), field_types=types)
    for words in ("rows.txt: row 1: there are 3 columns, expected 2", "row 2: could not convert"):
        with pytest.raises(FormatError, match=words):
            run("TextFileReaderRead", ["h"], ["a", "b"])
    run("TextFileReaderRead", ["h"], ["a", "b"])
    assert workspace.FetchBlob("a").tolist() == [5]
    with pytest.raises(DataError, match=r"nowhere\.txt: cannot be read"):
        run("CreateTextFileReader", [], ["h"], filename=str(tmp_path / "nowhere.txt"), field_types=types)


def test_a_store_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PATIENCE_S", 0.05)
    x = np.random.rand(2, 3).astype("f")
    workspace.FeedBlob("x", x)
    for prefix in ("", "other"):
        run("FileStoreHandlerCreate", [], ["h" + prefix], path=str(tmp_path), prefix=prefix)
    run("StoreSet", ["h", "x"], [])
    run("StoreGet", ["h"], ["y"], blob_name="x")
    np.testing.assert_array_equal(workspace.FetchBlob("y"), x)
    run("StoreWait", ["h"], [], blob_names=["x"])
    workspace.FeedBlob("names", np.array(["x", "never"], object))
    for inputs, args in ((["h", "names"], {}), (["hother"], {"blob_name": ["never"]})):
        with pytest.raises(DataError, match="nobody stored"):
            run("StoreWait", inputs, [], **args)
    with pytest.raises(ArgumentError, match="give them once"):
        run("StoreWait", ["h", "names"], [], blob_names=["x"])
    with pytest.raises(NotSupportedError, match="has no counters"):
        run("StoreAdd", ["h"], ["n"], blob_name="n")
    with pytest.raises(DataError, match="there is no such folder"):
        run("FileStoreHandlerCreate", [], ["h"], path=str(tmp_path / "nowhere"))


def test_a_world_of_one_process() -> None:
    x, y = np.ones(2, "f"), np.full(2, 3, "f")
    run("CreateCommonWorld", [], ["w"], engine="GLOO", size=1, rank=0)
    for type_, wanted in (("Allreduce", [4, 4]), ("Broadcast", [1, 1])):
        workspace.FeedBlob("x", x)
        workspace.FeedBlob("y", y)
        run(type_, ["w", "x", "y"], ["x", "y"], engine="GLOO")
        assert [v.tolist() for v in workspace.FetchBlobs(["x", "y"])] == [wanted, wanted]
    workspace.FeedBlob("x", x)
    run("Allgather", ["w", "x", "x"], ["all"])
    run("Reduce", ["w", "x"], ["sum"])
    run("CloneCommonWorld", ["w"], ["w2"])
    run("Barrier", ["w2"], [])
    run("DestroyCommonWorld", ["w2"], ["w2"])
    assert workspace.FetchBlob("all").tolist() == [[1, 1], [1, 1]]
    assert workspace.FetchBlob("sum").tolist() == [1, 1]


def test_a_queue_read_as_a_database() -> None:
    run("CreateBlobsQueue", [], ["q"], capacity=10, num_blobs=1)
    run("CreateBlobsQueueDB", ["q"], ["reader"], timeout_secs=5.0)
    net = core.Net("read")
    net.TensorProtosDBInput(["reader"], ["image", "label"], batch_size=2)

    def fill() -> None:
        for i in range(4):
            workspace.FeedBlob("item", encode_tensors(np.full((1, 2), i, "f"), np.array(i, "i")))
            run("EnqueueBlobs", ["q", "item"], ["item"])

    thread = threading.Thread(target=fill)
    workspace.CreateNet(net)
    thread.start()
    for labels in ([0, 1], [2, 3]):
        workspace.RunNet(net)
        assert workspace.FetchBlob("label").reshape(-1).tolist() == labels
        assert workspace.FetchBlob("image").shape[0] == 2
    thread.join()
    run("CloseBlobsQueue", ["q"], [])
    with pytest.raises(DataError, match="is closed and empty"):
        workspace.RunNet(net)
    run("CreateBlobsQueue", [], ["q"], capacity=10, num_blobs=1)
    with pytest.raises(ArgumentError, match="items of the queue have 1 blobs, but -1 is to be the key and 1"):
        run("CreateBlobsQueueDB", ["q"], ["reader"], value_blob_index=1)


def test_blobs_are_freed_and_given_text() -> None:
    workspace.FeedBlob("x", np.ones(2, "f"))
    run("Free", ["x"], ["x"])
    with pytest.raises(NetError, match="holds nothing yet"):
        run("Relu", ["x"], ["y"])
    run("FeedBlob", [], ["t"], value="text")
    assert workspace.FetchBlob("t") == b"text"
