"""Tasks that read, process and write in several threads.

Source: caffe2/python/pipeline.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe2.python import core, queue_util
from caffe2.python._errors import require
from caffe2.python.dataio import Reader, Writer
from caffe2.python.net_builder import NetBuilder, ops
from caffe2.python.schema import Field, as_record
from caffe2.python.task import Node, Task, TaskGroup

DEFAULT_QUEUE_CAPACITY = 100


class Output:
    """What a processor makes.

    Args:
        nets: what it runs; by default what it built with ``ops``.
        record: what it makes of a record; None: nothing is written.
        should_stop: a blob that ends the reading.

    Raises:
        MisuseError: nets are given and built with ``ops``, too.
    """

    def __init__(self, nets: Any = None, record: Any = None, should_stop: Any = None) -> None:
        built = NetBuilder.current().get()
        require(nets is None or not built, "give the nets or build them with `ops`, not both.")
        if nets is None:
            nets = built
        self.nets = [nets] if isinstance(nets, core.Net) else list(nets or ())
        self.record = None if record is None else as_record(record)
        self.should_stop = should_stop


def _init_output(
    output: Any, capacity: int | None, global_init_net: Any, global_exit_net: Any
) -> tuple[Any, Any]:
    """What to hand on, and the writer to it."""
    if output is None:
        pipe_end: Any = queue_util.Queue(capacity=DEFAULT_QUEUE_CAPACITY if capacity is None else capacity)
        writer: Any = pipe_end.writer()
    else:
        require(capacity is None, "the capacity would not be used: the output is given.")
        if isinstance(output, Writer):
            pipe_end, writer = None, output
        elif hasattr(output, "writer"):
            pipe_end, writer = output, output.writer()
        else:
            raise ValueError(f"the output must be a writer, queue or stream, got {type(output).__name__}.")
    writer.setup_ex(global_init_net, global_exit_net)
    return pipe_end, writer


def make_processor(processor: Any, reader: Any = None) -> Any:
    """A function of a record: the processor itself, a `NetProcessor` of a net, or what returns the record."""
    if processor is None:
        return lambda record: record
    if isinstance(processor, core.Net):
        return NetProcessor(processor)
    if reader is not None and hasattr(processor, "schema_func"):
        processor.schema = lambda: processor.schema_func(reader)
    return processor


def normalize_processor_output(output: Any) -> Output:
    """An `Output` of what a processor returned: one, a record, (record, stop blob), or (nets, record, stop blob)."""
    if isinstance(output, Output):
        return output
    if isinstance(output, Field):
        return Output(record=output)
    if isinstance(output, tuple):
        if len(output) == 2 and isinstance(output[0], Field) and isinstance(output[1], core.BlobReference):
            return Output(None, *output)
        return Output(*output)
    return Output(output)


def pipe(
    input: Any,
    output: Any = None,
    num_threads: int = 1,
    processor: Any = None,
    name: str | None = None,
    capacity: int | None = None,
    group: Any = None,
    num_runtime_threads: int = 1,
) -> Any:
    """A task that reads, processes and writes until there is nothing left.

    Args:
        input: a Reader, a queue, or anything with ``reader()``.
        output: a Writer, a queue, or anything with ``writer()``; by default a new queue.
        num_threads: threads, each with nets of its own; 0: no task is made, a reader is returned.
        processor: a function of a record, or a Net with an input record, applied between reading and writing.
        name: the task's.
        capacity: of the new queue.
        group: the task's; by default the current one.
        num_runtime_threads: threads that run copies of the same nets.

    Returns:
        the queue or stream that is written to; the reader; or None where a writer is given or nothing is
        written.

    Raises:
        MisuseError: both kinds of threads, or a capacity and an output, are asked for.
        ValueError: the input or output is something else.
    """
    return _pipe_step(input, output, num_threads, processor, name, capacity, group, num_runtime_threads)[0]


def pipe_and_output(
    input: Any,
    output: Any = None,
    num_threads: int = 1,
    processor: Any = None,
    name: str | None = None,
    capacity: int | None = None,
    group: Any = None,
    num_runtime_threads: int = 1,
    final_outputs: Any = None,
) -> tuple[Any, Any]:
    """As `pipe`, and blobs that can be fetched when the task ended: ``final_outputs``, one or a list."""
    require(num_threads > 0, "there must be a thread: it makes the outputs.")
    result, task = _pipe_step(
        input,
        output,
        num_threads,
        processor,
        name,
        capacity,
        group,
        num_runtime_threads,
        final_outputs,
    )
    outputs = None
    if final_outputs is not None:
        outputs = task.outputs()
        if type(final_outputs) not in (list, tuple):
            outputs = outputs[0]
    return result, outputs


def processor_name(processor: Any) -> str:
    """What a processor is called in the names of tasks."""
    if hasattr(processor, "name"):
        return str(processor.name)
    if hasattr(processor, "func_name"):
        if processor.func_name == "<lambda>":
            return str(processor.__module__)
        if hasattr(processor, "im_class"):
            return f"{processor.im_class.__name__}.{processor.func_name}"
        return str(processor.func_name)
    return type(processor).__name__


def _status_starts_false(init_net: Any, status: Any) -> None:
    init_net.ConstantFill([], [status], shape=[], value=False, dtype=core.DataType.BOOL)


def _timed_body(name: str, output: Any, status: Any, nets: Sequence[Any]) -> None:
    """Add the step that reads and writes until ``status``, with a timer around each round."""
    # the original asks for the name of the built-in function `input`, which is that of its type
    timer_name = "/".join(
        [
            str(Node.current()),
            "pipe",
            name,
            "builtin_function_or_method",
            processor_name(output) if output else "NoOutput",
        ]
    )
    start_net = core.Net("timer_start")
    timer = start_net.TimerBegin([], counter_name=timer_name)
    end_net = core.Net("timer_end")
    end_net.TimerEnd(timer, [])
    ops.net(core.execution_step("body", [start_net, *nets, end_net], should_stop_blob=status))
    ops.net(end_net)


def _runtime_threads_task(
    name: str,
    group: Any,
    final_outputs: Any,
    reader: Any,
    num_threads: int,
    output: Any,
    capacity: int | None,
) -> tuple[Any, Any]:
    with Task(name=name, group=group, outputs=final_outputs, num_instances=num_threads) as task:
        global_exit_net, global_init_net = core.Net("pipe:exit"), core.Net("pipe:init")
        reader.setup_ex(global_init_net, global_exit_net)
        init_net, exit_net = core.Net("pipe:instance:init"), core.Net("pipe:instance:exit")
        read_nets, status, record = reader.read_record_ex(init_net, exit_net)
        _status_starts_false(init_net, status)
        pipe_end, write_nets = None, []
        if record is not None:
            pipe_end, writer = _init_output(output, capacity, global_init_net, global_exit_net)
            write_nets, _ = writer.write_record_ex(record, init_net, exit_net, status)
        with ops.task_init():
            ops.net(global_init_net)
        with ops.task_instance_init():
            ops.net(init_net)
        _timed_body(name, output, status, [*read_nets, *write_nets])
        with ops.task_instance_exit():
            ops.net(exit_net)
        with ops.task_exit():
            ops.net(global_exit_net)
    return pipe_end, task


def _static_threads_task(
    name: str,
    group: Any,
    final_outputs: Any,
    reader: Any,
    num_threads: int,
    output: Any,
    capacity: int | None,
) -> tuple[Any, Any]:
    with Task(name=name, group=group, outputs=final_outputs) as task:
        global_exit_net, global_init_net = core.Net("exit"), core.Net("init")
        reader.setup_ex(global_init_net, global_exit_net)
        pipe_end: Any = None
        writer: Any = None
        steps = []
        for i in range(num_threads):
            with NetBuilder(name=f"t:{i}") as builder:
                init_net, exit_net = core.Net("init"), core.Net("exit")
                read_nets, status, record = reader.read_record_ex(init_net, exit_net)
                _status_starts_false(init_net, status)
                write_nets: list[Any] = []
                if record is not None:
                    if writer is None:
                        # outside of the thread's names: the queue is that of all threads
                        with NetBuilder(_fullname=task.name):
                            pipe_end, writer = _init_output(
                                output, capacity, global_init_net, global_exit_net
                            )
                    write_nets, _ = writer.write_record_ex(record, init_net, exit_net, status)
                ops.net(init_net)
                _timed_body(name, output, status, [*read_nets, *write_nets])
                ops.net(exit_net)
            steps.append(core.to_execution_step(builder))
        ops.net(global_init_net)
        ops.net(core.execution_step("body", steps, concurrent_substeps=True))
        ops.net(global_exit_net)
    return pipe_end, task


def _pipe_step(
    input: Any,
    output: Any = None,
    num_threads: int = 1,
    processor: Any = None,
    name: str | None = None,
    capacity: int | None = None,
    group: Any = None,
    num_runtime_threads: int = 1,
    final_outputs: Any = None,
) -> tuple[Any, Any]:
    require(
        num_threads <= 1 or num_runtime_threads <= 1,
        "Only one of num_threads or num_runtime_threads must be set.",
    )
    if isinstance(input, Reader):
        reader: Any = input
    elif hasattr(input, "reader"):
        reader = input.reader()
    else:
        raise ValueError(f"the input must be a reader, queue or stream, got {type(input)}.")
    if processor is not None:
        reader = ProcessingReader(reader, processor)
    if num_threads == 0 or num_runtime_threads == 0:
        require(output is None, "without a thread nothing is written to the output.")
        return reader, None
    if name is None:
        if processor is not None:
            name = processor_name(processor)
        elif output is not None:
            name = f"pipe_into:{processor_name(output)}"
        else:
            name = f"pipe_from:{processor_name(input)}"
    if num_threads > 1:
        return _static_threads_task(name, group, final_outputs, reader, num_threads, output, capacity)
    return _runtime_threads_task(name, group, final_outputs, reader, num_runtime_threads, output, capacity)


class ProcessingReader(Reader):
    """Reads from another reader and returns what a processor makes of it."""

    def __init__(self, reader: Any, processor: Any) -> None:
        super().__init__()
        self.reader = reader
        self.processor = make_processor(processor, reader)

    def schema(self) -> Any:
        return self.processor.schema()

    def setup_ex(self, init_net: Any, finish_net: Any) -> None:
        self.reader.setup_ex(init_net, finish_net)

    def read_ex(self, init_net: Any, exit_net: Any) -> tuple[Any, ...]:
        read_nets, status, record = self.reader.read_record_ex(init_net, exit_net)
        # the builder is there for what the processor builds with `ops`; `status` is not its stop blob, as
        # readers may copy to theirs later
        with NetBuilder() as builder:
            result = normalize_processor_output(self.processor(record))
        read_nets += result.nets
        stops = [blob for blob in (result.should_stop, builder._stop_blob) if blob]
        if stops:
            stop_net = core.Net("stop_net")
            for blob in stops:
                stop_net.Or([status, blob], [status])
            read_nets.append(stop_net)
        if hasattr(self.processor, "setup"):
            init_net.add_attribute(TaskGroup.LOCAL_SETUP, self.processor)
        self._set_schema(result.record)
        return read_nets, status, result.record.field_blobs() if result.record else None


class NetProcessor:
    """A net as a processor: each call makes a copy of it, with the record for its input record.

    Args:
        net: with an input record and, if it makes one, an output record.
        stop_signal: a blob of it that ends the reading.
        thread_init_nets: nets that are copied with it and run once before each copy.
        name: by default the net's.

    Raises:
        MisuseError: the net is no Net, or the signal no blob.
    """

    def __init__(
        self,
        net: Any,
        stop_signal: Any = None,
        thread_init_nets: Sequence[Any] | None = None,
        name: str | None = None,
    ) -> None:
        require(isinstance(net, core.Net), f"net must be a core.Net, got {type(net).__name__}.")
        require(
            stop_signal is None or isinstance(stop_signal, core.BlobReference),
            "the stop signal is a BlobReference.",
        )
        self.name = name or str(net)
        self.thread_init_nets = thread_init_nets or []
        self.net = net
        self._stop_signal = stop_signal
        self._blob_maps: list[Any] = []
        self._frozen = False
        self._cloned_init_nets: list[Any] = []

    def schema(self) -> Any:
        """The net's output record."""
        return self.net.output_record()

    def setup(self, init_net: Any) -> list[Any]:
        """The copies of the init nets; from now on no copies can be made."""
        self._frozen = True
        made, self._cloned_init_nets = self._cloned_init_nets, []
        return made

    def __call__(self, rec: Any) -> Output:
        """One more copy. Raises MisuseError after `setup` or `blob_maps`."""
        require(not self._frozen, "this processor is set up; no more copies of its net can be made.")
        prefix = f"{NetBuilder.current().name}/"
        remap: dict[str, str] = {}
        for net in self.thread_init_nets:
            made, _ = core.clone_and_bind_net(net, str(net) + prefix, prefix, remap)
            self._cloned_init_nets.append(made)
        made, names = core.clone_and_bind_net(self.net, str(self.net) + prefix, prefix, remap, rec)
        stop = self._stop_signal
        if stop is not None and str(stop) in names:
            stop = core.BlobReference(names[str(stop)], net=made)
        self._blob_maps.append(names)
        return Output([made], made.output_record(), stop)

    def blob_maps(self) -> list[Any]:
        """For each copy: name of a blob in the net -> name in the copy."""
        self._frozen = True
        return self._blob_maps
