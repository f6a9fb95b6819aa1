"""Readers of several sources at once.

Owned here: those. Who calls it: `dataio`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe2.python import core
from caffe2.python._dataio.base import Reader, ReaderBuilder, names_of
from caffe2.python._errors import require
from caffe2.python.schema import Struct


class CompositeReader(Reader):
    """A batch of each reader, as one record; stops with the first reader that does.

    Args:
        names: the record's fields, one for each reader.
        readers: they must know their schemas.
    """

    def __init__(self, names: Sequence[str], readers: Sequence[Reader]) -> None:
        require(len(names) == len(readers), f"{len(names)} names are given for {len(readers)} readers.")
        super().__init__(schema=Struct(*((name, r.schema()) for name, r in zip(names, readers, strict=True))))
        self._names = names
        self._readers = readers

    def setup_ex(self, init_net: Any, finish_net: Any) -> None:
        for reader in self._readers:
            reader.setup_ex(init_net, finish_net)

    def read_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, ...]:
        parts = [reader.read_record_ex(local_init_net, local_finish_net) for reader in self._readers]
        should_stop = parts[-1][1]
        read_nets: list[Any] = []
        fields: list[Any] = []
        for name, (nets, stop, record) in zip(self._names, parts, strict=True):
            fields += record.field_blobs()
            read_nets += nets
            if stop != should_stop:
                stop_net = core.Net(f"{name}_stop")
                stop_net.Or([should_stop, stop], should_stop)
                read_nets.append(stop_net)
        return read_nets, should_stop, fields

    def reset(self, net: Any) -> None:
        for reader in self._readers:
            reader.reset(net)


class CompositeReaderBuilder(ReaderBuilder):
    """Makes a `CompositeReader` of one reader of each builder; they must know their schemas."""

    def __init__(self, names: Sequence[str], reader_builders: Sequence[ReaderBuilder]) -> None:
        super().__init__()
        self._names = names
        self._reader_builders = reader_builders
        self._schema = Struct(*((n, b.schema()) for n, b in zip(names, reader_builders, strict=True)))

    def schema(self) -> Any:
        return self._schema

    def setup(self, **kwargs: Any) -> dict[Any, Any]:
        """Set up all builders; a ``limiter`` goes to the last, so that it counts what all had data for.

        Raises:
            MisuseError: two builders return the same key or blob.
        """
        limiter = kwargs.pop("limiter", None)
        found: dict[Any, Any] = {}
        for i, builder in enumerate(self._reader_builders):
            last = i == len(self._reader_builders) - 1
            made = builder.setup(**kwargs, **({"limiter": limiter} if last and limiter is not None else {}))
            keys, values = found.keys() & made.keys(), set(found.values()) & set(made.values())
            require(not keys, f"Overlapping keys: {names_of(list(keys))}")
            require(not values, f"Overlapping values: {names_of(list(values))}")
            found.update(made)
        return found

    def new_reader(self, **kwargs: Any) -> CompositeReader:
        """One more reader.

        Raises:
            ValueError: a builder makes neither a reader nor a pipe.
        """
        readers = []
        for builder in self._reader_builders:
            made = builder.new_reader(**kwargs)
            if not isinstance(made, Reader):
                if not hasattr(made, "reader"):
                    raise ValueError(f"a builder must make a Reader or a Pipe, got {type(made).__name__}.")
                made = made.reader()
            readers.append(made)
        reader = CompositeReader(self._names, readers)
        require(reader.schema() == self._schema, "the readers have another schema than their builders.")
        return reader
