"""Downloads of public data sets: several mirrors, checked contents, nothing half done.

A mirror is tried with one small file first, all mirrors at the same time, so that a machine without a network
finds out within seconds. What comes is unpacked within known bounds and compared with the SHA-256 of the
uncompressed contents (mirrors compress differently); only then it is written, atomically.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import queue
import sys
import threading
import time
import urllib.parse
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freshpot.errors import DataError
from freshpot.formats.atomic import atomic_write

__all__ = ["RemoteFile", "download_files"]

PROBE_SECONDS = 4.0  # for all mirrors together
_STALL_SECONDS = 10.0  # without one byte, once a mirror has answered
_CHUNK = 1 << 16
_FAILURES = (OSError, DataError, ValueError, http.client.HTTPException)  # all a bad mirror can cause


@dataclass(frozen=True)
class RemoteFile:
    """One gzip-compressed file and what it must unpack to: ``size`` bytes with this SHA-256."""

    name: str
    size: int
    sha256: str


def download_files(files: Sequence[RemoteFile], mirrors: Sequence[str], folder: Path) -> None:
    """Bring all ``files`` into ``folder``; the first one should be small, it is the probe.

    Args:
        files: what to bring.
        mirrors: base addresses, each ending in ``/``.
        folder: made when missing. A file is there completely or not at all.

    Raises:
        DataError: offline by choice (``FRESHPOT_OFFLINE=1``), no mirror answered, or all sent wrong contents.
    """
    if os.environ.get("FRESHPOT_OFFLINE", "") not in ("", "0"):
        raise DataError("downloads are switched off (FRESHPOT_OFFLINE is set)")
    answered, first = _probe(files[0], mirrors)
    order = [answered, *(mirror for mirror in mirrors if mirror != answered)]
    folder.mkdir(parents=True, exist_ok=True)
    _keep(folder / files[0].name, first)
    for file in files[1:]:
        _keep(folder / file.name, _from_any(file, order))


def _probe(file: RemoteFile, mirrors: Sequence[str]) -> tuple[str, bytes]:
    """The first mirror that delivers ``file``, and the file. Threads, as name look-up knows no time-out."""
    answers: queue.Queue[tuple[str, bytes | None, str]] = queue.Queue()

    def ask(mirror: str) -> None:
        try:
            answers.put((mirror, _fetch(mirror, file, PROBE_SECONDS, show=False), ""))
        except _FAILURES as error:
            answers.put((mirror, None, _reason(error)))

    for mirror in mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True, name=f"probe {mirror}").start()
    failures = dict.fromkeys(map(_host, mirrors), "no answer")
    deadline = time.monotonic() + PROBE_SECONDS
    for _ in mirrors:
        try:
            mirror, data, why = answers.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            break
        if data is not None:
            return mirror, data
        failures[_host(mirror)] = why
    raise DataError(
        "no mirror could be used: " + "; ".join(f"{host}: {why}" for host, why in failures.items())
    )


def _from_any(file: RemoteFile, mirrors: Sequence[str]) -> bytes:
    """``file`` from the first mirror that has it."""
    failures = []
    for mirror in mirrors:
        try:
            return _fetch(mirror, file, _STALL_SECONDS, show=True)
        except _FAILURES as error:
            failures.append(f"{_host(mirror)}: {_reason(error)}")
    raise DataError(f"{file.name}: no mirror could be used: " + "; ".join(failures))


def _fetch(mirror: str, file: RemoteFile, seconds: float, *, show: bool) -> bytes:
    """Download and verify; the compressed bytes."""
    received = io.BytesIO()
    with urllib.request.urlopen(mirror + file.name, timeout=seconds) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(_CHUNK):
            received.write(chunk)
            if received.tell() > file.size + _CHUNK:  # compressed data is never this large
                raise DataError(f"sent more than {file.size} bytes")
            if show:
                _show_progress(file.name, mirror, received.tell(), total)
    if show:
        _end_progress()
    if total and received.tell() != total:
        raise DataError(f"connection closed after {received.tell()} of {total} bytes")
    _verify(file, received.getvalue())
    return received.getvalue()


def _verify(file: RemoteFile, packed: bytes) -> None:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            plain = stream.read(file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"sent something that is not gzip data ({error})") from error
    found = hashlib.sha256(plain).hexdigest()
    if found != file.sha256:
        raise DataError(f"sent other contents (SHA-256 {found[:12]}…, expected {file.sha256[:12]}…)")


def _keep(path: Path, data: bytes) -> None:
    with atomic_write(path) as out:
        out.write(data)


def _show_progress(name: str, mirror: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        of = f" of {total / 1e6:.1f}" if total else ""
        sys.stderr.write(f"\rfreshpot: {name} from {_host(mirror)}: {done / 1e6:.1f}{of} MB ")
        sys.stderr.flush()


def _end_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\n")


def _host(mirror: str) -> str:
    return urllib.parse.urlsplit(mirror).netloc or mirror


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error)
