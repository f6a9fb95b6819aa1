"""The order in which samples are taken. Random orders come from numpy's generator, as in the original: so
``numpy.random.seed`` repeats them; :class:`DistributedBatchSampler` shuffles epoch ``n`` the same way every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError
from freshpot.paddle.distributed._groups import ParallelEnv

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
    """In random order, each once; or with ``replacement``.

    Args:
        generator: an iterator that gives the numbers instead.

    Raises:
        ArgumentError: ``num_samples`` below 1, or without ``replacement`` more than there are.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        super().__init__(data_source)
        self.replacement, self.generator, self._count = replacement, generator, num_samples
        most = None if replacement else len(data_source)
        if num_samples is not None and (num_samples < 1 or (most is not None and num_samples > most)):
            raise ArgumentError(
                f"RandomSampler: num_samples must be from 1 to {most or 'any number'}, got {num_samples}"
            )

    @property
    def num_samples(self) -> int:
        """How many are drawn."""
        return len(self.data_source) if self._count is None else self._count

    def __iter__(self) -> Iterator[int]:
        if self.generator is not None:
            for _ in range(self.num_samples):
                number = next(self.generator, None)
                if number is None:
                    return
                yield number
            return
        yield from np.random.choice(
            len(self.data_source), self.num_samples, replace=self.replacement
        ).tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Some samples in random order."""

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__(indices)

    def __iter__(self) -> Iterator[int]:
        return iter([self.data_source[i] for i in np.random.permutation(len(self.data_source)).tolist()])


class WeightedRandomSampler(Sampler):
    """Drawn with the given weights."""

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True) -> None:
        super().__init__(weights)
        self.weights = np.asarray(weights, np.float64).ravel()
        self.num_samples, self.replacement = num_samples, replacement

    def __iter__(self) -> Iterator[int]:
        share = self.weights / self.weights.sum()
        return iter(np.random.choice(len(share), self.num_samples, self.replacement, share).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` numbers.

    Raises:
        ArgumentError: neither a data set nor a sampler, both, or a batch size below 1.
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
        if (dataset is None) == (sampler is None):
            raise ArgumentError("BatchSampler: give a dataset or a sampler")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"BatchSampler: batch_size must be 1 or more, got {batch_size!r}")
        self.sampler: Any = sampler
        if sampler is None:
            self.sampler = RandomSampler(dataset) if shuffle else SequenceSampler(dataset)
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
    """The share of one process; the order of an epoch follows from its number.

    ``num_replicas`` and ``rank``: how many processes there are and which this is; by default what the environment says.

    Numbers are repeated from the start so that every process has as many.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> None:
        env = ParallelEnv()
        self.nranks = env.nranks if num_replicas is None else num_replicas
        self.local_rank = env.local_rank if rank is None else rank
        if not 0 <= self.local_rank < self.nranks:
            raise ArgumentError(f"DistributedBatchSampler: rank {self.local_rank} of {self.nranks}")
        self.num_samples = -(-len(dataset) // self.nranks)
        super().__init__(None, range(self.num_samples), shuffle, batch_size, drop_last)
        self.dataset, self.epoch = dataset, 0

    def set_epoch(self, epoch: int) -> None:
        """The order of an epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        numbers = np.arange(len(self.dataset))
        missing = self.num_samples * self.nranks - len(numbers)
        numbers = np.concatenate([numbers, numbers[:missing]])
        if self.shuffle:
            np.random.RandomState(self.epoch).shuffle(numbers)
            self.epoch += 1
        self.sampler = self._share(numbers).tolist()
        yield from super().__iter__()

    def _share(self, numbers: Any) -> Any:
        if self.nranks == 1:
            return numbers
        rest = len(numbers) % (self.batch_size * self.nranks)
        rounds = numbers[: len(numbers) - rest].reshape(-1, self.nranks, self.batch_size)
        last = numbers[len(numbers) - rest :].reshape(self.nranks, -1)
        return np.concatenate([rounds[:, self.local_rank].ravel(), last[self.local_rank]])
