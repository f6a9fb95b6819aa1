"""A store of blobs in a folder, for processes that share it: each blob a file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from freshpot.errors import ArgumentError, DataError, NotSupportedError
from freshpot.formats.atomic import write_bytes
from freshpot.formats.blob_proto import deserialize_blob, serialize_blob
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.io._serde import from_plain, to_plain

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

#: seconds to wait for a blob that another process is to write, and between looks
_PATIENCE_S = 30.0
_LOOK_S = 0.01


class FileStore:
    """Texts under names, as files of a folder; written at once or not at all."""

    original_type = "std::unique_ptr<caffe2::StoreHandler>"

    def __init__(self, path: str, prefix: str) -> None:
        if not Path(path).is_dir():
            raise DataError(f"{path}: there is no such folder; make it before the store.")
        self.folder = Path(path).resolve()
        if prefix:
            self.folder /= _file_name(prefix)
            self.folder.mkdir(exist_ok=True)

    def set(self, name: str, data: bytes) -> None:
        """Write a value."""
        write_bytes(self.folder / _file_name(name), data)

    def get(self, name: str) -> bytes:
        """Read a value, waiting for it."""
        self.wait([name])
        return (self.folder / _file_name(name)).read_bytes()

    def wait(self, names: Iterable[str]) -> None:
        """Wait until all are there. Raises DataError if time runs out."""
        end = time.monotonic() + _PATIENCE_S
        missing = list(names)
        while missing := [name for name in missing if not (self.folder / _file_name(name)).exists()]:
            if time.monotonic() > end:
                raise DataError(f"{self.folder}: nobody stored {', '.join(missing)} for {_PATIENCE_S:g} s.")
            time.sleep(_LOOK_S)


def _file_name(name: str) -> str:
    """A name of letters and digits for any name."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


class FileStoreHandlerCreate(Operator):
    """A store in a folder.

    Shapes:   none -> handler
    Raises:   ArgumentError without a path; DataError if there is no such folder.
    Differs:  the files have other names than the original's, whose processes do not find them.
    Source:   caffe2/distributed/file_store_handler_op.cc
    """

    outputs = (Port("handler"),)
    args = (
        Arg("path", str, "", "the folder"),
        Arg("prefix", str, "", "a name that parts this store from others in the folder"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if not self.path:
            self.refuse("argument 'path' must name a folder.", ArgumentError)

    def kernel(self) -> Any:
        return FileStore(self.path, self.prefix)


class _OnStore(Operator, abstract=True):
    args: ClassVar[tuple[Arg, ...]] = (Arg("blob_name", str, "", "name in the store; by default the blob's"),)
    remembers = True
    gradient_stops = True

    def store(self, blob: Blob) -> FileStore:
        """What the blob holds."""
        if not isinstance(blob.value, FileStore):
            self.refuse(
                f"blob '{blob.name}' must hold a store; make it with FileStoreHandlerCreate.", ArgumentError
            )
        return blob.value


class StoreSet(_OnStore):
    """Write a blob into a store.

    Source:   caffe2/distributed/store_ops.cc
    """

    inputs = (Port("handler"), Port("data"))

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        name = self.blob_name or inputs[1].name
        self.store(inputs[0]).set(name, serialize_blob(name, to_plain(name, inputs[1].value)))


class StoreGet(_OnStore):
    """Read a blob from a store, waiting for it.

    Raises:   DataError if nobody writes it.
    Source:   caffe2/distributed/store_ops.cc
    """

    inputs = (Port("handler"),)
    outputs = (Port("data"),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        name = self.blob_name or outputs[0].name
        store = self.store(inputs[0])
        _, value = deserialize_blob(store.get(name), path=store.folder)
        outputs[0].value = from_plain(name, value, self.device)


class StoreAdd(_OnStore):
    """Add to a number in a store: a folder cannot, as in the original.

    Raises:   NotSupportedError, always.
    Source:   caffe2/distributed/store_ops.cc
    """

    inputs = (Port("handler"),)
    outputs = (Port("value"),)
    args = (
        Arg("blob_name", str, doc="name of the number"),
        Arg("add_value", int, 1, "what is added"),
    )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        self.store(inputs[0])
        raise NotSupportedError(f"{self.op}: a store in a folder has no counters, in the original neither.")


class StoreWait(_OnStore):
    """Wait until blobs are in a store.

    Raises:   ArgumentError if names are given as input and argument; DataError if nobody writes them.
    Source:   caffe2/distributed/store_ops.cc
    """

    inputs = (Port("handler"), Port("names", optional=True))
    args = (
        Arg("blob_name", [str], [], "names in the store"),
        Arg("blob_names", [str], [], "the same: what the original's documentation says"),
    )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        names = [*self.blob_name, *self.blob_names]
        if len(inputs) > 1 and isinstance(inputs[1].value, np.ndarray):
            if names:
                self.refuse("names are given as input and as argument; give them once.", ArgumentError)
            names = [name.decode() for name in inputs[1].value.reshape(-1).tolist()]
        self.store(inputs[0]).wait(names)
