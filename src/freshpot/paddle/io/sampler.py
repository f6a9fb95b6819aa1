"""The order in which samples are taken. Random orders follow ``paddle.seed``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError

__all__ = [
    "BatchSampler", "DistributedBatchSampler", "RandomSampler", "Sampler", "SequenceSampler", "SubsetRandomSampler",
    "WeightedRandomSampler",
]  # fmt: skip


class Sampler:
    """Numbers of samples; a subclass defines ``__iter__``."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")

    def __len__(self) -> int:
        return len(self.data_source)


class SequenceSampler(Sampler):
    """0, 1, 2 …"""

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))


class RandomSampler(Sampler):
    """In random order, each once; or with ``replacement``."""

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        super().__init__(data_source)
        self.replacement, self._count = replacement, num_samples

    @property
    def num_samples(self) -> int:
        """How many are drawn."""
        return len(self.data_source) if self._count is None else self._count

    def __iter__(self) -> Iterator[int]:
        total = len(self.data_source)
        if self.replacement:
            return iter(torch.randint(total, (self.num_samples,)).tolist())
        return iter(torch.randperm(total)[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Some samples in random order."""

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__(indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.data_source[i] for i in torch.randperm(len(self.data_source)).tolist())


class WeightedRandomSampler(Sampler):
    """Drawn with the given weights."""

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True) -> None:
        super().__init__(weights)
        self.weights = torch.as_tensor([float(weight) for weight in weights])
        self.num_samples, self.replacement = num_samples, replacement

    def __iter__(self) -> Iterator[int]:
        return iter(torch.multinomial(self.weights, self.num_samples, self.replacement).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` numbers.

    Raises:
        ArgumentError: neither a data set nor a sampler, or a batch size below 1.
    """

    def __init__(
        self,
        dataset: Any = None,
        sampler: Any = None,
        shuffle: bool = False,
        batch_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        super().__init__(dataset)
        if dataset is None and sampler is None:
            raise ArgumentError("BatchSampler: give a dataset or a sampler")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"BatchSampler: batch_size must be 1 or more, got {batch_size!r}")
        self.sampler = sampler or (RandomSampler(dataset) if shuffle else SequenceSampler(dataset))
        self.batch_size, self.drop_last, self.shuffle = batch_size, drop_last, shuffle

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for number in self.sampler:
            batch.append(number)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        return (len(self.sampler) + (0 if self.drop_last else self.batch_size - 1)) // self.batch_size


class DistributedBatchSampler(BatchSampler):
    """The share of one process among several; alone, all of it."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> None:
        replicas, own = num_replicas or 1, rank or 0
        super().__init__(dataset, range(own, len(dataset), replicas), False, batch_size, drop_last)
        self._shuffle, self._epoch = shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        """The order of an epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        share: Any = self.sampler
        if self._shuffle:
            order = torch.randperm(len(share), generator=torch.Generator().manual_seed(self._epoch))
            self._epoch += 1
            self.sampler = [share[i] for i in order.tolist()]
        yield from super().__iter__()
        self.sampler = share
