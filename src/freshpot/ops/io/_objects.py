"""Counters, cursors, dictionaries, maps and mutexes as saved files have them, and back.

Owned here: one pair of functions for each kind. Who calls it: `_serde`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from freshpot.errors import FormatError
from freshpot.formats import protobuf
from freshpot.formats.blob_proto import SavedObject
from freshpot.formats.tensor_proto import tensor_from_proto, tensor_to_proto
from freshpot.ops.io.counters import Counter
from freshpot.ops.state._tree import Cursor, Tree
from freshpot.ops.state.index import Index, Map

_COUNTER = "std::unique_ptr<Counter<int64_t>>"
_CURSOR = "std::unique_ptr<TreeCursor>"
_INDEX = "std::unique_ptr<caffe2::IndexBase>"
_MUTEX = "std::unique_ptr<std::mutex>"
_KINDS = {"int32": np.int32, "int64": np.int64}
_LOCK = type(threading.Lock())


def save(value: Any) -> SavedObject | None:
    """What a file has for such an object; None for others."""
    if isinstance(value, Counter):
        return SavedObject(_COUNTER, tensor=np.array([value.count], np.int64))
    if isinstance(value, Cursor):
        offsets = np.array(value.offsets, np.int64) if value.offsets else None
        return SavedObject(_CURSOR, "".join(f"{name} " for name in value.tree.names).encode(), offsets)
    if isinstance(value, Index):
        keys = np.array(list(value.numbers), dtype=_KINDS.get(value.kind, object))
        return SavedObject(_INDEX, f"{value.most} {int(value.frozen)}".encode(), keys)
    if isinstance(value, Map):
        pair = protobuf.load("caffe2").TensorProtos()
        for kind, numbers in ((value.key, value), (value.value, value.values())):
            pair.protos.append(tensor_to_proto(np.array(list(numbers), _KINDS[kind])))
        return SavedObject(f"(std::unordered_map<{value.key}_t, {value.value}_t>)", pair.SerializeToString())
    if isinstance(value, _LOCK):
        return SavedObject(_MUTEX, b"")
    return None


def load(name: str, saved: SavedObject) -> Any:
    """The object again.

    Raises:
        FormatError: the file does not have what such an object needs.
    """
    reader = _READERS.get(saved.type, _read_map)
    try:
        return reader(saved)
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise FormatError(f"no {saved.type}: {error}", where=f"blob {name!r}") from error


def _read_counter(saved: SavedObject) -> Counter:
    (count,) = _tensor(saved).reshape(-1).tolist()
    return Counter(count)


def _read_cursor(saved: SavedObject) -> Cursor:
    def refuse(message: str) -> Any:
        raise ValueError(message)

    cursor = Cursor(Tree((saved.content or b"").decode().split(), refuse))
    if saved.tensor is not None:
        cursor.offsets = saved.tensor.reshape(-1).tolist()
    return cursor


def _read_index(saved: SavedObject) -> Index:
    keys = _tensor(saved)
    most, frozen = (int(number) for number in (saved.content or b"").split())
    kind = "string" if keys.dtype == object else str(keys.dtype)
    if kind not in ("string", *_KINDS):
        raise ValueError(f"keys of type {kind}")
    index = Index(kind, most)
    index.numbers = {key: i for i, key in enumerate(keys.reshape(-1).tolist(), 1)}
    index.frozen = bool(frozen)
    return index


def _read_map(saved: SavedObject) -> Map:
    pair = protobuf.parse_message(protobuf.load("caffe2").TensorProtos, saved.content or b"")
    keys, values = (tensor_from_proto(proto) for proto in pair.protos)
    made = Map(str(keys.dtype), str(values.dtype))
    made.update(zip(keys.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True))
    return made


def _tensor(saved: SavedObject) -> Any:
    if saved.tensor is None:
        raise ValueError("there is no tensor")
    return saved.tensor


_READERS: dict[str, Callable[[SavedObject], Any]] = {
    _COUNTER: _read_counter,
    _CURSOR: _read_cursor,
    _INDEX: _read_index,
    _MUTEX: lambda _: threading.Lock(),
}
