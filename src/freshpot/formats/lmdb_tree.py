"""The LMDB file format, read with every offset checked; ``data.lmdb`` reads and verifies through it.

liblmdb maps the file into memory and trusts it: a truncated or damaged one kills the process. This reader
asks the system for one page after the other instead, needs no lock file and no right to write, and turns
all damage into FormatError.

A file is pages of one size. Pages 0 and 1 are meta pages, the newer one counts; it names the root of two
trees, of free pages and of records. Branch pages point to pages, leaf pages hold keys and values, a value
of more than half a page stands on overflow pages of its own. All numbers are little endian.

Source: the layout that openldap's liblmdb 0.9 writes on a 64-bit machine (``mdb.c``, "data format").
"""

from __future__ import annotations

import itertools
import os
import struct
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError, NotSupportedError

__all__ = ["LmdbFile", "TreeCursor"]

_MAGIC = 0xBEEFC0DE
_PAGE_HEADER = struct.Struct(
    "<QHHHH"
)  # page number, -, flags, lower, upper (overflow: lower + upper = pages)
_META = struct.Struct("<IIQQ")  # magic, version, address, map size
_DB = struct.Struct("<IHHQQQQQ")  # -, flags, depth, branch, leaf and overflow pages, entries, root
_META_END = struct.Struct("<QQ")  # last page, transaction
_NODE = struct.Struct("<HHHH")  # size or page (low, high), flags or page (higher), key size
_META_SIZE = _PAGE_HEADER.size + _META.size + 2 * _DB.size + _META_END.size
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8
_BIG, _SUBTREE, _DUPLICATES = 1, 2, 4
_NO_PAGE = 2**64 - 1
_MAX_DEPTH = 32
_FIRST_RUN, _LONGEST_RUN = 8, 512  # pages of one layout hoped for at once: twice as many after each success
_SEVERAL_VALUES = 0x04  # the tree flag of databases with several values for a key

Place = tuple[int, int]  # an overflow value: page, size


class Tree(NamedTuple):
    """What a meta page says about one tree."""

    flags: int
    depth: int
    entries: int
    root: int


