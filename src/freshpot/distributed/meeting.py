"""How processes find each other.

Owned here: the three ways: a file that all can reach, an address, the environment that ``torchrun`` sets. Who calls
it: those that make a `Group`.
"""

from __future__ import annotations

import functools
import os
import uuid
from datetime import timedelta
from multiprocessing.util import Finalize
from pathlib import Path
from tempfile import gettempdir

import torch.distributed as dist

from freshpot.distributed.group import Group
from freshpot.distributed.launch import say_here
from freshpot.errors import ArgumentError, DistributedError

#: what torchrun sets, and what of it must be there
_RANK, _SIZE, _ADDRESS, _PORT = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"


def new_place() -> str:
    """A file that is not there yet, for processes of this machine: its name may be handed to all of them."""
    return str(Path(gettempdir()) / f"freshpot-{uuid.uuid4().hex}")


def by_file(
    path: str | os.PathLike[str], name: str, rank: int, size: int, timeout_s: float = 1800.0
) -> Group:
    """The group of the processes that name one file, on a disk that all reach; the last to leave removes it.

    Raises:
        ArgumentError: a rank that is not below the size.
        DistributedError: the file cannot be made, or the others did not come in time.
    """
    if size == 1:
        return Group(name, rank, size)
    place = Path(path)
    if not place.parent.is_dir():
        raise DistributedError(
            f"{place}: there is no folder {place.parent} for processes to find each other."
        )
    if not os.access(place.parent, os.W_OK):
        raise DistributedError(f"{place}: the folder {place.parent} cannot be written.")
    if rank == 0:  # also in a process that multiprocessing made, where stores are not taken down
        Finalize(None, functools.partial(place.unlink, missing_ok=True), exitpriority=0)
    return Group(name, rank, size, dist.FileStore(os.fspath(place), size), timeout_s)


def from_environment(name: str, timeout_s: float = 1800.0) -> Group:
    """The group of the processes that ``torchrun`` started; of this process alone if it did not.

    Raises:
        ArgumentError: the environment says a part of it only, or something that is no number.
        DistributedError: the others did not come in time.
    """
    if _SIZE not in os.environ:
        return Group(name, 0, 1)
    missing = [word for word in (_RANK, _ADDRESS, _PORT) if word not in os.environ]
    if missing and os.environ[_SIZE] != "1":
        raise ArgumentError(
            f"{_SIZE} is set and {', '.join(missing)} not: start the processes with torchrun, which sets all."
        )
    size, rank = number(_SIZE, default=1), number(_RANK, default=0)
    if size == 1:
        return Group(name, rank, size)
    # torchrun keeps a store of its own at that address
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    return by_address(os.environ[_ADDRESS], number(_PORT, default=0), name, rank, size, serves, timeout_s)


def by_address(
    address: str, port: int, name: str, rank: int, size: int, serves: bool, timeout_s: float = 1800.0
) -> Group:
    """The group of the processes that name one address; the one that ``serves`` keeps a store there.

    Raises:
        ArgumentError: a rank that is not below the size.
        DistributedError: nobody is there, or the others did not come in time.
    """
    try:
        store = dist.TCPStore(address, port, size, serves, timeout=timedelta(seconds=timeout_s))
    except (RuntimeError, ValueError) as error:
        raise DistributedError(
            f"group '{name}', process {rank} of {size}: nobody is to be found at {address}:{port}: {error}"
        ) from error
    say_here(name, store, rank)
    return Group(name, rank, size, store, timeout_s)


def number(*words: str, default: int, listed: bool = False) -> int:
    """The number that the first of these variables that is set holds.

    ``listed``: the first of a list of numbers; a variable that holds nothing does not count.

    Raises:
        ArgumentError: it is no whole number.
    """
    for word in words:
        text = os.environ.get(word)
        if listed and text is not None:
            text = text.partition(",")[0] or None
        if text is not None:
            try:
                return int(text)
            except ValueError as error:
                raise ArgumentError(f"{word} is '{text}'; it must be a whole number.") from error
    return default
