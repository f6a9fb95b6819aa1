"""Writing the images of a list as a database of Datum records, as ``convert_imageset`` does.

Called by the command line, and by programs that prepare their data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from freshpot.data.datum import array_to_datum, file_to_datum
from freshpot.data.image_list import ImageLine
from freshpot.data.images import encode_image, read_image
from freshpot.data.reader import Mode, open_db
from freshpot.errors import DataError, FormatError, FreshpotError
from freshpot.formats import wire

__all__ = ["image_to_datum", "write_image_list_db"]

#: Records in one transaction, as the original's tool does.
_COMMIT_EVERY = 1000


def image_to_datum(
    path: str | os.PathLike[str],
    label: int,
    *,
    height: int = 0,
    width: int = 0,
    color: bool = True,
    encoding: str = "",
) -> bytes:
    """A serialised Datum of an image file.

    Args:
        height, width: to resize to, pixels; 0 = as it is.
        color: 3 channels, or 1.
        encoding: "" = pixels; "png", "jpg" … = compressed. A file that is of that kind already, and is not
            resized, goes in byte by byte.

    Raises:
        DataError: the file cannot be read, or OpenCV does not write that kind.
        FormatError: it is no image.
        NotSupportedError: OpenCV is not installed.
    """
    image = read_image(path, height=height, width=width, color=color)
    if not encoding:
        return array_to_datum(image, label, encoded=False)
    resized = height > 0 and width > 0
    if not resized and (len(image) == 3) == color and _kind(path) == _same(encoding):
        return file_to_datum(Path(path).read_bytes(), label)
    return file_to_datum(encode_image(image, encoding), label)


def write_image_list_db(
    db_type: str,
    path: str | os.PathLike[str],
    lines: Sequence[ImageLine],
    folder: str = "",
    *,
    height: int = 0,
    width: int = 0,
    color: bool = True,
    encoded: bool = False,
    encoding: str = "",
    check_size: bool = False,
    on_progress: Callable[[int], None] = lambda count: None,
    on_skip: Callable[[ImageLine, FreshpotError], None] | None = None,
) -> int:
    """Write the images of a list as a new database; keys are ``00000000_<file name>`` …; returns their number.

    Args:
        db_type, path: as in ``open_db``, mode NEW.
        folder: put before each file name as it is.
        height, width, color, encoding: as in :func:`image_to_datum`.
        encoded: compress; without ``encoding``, each as its file name ends.
        check_size: all must have the same number of bytes.
        on_progress: called with the number of images after every 1000, and at the end.
        on_skip: called with each line whose image cannot be read, and why; without it, that is an error.

    Raises:
        DataError: an existing path; or (``check_size``) images of several sizes.
        As :func:`image_to_datum`.
    """
    count, size = 0, None
    with open_db(db_type, path, Mode.NEW) as database, database.transaction() as transaction:
        for index, line in enumerate(lines):
            kind = encoding or (_kind(line.name) if encoded else "")
            try:
                value = image_to_datum(
                    folder + line.name, line.label, height=height, width=width, color=color, encoding=kind
                )
            except (DataError, FormatError) as error:
                if on_skip is None:
                    raise
                on_skip(line, error)
                continue
            found = _data_size(value)
            size = found if size is None else size
            if check_size and found != size:
                raise DataError(
                    f"{folder + line.name}: {found} bytes of data, the first image has {size}; give sizes to "
                    "resize to, or leave out check_size"
                )
            transaction.put(b"%08d_%s" % (index, os.fsencode(line.name)), value)
            count += 1
            if count % _COMMIT_EVERY == 0:
                transaction.commit()
                on_progress(count)
    if count % _COMMIT_EVERY:
        on_progress(count)
    return count


def _data_size(datum: bytes) -> int:
    """Bytes in the field ``data`` (number 4)."""
    return next((field.end - field.begin for field in wire.scan_fields(datum) if field.number == 4), 0)


def _kind(path: str | os.PathLike[str]) -> str:
    return _same(os.fspath(path).rpartition(".")[2])


def _same(kind: str) -> str:
    """One name for each kind of file."""
    return "jpg" if kind.lower() == "jpeg" else kind.lower()
