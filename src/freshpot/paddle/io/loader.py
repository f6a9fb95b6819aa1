"""DataLoader: batches of a data set as tensors. Iterable, and called (``loader()``) as in 2.0."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError, DataError
from freshpot.paddle._state import to_device
from freshpot.paddle._tensor import Tensor, to_tensor
from freshpot.paddle.io.dataset import IterableDataset
from freshpot.paddle.io.sampler import BatchSampler

__all__ = ["DataLoader", "default_collate_fn", "get_worker_info"]


def default_collate_fn(batch: list[Any]) -> Any:
    """Samples to a batch: arrays, tensors and numbers are stacked; lists, tuples and dictionaries part by part.

    Raises:
        DataError: samples of different shapes, or of a kind that makes no batch.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return np.stack([sample.numpy().reshape(sample.shape) for sample in batch])
    if isinstance(first, (np.ndarray, np.generic)):
        shapes = {np.shape(sample) for sample in batch}
        if len(shapes) > 1:
            raise DataError(f"samples of one batch have different shapes: {sorted(shapes)[:3]}")
        return np.stack(batch)
    if isinstance(first, (int, float, bool)):
        return np.array(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, dict):
        return {key: default_collate_fn([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (list, tuple)):
        if len({len(sample) for sample in batch}) > 1:
            raise DataError("samples of one batch have different numbers of fields")
        return [default_collate_fn(list(field)) for field in zip(*batch, strict=True)]
    raise DataError(
        f"samples hold {type(first).__name__}, which makes no batch; give transform=ToTensor() or a collate_fn"
    )


def get_worker_info() -> None:
    """None: samples are read in this process."""
    return


class DataLoader:
    """Batches of a data set.

    ``num_workers`` is accepted; samples are read in this process, in the same order.

    Raises:
        ArgumentError: options that contradict each other.
    """

    def __init__(
        self,
        dataset: Any,
        feed_list: Any = None,
        places: Any = None,
        return_list: bool = True,
        batch_sampler: Any = None,
        batch_size: int | None = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        num_workers: int = 0,
        use_buffer_reader: bool = True,
        prefetch_factor: int = 2,
        use_shared_memory: bool = True,
        timeout: int = 0,
        worker_init_fn: Any = None,
        persistent_workers: bool = False,
    ) -> None:
        if num_workers < 0:
            raise ArgumentError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.return_list, self.num_workers = return_list, num_workers
        place = places[0] if isinstance(places, (list, tuple)) and places else places
        self._device = to_device(place or None)
        self._collate = collate_fn or default_collate_fn
        self.batch_sampler: Any = None
        if isinstance(dataset, IterableDataset):
            if shuffle or batch_sampler is not None:
                raise ArgumentError(
                    "DataLoader: an IterableDataset has its own order: no shuffle, no batch_sampler"
                )
        elif batch_sampler is not None:
            self.batch_sampler = batch_sampler
        elif batch_size is not None:
            self.batch_sampler = BatchSampler(dataset, None, shuffle, batch_size, drop_last)

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            raise ArgumentError("the length of a DataLoader over an IterableDataset is not known")
        return len(self.dataset) if self.batch_sampler is None else len(self.batch_sampler)

    def __call__(self) -> Iterator[Any]:
        return iter(self)

    def __iter__(self) -> Iterator[Any]:
        for samples in self._groups():
            yield self._to_tensors(samples)

    def _groups(self) -> Iterator[Any]:
        if self.batch_sampler is not None:
            read = getattr(self.dataset, "read_batch", None)  # a data set that has whole batches at hand
            if read is not None and self._collate is default_collate_fn:
                yield from map(read, self.batch_sampler)
                return
            for numbers in self.batch_sampler:
                yield self._collate([self.dataset[number] for number in numbers])
        elif self.batch_size is None:
            yield from (
                self.dataset
                if isinstance(self.dataset, IterableDataset)
                else map(self.dataset.__getitem__, range(len(self.dataset)))
            )
        else:
            yield from self._chunks(iter(self.dataset), self.batch_size)

    def _chunks(self, samples: Iterator[Any], size: int) -> Iterator[Any]:
        while batch := list(itertools.islice(samples, size)):
            if len(batch) == size or not self.drop_last:
                yield self._collate(batch)

    def _to_tensors(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return to_tensor(value, place=self._device)
        if isinstance(value, torch.Tensor):
            return Tensor(value.to(self._device))
        if isinstance(value, (list, tuple)) and not any(isinstance(part, (str, bytes)) for part in value):
            return [self._to_tensors(part) for part in value]
        if isinstance(value, dict):
            return {key: self._to_tensors(part) for key, part in value.items()}
        return value
