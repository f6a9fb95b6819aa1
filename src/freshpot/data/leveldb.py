"""LevelDB, the first store of Caffe's image data sets: a folder of sorted tables and logs.

Opened through ``reader.open_db("leveldb", …)``; needs the package ``plyvel``, the extra ``leveldb``. LevelDB
itself runs in a process of its own (``leveldb_worker``), and never in the folder of a store that is only
read: it gets a folder of links and copies, so that it takes no lock and changes nothing. So, unlike in the
original, several readers may share a store, and it may lie on a read-only disk.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from pathlib import Path

from freshpot.data import reader
from freshpot.data.leveldb_worker import pack, receive, send, unpack
from freshpot.data.reader import Mode, Record
from freshpot.errors import DataError, FormatError, FreshpotError, NotSupportedError
from freshpot.formats.atomic import sync_folder
from freshpot.formats.nearby import looked_in

_CURRENT = re.compile(rb"(MANIFEST-\d{1,20})\n")
_TABLE = re.compile(r"\d{1,20}\.(ldb|sst)")
_LOG = re.compile(r"\d{1,20}\.log")
#: logs hold what was written last, a write buffer at most: 256 MiB in the original
_MAX_COPIED = 2 << 30
_PATIENCE_S = 120.0
_AHEAD = 64  # records fetched when one is asked for
_PROGRAM = "from freshpot.data.leveldb_worker import main; main()"


class LevelDB(reader.Database):
    """A LevelDB folder. NEW refuses a path that exists, as the originals do; WRITE adds or replaces records.

    Raises:
        NotSupportedError: plyvel is not installed.
        DataError: no such store; or it is in use by another writer.
        FormatError: it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Mode = Mode.READ) -> None:
        self._worker: _Process | None = None
        self._building: Path | None = None
        super().__init__(path, mode)
        manifest = _manifest(self.path) if mode is not Mode.NEW else ""
        _need_plyvel(self.path)
        if mode is Mode.NEW:
            if self.path.exists():
                raise DataError(
                    f"{self.path}: exists already; a new LevelDB is never written over an old one"
                )
            self._building = Path(
                tempfile.mkdtemp(
                    prefix=f".{self.path.name}.", suffix=".part", dir=self.path.absolute().parent
                )
            )
            self._building.chmod(0o755)
            try:
                self._worker = _Process(self.path, b"n", self._building / "db")
            except BaseException:
                self.discard()
                raise
            reader.announce(self)
        elif mode is Mode.WRITE:
            self._worker = _Process(self.path, b"w", self.path)
        self._manifest = manifest

    def cursor(self) -> LevelDBCursor:
        self.need(Mode.READ)
        return LevelDBCursor(self.path, self._manifest)

    def transaction(self) -> reader.KeyedTransaction:
        self.need(Mode.WRITE, Mode.NEW)
        return reader.KeyedTransaction(self.write, self.check)

    def write(self, records: dict[bytes, bytes]) -> None:
        """Put records in one batch, synced."""
        if self._worker is None:
            raise DataError(f"{self.path}: the database is closed, nothing can be written")
        self._worker.ask(b"P", pack(records.items()))

    def check(self, key: bytes, value: bytes) -> None:
        """Complain of a record that the store cannot hold.

        Raises:
            FormatError: it is one.
        """
        if len(key) >= 2**32 or len(value) >= 2**32:
            raise FormatError(
                f"a key of {len(key)} and a value of {len(value)} bytes: LevelDB holds less than 4 GiB each",
                path=self.path,
            )

    def publish(self) -> None:
        if self._building is None:
            return
        self._end_worker()
        try:
            os.rename(self._building / "db", self.path)
        except OSError as error:
            raise DataError(
                f"{self.path}: the new LevelDB is complete, but stays in {self._building}: {error}"
            ) from error
        self._building.rmdir()
        self._building = None
        sync_folder(self.path.absolute().parent)

    def close(self) -> None:
        self.publish()
        self._end_worker()

    def discard(self) -> None:
        building, self._building = self._building, None
        self._end_worker()
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.closing(worker):
                worker.ask(b"C")


class LevelDBCursor(reader.Cursor):
    """A cursor in key order; it can seek. It sees the store as it was when the cursor was made."""

    supports_seek = True

    def __init__(self, path: Path, manifest: str) -> None:
        self._path = path
        self._records: deque[Record] = deque()
        self._worker = _Process(path, b"r", None, manifest)
        self._fetch(_AHEAD)

    @property
    def valid(self) -> bool:
        return bool(self._records)

    def key(self) -> bytes:
        self._need_record()
        return self._records[0][0]

    def value(self) -> bytes:
        self._need_record()
        return self._records[0][1]

    def next(self) -> None:
        self._need_record()
        self._records.popleft()
        if not self._records:
            self._fetch(_AHEAD)

    def take(self, count: int) -> list[Record]:
        taken: list[Record] = []
        while len(taken) < count and self._records:
            taken.append(self._records.popleft())
            if not self._records:
                self._fetch(max(_AHEAD, count - len(taken)))
        return taken

    def seek_to_first(self) -> None:
        self._worker.ask(b"F")
        self._refetch()

    def seek(self, key: bytes) -> None:
        self._worker.ask(b"S", key)
        self._refetch()

    def close(self) -> None:
        self._worker.close()

    def _refetch(self) -> None:
        self._records.clear()
        self._fetch(_AHEAD)

    def _fetch(self, count: int) -> None:
        self._records.extend(unpack(self._worker.ask(b"N", count.to_bytes(4, "little"))))

    def _need_record(self) -> None:
        if not self._records:
            raise DataError(f"{self._path}: the cursor is past the last record")


