"""Dictionaries: keys to numbers 1, 2, 3 ... in the order in which they first come; and maps."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError, KernelError
from freshpot.net.schema import INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import NUMBER, describe, name_of


class Index:
    """Keys of one type, numbered from 1; 0 stands for keys that it does not know."""

    original_type = "std::unique_ptr<caffe2::IndexBase>"

    def __init__(self, kind: str, most: int) -> None:
        self.kind = kind
        self.most = most
        self.frozen = False
        self.numbers: dict[Any, int] = {}
        self.lock = threading.Lock()

    def number(self, key: Any) -> int | None:
        """The key's number, a new one if it has none; None if there is no room."""
        found = self.numbers.get(key)
        if found is not None or self.frozen:
            return found or 0
        if len(self.numbers) + 1 >= self.most:
            return None
        self.numbers[key] = len(self.numbers) + 1
        return self.numbers[key]


_MOST = Arg("max_elements", int, 2**31 - 1, "numbers that it has room for, 0 included")


class _Create(Operator, abstract=True):
    outputs = (Port("handle"),)
    args: ClassVar[tuple[Arg, ...]] = (_MOST,)
    gradient_stops = True
    kind: ClassVar[str]

    def kernel(self) -> Any:
        return Index(self.kind, self.max_elements)


for _name, _kind in (("Int", "int32"), ("Long", "int64"), ("String", "string")):
    type(
        f"{_name}IndexCreate",
        (_Create,),
        {
            "__doc__": f"An empty dictionary for keys of type {_kind}.\n\nSource:   caffe2/operators/index_ops.cc",
            "__module__": __name__,
            "kind": _kind,
        },
    )


class _OnIndex(Operator, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("handle"),)

    def check(self, handle: Any, *keys: Any) -> None:
        if not isinstance(handle, Index):
            self.refuse(
                "the first input must hold a dictionary; make it with IntIndexCreate …", ArgumentError
            )
        if keys and name_of(keys[0]) != handle.kind:
            self.refuse(f"keys must be {handle.kind}, got {describe(keys[0])}.", DTypeError)


class IndexGet(_OnIndex):
    """indices = numbers of the keys; new keys get the next ones, or 0 if the dictionary is frozen.

    Shapes:   keys: any -> indices: as keys, int64
    Raises:   KernelError if there is no room for a new key.
    Source:   caffe2/operators/index_ops.cc
    """

    inputs = (Port("handle"), Port("keys"))
    outputs = (Port("indices"),)

    def kernel(self, handle: Index, keys: Any) -> Tensor:
        with handle.lock:
            numbers = [handle.number(key) for key in keys.reshape(-1).tolist()]
        if None in numbers:
            self.refuse(f"the dictionary is full: it has room for {handle.most - 1} keys.", KernelError)
        return torch.tensor(numbers, dtype=torch.int64).reshape(keys.shape)


class IndexLoad(_OnIndex):
    """Let the keys be those of ``items``, in their order.

    Shapes:   items: any
    Raises:   KernelError if a key comes twice, or there are too many.
    Source:   caffe2/operators/index_ops.cc
    """

    inputs = (Port("handle"), Port("items"))
    outputs = (Port("handle"),)
    args = (Arg("skip_first_entry", bool, False, "1: the first item is no key"),)
    must_inplace = ((0, 0),)

    def kernel(self, handle: Index, items: Any) -> Any:
        keys = items.reshape(-1).tolist()[int(self.skip_first_entry) :]
        if len(keys) > handle.most:
            self.refuse(f"there are {len(keys)} keys, but room for {handle.most}.", KernelError)
        numbers = {key: i + 1 for i, key in enumerate(keys)}
        if len(numbers) != len(keys):
            self.refuse(f"{len(keys) - len(numbers)} keys come more than once.", KernelError)
        with handle.lock:
            handle.numbers = numbers
        return handle


class IndexStore(_OnIndex):
    """items = the keys, in the order of their numbers.

    Shapes:   -> items: (keys,)
    Source:   caffe2/operators/index_ops.cc
    """

    outputs = (Port("items"),)

    def kernel(self, handle: Index) -> Any:
        with handle.lock:
            keys = list(handle.numbers)
        if handle.kind != "string":
            return torch.tensor(keys, dtype=torch.int32 if handle.kind == "int32" else torch.int64)
        items = np.empty(len(keys), dtype=object)
        items[:] = keys
        return items


class IndexFreeze(_OnIndex):
    """Take no new keys from now on.

    Source:   caffe2/operators/index_ops.cc
    """

    outputs = (Port("handle"),)
    must_inplace = ((0, 0),)

    def kernel(self, handle: Index) -> Any:
        handle.frozen = True
        return handle


