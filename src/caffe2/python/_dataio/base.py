"""What reads and writes data in nets: the interface, and what builds readers.

Owned here: `Reader`, `Writer`, `Pipe` and the builders. Who calls it: `dataio`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python.schema import Field, from_blob_list


class Reader:
    """Adds operators that read batches of data to nets. Subclasses give `read` or `read_ex`.

    What is added must be safe between threads, so that copies of the net can run side by side.

    Args:
        schema: what the batches look like; fields are given back as such a record.
    """

    def __init__(self, schema: Any = None) -> None:
        require(schema is None or isinstance(schema, Field), "a reader's schema is a Field.")
        self._schema = schema

    def schema(self) -> Any:
        """What the batches look like. Raises MisuseError if nobody said."""
        require(self._schema is not None, "this reader was given no schema.")
        return self._schema

    def _set_schema(self, schema: Any) -> None:
        self._schema = schema

    def setup_ex(self, init_net: Any, finish_net: Any) -> None:
        """Add what is to run once, before and after."""

    def read_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, ...]:
        """Nets that read a batch, the blob that says whether there was none, and the blobs read.

        Each thread runs nets of its own; the two given run before and after them.
        """
        read_net = core.Net("reader_body")
        return ([read_net], *self.read(read_net))

    def read_record_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, Any, Any]:
        """As `read_ex`, with the blobs as a record if there is a schema."""
        nets, should_stop, fields = self.read_ex(local_init_net, local_finish_net)
        return nets, should_stop, self._record(fields)

    def read(self, read_net: Any) -> tuple[Any, Any]:
        """Add operators that read a batch.

        Returns:
            the blob that says whether there was none left, and the blobs read.
        """
        raise NotImplementedError(f"{type(self).__name__} must give a method 'read'.")

    def reset(self, net: Any) -> None:
        """Add operators that start over."""
        raise NotImplementedError(f"{type(self).__name__} cannot start over.")

    def read_record(self, read_net: Any) -> tuple[Any, Any]:
        """As `read`, with the blobs as a record if there is a schema."""
        should_stop, fields = self.read(read_net)
        return should_stop, self._record(fields)

    def _record(self, fields: Any) -> Any:
        return from_blob_list(self._schema, fields) if self._schema else fields

    def execution_step(
        self, reader_net_name: str | None = None, external_should_stop: Any = None
    ) -> tuple[Any, Any]:
        """A step that reads until nothing is left, and the blobs it reads.

        Args:
            reader_net_name: name of the net that reads; the step's is made from it.
            external_should_stop: another blob that ends the reading.
        """
        net = core.Net(reader_net_name or "reader")
        should_stop, fields = self.read_record(net)
        if external_should_stop is not None:
            should_stop = net.Or([external_should_stop, should_stop])
        return core.execution_step(f"{reader_net_name}_step", net, should_stop_blob=should_stop), fields


class Writer:
    """Adds operators that write batches of data to nets. Subclasses give `write` and, where needed, `commit`."""

    _schema: Any = None

    def schema(self) -> Any:
        """What was written looks like; None before a record was."""
        return self._schema

    def write(self, writer_net: Any, fields: Any) -> Any:
        """Add operators that write a batch, given as blobs."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'write'.")

    def write_record(self, writer_net: Any, fields: Any) -> None:
        """As `write`, for a record or blobs."""
        self.write(writer_net, self._blobs(fields))

    def setup_ex(self, init_net: Any, finish_net: Any) -> None:
        """Add what is to run once, before and after."""
        self.commit(finish_net)

    def write_ex(self, fields: Any, local_init_net: Any, local_finish_net: Any, stop_blob: Any) -> list[Any]:
        """Nets that write a batch; ``stop_blob`` says afterwards whether it could not be."""
        net = core.Net("write_net")
        self.write(net, fields)
        return [net]

    def write_record_ex(
        self, fields: Any, local_init_net: Any, local_finish_net: Any, stop_blob: Any = None
    ) -> tuple[list[Any], Any]:
        """As `write_ex`, for a record or blobs; also returns the stop blob."""
        fields = self._blobs(fields)
        if stop_blob is None:
            stop_blob = local_init_net.NextName("dequeue_status")
        return self.write_ex(fields, local_init_net, local_finish_net, stop_blob), stop_blob

    def _blobs(self, fields: Any) -> Any:
        if isinstance(fields, Field):
            self._schema = fields
            return fields.field_blobs()
        return fields

    def commit(self, finish_net: Any) -> None:
        """Add operators that say that nothing more will be written."""


class ReaderBuilder:
    """Makes readers of one source, for programs that need several."""

    def schema(self) -> Any:
        """What the readers' batches look like."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'schema'.")

    def setup(self, **kwargs: Any) -> Any:
        """What is to be done once, before the first reader is made."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'setup'.")

    def new_reader(self, **kwargs: Any) -> Any:
        """One more reader."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'new_reader'.")


class PipedReaderBuilder(ReaderBuilder):
    """Readers of another builder, each put through ``piper(reader=…, **kwargs)``, a reader or a `Pipe`."""

    def __init__(self, builder: ReaderBuilder, piper: Callable[..., Any]) -> None:
        self._builder = builder
        self._piper = piper

    def schema(self) -> Any:
        return self._builder.schema()

    def setup(self, **kwargs: Any) -> Any:
        return self._builder.setup(**kwargs)

    def new_reader(self, **kwargs: Any) -> Any:
        made = self._piper(reader=self._builder.new_reader(**kwargs), **kwargs)
        return made if isinstance(made, Reader) else made.reader()


class Pipe:
    """Something that is written to at one end and read from at the other, as a queue.

    Args:
        schema: what goes through; else what the first writer writes.
        obj_key: attribute of the init nets under which the pipe is set up.
    """

    def __init__(self, schema: Any = None, obj_key: str | None = None) -> None:
        self._num_writers = self._num_readers = 0
        self._schema = schema
        self._obj_key = obj_key

    def schema(self) -> Any:
        """What goes through, None if not known yet."""
        return self._schema

    def setup(self, global_init_net: Any) -> Any:
        """Add what is to run once before."""

    def reader(self) -> Any:
        """A reader of the one end."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'reader'.")

    def writer(self) -> Any:
        """A writer to the other."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'writer'.")

    def num_readers(self) -> int:
        """How many read from it."""
        return self._num_readers

    def num_writers(self) -> int:
        """How many write to it."""
        return self._num_writers

    def _new_writer(self, writer_schema: Any, writer_init_net: Any) -> None:
        if writer_schema is not None and self._schema is None:
            self._schema = writer_schema
        self._num_writers += 1
        self._announce(writer_init_net)

    def _new_reader(self, reader_init_net: Any) -> None:
        self._num_readers += 1
        self._announce(reader_init_net)

    def _announce(self, init_net: Any) -> None:
        if self._obj_key is not None:
            init_net.add_attribute(self._obj_key, self)


def names_of(items: Sequence[Any]) -> str:
    """For messages."""
    return ", ".join(sorted(str(item) for item in items))
