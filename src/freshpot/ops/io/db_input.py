"""Readers of databases, and batches from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freshpot.data.pinned import Pinner, on_device
from freshpot.data.prefetch import Prefetcher
from freshpot.data.reader import DBReader
from freshpot.data.tensor_protos import TensorProtosInput
from freshpot.errors import ArgumentError, ArityError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class CreateDB(Operator):
    """A reader of a database, on its first record; after the last record comes the first.

    Shapes:   none -> reader
    Raises:   DataError if there is no such database, or no record for this shard.
    Differs:  a relative path that is not there is also looked for under the workspace's root folder.
    Source:   caffe2/operators/create_db_op.h (caffe2/db/create_db_op.h)
    """

    outputs = (Port("reader"),)
    args = (
        Arg("db", str, doc="path of the database"),
        Arg("db_type", str, "leveldb", "kind of database: minidb, lmdb …"),
        Arg("num_shards", int, 1, "read one record of so many"),
        Arg("shard_id", int, 0, "which of them, from 0"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if not self.db:
            self.refuse("argument 'db' must not be empty.", ArgumentError)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        path = self.db
        if not os.path.isabs(path) and not os.path.exists(path):
            inside = os.path.join(ws.root, path)
            path = inside if os.path.exists(inside) else path
        outputs[0].value = DBReader(self.db_type, path, self.num_shards, self.shard_id)


class TensorProtosDBInput(Operator):
    """The next records of a database of TensorProtos, read and decoded ahead in the background.

    Shapes:   reader -> for each tensor of a record: (batch_size, *its shape); its shape if batch_size is 0
    Raises:   ArityError if a record holds fewer or more tensors than there are outputs;
              FormatError if a record is damaged.
    Source:   caffe2/operators/tensor_protos_db_input.h
    """

    inputs = (Port("reader"),)
    outputs = (Port("tensor", many=True),)
    args = (Arg("batch_size", int, 0, "records in a batch; 0: one record, no batch axis"),)
    gradient_stops = True

    def setup(self) -> None:
        self._reader: DBReader | None = None
        self._batches: Any
        if self.batch_size < 0:
            self.refuse(f"argument 'batch_size' must be >= 0, got {self.batch_size}.", ArgumentError)

    def check(self, *inputs: Any) -> None:
        if not isinstance(inputs[0], DBReader):
            self.refuse("the input must hold a database reader; make it with CreateDB.", ArgumentError)

    def infer(self, *inputs: Any) -> None:
        return None

    def kernel(self, reader: DBReader) -> list[Any]:
        if reader is not self._reader:
            self._follow(reader)
        self._pinner.serve(self.device)
        arrays = next(self._batches)
        if len(arrays) != self.num_outputs:
            self.refuse(
                f"a record of {reader.source} holds {len(arrays)} tensors, there are {self.num_outputs} outputs."
                + (" Are they records of Caffe (Datum)? ImageInput reads those." if not arrays else ""),
                ArityError,
            )
        return on_device(arrays, self.device)

    def _follow(self, reader: DBReader) -> None:
        """Begin to read from this reader."""
        if self._reader is not None:
            self._batches.close()
        self._reader = reader
        self._pinner = Pinner(TensorProtosInput(reader, self.batch_size))
        self._batches = Prefetcher(self._pinner) if reader.reads_ahead else iter(self._pinner)
