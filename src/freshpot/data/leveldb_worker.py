"""The process in which LevelDB runs: it reads requests, and answers with records.

LevelDB is C++ that trusts its files, and a crafted store can make it run wild; here that ends a process that
holds nothing else. ``leveldb.py`` starts it and speaks with it.

A message is a letter, the length of what follows (uint64), and that many bytes. Requests: ``O`` open (mode,
path), ``N`` up to so many next records, ``F`` back to the first, ``S`` seek a key, ``P`` put records,
``C`` close. Answers: ``+`` done (with records), ``-`` damaged, ``!`` refused, each with words.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

HEAD = struct.Struct("<cQ")
_SIZES = struct.Struct("<II")
#: bytes of records in one answer, after which it ends early
_ENOUGH = 1 << 24
#: heap of this process; a damaged size cannot take the machine down
_MEMORY = 4 << 30


def pack(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Records as the body of a message."""
    return b"".join(_SIZES.pack(len(key), len(value)) + key + value for key, value in records)


def unpack(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of the body of a message."""
    at = 0
    while at < len(body):
        key, value = _SIZES.unpack_from(body, at)
        middle = at + _SIZES.size + key
        at = middle + value
        yield body[middle - key : middle], body[middle:at]


def send(stream: BinaryIO, kind: bytes, body: bytes) -> None:
    """Write a message."""
    stream.write(HEAD.pack(kind, len(body)))
    stream.write(body)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[bytes, bytes]:
    """Read a message; kind ``b""`` means that the other side is gone."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return b"", b""
    kind, size = HEAD.unpack(head)
    body = stream.read(size)
    return (kind, body) if len(body) == size else (b"", b"")


class _Worker:
    """The open store."""

    def __init__(self) -> None:
        self._db: Any = None
        self._iterator: Any = None

    def answer(self, kind: bytes, body: bytes) -> bytes:
        """Do what a request says."""
        if kind == b"O":
            self._open(body[:1], body[1:].decode("utf-8", "surrogateescape"))
        elif kind == b"N":
            return self._take(int.from_bytes(body, "little"))
        elif kind == b"F":
            self._iterator.seek_to_start()
        elif kind == b"S":
            self._iterator.seek(body)
        elif kind == b"P":
            self._put(body)
        elif kind == b"C":
            self._db.close()
        return b""

    def _open(self, mode: bytes, path: str) -> None:
        import plyvel

        # block and buffer sizes are those of the original Caffe; the buffer is cut to keep this process small
        self._db = plyvel.DB(
            path,
            create_if_missing=mode == b"n",
            error_if_exists=mode == b"n",
            paranoid_checks=True,
            block_size=65536,
            write_buffer_size=1 << 26,
            max_open_files=100,
        )
        if mode == b"r":
            self._iterator = self._db.iterator(verify_checksums=True, fill_cache=False)

    def _take(self, count: int) -> bytes:
        records, size = [], 0
        for record in itertools.islice(self._iterator, count):
            records.append(record)
            size += len(record[1])
            if size > _ENOUGH:
                break
        return pack(records)

    def _put(self, body: bytes) -> None:
        with self._db.write_batch(sync=True) as batch:
            for key, value in unpack(body):
                batch.put(key, value)


def _words(error: Exception) -> bytes:
    """What an error says; plyvel's say it in bytes."""
    said = error.args[0] if error.args else type(error).__name__
    return said if isinstance(said, bytes) else str(said).encode("utf-8", "replace")


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has or grants it
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve until the other side closes."""
    import plyvel

    _limit_memory()
    worker = _Worker()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        kind, body = receive(requests)
        if not kind:
            return
        try:
            done, reply = b"+", worker.answer(kind, body)
        except plyvel.CorruptionError as error:
            done, reply = b"-", _words(error)
        except (plyvel.Error, MemoryError, OSError) as error:
            done, reply = b"!", _words(error)
        send(answers, done, reply)
