"""The order in which the original's C++ hash tables give their keys back: its shared blobs are numbered in it.

Owned here: libstdc++'s hash of strings, and where its tables put a key. Who calls it: `recycling`.
"""

from __future__ import annotations

from collections.abc import Iterable

_MASK = 2**64 - 1
_MUL = 0xC6A4A7935BD1E995
_SEED = 0xC70F6907
#: how many buckets a table has, one after the other, as it grows
_BUCKETS = (13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933, 351061, 712697)


def hash_text(text: str) -> int:
    """64-bit Murmur hash of a string's UTF-8 bytes."""
    data = text.encode("utf-8")
    whole = len(data) & ~7
    value = _SEED ^ (len(data) * _MUL & _MASK)
    for start in range(0, whole, 8):
        word = _mix(int.from_bytes(data[start : start + 8], "little") * _MUL & _MASK) * _MUL & _MASK
        value = (value ^ word) * _MUL & _MASK
    if len(data) > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MUL & _MASK
    return _mix(_mix(value) * _MUL & _MASK)


def _mix(value: int) -> int:
    return value ^ (value >> 47)


def hash_order(keys: Iterable[str]) -> list[str]:
    """Distinct keys, put into a table in the order given, as the table lists them."""
    order: list[str] = []
    hashes: dict[str, int] = {}
    size = iter(_BUCKETS)
    buckets = next(size)
    for key in keys:
        if key in hashes:
            continue
        hashes[key] = hash_text(key)
        if len(hashes) > buckets:
            buckets = next(size)
            order = _laid(order, hashes, buckets)
        _put(order, key, hashes, buckets)
    return order


def _laid(keys: list[str], hashes: dict[str, int], buckets: int) -> list[str]:
    """Keys moved into a larger table, in their order: a new bucket goes to the front, a key to its bucket's front."""
    groups: dict[int, list[str]] = {}
    for key in keys:
        groups.setdefault(hashes[key] % buckets, []).append(key)
    return [key for group in reversed(groups.values()) for key in reversed(group)]


def _put(order: list[str], key: str, hashes: dict[str, int], buckets: int) -> None:
    """One key more: before the first of its bucket, or before all."""
    mine = hashes[key] % buckets
    for place, other in enumerate(order):
        if hashes[other] % buckets == mine:
            order.insert(place, key)
            return
    order.insert(0, key)
