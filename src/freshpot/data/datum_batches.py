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

from freshpot.data.blocks import Block, Record
from freshpot.data.datum import datum_decoder, is_encoded, read_datum
from freshpot.data.images import decode_image
from freshpot.data.memory import Kept
from freshpot.data.reader import Database
from freshpot.data.rounds import Rounds
from freshpot.data.transforms import ImageTransform
from freshpot.errors import DataError, FormatError

__all__ = ["THREADS", "Batch", "DatumBatches"]

#: images decoded at a time; OpenCV lets go of Python's lock meanwhile
THREADS = min(4, os.cpu_count() or 1)


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
        cursor = database.cursor()
        if not cursor.valid:
            raise DataError(f"{database.path}: the database has no records")
        self._rounds = Rounds(cursor, database.path, on_restart=on_restart)
        self._batch_size = batch_size
        self._transform = transform
        self._decode_image = functools.partial(_decode, color)
        self._decoder = datum_decoder(self._decode_image)
        self._shards, self._shard = shards, shard
        self._kept: Kept[bytes] = Kept(database.path)  # compressed images, by key

    def first_shape(self) -> tuple[int, ...]:
        """The shape (C, h, w) of the first image, transformed. Raises as iterating does."""
        image, _ = self._decode_one(self._rounds.peek().records()[0])
        return self._transform.shape(image.shape)

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="freshpot-images") as pool:
            while True:
                block = self._rounds.take(self._batch_size * self._shards)
                yield self._batch(block.part(self._shard, len(block), self._shards), pool)

    @property
    def can_seek(self) -> bool:
        """Whether a batch is the same whichever were made before it."""
        return not self._transform.draws

    def seek(self, batch: int) -> None:
        """Go on with this batch, counted from the first; nothing may be iterating meanwhile."""
        self._rounds.seek_to_first()
        self._rounds.skip(batch * self._batch_size * self._shards)

    def _batch(self, block: Block, pool: Executor) -> Batch:
        if not self._decoder.knows(block) and is_encoded(block.value(0), _where((block.key(0), b""))):
            return self._singly(self._decode_images(block.records(), pool))
        try:
            images, labels = self._decoder.decode(block)
        except FormatError:
            if not self._transform.any_size:
                raise
            return self._singly([self._decode_one(record) for record in block.records()])
        return Batch(self._transform(images), labels.astype(np.float32))

    def _decode_images(self, records: list[Record], pool: Executor) -> list[list[NDArray[Any]]]:
        """Image and label of each record; keys are unique in the stores that Caffe reads."""

        def decode(places: list[int]) -> list[list[NDArray[Any]]]:
            return list(pool.map(self._decode_one, [records[place] for place in places]))

        return self._kept.get([key for key, _ in records], decode)

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
