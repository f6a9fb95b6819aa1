"""Saving blobs to a database, loading them, checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from freshpot.data.reader import DBReader, Mode, open_db
from freshpot.errors import ArgumentError, DataError, MissingBlobError
from freshpot.formats.blob_proto import CHUNK_SEPARATOR, blob_to_protos, blobs_from_records
from freshpot.formats.nearby import looked_in
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.io._serde import from_plain, to_plain

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

_ABSOLUTE = Arg(
    "absolute_path", int, 0, "1: 'db' is a path as it stands; 0: it is under the workspace's root folder"
)
_DB_TYPE = Arg("db_type", str, doc="kind of database: minidb, lmdb …")


def place(ws: Workspace, name: str, absolute: int) -> str:
    """Path of a database."""
    return name if absolute else os.path.join(ws.root, name)


class Save(Operator):
    """Write blobs to a new database.

    Shapes:   any number of tensors, quantised tensors or texts; no output
    Raises:   ArgumentError if arguments exclude each other; DataError if the database cannot be made;
              NotSupportedError for a blob that has no saved form.
    Source:   caffe2/operators/load_save_op.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", many=True),)
    args: ClassVar[tuple[Arg, ...]] = (
        _ABSOLUTE,
        Arg("strip_prefix", str, "", "text to cut from the names, with all before it"),
        Arg("blob_name_overrides", [str], [], "names in the database, one for each input"),
        Arg("db", str, doc="name of the database"),
        _DB_TYPE,
        Arg("chunk_size", int, -1, "elements in a record; -1: 1000000; 0: never split"),
    )
    no_gradient = "it writes a file"

    def setup(self) -> None:
        if not self.db or not self.db_type:
            self.refuse("arguments 'db' and 'db_type' must not be empty.", ArgumentError)
        overrides = self.blob_name_overrides
        if overrides and len(overrides) != self.num_inputs:
            self.refuse(
                f"'blob_name_overrides' has {len(overrides)} names for {self.num_inputs} inputs.",
                ArgumentError,
            )
        if overrides and self.strip_prefix:
            self.refuse("'strip_prefix' and 'blob_name_overrides' exclude each other.", ArgumentError)
        self.names = overrides or [_strip(name, self.strip_prefix) for name in self.op.inputs]
        if not overrides and len(set(self.names)) < len(self.names):
            self.refuse(
                "two inputs have the same name in the database; use 'blob_name_overrides'.", ArgumentError
            )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        self.write(place(ws, self.db, self.absolute_path), inputs)

    def write(self, path: str, inputs: Iterable[Blob]) -> None:
        """Write all inputs to a new database.

        Raises:
            DataError: it cannot be written, as on a full disk.
        """
        try:
            with open_db(self.db_type, path, Mode.NEW) as database, database.transaction() as transaction:
                for name, blob in zip(self.names, inputs, strict=True):
                    for key, proto in blob_to_protos(name, to_plain(blob.name, blob.value), self.chunk_size):
                        transaction.put(key.encode(), proto.SerializeToString())
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}.") from error


class Checkpoint(Save):
    """Save, where iter is a multiple of ``every``; ``db`` is a pattern (``checkpoint_%05d``) for iter.

    Shapes:   iter: (1,) int64, then any number of blobs; all are saved, iter too; no output
    Source:   caffe2/operators/load_save_op.h
    """

    inputs = (Port("iter", ("int64",)), Port("X", many=True, at_least=0))
    args = (*Save.args, Arg("every", int, 1, "iterations between two checkpoints, > 0"))

    def setup(self) -> None:
        super().setup()
        if self.every <= 0:
            self.refuse(f"argument 'every' must be > 0, got {self.every}.", ArgumentError)
        self._name(0)

    def _name(self, iteration: int) -> str:
        try:
            return str(self.db % iteration) if "%" in self.db else self.db
        except (TypeError, ValueError) as error:
            self.refuse(f"argument 'db' is no pattern for one number: {error}.", ArgumentError)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        iteration = int(inputs[0].value.reshape(-1)[0])
        if iteration % self.every == 0:
            self.write(place(ws, self._name(iteration), self.absolute_path), inputs)


class Snapshot(Checkpoint):
    """The older name of Checkpoint.

    Source:   caffe2/operators/load_save_op.cc
    """


