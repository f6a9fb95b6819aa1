"""Batches of images and labels from a database of Datum records, round and round.

Owned here: reading, decoding and transforming a batch. Who calls it: the Data layer, in a thread of its own.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.data.datum import datum_decoder, is_encoded, read_datum
from freshpot.data.images import decode_image
from freshpot.data.reader import Cursor, Database, Record
from freshpot.data.transforms import ImageTransform
from freshpot.errors import DataError, FormatError

__all__ = ["THREADS", "Batch", "DatumBatches"]

#: images decoded at a time; OpenCV lets go of Python's lock meanwhile
THREADS = min(4, os.cpu_count() or 1)


#: records passed over at once
_SEEK_STEP = 1000


class Batch(NamedTuple):
    """Images (N, C, H, W) and labels (N,), both float32."""

    images: NDArray[np.float32]
    labels: NDArray[np.float32]


class DatumBatches:
    """Iterates for ever over batches; after the last record comes the first.

    Args:
        database: open for reading; it is kept open.
        batch_size: records in a batch.
        transform: applied to the images.
        color: how compressed images are decoded: True = 3 channels, False = 1, None = as stored.
        shards, shard: take records ``shard``, ``shard + shards`` … only, counted round and round.
        on_restart: called when the first record follows the last.

    Raises:
        DataError: the database is empty.
        FormatError: a record is damaged, or images of one batch differ in shape (a crop makes them equal).
    """

    def __init__(
        self,
        database: Database,
        batch_size: int,
        transform: ImageTransform,
        *,
        color: bool | None = None,
        shards: int = 1,
        shard: int = 0,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database  # kept open by this reference
        self._cursor: Cursor = database.cursor()
        self._batch_size = batch_size
        self._transform = transform
        self._decode_image = functools.partial(_decode, color)
        self._decoder = datum_decoder(self._decode_image)
        self._shards, self._shard = shards, shard
        self._on_restart = on_restart
        if not self._cursor.valid:
            raise DataError(f"{database.path}: the database has no records")

    def first_shape(self) -> tuple[int, ...]:
        """The shape (C, h, w) of the first image, transformed. Raises as iterating does."""
        image, _ = self._decode_one((self._cursor.key(), self._cursor.value()))
        return self._transform.shape(image.shape)

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="freshpot-images") as pool:
            while True:
                records = self._read(self._batch_size * self._shards)[self._shard :: self._shards]
                yield self._batch(records, pool)

    @property
    def can_seek(self) -> bool:
        """Whether a batch is the same whichever were made before it."""
        return not self._transform.draws

    def seek(self, batch: int) -> None:
        """Go on with this batch, counted from the first; nothing may be iterating meanwhile."""
        left, passed = batch * self._batch_size * self._shards, 0
        self._cursor.seek_to_first()
        while left:
            taken = len(self._cursor.take(min(left, _SEEK_STEP)))
            left, passed = left - taken, passed + taken
            if not self._cursor.valid:
                self._cursor.seek_to_first()
                left %= passed  # all of them, the first time round

    def _read(self, count: int) -> list[Record]:
        records: list[Record] = []
        while len(records) < count:
            records += self._cursor.take(count - len(records))
            if not self._cursor.valid:
                self._on_restart()
                self._cursor.seek_to_first()
        return records

    def _batch(self, records: list[Record], pool: Executor) -> Batch:
        if is_encoded(records[0][1], _where(records[0])):
            return self._singly(list(pool.map(self._decode_one, records)))
        try:
            images, labels = self._decoder.decode(records)
        except FormatError:
            if not self._transform.any_size:
                raise
            return self._singly([self._decode_one(record) for record in records])
        return Batch(self._transform(images), labels.astype(np.float32))

    def _decode_one(self, record: Record) -> list[NDArray[Any]]:
        """Image and label of a record."""
        return read_datum(record[1], _where(record), self._decode_image)

    def _singly(self, parts: list[list[NDArray[Any]]]) -> Batch:
        """Images that were decoded one by one, perhaps of several sizes."""
        labels = np.array([label for _, label in parts], np.float32)
        shapes = {image.shape for image, _ in parts}
        if len(shapes) == 1:
            return Batch(self._transform(np.stack([image for image, _ in parts])), labels)
        if not self._transform.any_size or len({shape[0] for shape in shapes}) > 1:
            found = ", ".join(map(str, sorted(shapes)))
            raise FormatError(
                f"images of shapes {found}: one batch must be of one kind; a crop_size makes heights and widths equal",
                path=self._database.path,
            )
        return Batch(np.concatenate([self._transform(image[None]) for image, _ in parts]), labels)


def _where(record: Record) -> str:
    return f"record {record[0].decode('utf-8', 'backslashreplace')!r}"


def _decode(color: bool | None, data: bytes, where: str | None) -> NDArray[Any]:
    return decode_image(data, color, where=where)
