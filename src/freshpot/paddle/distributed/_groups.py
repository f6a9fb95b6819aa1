"""Groups of processes, under Paddle's names.

Owned here: which process this is, the group of all and groups of some. Who calls it: programs, and the other parts of
this package.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from freshpot.distributed import meeting
from freshpot.distributed.group import Group as Processes
from freshpot.errors import ArgumentError

#: seconds that a call waits for the other processes
TIMEOUT_S = 1800.0


class Group:
    """Some processes. ``rank`` is this one's number among them, -1 if it is none of them."""

    def __init__(self, processes: Processes | None, ranks: Sequence[int], number: int) -> None:
        self._processes = processes
        self._ranks = list(ranks)
        self._id = number

    @property
    def rank(self) -> int:
        """This process's number in the group, or -1."""
        return self._processes.rank if self._processes is not None else -1

    @property
    def ranks(self) -> list[int]:
        """Numbers of its processes among all."""
        return self._ranks

    @property
    def nranks(self) -> int:
        """How many processes it has."""
        return len(self._ranks)

    world_size = nranks

    @property
    def id(self) -> int:
        """Number of the group."""
        return self._id

    @property
    def name(self) -> str:
        """Its name."""
        return f"_default_pg{self._id or ''}"

    @property
    def processes(self) -> Processes:
        """What carries the tensors.

        Raises:
            ArgumentError: this process is none of the group's.
        """
        if self._processes is None:
            raise ArgumentError(f"{self}: this process is none of them; ask is_member() before.")
        return self._processes

    def is_member(self) -> bool:
        """True if this process is one of them, and there are others."""
        return self.rank >= 0 and self.nranks >= 2

    def get_group_rank(self, rank: int) -> int:
        """The number in the group of a process that is known by its number among all; -1 if it is none of them."""
        return self._ranks.index(rank) if self.is_member() and rank in self._ranks else -1

    def number_of(self, rank: int, word: str) -> int:
        """The same, of a process that must be one of them.

        Raises:
            ArgumentError: it is none of them.
        """
        if rank not in self._ranks:
            raise ArgumentError(f"{word} is {rank}, which is no process of the group: {self._ranks}.")
        return self._ranks.index(rank)

    def __repr__(self) -> str:
        listed = ", ".join(map(str, self._ranks))
        return f"rank: {self.rank}, nranks: {self.nranks}, id: {self._id}, ranks: {listed}; name: {self.name}"


_world: Group | None = None
_groups: dict[int, Group] = {}
#: what is done where no group was made: this process alone
_ALONE = Group(Processes("alone", 0, 1), [0], 0)


class ParallelEnv:
    """What a process is told of its group by the environment."""

    @property
    def rank(self) -> int:
        """This process's number."""
        return meeting.number("PADDLE_TRAINER_ID", "RANK", default=0, listed=True)

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        return meeting.number("PADDLE_TRAINERS_NUM", "WORLD_SIZE", default=1, listed=True)

    @property
    def device_id(self) -> int:
        """Number of its GPU on this machine."""
        return meeting.number("PADDLE_LOCAL_DEVICE_IDS", "LOCAL_RANK", default=0, listed=True)

    @property
    def device_type(self) -> str:
        """What the environment calls its kind of device; mostly nothing."""
        return os.environ.get("PADDLE_XCCL_BACKEND", "")

    @property
    def nrings(self) -> int:
        """1."""
        return 1

    @property
    def current_endpoint(self) -> str:
        """Its address; empty if nobody says."""
        return os.environ.get("PADDLE_CURRENT_ENDPOINT", "")

    @property
    def trainer_endpoints(self) -> list[str]:
        """All addresses, as far as they are told."""
        return [e for e in os.environ.get("PADDLE_TRAINER_ENDPOINTS", "").split(",") if e]

    local_rank = rank
    nranks = world_size
    dev_id = device_id


def init_parallel_env() -> Group:
    """Find the other processes that the environment names; alone where it names none. Returns the group of all.

    Raises:
        ArgumentError: the environment says a part of it only.
        DistributedError: the others did not come.
    """
    global _world
    if _world is None:
        processes = _meet()
        _world = Group(processes, range(processes.size), 0)
        _groups[0] = _world
        if torch.cuda.is_available() and processes.size > 1:
            torch.cuda.set_device(ParallelEnv().device_id % torch.cuda.device_count())
    return _world


def _meet() -> Processes:
    env = ParallelEnv()
    if env.world_size > 1 and os.environ.get("PADDLE_TRAINERS_NUM", "") not in ("", "0", "1"):
        place = os.environ.get("PADDLE_MASTER") or (env.trainer_endpoints or [""])[0]
        address, colon, port = place.rpartition(":")
        if not colon or not port.isdigit():
            raise ArgumentError(
                f"PADDLE_TRAINERS_NUM is {env.world_size}, and neither PADDLE_MASTER nor PADDLE_TRAINER_ENDPOINTS "
                f"names an address and a port: '{place}'."
            )
        return meeting.by_address(
            address, int(port), "paddle", env.rank, env.world_size, env.rank == 0, TIMEOUT_S
        )
    return meeting.from_environment("paddle", TIMEOUT_S)


def group_of(group: Group | None) -> Group:
    """A group that a program gave, or the group of all; alone where none was made."""
    if group is not None:
        return group
    return _world or _ALONE


def get_rank(group: Group | None = None) -> int:
    """This process's number in a group; -1 if it is none of its."""
    return ParallelEnv().rank if group is None else group.rank


def get_world_size(group: Group | None = None) -> int:
    """How many processes a group has; -1 if this is none of them."""
    if group is None:
        return ParallelEnv().world_size
    return group.nranks if group.rank >= 0 else -1


def is_initialized() -> bool:
    """True once `init_parallel_env` was called."""
    return _world is not None


def is_available() -> bool:
    """True if several processes can work together here."""
    return bool(torch.distributed.is_available())


def get_backend(group: Group | None = None) -> str:
    """What carries the tensors: "GLOO", or "NCCL" where there are GPUs."""
    return "NCCL" if torch.cuda.is_available() else "GLOO"


def new_group(ranks: Sequence[int] | None = None, backend: str | None = None, timeout: Any = None) -> Group:
    """A group of some processes, by default of all; every process makes it, members or not. One alone is no member.

    Args:
        ranks: their numbers among all.
        backend: of no effect: see `get_backend`.
        timeout: of no effect.

    Raises:
        ArgumentError: a number that is none, or `init_parallel_env` was not called.
        DistributedError: the others did not come.
    """
    if _world is None:
        raise ArgumentError("paddle.distributed.new_group: call init_parallel_env() first.")
    chosen = sorted(_world.ranks if ranks is None else ranks)
    number = len(_groups) + 9
    processes = _world.processes.part(f"paddle/{number}", chosen) if len(chosen) > 1 else None
    _groups[number] = Group(processes, chosen, number)
    return _groups[number]


def get_group(id: int = 0) -> Group:
    """The group of a number; 0: of all.

    Raises:
        ArgumentError: there is none.
    """
    if id not in _groups:
        raise ArgumentError(f"there is no group {id}. Known: {', '.join(map(str, _groups)) or 'none'}.")
    return _groups[id]


def destroy_process_group(group: Group | None = None) -> None:
    """Leave a group; without one, all.

    Raises:
        ArgumentError: a group that was left already.
    """
    global _world
    found = list(_groups.values()) if group is None or group is _world else [group]
    for left in found:
        if _groups.pop(left.id, None) is None:
            raise ArgumentError(f"{left}: it was left already.")
        if left._processes is not None:
            left._processes.close()
        if left is _world:
            _world = None
