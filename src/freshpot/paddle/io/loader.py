"""DataLoader: batches of a data set as tensors. Iterable, and called (``loader()``) as in 2.0."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.utils.data

from freshpot.errors import ArgumentError, DataError
from freshpot.paddle import _tensor
from freshpot.paddle._state import to_device
from freshpot.paddle._tensor import Tensor, wrap
from freshpot.paddle.io.dataset import IterableDataset
from freshpot.paddle.io.sampler import BatchSampler

__all__ = ["DataLoader", "default_collate_fn", "default_convert_fn", "get_worker_info"]

#: the worker that this process is, as torch knows it: ``id``, ``num_workers``, ``dataset``; None in the main process
get_worker_info = torch.utils.data.get_worker_info


def default_collate_fn(batch: list[Any]) -> Any:
    """Samples to a batch: arrays, tensors and numbers are stacked; lists, tuples and dictionaries part by part.

    Raises:
        DataError: samples of different shapes, or of a kind that makes no batch.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        if len({tuple(sample.shape) for sample in batch}) == 1:
            return wrap(torch.stack([sample.data_.detach() for sample in batch]))
        raise DataError(f"samples of one batch have different shapes: {[s.shape for s in batch][:3]}")
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


def default_convert_fn(sample: Any) -> Any:
    """What is made of a single sample where there are no batches: itself."""
    return sample


def _plain(value: Any) -> Any:
    """Tensors as arrays: what goes from process to process."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return {key: _plain(part) for key, part in value.items()} if isinstance(value, dict) else value


class _Picked(torch.utils.data.Dataset[Any]):
    """A data set by number, for torch's worker processes."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, number: int) -> Any:
        return self.dataset[number]

    def __len__(self) -> int:
        return len(self.dataset)


class _Streamed(torch.utils.data.IterableDataset[Any]):
    """A data set one sample after the other, for torch's worker processes."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        return iter(self.dataset)


class DataLoader:
    """Batches of a data set.

    ``num_workers`` processes read samples ahead (PyTorch's), unless the data set has whole batches at hand; then, and
    with 0, samples are read in this process. The order is the same. Batches come to ``places``' first device.

    Args:
        return_list: True: a batch is a list; False: a list of one dictionary by the names in ``feed_list``. In the
            static mode, with ``feed_list``: that dictionary in any case.
        use_buffer_reader, use_shared_memory: how the original hands batches on; without meaning here.

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
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        persistent_workers: bool = False,
    ) -> None:
        if num_workers < 0:
            raise ArgumentError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        if not return_list and not feed_list:
            raise ArgumentError("DataLoader: return_list=False wants feed_list, the names of the fields")
        if batch_sampler is not None and (batch_size != 1 or shuffle or drop_last):
            raise ArgumentError("DataLoader: a batch_sampler says batch_size, shuffle and drop_last itself")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.return_list = return_list and not (feed_list and _tensor.recorder is not None)
        self.num_workers, self.feed_list = num_workers, feed_list
        place = places[0] if isinstance(places, (list, tuple)) and places else places
        self._device = to_device(place or None)
        self._collate = collate_fn or default_collate_fn
        self._worker = {"timeout": timeout, "worker_init_fn": worker_init_fn}
        self._ahead, self._persistent = prefetch_factor, persistent_workers
        self._workers: Any = None
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
        for samples in self._read():
            batch = self._to_tensors(samples)
            if not self.return_list:
                names = [getattr(spec, "name", spec) for spec in self.feed_list]
                batch = [dict(zip(names, batch, strict=False))]
            yield batch

    def _read(self) -> Iterator[Any]:
        read = getattr(self.dataset, "read_batch", None)  # a data set that has whole batches at hand
        if read is not None and self.batch_sampler is not None and self._collate is default_collate_fn:
            return map(read, self.batch_sampler)
        return self._from_workers() if self.num_workers else self._groups()

    def _groups(self) -> Iterator[Any]:
        if self.batch_sampler is not None:
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

    def _from_workers(self) -> Iterator[Any]:
        if self._workers is None or not self._persistent:
            more: dict[str, Any] = {**self._worker, "num_workers": self.num_workers}
            more |= {"prefetch_factor": self._ahead, "persistent_workers": self._persistent}
            if "fork" in torch.multiprocessing.get_all_start_methods():
                more["multiprocessing_context"] = "fork"  # notebooks' data sets exist in this process only
            if isinstance(self.dataset, IterableDataset):
                more |= {
                    "batch_size": self.batch_size,
                    "drop_last": self.drop_last and self.batch_size is not None,
                }
                source: Any = _Streamed(self.dataset)
            else:
                source = _Picked(self.dataset)
                more |= (
                    {"batch_size": None}
                    if self.batch_sampler is None
                    else {"batch_sampler": self.batch_sampler}
                )
            collate = (
                self._collate
                if self.batch_size is not None or self.batch_sampler is not None
                else default_convert_fn
            )
            self._workers = torch.utils.data.DataLoader(
                source, collate_fn=lambda rows: _plain(collate(rows)), **more
            )
        return iter(self._workers)

    def _chunks(self, samples: Iterator[Any], size: int) -> Iterator[Any]:
        while batch := list(itertools.islice(samples, size)):
            if len(batch) == size or not self.drop_last:
                yield self._collate(batch)

    def _to_tensors(self, value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            array = np.asarray(value)
            wide = array.astype(np.int64) if array.dtype.kind == "u" and array.itemsize > 1 else array
            return wrap(torch.from_numpy(np.ascontiguousarray(wide).reshape(wide.shape)).to(self._device))
        if isinstance(value, Tensor):
            return Tensor(value.data_.detach().to(self._device))
        if isinstance(value, torch.Tensor):
            return Tensor(value.to(self._device))
        if isinstance(value, (list, tuple)) and not any(isinstance(part, (str, bytes)) for part in value):
            return [self._to_tensors(part) for part in value]
        if isinstance(value, dict):
            return {key: self._to_tensors(part) for key, part in value.items()}
        return value
