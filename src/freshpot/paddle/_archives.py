"""Files of data sets: where they are looked for, and what a broken one raises. Nothing is downloaded.

Looked for in this order: the file that the caller names; ``FRESHPOT_DATA``, with and without the data set's own folder;
the original's cache, ``~/.cache/paddle/dataset``. Used by ``vision.datasets``, ``text`` and ``dataset``.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError, DataError, FormatError

__all__ = ["choice", "find_archive", "member", "reading", "stand_ins"]

#: ``freshpot run`` puts a function of (folder, name) here that makes a file in place of one that is not there
stand_ins: list[Callable[[str, str], Path | None]] = []


def find_archive(who: str, named: Any, folder: str, name: str, download: bool = True) -> Path:
    """The file of a data set.

    Args:
        who: the data set, for messages.
        named: what the caller named, or None.
        folder, name: where the original keeps it, below ``~/.cache/paddle/dataset``.
        download: False: only a file that is named will do, as in the original.

    Raises:
        ArgumentError: no file is named, and ``download`` is False.
        DataError: it is not there.
    """
    if named is not None:
        path = Path(named).expanduser()
        if not path.is_file():
            raise DataError(f"{who}: {path} is not there")
        return path
    if not download:
        raise ArgumentError(f"{who}: download=False wants the data's file named")
    places = [Path("~/.cache/paddle/dataset").expanduser() / folder / name]
    if base := os.environ.get("FRESHPOT_DATA"):
        plain = name.rpartition("%2F")[2]
        places = [
            Path(base).expanduser() / inner for inner in (f"{folder}/{name}", f"{folder}/{plain}", plain)
        ] + places
    for path in places:
        if path.is_file():
            return path
    for make in stand_ins:
        made = make(folder, name)
        if made is not None:
            return made
    raise DataError(
        f"{who}: {places[-1]} is not there, and is not downloaded; put it there, or in the folder that "
        "FRESHPOT_DATA names, or name the file"
    )


def choice(who: str, what: str, value: str, known: tuple[str, ...]) -> str:
    """The value in small letters.

    Raises:
        ArgumentError: not one of those known.
    """
    if not isinstance(value, str) or value.lower() not in known:
        words = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        raise ArgumentError(f"{who}: {what} {value!r}; choose {words}")
    return value.lower()


@contextlib.contextmanager
def reading(path: Path, what: str = "archive") -> Iterator[None]:
    """What goes wrong while a file is read is a FormatError that names it, and says ``what`` it should be."""
    try:
        yield
    except FormatError:
        raise
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"no {what} that can be read: {why}", path=path) from error


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of an archive, with or without "./" before its name. KeyError: there is none."""
    plain = name.removeprefix("./")
    for spelling in (plain, f"./{plain}"):
        with contextlib.suppress(KeyError):
            file = archive.extractfile(spelling)
            if file is not None:
                return file.read()
    raise KeyError(f"{plain} is not in it")