class Load(Operator):
    """Read blobs from databases.

    Shapes:   none, with ``db`` or ``dbs``; or readers from CreateDB -> the blobs named by the outputs (or by
              ``source_blob_names``), or with ``load_all`` every blob there is
    Raises:   ArgumentError if arguments exclude each other; DataError if there is no such database;
              FormatError if it is damaged; MissingBlobError if a blob is not in it.
    Source:   caffe2/operators/load_save_op.h
    """

    inputs = (Port("reader", many=True, at_least=0),)
    outputs = (Port("Y", many=True, at_least=0),)
    args = (
        _ABSOLUTE,
        Arg("add_prefix", str, "", "text to put before the names"),
        Arg("strip_prefix", str, "", "text to cut from the names, with all before it"),
        Arg("db", str, "", "name of the database"),
        Arg("dbs", [str], [], "names of several databases"),
        Arg("db_type", str, "", "kind of database: minidb, lmdb …"),
        Arg(
            "keep_device",
            int,
            0,
            "1: leave each blob where it was saved from; 0: put it on this operator's device",
        ),
        Arg("load_all", int, 0, "1: load every blob, whatever its name"),
        Arg("allow_incomplete", bool, False, "blobs may be missing from the database"),
        Arg("source_blob_names", [str], [], "names in the database, one for each output"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if not self.num_inputs and not (self.db_type and (self.db or self.dbs)):
            self.refuse(
                "without an input, arguments 'db_type' and 'db' (or 'dbs') are required.", ArgumentError
            )
        if len(set(self.dbs)) < len(self.dbs) or "" in self.dbs:
            self.refuse("argument 'dbs' has an empty name, or one twice.", ArgumentError)
        sources = self.source_blob_names
        if sources and len(sources) != self.num_outputs:
            self.refuse(
                f"'source_blob_names' has {len(sources)} names for {self.num_outputs} outputs.", ArgumentError
            )
        if sources and (self.strip_prefix or self.load_all):
            self.refuse("'source_blob_names' excludes 'strip_prefix' and 'load_all'.", ArgumentError)
        self.wanted = sources or list(self.op.outputs)
        if not self.load_all and len(set(self.wanted)) < len(self.wanted):
            self.refuse("a blob is named twice.", ArgumentError)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        found: dict[str, Any] = {}
        for db_type, path in self._databases(ws, inputs):
            for name, value in self._read(db_type, path).items():
                if name in found:
                    self.refuse(f"blob '{name}' is in more than one of the databases.", ArgumentError)
                found[name] = value
        self._put(ws, found, outputs)
        ws.epoch += 1

    def _databases(self, ws: Workspace, inputs: Sequence[Blob]) -> list[tuple[str, str]]:
        if not inputs:
            return [(self.db_type, place(ws, db, self.absolute_path)) for db in self.dbs or [self.db]]
        for blob in inputs:
            if not isinstance(blob.value, DBReader):
                self.refuse(
                    f"blob '{blob.name}' must hold a database reader; make it with CreateDB.", ArgumentError
                )
        return [(blob.value.db_type, blob.value.source) for blob in inputs]

    def _read(self, db_type: str, path: str) -> dict[str, Any]:
        """The blobs of one database that are wanted, under their new names."""
        if not os.path.exists(path):
            raise DataError(f"{path}: no such {db_type} database{looked_in(path)}")
        wanted = None if self.load_all else set(self.wanted)
        with open_db(db_type, path) as database, database.cursor() as cursor:
            records = [r for r in cursor if wanted is None or self._rename(_key_name(r[0])) in wanted]
            found: dict[str, Any] = {}
            for name, value in blobs_from_records(records, path=path).items():
                new = self._rename(name)
                if new in found:
                    self.refuse(f"two blobs of {path} are named '{new}' here.", ArgumentError)
                found[new] = value
            return found

    def _rename(self, name: str) -> str:
        return self.add_prefix + _strip(name, self.strip_prefix)

    def _put(self, ws: Workspace, found: dict[str, Any], outputs: Sequence[Blob]) -> None:
        missing = [name for name in self.wanted if name not in found]
        if missing and (self.load_all or not self.allow_incomplete):
            have = ", ".join(sorted(found)[:20]) or "none of the wanted ones"
            self.refuse(f"not in the database: {', '.join(missing)}. There are {have}.", MissingBlobError)
        device = torch.device("cpu") if self.keep_device else self.device
        if self.load_all:
            for name, value in found.items():
                ws.create(name).value = from_plain(name, value, device)
            return
        for name, blob in zip(self.wanted, outputs, strict=True):
            if name in found:
                blob.value = from_plain(name, found[name], device)


class DBExists(Operator):
    """exists = whether there is such a database.

    Shapes:   none -> exists: () bool
    Source:   caffe2/operators/load_save_op.h
    """

    outputs = (Port("exists"),)
    args = (
        _ABSOLUTE,
        Arg("db_name", str, doc="name of the database"),
        Arg("db_type", str, doc="kind of database: minidb, lmdb …"),
    )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        exists = os.path.exists(place(ws, self.db_name, self.absolute_path))
        outputs[0].value = torch.tensor(exists)

    def infer(self, *inputs: Any) -> tuple[Tensor, ...]:
        return (torch.empty((), dtype=torch.bool, device="meta"),)


def _strip(name: str, prefix: str) -> str:
    """The name after the first place where ``prefix`` stands in it; all of it if it does not."""
    _, found, rest = name.partition(prefix) if prefix else ("", "", "")
    return rest if found else name


def _key_name(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace").split(CHUNK_SEPARATOR)[0]
