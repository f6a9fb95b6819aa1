"""Batches of images and labels from a database of Datum records, round and round.

Owned here: reading, decoding and transforming a batch. Who calls it: the Data layer, in a thread of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.data.datum import datum_decoder
from freshpot.data.images import decode_image
from freshpot.data.reader import Cursor, Database, Record
from freshpot.data.transforms import ImageTransform
from freshpot.errors import DataError, FormatError

__all__ = ["Batch", "DatumBatches"]


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
        self._decoder = datum_decoder(functools.partial(_decode, color))
        self._shards, self._shard = shards, shard
        self._on_restart = on_restart
        if not self._cursor.valid:
            raise DataError(f"{database.path}: the database has no records")

    def first_shape(self) -> tuple[int, ...]:
        """The shape (C, h, w) of the first image, transformed. Raises as iterating does."""
        images, _ = self._decoder.decode([(self._cursor.key(), self._cursor.value())])
        return self._transform.shape(images.shape[1:])

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self._batch(self._read(self._batch_size * self._shards)[self._shard :: self._shards])

    def _read(self, count: int) -> list[Record]:
        records: list[Record] = []
        while len(records) < count:
            records += self._cursor.take(count - len(records))
            if not self._cursor.valid:
                self._on_restart()
                self._cursor.seek_to_first()
        return records

    def _batch(self, records: list[Record]) -> Batch:
        try:
            images, labels = self._decoder.decode(records)
        except FormatError:
            if not self._transform.any_size:
                raise
            return self._singly(records)
        return Batch(self._transform(images), labels.astype(np.float32))

    def _singly(self, records: list[Record]) -> Batch:
        """Images of several sizes: each by itself, all cut to one size."""
        parts = [self._decoder.decode([record]) for record in records]
        images = [self._transform(image) for image, _ in parts]
        if len({image.shape for image in images}) > 1:
            found = sorted({image.shape[1] for image in images})
            raise FormatError(
                f"images of {', '.join(map(str, found))} channels: one batch must be of one kind",
                path=self._database.path,
            )
        return Batch(np.concatenate(images), np.concatenate([label for _, label in parts]).astype(np.float32))


def _decode(color: bool | None, data: bytes, where: str | None) -> NDArray[Any]:
    return decode_image(data, color, where=where)
