"""Datasets, readers, writers, pipes and checkpoints: what flows, what is made, what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2.proto import caffe2_pb2
from caffe2.python import (
    checkpoint,
    core,
    dataio,
    dataset,
    net_printer,
    pipeline,
    queue_util,
    record_queue,
    schema,
    workspace,
)
from caffe2.python._errors import MisuseError
from caffe2.python.cached_reader import CachedReader
from caffe2.python.db_file_reader import DBFileReader
from caffe2.python.net_builder import ops
from caffe2.python.session import LocalSession
from caffe2.python.task import Task, TaskGroup, WorkspaceType
from caffe2.python.text_file_reader import TextFileReader
from freshpot.errors import ArgumentError, ArityError, FormatError, NotSupportedError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def init_empty(made: dataset.Dataset) -> None:
    net = core.Net("init")
    made.init_empty(net)
    workspace.RunNetOnce(net)


def fed(name: str = "src", rows: int = 5) -> dataset.Dataset:
    """Rows with a number and a list each."""
    made = dataset.Dataset(schema.Struct(("uid", np.int32), ("val", schema.List(np.float32))), name=name)
    with core.NameScope(name):
        init_empty(made)
    values: list[Any] = [
        np.arange(rows, dtype=np.int32),
        np.full(rows, 2, np.int32),
        np.arange(2 * rows, dtype=np.float32),
    ]
    for blob, value in zip(made.get_blobs(), values, strict=True):
        workspace.FeedBlob(blob, value)
    return made


def empty(like: dataset.Dataset, name: str = "dst") -> dataset.Dataset:
    made = dataset.Dataset(like.schema.clone_schema(), name=name)
    with core.NameScope(name):
        init_empty(made)
    return made


def contents(of: dataset.Dataset) -> list[list[float]]:
    return [workspace.FetchBlob(blob).tolist() for blob in of.get_blobs()]


@pytest.mark.parametrize(
    "threads", [{"num_threads": 1}, {"num_threads": 3}, {"num_threads": 1, "num_runtime_threads": 2}]
)
def test_rows_go_through_a_queue(threads: dict[str, int]) -> None:
    source = fed()
    target = empty(source)
    seen: list[Any] = []
    with TaskGroup(WorkspaceType.GLOBAL) as group:
        queue = pipeline.pipe(source.reader(batch_size=2), processor=lambda r: r, capacity=3, **threads)
        assert isinstance(queue, queue_util.Queue)
        pipeline.pipe(queue, target.writer(), processor=lambda r: (seen.append(r), r)[1])
    LocalSession().run(group)
    assert len(seen) == 1
    if threads == {"num_threads": 1}:
        assert contents(target) == contents(source)
    assert sorted(contents(target)[0]) == [0, 1, 2, 3, 4]
    assert sorted(contents(target)[2]) == list(range(10))


def test_no_row_is_lost_between_threads() -> None:
    source = fed(rows=300)
    target = empty(source)
    with TaskGroup(WorkspaceType.GLOBAL) as group:
        pipeline.pipe(source.reader(), target.writer(), num_runtime_threads=8)
    LocalSession().run(group)
    assert sorted(contents(target)[0]) == list(range(300))
    assert len(contents(target)[2]) == 600


def test_a_net_as_processor_and_outputs() -> None:
    source = fed()
    net = core.Net("double")
    record = schema.NewRecord(net, schema.Struct(("uid", np.int32)))
    net.set_input_record(record)
    net.set_output_record(
        schema.Struct(("uid", schema.Scalar(np.int32, net.Add([record.uid(), record.uid()]))))
    )
    target = dataset.Dataset(schema.Struct(("uid", np.int32)), name="dst")
    init_empty(target)
    limited = dataio.ReaderWithLimit(source.reader(batch_size=2), num_iter=2)
    with TaskGroup(WorkspaceType.GLOBAL) as group:
        only = pipeline.pipe(limited, num_threads=0, processor=lambda r: schema.Struct(("uid", r.uid)))
        assert isinstance(only, pipeline.ProcessingReader)
        _, finished = pipeline.pipe_and_output(
            only, target.writer(), processor=net, final_outputs=limited.data_finished()
        )
    LocalSession().run(group)
    assert contents(target) == [[0, 2, 4, 6]]
    assert finished.fetch() == [False]


def test_limits() -> None:
    def read_all(reader: dataio.Reader) -> int:
        with TaskGroup(WorkspaceType.GLOBAL) as group:
            total = pipeline.pipe_and_output(reader, processor=lambda r: None, final_outputs=None)
        assert total == (None, None)
        LocalSession().run(group)
        return 0

    source = fed(rows=4)
    for reader, finished in (
        (dataio.ReaderWithLimit(source.reader(), num_iter=3), False),
        (dataio.ReaderWithLimit(source.reader(), num_iter=None), True),
        (dataio.ReaderWithTimeLimit(source.reader(), duration=60), True),
        (dataio.ReaderWithTimeLimit(source.reader(), duration=None), True),
    ):
        read_all(reader)
        assert bool(workspace.FetchBlob(reader.data_finished())) is finished


def test_readers_beside_each_other() -> None:
    first, second = fed("one", rows=3), fed("two", rows=5)
    reader = dataio.CompositeReader(["x", "y"], [first.reader(), second.reader()])
    assert reader.schema().field_names()[:2] == ["x:uid", "x:val:lengths"]
    target = dataset.Dataset(reader.schema().clone_schema(), name="dst")
    with core.NameScope("dst"):
        init_empty(target)
    with TaskGroup(WorkspaceType.GLOBAL) as group:
        pipeline.pipe(reader, target.writer())
    LocalSession().run(group)
    assert contents(target)[0] == contents(target)[3] == [0, 1, 2]


def test_a_random_order_is_that_of_the_original() -> None:
    """Values computed by the original, whose generator has no seed."""
    source = fed(rows=7)
    net = core.Net("setup")
    reader = source.random_reader(net, batch_size=3)
    reader.sort_and_shuffle(net, sort_by_field="uid", shuffle_size=2, batch_size=2)
    reader.computeoffset(net)
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("indices").tolist() == [4, 5, 2, 3, 1, 0, 6]
    read_net = core.Net("read")
    stop, (uid, _, val) = reader.read(read_net)
    workspace.CreateNet(read_net)
    found: list[Any] = []
    while True:
        workspace.RunNet(read_net)
        if workspace.FetchBlob(stop):
            break
        found += zip(workspace.FetchBlob(uid), workspace.FetchBlob(val).reshape(-1, 2)[:, 0], strict=True)
    assert found == [(i, 2 * i) for i in (4, 5, 2, 3, 1, 0, 6)]


def test_a_record_queue() -> None:
    source = fed()
    net = core.Net("setup")
    queue = record_queue.RecordQueue(source.schema.clone_schema(), capacity=2, num_threads=2)
    reader, producers, exit_step, _ = queue.build(source.reader(net), process=lambda n, r: r)
    workspace.RunNetOnce(net)
    target = empty(source)
    init = core.Net("init")
    writer = target.writer(init)
    workspace.RunNetOnce(init)
    read_net = core.Net("consume")
    stop, record = reader.read_record(read_net)
    write_net = core.Net("keep")
    writer.write_record(write_net, record)
    plan = core.Plan("all")
    closing = core.execution_step("producing", [producers, exit_step])
    consuming = core.execution_step("consuming", [read_net, write_net], should_stop_blob=stop)
    plan.AddStep(core.execution_step("both", [closing, consuming], concurrent_substeps=True))
    workspace.RunPlan(plan)
    assert sorted(contents(target)[0]) == [0, 1, 2, 3, 4]


def test_files(tmp_path: Path) -> None:
    text = tmp_path / "rows.txt"
    text.write_text("1.5\ta\n2.5\tb\n")
    net = core.Net("setup")
    record = schema.Struct(("x", np.float32), ("name", str))
    step, found = TextFileReader(net, str(text), record, batch_size=5).execution_step("read")
    workspace.RunNetOnce(net)
    workspace.RunNetOnce(step.Nets()[0])
    assert workspace.FetchBlob(found.name()).tolist() == [b"a", b"b"]

    source = fed()
    cached = CachedReader(source.reader(), str(tmp_path / "cache.db"), "minidb", batch_size=2)
    plan = core.Plan("cache")
    plan.AddStep(cached.build_cache_step())
    workspace.RunPlan(plan)
    assert not cached.build_cache_step().Proto().network
    workspace.ResetWorkspace()
    reader = DBFileReader(str(tmp_path / "cache.db"), "minidb", batch_size=10)
    assert reader.name == "cache_db_file_reader"
    net = core.Net("setup")
    reader.setup_ex(net, core.Net("exit"))
    workspace.RunNetOnce(net)
    read_net = core.Net("read")
    _, (uid, *_) = reader.read(read_net)
    workspace.RunNetOnce(read_net)
    assert sorted(workspace.FetchBlob(uid)) == [0, 1, 2, 3, 4]


class Frame:
    """As much of a data frame as is looked at."""

    def __init__(self, **columns: Any) -> None:
        self.columns = list(columns)
        self.values = list(columns.values())
        self.iloc = self

    def __getitem__(self, key: tuple[slice, int]) -> Any:
        return type("Series", (), {"to_numpy": lambda _: self.values[key[1]]})()


def test_a_dataset_of_a_data_frame_is_trimmed() -> None:
    made = dataset.Dataset(["a", "b"])
    net = core.Net("n")
    made.init_from_dataframe(net, Frame(a=np.arange(5), b=np.arange(5.0)))
    made.trim(net, 2)
    workspace.RunNetOnce(net)
    assert contents(made) == [[0, 1, 2, 3], [0, 1, 2, 3]]
    with pytest.raises(MisuseError, match="there are 2 fields and 1 columns"):
        made.init_from_dataframe(net, Frame(a=np.arange(5)))


def in_a_workspace() -> tuple[LocalSession, Any]:
    ws = workspace.C.Workspace()
    return LocalSession(ws), ws


def counting_job(epochs: int) -> tuple[checkpoint.Job, Any]:
    """Adds 1 to a total, 2 times an epoch."""
    with checkpoint.Job() as job:
        with job.init_group:
            init_net = core.Net("init")
            total = init_net.ConstantFill([], "total", shape=[1], value=0.0)
            one = init_net.ConstantFill([], "one", shape=[1], value=1.0)
            Task(step=init_net)
        with job.epoch_group, Task(), ops.loop(2):
            ops.Add([total, one], total)
        checkpoint.epoch_limiter(job, epochs)
    return job, total


@pytest.mark.parametrize("several", [False, True])
def test_a_job_goes_on_from_its_checkpoint(tmp_path: Path, several: bool) -> None:
    reports: list[Any] = []

    class Metadata:
        """Keeps account of what it is told."""

        def set_params(self, **params: Any) -> None:
            reports.append(params["db_type"])

        def last_epoch(self, user_epoch: int | None = None) -> int | None:
            return user_epoch

        def cp_accessible(self, epoch: int | None = None) -> bool:
            return True

        def write(self, epoch: int) -> None:
            reports.append(epoch)

        def report(self, action: str, stats: dict[str, Any]) -> None:
            reports.append((action, len(stats)))

    def manager() -> Any:
        if several:
            return checkpoint.MultiNodeCheckpointManager(str(tmp_path), "minidb", Metadata())
        return checkpoint.CheckpointManager(str(tmp_path), "node", "minidb", Metadata())

    job, total = counting_job(3)
    session, ws = in_a_workspace()
    assert checkpoint.JobRunner(job, manager()).train(session) == 3
    assert ws.fetch_blob(str(total)) == [6]
    assert reports[:3] == ["minidb", 0, ("checkpoint_save", 1)]
    assert len(list(tmp_path.iterdir())) == 4
    for resume in (2, 1):
        again, ws = in_a_workspace()
        runner = checkpoint.JobRunner(job, manager(), resume_from_epoch=resume)
        assert runner.train(again) == 3
        assert ws.fetch_blob(str(total)) == [6]
    if several:
        found, ws = in_a_workspace()
        runner = checkpoint.JobRunner(job, manager())
        assert runner.load_blobs_from_checkpoints(["total"], 2, found)
        assert ws.fetch_blob("total") == [4]
        assert not runner.load_blobs_from_checkpoints(["total"], 9, found)
    with pytest.raises(ValueError, match="without a checkpoint manager"):
        checkpoint.JobRunner(job).save_checkpoints(1, session)


def test_a_checkpoint_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job, total = counting_job(1)
    session, ws = in_a_workspace()
    manager = checkpoint.CheckpointManager(str(tmp_path / "nowhere"), "node", "minidb")
    with caplog.at_level(logging.WARNING):
        assert checkpoint.JobRunner(job, manager).train(session) == 1
    assert ws.fetch_blob(str(total)) == [2]
    assert "Unable to write checkpoint for epoch 1" in caplog.text


def test_a_job_is_printed_and_analysed() -> None:
    job, _ = counting_job(2)
    net_printer.analyze(job)
    text = net_printer.to_string(job)
    parts = ("init_group", "epoch_group", "stop_conditions", "download_group", "exit_group")
    places = [text.index(f"Job.current().{part}") for part in parts]
    assert places == sorted(places)


def test_objects_are_saved_as_the_original_saves_them() -> None:
    def run(type_: str, inputs: list[str], outputs: list[str], **args: Any) -> None:
        workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs, **args))

    run("CreateCounter", [], ["counter"], init_count=7)
    run("CreateTreeCursor", [], ["cursor"], fields=["a:lengths", "a:values", "b"])
    run("LongIndexCreate", [], ["index"], max_elements=10)
    workspace.FeedBlob("keys", np.array([5, 3]))
    run("IndexGet", ["index", "keys"], ["numbers"])
    workspace.FeedBlob("values", np.array([1, 2], np.int32))
    run("KeyValueToMap", ["keys", "values"], ["map"])
    run("CreateMutex", [], ["mutex"])
    wanted = {
        "counter": ("std::unique_ptr<Counter<int64_t>>", b""),
        "cursor": ("std::unique_ptr<TreeCursor>", b"a:lengths a:values b "),
        "index": ("std::unique_ptr<caffe2::IndexBase>", b"10 0"),
        "map": ("(std::unordered_map<int64_t, int32_t>)", None),
        "mutex": ("std::unique_ptr<std::mutex>", b""),
    }
    saved = {name: workspace.SerializeBlob(name) for name in wanted}
    for name, (type_, content) in wanted.items():
        proto = caffe2_pb2.BlobProto.FromString(saved[name])
        assert proto.type == type_
        assert content is None or proto.content == content
    workspace.ResetWorkspace()
    for name, data in saved.items():
        workspace.DeserializeBlob(name, data)
        assert workspace.SerializeBlob(name) == data
    run("RetrieveCount", ["counter"], ["count"])
    run("IndexStore", ["index"], ["stored"])
    run("MapToKeyValue", ["map"], ["k", "v"])
    assert workspace.FetchBlob("count") == 7
    assert workspace.FetchBlob("stored").tolist() == workspace.FetchBlob("k").tolist() == [5, 3]
    assert workspace.FetchBlob("v").tolist() == [1, 2]
    damaged = caffe2_pb2.BlobProto(name="counter", type="std::unique_ptr<Counter<int64_t>>")
    with pytest.raises(FormatError, match="blob 'counter': no std::unique_ptr"):
        workspace.DeserializeBlob("counter", damaged.SerializeToString())
    run("CreateBlobsQueue", [], ["queue"])
    with pytest.raises(NotSupportedError, match="holds BlobsQueue, which has no saved form"):
        workspace.SerializeBlob("queue")


def _twice(queue_capacity: int | None) -> Any:
    source = fed()
    return pipeline.pipe(source.reader(), empty(source).writer(), capacity=queue_capacity)


def _sorted_by(**args: Any) -> None:
    source = fed()
    net = core.Net("n")
    reader = source.random_reader(net)
    net.SortAndShuffle([reader.cursor, *source.get_blobs()][: args.pop("count", 4)], "i", **args)
    workspace.RunNetOnce(net)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: dataset.Dataset("a"), MisuseError, "a Struct or a list of names, got str"),
    (lambda: dataset.Dataset(["a"]).reader(), MisuseError, "the dataset has no blobs"),
    (lambda: fed().reader().read(core.Net("n")), MisuseError, "call setup_ex of this reader first"),
    (lambda: fed().random_reader(core.Net("n")).read(core.Net("n")), MisuseError, "call sort_and_shuffle"),
    (lambda: fed().writer().write(core.Net("n"), ["a"]), MisuseError, "call setup_ex of this writer first"),
    (
        lambda: fed().writer(core.Net("n")).write(core.Net("n"), ["a"]),
        MisuseError,
        "Expected 3 fields, got 1",
    ),
    (
        lambda: fed().random_reader(core.Net("n")).sort_and_shuffle(core.Net("n"), "x"),
        MisuseError,
        "no field 'x'",
    ),
    (lambda: dataset.Const("n", 1), MisuseError, "net must be a core.Net, got str"),
    (lambda: dataio.Reader("x"), MisuseError, "a reader's schema is a Field"),
    (lambda: dataio.Reader().schema(), MisuseError, "was given no schema"),
    (lambda: dataio.Reader().read(core.Net("n")), NotImplementedError, "Reader must give a method 'read'"),
    (lambda: dataio.Reader().reset(core.Net("n")), NotImplementedError, "cannot start over"),
    (lambda: dataio.Writer().write(core.Net("n"), []), NotImplementedError, "must give a method 'write'"),
    (lambda: dataio.Pipe().reader(), NotImplementedError, "must give a method 'reader'"),
    (lambda: dataio.ReaderBuilder().schema(), NotImplementedError, "must give a method 'schema'"),
    (lambda: dataio.CompositeReader(["a"], []), MisuseError, "1 names are given for 0 readers"),
    (lambda: queue_util.Queue(1).reader(), MisuseError, "a queue needs a schema"),
    (lambda: queue_util.Queue(1).setup(core.Net("n")), MisuseError, "does not have a schema"),
    (
        lambda: queue_util.dequeue(core.Net("n"), "q", 2, field_names=["a"]),
        MisuseError,
        "1 names are given for 2 blobs",
    ),
    (lambda: record_queue.RecordQueue("a"), MisuseError, "a Struct or a list of names"),
    (lambda: TextFileReader(core.Net("n"), "f", ["a"]), MisuseError, "must be a Struct, got list"),
    (
        lambda: TextFileReader(core.Net("n"), "f", schema.Struct(("a", schema.List(np.float32)))),
        MisuseError,
        "field 'a' must be a Scalar",
    ),
    (lambda: DBFileReader("x", "nodb"), MisuseError, r"db_type \[nodb\] is not available"),
    (lambda: pipeline.pipe("x"), ValueError, "must be a reader, queue or stream"),
    (lambda: _twice(3), MisuseError, "the capacity would not be used"),
    (
        lambda: pipeline.pipe(fed().reader(), num_threads=2, num_runtime_threads=2),
        MisuseError,
        "Only one of num_threads or num_runtime_threads",
    ),
    (lambda: pipeline.pipe_and_output(fed().reader(), num_threads=0), MisuseError, "there must be a thread"),
    (lambda: pipeline.NetProcessor("x"), MisuseError, "net must be a core.Net"),
    (lambda: counting_job(1)[0].add_stop_condition("x"), MisuseError, "a blob or a task's output, got str"),
    (
        lambda: checkpoint.CheckpointManager("d", "n", "minidb").init(["a", "b"]),
        MisuseError,
        "serves one node",
    ),
    (lambda: checkpoint.CheckpointManager("d", "n", "minidb").blob_list(), MisuseError, "run what init"),
    (
        lambda: checkpoint.MultiNodeCheckpointManager("d", "minidb").save(1),
        MisuseError,
        "init must be called first",
    ),
    (
        lambda: checkpoint.UploadTaskGroupBuilder().build(1, None),
        NotImplementedError,
        "must give a method 'build'",
    ),
    (lambda: _sorted_by(sort_by_field_idx=2), ArgumentError, "must be -1 or a field of the records, got 2"),
    (lambda: _sorted_by(batch_size=0), ArgumentError, "must be positive"),
    (lambda: _sorted_by(count=3), ArityError, "there are 2 tensors for 3 fields"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with TaskGroup(), pytest.raises(error, match=words):
        call()