# ------------------------------------------------------------------------------- the process


class _Process:
    """A running worker with a store open, and its folder of links if it only reads.

    Args:
        path: of the store, for messages.
        mode: ``r``, ``w`` or ``n``, as the worker takes it.
        folder: where the worker opens it; None = in a folder of links.
        manifest: name of the manifest file (mode ``r``).
    """

    def __init__(self, path: Path, mode: bytes, folder: Path | None, manifest: str = "") -> None:
        self._path = path
        view = Path(tempfile.mkdtemp(prefix="freshpot-leveldb-")) if folder is None else None
        try:
            if view is not None:
                _link(path, view, manifest)
            self._pipe = _start()
        except BaseException:
            _remove(view)
            raise
        self._finalizer = weakref.finalize(self, _stop, self._pipe, view)
        # at the end of the program a store being written is closed first, by ``reader``
        self._finalizer.atexit = folder is None
        self._opened = os.fspath(view or folder or path)
        self.ask(b"O", mode + os.fsencode(self._opened))

    def ask(self, kind: bytes, body: bytes = b"") -> bytes:
        """Send a request; returns the answer.

        Raises:
            FormatError: the store is damaged, or has made LevelDB crash or hang.
            DataError: refused for another reason, or the cursor is closed.
        """
        if not self._finalizer.alive:
            raise DataError(f"{self._path}: the database is closed")
        try:
            send(self._pipe.stdin, kind, body)  # type: ignore[arg-type]
            done, answer = self._receive()
        except BrokenPipeError:
            done, answer = b"", b""
        if done == b"+":
            return answer
        self.close()
        raise self._error(done, answer.decode("utf-8", "replace").replace(self._opened, str(self._path)))

    def _receive(self) -> tuple[bytes, bytes]:
        """The worker's answer; hangs that a damaged store causes end here."""
        stream = self._pipe.stdout
        if stream is None or not select.select([stream], [], [], _PATIENCE_S)[0]:
            return b"?", b""
        return receive(stream)  # type: ignore[arg-type]

    def _error(self, done: bytes, words: str) -> FreshpotError:
        if done == b"-":
            return FormatError(f"damaged: {words}", path=self._path)
        if done == b"!" and "lock" in words.lower():
            return DataError(f"{self._path}: in use by another program that writes to it ({words})")
        if done == b"!":
            return FormatError(f"not a readable LevelDB: {words}", path=self._path)
        what = f"did not answer for {_PATIENCE_S:.0f} s" if done else "crashed"
        return FormatError(f"damaged: LevelDB {what} on it", path=self._path)

    def close(self) -> None:
        """End the worker and remove the links."""
        self._finalizer()


def _need_plyvel(path: Path) -> None:
    if importlib.util.find_spec("plyvel") is None:
        raise NotSupportedError(
            f"{path}: LevelDB needs the package plyvel: pip install 'freshpot[leveldb]'. Where plyvel is not to "
            "be had (it has no ready-made packages for Python 3.13 and later), convert the data to LMDB."
        )


def _start() -> subprocess.Popen[bytes]:
    """A worker with this interpreter's path."""
    program = f"import sys; sys.path[:] = {sys.path!r}\n{_PROGRAM}"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt from the keyboard is for the program, not for the worker
    )


def _stop(pipe: subprocess.Popen[bytes], view: Path | None) -> None:
    for stream in (pipe.stdin, pipe.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    pipe.kill()
    pipe.wait()
    _remove(view)


def _remove(view: Path | None) -> None:
    if view is not None:
        shutil.rmtree(view, ignore_errors=True)


# ------------------------------------------------------------------------------- the folder


def _manifest(path: Path) -> str:
    """The name of the manifest file, from the file CURRENT."""
    if not (path / "CURRENT").is_file():
        what = "no CURRENT in this folder" if path.is_dir() else f"no such LevelDB folder{looked_in(path)}"
        raise DataError(f"{path}: {what}")
    with (path / "CURRENT").open("rb") as file:
        found = _CURRENT.fullmatch(file.read(64))
    if found is None:
        raise FormatError("does not name a manifest", path=path / "CURRENT")
    manifest = found.group(1).decode()
    if not (path / manifest).is_file():
        raise FormatError(f"names {manifest}, which is not there", path=path / "CURRENT")
    return manifest


def _link(path: Path, view: Path, manifest: str) -> None:
    """Fill a folder with links to the tables, which never change, and copies of the rest."""
    copied = ["CURRENT", manifest]
    for entry in os.scandir(path):
        if _TABLE.fullmatch(entry.name) and entry.is_file():
            os.symlink(os.path.abspath(entry.path), view / entry.name)
        elif _LOG.fullmatch(entry.name) and entry.is_file():
            copied.append(entry.name)
    total = sum((path / name).stat().st_size for name in copied)
    if total > _MAX_COPIED:
        raise FormatError(f"logs and manifest of {total} bytes; at most {_MAX_COPIED} make sense", path=path)
    for name in copied:
        shutil.copyfile(path / name, view / name)


def _matches(path: Path) -> bool:
    return (path / "CURRENT").is_file() and any(path.glob("MANIFEST-*"))


reader.register_store("leveldb", LevelDB, _matches)
