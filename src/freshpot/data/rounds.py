"""The records of a database round and round: after the last comes the first. Kept in memory where they fit.

Owned here: reading in blocks, the place in the round, the blocks that stay (`memory` says how many may). Who
calls it: `reader.DBReader` and `datum_batches`, one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from freshpot.data.blocks import Block
from freshpot.data.memory import BUDGET, Share

if TYPE_CHECKING:
    from freshpot.data.reader import Cursor

__all__ = ["Rounds"]

#: bytes read at once, and records, if they are small
_BLOCK_BYTES, _BLOCK_RECORDS = 1 << 20, 8192
#: records in the first block, before their size is known
_FIRST_BLOCK = 64


class Rounds:
    """Takes records from a cursor, for ever.

    Args:
        cursor: on its first record; nobody else may move it from now on.
        name: of the database, for messages.
        shards, shard: in each round take records ``shard``, ``shard + shards`` … only; the database must have
            one of them at least.
        on_restart: called when the last record was taken and the first follows.

    An error of the cursor is raised once the records before it are taken, and again at each further call.
    """

    def __init__(
        self,
        cursor: Cursor,
        name: object,
        *,
        shards: int = 1,
        shard: int = 0,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._cursor = cursor
        self._name = name
        self._shards, self._shard = shards, shard
        self._pass_over = shard  # records of others before our next
        self._on_restart = on_restart
        self._mean_size = 0.0
        self._fits = True
        self._start_keeping()
        self._start(0)

    def _start(self, position: int | None) -> None:
        """Go on from where the cursor is."""
        #: number of the next record in the database, if that is known
        self.position = position
        self._block = Block([], [])
        self._next = 0
        self._error: Exception | None = None

    def _start_keeping(self) -> None:
        self._kept: list[Block] | None = [] if self._fits else None
        self._kept_records = 0
        self._share = Share()
        #: whether all records are kept, and how many there are then
        self.count: int | None = None
        self._number = -1  # of the current block among those kept

    # ------------------------------------------------------------------------------- taking

    def take(self, count: int) -> Block:
        """The next ``count`` records, as views of what is kept: they must not be changed."""
        parts: list[Block] = []
        while count:
            self._need_block()
            end = min(self._next + count, len(self._block))
            parts.append(self._block.part(self._next, end))
            count -= len(parts[-1])
            if self._advance(len(parts[-1])):
                self._on_restart()
        return Block.joined(parts) if parts else Block([], [])

    def skip(self, count: int) -> None:
        """Pass over ``count`` records; once all are kept, or one round is counted, that is arithmetic."""
        first = self.position
        passed = 0
        while count:
            if self.count is not None and self.position is not None and count >= self.count:
                count %= self.count
                continue
            self._need_block()
            step = min(count, len(self._block) - self._next)
            self._advance(step)
            count, passed = count - step, passed + step
            if self.count is None and first == 0 and self.position == 0:
                count %= passed  # the first round is over: there are as many

    def key(self) -> bytes:
        """The key of the next record."""
        self._need_block()
        return self._block.key(self._next)

    def peek(self) -> Block:
        """The next record, without taking it."""
        self._need_block()
        return self._block.part(self._next, self._next + 1)

    # ------------------------------------------------------------------------------- moving

    def seek_to_first(self) -> None:
        """Start over. What is kept stays."""
        if self.count is not None:
            self._start(0)
            self._number = -1
            return
        self._cursor.seek_to_first()
        self._start_keeping()
        self._start(0)
        self._pass_over = self._shard

    def seek(self, key: bytes) -> None:
        """Go on from the first record whose key is ``key`` or greater, or from the first if there is none.

        Raises:
            NotSupportedError: the store cannot seek.
        """
        self._cursor.seek(key)
        self._start_keeping()
        self._kept = None  # until the first record comes round
        self._start(None)
        self._pass_over = 0

    # ------------------------------------------------------------------------------- blocks

    def _advance(self, count: int) -> bool:
        """Pass over records of the current block; True if they were the last of the round."""
        self._next += count
        if self.position is not None:
            self.position += count
        if self._next < len(self._block) or not self._at_end():
            return False
        self._rewind()
        return True

    def _at_end(self) -> bool:
        if self._error is not None:
            return False
        if self.count is not None:
            return self.position == self.count
        return not self._cursor.valid

    def _rewind(self) -> None:
        if self._kept is not None and self.count is None:
            self.count = self._kept_records
            BUDGET.announce(self._name, self._share.taken)
        if self.count is None:
            self._cursor.seek_to_first()
            self._start_keeping()
            self._pass_over = self._shard
        self._start(0)
        self._number = -1

    def _need_block(self) -> None:
        """Let there be a next record. Raises what the cursor raised."""
        if self._next < len(self._block):
            return
        if self._error is not None:
            raise self._error
        if self.count is not None and self._kept is not None:
            self._number += 1
            self._block, self._next = self._kept[self._number], 0
            return
        while True:
            if not self._cursor.valid:
                self._rewind()
                if self.count is not None:
                    return self._need_block()
            self._block, self._next = self._own(self._read()), 0
            if len(self._block):
                break
            if self._error is not None:
                raise self._error
        self._keep(self._block)

    def _read(self) -> Block:
        count = _FIRST_BLOCK
        if self._mean_size:
            count = max(1, min(_BLOCK_RECORDS, int(_BLOCK_BYTES / self._mean_size)))
        block = self._cursor.take_block(count)
        self._error = block.error
        if len(block):
            self._mean_size = block.nbytes / len(block)
        return block

    def _own(self, block: Block) -> Block:
        """The records of this shard."""
        if self._shards == 1 and not self._pass_over:
            return block
        first, self._pass_over = self._pass_over, (self._pass_over - len(block)) % self._shards
        return block.part(first, len(block), self._shards).copy()

    def _keep(self, block: Block) -> None:
        if self._kept is None:
            return
        if self._share.take(block.nbytes):
            self._kept.append(block)
            self._kept_records += len(block)
        else:
            self._kept, self._fits = None, False
            self._share.give_back()