class LmdbFile:
    """An open data file; checks that its meta pages and size agree.

    Attributes:
        page_size: bytes.
        map_size: bytes that the writer reserved.
        last_page: the highest page number in use.
        records, free: the two :class:`Tree`.

    Raises:
        FormatError: not an LMDB file of this kind, or shorter than its meta page says.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            self.size = os.fstat(self._fd).st_size
            self._read_meta()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()

    def error(self, message: str, page: int | None = None) -> FormatError:
        """A FormatError that names the file and the page."""
        return FormatError(message, path=self.path, where=None if page is None else f"page {page}")

    def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes at ``offset``, which must lie within the file."""
        if offset + count > self.size:
            raise self.error(f"bytes {offset} to {offset + count} of a file of {self.size}")
        data = (
            os.pread(self._fd, count, offset) if hasattr(os, "pread") else self._seek_and_read(offset, count)
        )
        if len(data) != count:
            raise self.error(f"{len(data)} of {count} bytes at offset {offset}: the file became shorter")
        return data

    def _seek_and_read(self, offset: int, count: int) -> bytes:
        os.lseek(self._fd, offset, os.SEEK_SET)
        return os.read(self._fd, count)

    def page(self, number: int, kind: int) -> bytes:
        """A page of a tree, its number and kind checked."""
        if not 2 <= number <= self.last_page:
            raise self.error(f"a pointer to page {number}, the tree has pages 2 to {self.last_page}")
        data = self.read(number * self.page_size, self.page_size)
        own_number, _, flags, _, _ = _PAGE_HEADER.unpack_from(data)
        if own_number != number or flags & 0xF != kind:
            raise self.error(
                f"damaged: it says page {own_number}, kind {flags & 0xF}, expected {kind}", number
            )
        return data

    def nodes(self, data: bytes, number: int) -> tuple[int, ...]:
        """Where the nodes of a branch or leaf page start, in key order."""
        _, _, _, lower, upper = _PAGE_HEADER.unpack_from(data)
        if not _PAGE_HEADER.size < lower <= upper <= self.page_size or lower % 2:
            raise self.error(f"damaged: its nodes are said to lie from {lower} to {upper}", number)
        starts = struct.unpack_from(f"<{(lower - _PAGE_HEADER.size) // 2}H", data, _PAGE_HEADER.size)
        if min(starts) < upper or max(starts) > self.page_size - _NODE.size:
            raise self.error("damaged: a node lies outside the page", number)
        return starts

    def overflow(self, place: Place) -> bytes:
        """The value on overflow pages."""
        number, size = place
        header = self.page(number, _OVERFLOW)
        pages = int.from_bytes(header[12:16], "little")
        needed = -(-(_PAGE_HEADER.size + size) // self.page_size)
        if needed > pages or number + needed - 1 > self.last_page:
            raise self.error(f"a value of {size} bytes needs {needed} pages, it has {pages}", number)
        return self.read(number * self.page_size + _PAGE_HEADER.size, size)

    def _read_meta(self) -> None:
        head = self.read(0, _META_SIZE) if self.size >= _META_SIZE else b""
        if not head:
            raise self.error(f"an LMDB file has two pages at least, this one has {self.size} bytes")
        magic, version, _, _ = _META.unpack_from(head, _PAGE_HEADER.size)
        if magic != _MAGIC:
            if head[12:16] == _MAGIC.to_bytes(4, "little") or head[16:20] == _MAGIC.to_bytes(4, "big"):
                raise self.error(
                    "written on a 32-bit or big-endian machine; dump and load it with the lmdb tools"
                )
            raise self.error("not an LMDB data file: the magic number is missing")
        if version != 1:
            raise self.error(f"LMDB data format {version}, only format 1 is read")
        self.page_size = _DB.unpack_from(head, _PAGE_HEADER.size + _META.size)[0]
        if not 512 <= self.page_size <= 65536 or self.page_size & (self.page_size - 1):
            raise self.error(f"damaged: a page size of {self.page_size} bytes")
        self._choose_meta(head)
        if (self.last_page + 1) * self.page_size > self.size:
            raise self.error(
                f"truncated: {self.size} bytes, the meta page promises {(self.last_page + 1) * self.page_size}"
            )

    def _choose_meta(self, head: bytes) -> None:
        metas = [head, self.read(self.page_size, _META_SIZE)]
        newest = -1
        for number, meta in enumerate(metas):
            own_number, _, flags, _, _ = _PAGE_HEADER.unpack_from(meta)
            magic, version, _, map_size = _META.unpack_from(meta, _PAGE_HEADER.size)
            if (own_number, magic, version) != (number, _MAGIC, 1) or not flags & _META_PAGE:
                raise self.error("damaged: not a meta page", number)
            last_page, transaction = _META_END.unpack_from(meta, _META_SIZE - _META_END.size)
            if transaction > newest:
                newest, self.last_page, self.map_size = transaction, last_page, map_size
                self.free = self._tree(meta, _META_SIZE - _META_END.size - 2 * _DB.size)
                self.records = self._tree(meta, _META_SIZE - _META_END.size - _DB.size)

    def _tree(self, meta: bytes, offset: int) -> Tree:
        _, flags, depth, _, _, _, entries, root = _DB.unpack_from(meta, offset)
        if depth > _MAX_DEPTH:
            raise self.error(f"damaged: a tree {depth} levels deep")
        return Tree(flags, depth, entries, root)


class _Leaf(NamedTuple):
    keys: list[bytes]
    values: list[bytes | Place]


class TreeCursor:
    """Walks the records of one tree in the order of their keys."""

    def __init__(self, file: LmdbFile, tree: Tree | None = None) -> None:
        self.file = file
        self.tree = file.records if tree is None else tree
        if self.tree.flags & _SEVERAL_VALUES:
            raise NotSupportedError(f"{file.path}: an LMDB with several values for a key is not read")
        self._index = 0
        self._hoped = _FIRST_RUN
        self.seek_to_first()

    @property
    def valid(self) -> bool:
        """False past the last record."""
        return self._index < len(self._leaf.keys)

    def key(self) -> bytes:
        """The key of the current record; IndexError past the last."""
        return self._leaf.keys[self._index]

    def value(self) -> bytes:
        """The value of the current record; IndexError past the last."""
        return self._value(self._leaf.values[self._index])

    def next(self) -> None:
        """Go to the next record."""
        self._index += 1
        if self._index >= len(self._leaf.keys):
            self.next_leaf()

    def take(self, count: int) -> list[tuple[bytes, bytes]]:
        """Up to ``count`` records from here on, moving past them."""
        out: list[tuple[bytes, bytes]] = []
        while self.valid and len(out) < count:
            keys, values = self._leaf
            stop = min(self._index + count - len(out), len(keys))
            out += zip(keys[self._index : stop], map(self._value, values[self._index : stop]), strict=True)
            self._index = stop
            if stop == len(keys):
                self.next_leaf()
        return out

    @property
    def left_on_page(self) -> int:
        """Records from here to the end of the leaf page."""
        return len(self._leaf.keys) - self._index

    def take_rows(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        """Records of equal sizes on leaf pages of equal layout, all at once, moving past them.

        Such is a database that was filled in order. Returns keys (n, size) and values (n, size), n up to
        ``count``; None, and nothing moves, where the next page is not like that. Then :meth:`next_leaf`
        must be called.
        """
        keys, values = self._leaf
        if self._index or not self._path or not len(keys) <= count or not keys:
            return None
        sizes = {(len(key), len(value)) for key, value in zip(keys, values, strict=True)}
        if len(sizes) > 1 or not all(isinstance(value, bytes) for value in values):
            return None
        key_size, value_size = sizes.pop()
        children, place = self._path[-1]
        pages = self._alike(children[place : place + min(count // len(keys), self._hoped)])
        self._hoped = min(2 * len(pages), _LONGEST_RUN)
        starts = self.file.nodes(pages[0].tobytes(), children[place])
        found = np.empty((len(pages), len(starts), key_size + value_size), np.uint8)
        for row, start in enumerate(starts):
            found[:, row] = pages[:, start + _NODE.size : start + _NODE.size + key_size + value_size]
        self._visited += len(pages) - 1
        self._path[-1] = children, place + len(pages) - 1
        self._index = len(keys)
        rows = found.reshape(-1, key_size + value_size)
        return rows[:, :key_size], rows[:, key_size:]

    def _alike(self, numbers: list[int]) -> NDArray[np.uint8]:
        """Those pages, from the first on, that have its layout, (pages, page_size): equal but for keys and values."""
        numbers = list(itertools.takewhile(lambda number: 2 <= number <= self.file.last_page, numbers))
        size, pieces, begin = self.file.page_size, [], 0
        for end in range(1, len(numbers) + 1):  # pages that follow each other are read in one go
            if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
                pieces.append(self.file.read(numbers[begin] * size, (end - begin) * size))
                begin = end
        pages = np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, size)
        own_numbers = pages[:, :8].copy().view("<u8")[:, 0]
        starts = self.file.nodes(pages[0].tobytes(), numbers[0])
        head = np.arange(10, _PAGE_HEADER.size + 2 * len(starts))
        fixed = np.concatenate([head, *(np.arange(start, start + _NODE.size) for start in starts)])
        alike = (own_numbers == numbers) & (pages[:, fixed] == pages[0, fixed]).all(axis=1)
        return pages[: len(pages) if alike.all() else int(alike.argmin())]

    def seek_to_first(self) -> None:
        """Go to the first record."""
        self._start()
        if self.tree.root != _NO_PAGE:
            self._descend(self.tree.root, None)

    def seek(self, key: bytes) -> None:
        """Go to the first record whose key is ``key`` or greater."""
        self._start()
        if self.tree.root != _NO_PAGE:
            self._descend(self.tree.root, key)
            self._index = bisect_left(self._leaf.keys, key)
            if not self.valid:
                self.next_leaf()

    def _start(self) -> None:
        self._path: list[tuple[list[int], int]] = []  # for each level: children, which one we are in
        self._leaf = _Leaf([], [])
        self._index = 0
        self._visited = 0

    def _value(self, value: bytes | Place) -> bytes:
        return value if isinstance(value, bytes) else self.file.overflow(value)

    def next_leaf(self) -> None:
        """Go to the first record of the next leaf, or to the end."""
        self._leaf, self._index = _Leaf([], []), 0
        while self._path:
            children, place = self._path.pop()
            if place + 1 < len(children):
                self._path.append((children, place + 1))
                self._descend(children[place + 1], None)
                return

    def _descend(self, number: int, key: bytes | None) -> None:
        """From a page down to the leaf that has ``key``, or to the first one below it."""
        for level in range(len(self._path), max(self.tree.depth, 1) - 1):
            self._count(number)
            keys, children = self._branch(self.file.page(number, _BRANCH), number)
            place = 0 if key is None else bisect_right(keys, key, lo=1) - 1
            self._path.insert(level, (children, place))
            number = children[place]
        self._count(number)
        self._leaf = self._read_leaf(self.file.page(number, _LEAF), number)
        self._index = 0

    def _count(self, number: int) -> None:
        self._visited += 1
        if self._visited > self.file.last_page:
            raise self.file.error("damaged: the pages of the tree form a loop", number)

    def _branch(self, data: bytes, number: int) -> tuple[list[bytes], list[int]]:
        keys, children = [], []
        for start in self.file.nodes(data, number):
            low, high, higher, key_size = _NODE.unpack_from(data, start)
            keys.append(data[start + 8 : start + 8 + key_size])
            children.append(low | high << 16 | higher << 32)
        return keys, children

    def _read_leaf(self, data: bytes, number: int) -> _Leaf:
        keys: list[bytes] = []
        values: list[bytes | Place] = []
        unpack, page_end = _NODE.unpack_from, len(data)
        for start in self.file.nodes(data, number):
            low, high, flags, key_size = unpack(data, start)
            size = low | high << 16
            middle = start + 8 + key_size
            end = middle + (8 if flags & _BIG else size)
            if end > page_end:
                raise self.file.error(f"damaged: a value of {size} bytes reaches beyond the page", number)
            if flags & (_SUBTREE | _DUPLICATES):
                raise NotSupportedError(f"{self.file.path}: an LMDB of several named databases is not read")
            keys.append(data[start + 8 : middle])
            value = data[middle:end]
            values.append((int.from_bytes(value, "little"), size) if flags else value)
        return _Leaf(keys, values)
