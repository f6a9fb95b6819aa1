"""Operators that few programs use and that keep something: statistics, lists, files, stores, worlds, queues."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from one_operator import arange, feed, run

from caffe2.python import core, workspace
from freshpot.data.tensor_protos import encode_tensors
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DataError,
    FormatError,
    NetError,
    NotSupportedError,
    ShapeError,
)
from freshpot.ops.io import store

pytestmark = pytest.mark.usefixtures("fresh")


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
    assert workspace.FetchBlob("all").tolist() == [1, 1, 1, 1]
    assert workspace.FetchBlob("sum").tolist() == [1, 1]


def test_a_queue_read_as_a_database() -> None:
    run("CreateBlobsQueue", [], ["q"], capacity=10, num_blobs=1)
    run("CreateBlobsQueueDB", ["q"], ["reader"], timeout_secs=300.0)
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