class IndexSize(_OnIndex):
    """items = how many numbers are used, 0 included.

    Shapes:   -> items: () int64
    Source:   caffe2/operators/index_ops.cc
    """

    outputs = (Port("items"),)

    def kernel(self, handle: Index) -> Tensor:
        return torch.tensor(len(handle.numbers) + 1)


class IndexHash(Operator):
    """HashedIndices = a hash of each number, from 0 to modulo - 1.

    h = seed * 0xDEADBEEF; for each (signed) byte of the number h = h * 65537 + byte, in its own type; h mod modulo.

    Shapes:   Indices: any -> HashedIndices: as Indices
    Raises:   ArgumentError if ``modulo`` is not positive, or too large for the numbers' type.
    Source:   caffe2/operators/index_hash_ops.h
    """

    inputs = (Port("Indices", INTS),)
    outputs = (Port("HashedIndices"),)
    args = (Arg("seed", int, 0, "start of the hash"), Arg("modulo", int, 0, "how many values, > 0"))
    inplace = ((0, 0),)

    def check(self, X: Tensor) -> None:
        if self.modulo > torch.iinfo(X.dtype).max:
            self.refuse(f"argument 'modulo' is too large for numbers of type {X.dtype}.", ArgumentError)

    def infer(self, X: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)

    def kernel(self, X: Tensor) -> Tensor:
        if self.modulo <= 0:
            self.refuse(f"argument 'modulo' must be positive, got {self.modulo}.", ArgumentError)
        bits = X.element_size() * 8
        octets = X.contiguous().view(torch.int8).reshape(*X.shape, X.element_size()).to(X.dtype)
        seed = (self.seed * 0xDEADBEEF) % 2**bits
        made = torch.full_like(X, seed - 2**bits if seed >= 2 ** (bits - 1) else seed)
        for i in range(octets.shape[-1]):
            made = made * 65537 + octets[..., i]
        return made.remainder(self.modulo)


class Map(dict[int, int]):
    """Keys to values, each of one integer type."""

    def __init__(self, key: str, value: str) -> None:
        super().__init__()
        self.key, self.value = key, value

    @property
    def original_type(self) -> str:
        """What the original calls such a map."""
        key, value = ("int" if kind == "int32" else "long int" for kind in (self.key, self.value))
        return (
            f"std::unordered_map<{key}, {value}, std::hash<{key}>, std::equal_to<{key}>, "
            f"std::allocator<std::pair<const {key}, {value}> > >"
        )


_DTYPES = {NUMBER[name]: name for name in INTS}


class CreateMap(Operator):
    """An empty map.

    Raises:   ArgumentError for types other than int32 and int64.
    Source:   caffe2/operators/map_ops.h
    """

    outputs = (Port("map"),)
    args = (
        Arg("key_dtype", int, NUMBER["int32"], "type of keys", choices=tuple(_DTYPES)),
        Arg("value_dtype", int, NUMBER["int32"], "type of values", choices=tuple(_DTYPES)),
    )

    def kernel(self) -> Any:
        return Map(_DTYPES[self.key_dtype], _DTYPES[self.value_dtype])


class KeyValueToMap(Operator):
    """A map from keys to values; of equal keys the first counts.

    Shapes:   keys, values: as many of each -> map
    Source:   caffe2/operators/map_ops.h
    """

    inputs = (Port("keys", INTS), Port("values", INTS))
    outputs = (Port("map"),)

    def check(self, keys: Tensor, values: Tensor) -> None:
        if keys.numel() != values.numel():
            self.refuse(f"there are {keys.numel()} keys for {values.numel()} values.")

    def kernel(self, keys: Tensor, values: Tensor) -> Any:
        made = Map(name_of(keys), name_of(values))
        for key, value in zip(keys.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True):
            made.setdefault(key, value)
        return made

    def infer(self, *_: Tensor) -> None:
        return None


class MapToKeyValue(Operator):
    """The keys and the values of a map.

    Shapes:   map -> keys, values: (size,)
    Differs:  the order is that in which the keys came; the original has none.
    Source:   caffe2/operators/map_ops.h
    """

    inputs = (Port("map"),)
    outputs = (Port("keys"), Port("values"))

    def check(self, map: Any) -> None:
        if not isinstance(map, Map):
            self.refuse("the input must hold a map; make it with KeyValueToMap.", ArgumentError)

    def kernel(self, map: Map) -> tuple[Tensor, Tensor]:
        kinds = {"int32": torch.int32, "int64": torch.int64}
        return (
            torch.tensor(list(map), dtype=kinds[map.key]),
            torch.tensor(list(map.values()), dtype=kinds[map.value]),
        )
