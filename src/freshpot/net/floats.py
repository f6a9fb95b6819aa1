"""Many numbers of an argument, as they stand in a file: weights that an init_net spells out.

Owned here: a list of floats that takes no Python object for each. Who calls it: `convert.netdef`, which reads nets;
the fillers, which make tensors of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class Floats(Sequence[float]):
    """The float32 numbers that stand in ``data`` from ``begin`` on, each behind the byte that says its field.

    It equals a list of the same numbers, and reads like one; nobody changes it.
    """

    __slots__ = ("_rows",)

    def __init__(self, data: bytes, begin: int, count: int) -> None:
        self._rows = np.frombuffer(data, np.uint8, 5 * count, begin).reshape(count, 5)

    def array(self) -> NDArray[np.float32]:
        """The numbers in memory of their own."""
        return self._rows[:, 1:].copy().view("<f4").reshape(-1).astype(np.float32, copy=False)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> list[float]: ...
    def __getitem__(self, at: int | slice) -> float | list[float]:
        found: Any = self._rows[at, 1:].copy().view("<f4")
        return found.reshape(-1).tolist() if isinstance(at, slice) else float(found[0])

    def __iter__(self) -> Iterator[float]:
        return iter(self.array().tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Floats):
            return bool(np.array_equal(self.array(), other.array()))
        return isinstance(other, list) and len(other) == len(self) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} floats>"
