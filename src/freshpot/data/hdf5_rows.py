"""Batches of rows from HDF5 files, one file after the other, round and round.

Owned here: the order of files and rows, reading a file. Who calls it: the HDF5Data layer, in a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import DataError, FormatError

__all__ = ["HDF5Rows", "read_datasets"]

FloatArray = NDArray[np.float32]


def read_datasets(path: str | os.PathLike[str], names: Sequence[str]) -> list[FloatArray]:
    """Whole data sets of a file as float32, all with the same number of rows.

    Raises:
        DataError: the file is not there, or lacks a data set.
        FormatError: it is no HDF5 file or damaged; a data set holds no numbers, has no rows, or another
            number of them than the first.
    """
    import h5py

    if not os.path.isfile(path):
        raise DataError(f"{os.fspath(path)}: no such HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            made = [_read(file, name, path) for name in names]
    except (DataError, FormatError):
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise FormatError(f"not a readable HDF5 file: {' '.join(str(error).split())}", path=path) from error
    for name, array in zip(names, made, strict=True):
        if len(array) != len(made[0]):
            raise FormatError(
                f"data set '{name}' has {len(array)} rows, '{names[0]}' has {len(made[0])}", path=path
            )
    return made


def _read(file: Any, name: str, path: object) -> FloatArray:
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        if name in list(file):
            raise FormatError(f"'{name}' is damaged, or no data set", path=path)
        raise DataError(f"{path}: no data set '{name}'; there are {', '.join(file) or 'none'}")
    if found.dtype.kind not in "fiu":
        raise FormatError(f"data set '{name}' holds {found.dtype}, expected numbers", path=path)
    if not found.shape or not found.shape[0]:
        raise FormatError(f"data set '{name}' of shape {found.shape} has no rows", path=path)
    _check_size(found, name, path)
    made = np.empty(found.shape, np.float32)
    if made.size:
        found.read_direct(made)
    return made


def _check_size(dataset: Any, name: str, path: object) -> None:
    """A shape is only believed if the file could hold that much: compression gains 1000-fold at most."""
    stored = dataset.id.get_storage_size()
    if dataset.size * dataset.dtype.itemsize > 1100 * max(stored, 1 << 20):
        raise FormatError(
            f"data set '{name}' of shape {dataset.shape} is said to lie in {stored} bytes", path=path
        )


class HDF5Rows:
    """Iterates for ever over batches: a list with an array (batch, …) for each name.

    Args:
        paths: the files.
        names: of the data sets.
        batch_size: rows in a batch; a batch may span files.
        shuffle: files and rows in a new order each time round, the first included.
        seed: of the shuffling.
        shards, shard: take rows ``shard``, ``shard + shards`` … only, counted round and round.

    Raises:
        DataError, FormatError: as `read_datasets`; the first file is read at once, the others in their turn.
    """

    def __init__(
        self,
        paths: Sequence[str],
        names: Sequence[str],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        shards: int = 1,
        shard: int = 0,
    ) -> None:
        self._paths, self._names, self._batch_size = list(paths), list(names), batch_size
        self._random = np.random.default_rng(seed) if shuffle else None
        self._shards, self._shard = shards, shard
        self._files = self._order(len(self._paths))
        self._file = 0
        self._rows, self._row = self._order(0), 0
        self._arrays = self._load()

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of a batch, for each name."""
        return [(self._batch_size, *array.shape[1:]) for array in self._arrays]

    def __iter__(self) -> Iterator[list[FloatArray]]:
        while True:
            rows = self._take(self._batch_size * self._shards)
            if self._shards > 1:
                rows = [array[self._shard :: self._shards] for array in rows]
            yield rows

    def _take(self, count: int) -> list[FloatArray]:
        parts: list[list[FloatArray]] = []
        while count:
            chosen = self._rows[self._row : self._row + count]
            parts.append([array[chosen] for array in self._arrays])
            count -= len(chosen)
            self._row += len(chosen)
            if self._row == len(self._rows):
                self._next_file()
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _next_file(self) -> None:
        if len(self._paths) == 1:
            self._start_rows()
            return
        self._file += 1
        if self._file == len(self._paths):
            self._files, self._file = self._order(len(self._paths)), 0
        before = [array.shape[1:] for array in self._arrays]
        self._arrays = self._load()
        for name, wanted, array in zip(self._names, before, self._arrays, strict=True):
            if array.shape[1:] != wanted:
                raise FormatError(
                    f"rows of '{name}' have shape {array.shape[1:]}, those of the file before {wanted}",
                    path=self._path,
                )

    @property
    def _path(self) -> str:
        return self._paths[int(self._files[self._file])]

    def _load(self) -> list[FloatArray]:
        arrays = read_datasets(self._path, self._names)
        self._start_rows(len(arrays[0]))
        return arrays

    def _start_rows(self, count: int | None = None) -> None:
        self._rows = self._order(len(self._rows) if count is None else count)
        self._row = 0

    def _order(self, count: int) -> NDArray[np.int64]:
        return self._random.permutation(count) if self._random is not None else np.arange(count)
