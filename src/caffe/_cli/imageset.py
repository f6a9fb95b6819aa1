"""``caffe convert_imageset``: the images of a list to a database of Datum records."""

from __future__ import annotations

from typing import Any

import torch

from caffe import _log, _random
from caffe._cli.flags import Flag, UsageError
from freshpot.data.image_list import ImageLine, read_image_list
from freshpot.data.image_list_db import write_image_list_db
from freshpot.errors import FreshpotError

FLAGS = (
    Flag("gray", False, "read the images as gray ones"),
    Flag("shuffle", False, "write the images in a random order"),
    Flag("backend", "lmdb", "kind of the database: lmdb or leveldb"),
    Flag("resize_width", 0, "width to resize to, pixels; 0: as it is"),
    Flag("resize_height", 0, "height to resize to, pixels; 0: as it is"),
    Flag("check_size", False, "refuse images of several sizes"),
    Flag("encoded", False, "write compressed images"),
    Flag("encode_type", "", "how to compress: png, jpg … (as each file is, if not given)"),
)
USAGE = "usage: caffe convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME"


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Write the database; 0 when done. Images that cannot be read are left out, and named in the log.

    Raises:
        DataError: no such list, an existing database, or (-check_size) images of several sizes.
    """
    if len(words) != 4:
        raise UsageError(USAGE)
    folder, list_file, database = words[1:]
    lines = read_image_list(list_file)
    if flags["shuffle"]:
        _log.info("convert_imageset.cpp:86", "Shuffling data")
        order = torch.randperm(len(lines), generator=_random.generator())
        lines = [lines[i] for i in order.tolist()]
    _log.info("convert_imageset.cpp:89", f"A total of {len(lines)} images.")
    if flags["encode_type"] and not flags["encoded"]:
        _log.info("convert_imageset.cpp:92", "encode_type specified, assuming encoded=true.")
    _log.info("db_lmdb.cpp:35", f"Opened {flags['backend']} {database}")
    write_image_list_db(
        flags["backend"],
        database,
        lines,
        folder,
        height=max(0, flags["resize_height"]),
        width=max(0, flags["resize_width"]),
        color=not flags["gray"],
        encoded=flags["encoded"],
        encoding=flags["encode_type"],
        check_size=flags["check_size"],
        on_progress=_progress,
        on_skip=_skipped,
    )
    return 0


def _progress(count: int) -> None:
    place = 144 if count % 1000 == 0 else 153
    _log.info(f"convert_imageset.cpp:{place}", f"Processed {count} files.")


def _skipped(line: ImageLine, error: FreshpotError) -> None:
    _log.error("io.cpp:80", f"Could not open or find file {line.name}: {error}")
