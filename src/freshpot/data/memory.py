"""How much memory data sets may take that are kept between epochs: one budget for the process.

Owned here: the count and what is said about it. Who asks: `rounds` for records, `datum_batches` and
`image_list` for decoded images.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from freshpot.errors import DataError

__all__ = ["BUDGET", "VARIABLE", "Kept", "Share"]

K = TypeVar("K", bound=Hashable)

VARIABLE = "FRESHPOT_DATA_CACHE"
"""The environment variable with the budget in megabytes; 0 keeps nothing."""

_DEFAULT_MB = 512
#: data sets below this are kept without a word
_WORTH_A_WORD = 16 << 20


class _Budget:
    """Bytes handed out, at most as many as the variable allows when they are asked for."""

    def __init__(self) -> None:
        # reentrant: a share may be collected, and give back, in the thread that is just taking
        self._lock = threading.RLock()
        self._taken = 0
        self._announced = False

    @property
    def limit(self) -> int:
        """Bytes, all data sets together.

        Raises:
            DataError: the variable is not a number of megabytes.
        """
        given = os.environ.get(VARIABLE, "").strip()
        if not given:
            return _DEFAULT_MB << 20
        if not given.isdecimal() or len(given) > 9:
            raise DataError(f"{VARIABLE} is {given!r}: expected a whole number of megabytes, 0 or more")
        return int(given) << 20

    def take(self, count: int) -> bool:
        """Take ``count`` bytes, or nothing if there are not as many."""
        with self._lock:
            if self._taken + count > self.limit:
                return False
            self._taken += count
            return True

    def give_back(self, count: int) -> None:
        """Return bytes that were taken."""
        with self._lock:
            self._taken -= count

    def announce(self, what: object, count: int) -> None:
        """Say once in a process that a data set of some size stays in memory."""
        if count < _WORTH_A_WORD or self._announced:
            return
        self._announced = True
        print(
            f"freshpot: {what} stays in memory between epochs ({count >> 20} MB; {VARIABLE}=N allows N megabytes "
            f"in all, 0 none; now {self.limit >> 20})",
            file=sys.stderr,
        )


BUDGET = _Budget()


class Share:
    """What one data set has taken of the budget; goes back when the object is collected."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, count: int) -> bool:
        """Take more; False if it is not to be had."""
        if not BUDGET.take(count):
            return False
        self.taken += count
        return True

    def give_back(self) -> None:
        """Return all of it."""
        taken, self.taken = self.taken, 0
        BUDGET.give_back(taken)

    def __del__(self) -> None:
        self.give_back()


class Kept(Generic[K]):
    """Decoded images that stay, as many as fit; the others are decoded anew each time.

    Args:
        name: of the data set, for what is said about memory.
    """

    def __init__(self, name: object) -> None:
        self._name = name
        self._images: dict[K, list[NDArray[Any]]] = {}
        self._share = Share()
        self._full = False

    def get(
        self, keys: Sequence[K], decode: Callable[[list[int]], list[list[NDArray[Any]]]]
    ) -> list[list[NDArray[Any]]]:
        """The arrays of each key, to be read only; ``decode`` makes those at these places in ``keys``."""
        found = [self._images.get(key) for key in keys]
        missing = [place for place, arrays in enumerate(found) if arrays is None]
        if len(missing) < len(keys):
            BUDGET.announce(self._name, self._share.taken)
        for place, arrays in zip(missing, decode(missing) if missing else [], strict=True):
            found[place] = arrays
            self._keep(keys[place], arrays)
        return [arrays for arrays in found if arrays is not None]

    def _keep(self, key: K, arrays: list[NDArray[Any]]) -> None:
        if self._full or key in self._images:
            return
        if self._share.take(sum(array.nbytes for array in arrays)):
            self._images[key] = arrays
        else:
            self._full = True
