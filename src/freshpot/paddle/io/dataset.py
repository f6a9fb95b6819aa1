"""Data sets: by number, or one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError

__all__ = [
    "ChainDataset", "ComposeDataset", "ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset",
    "random_split",
]  # fmt: skip


class Dataset:
    """Samples by number: a subclass defines ``__getitem__`` and ``__len__``."""

    def __getitem__(self, idx: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")


class IterableDataset(Dataset):
    """Samples one after the other: a subclass defines ``__iter__``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")

    def __getitem__(self, idx: int) -> Any:
        raise ArgumentError(f"{type(self).__name__} is an IterableDataset: it has no samples by number")

    def __len__(self) -> int:
        raise ArgumentError(f"{type(self).__name__} is an IterableDataset: its length is not known")


class TensorDataset(Dataset):
    """Rows of tensors of one length."""

    def __init__(self, tensors: Sequence[Any]) -> None:
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ArgumentError(f"TensorDataset: lengths differ: {[len(tensor) for tensor in tensors]}")
        self.tensors = tensors

    def __getitem__(self, idx: int) -> tuple[Any, ...]:
        return tuple(tensor[idx] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class ComposeDataset(Dataset):
    """Samples of several data sets side by side."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = list(datasets)

    def __getitem__(self, idx: int) -> tuple[Any, ...]:
        found: list[Any] = []
        for dataset in self.datasets:
            sample = dataset[idx]
            found.extend(sample if isinstance(sample, (list, tuple)) else [sample])
        return tuple(found)

    def __len__(self) -> int:
        return len(self.datasets[0])


class ConcatDataset(Dataset):
    """Data sets one after the other, by number."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = list(datasets)
        self._ends = np.cumsum([len(dataset) for dataset in self.datasets])

    def __getitem__(self, idx: int) -> Any:
        idx = idx + len(self) if idx < 0 else idx
        part = int(np.searchsorted(self._ends, idx, side="right"))
        return self.datasets[part][idx - (int(self._ends[part - 1]) if part else 0)]

    def __len__(self) -> int:
        return int(self._ends[-1])


class ChainDataset(IterableDataset):
    """Iterable data sets one after the other."""

    def __init__(self, datasets: Sequence[IterableDataset]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset


class Subset(Dataset):
    """Some samples of a data set."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, idx: int) -> Any:
        return self.dataset[self.indices[idx]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Dataset, lengths: Sequence[Any], generator: Any = None) -> list[Subset]:
    """Parts of the given sizes (or, all below 1, shares), drawn without repetition; ``generator`` may give the numbers.

    Raises:
        ArgumentError: sizes that do not add up.
    """
    total = len(dataset)
    sizes = list(lengths)
    if all(isinstance(size, float) and size < 1 for size in sizes):
        sizes = [int(total * size) for size in sizes]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != total:
        raise ArgumentError(f"random_split: lengths add up to {sum(sizes)}, the data set has {total} samples")
    order = (
        np.random.permutation(total).tolist()
        if generator is None
        else [next(generator) for _ in range(total)]
    )
    ends = np.cumsum([0, *sizes])
    return [Subset(dataset, order[a:b]) for a, b in itertools.pairwise(ends)]
