"""Files of ``paddle.save`` read without executing them: a small machine for the data part of pickle.

Of everything a pickle can name, only numpy's arrays, types and numbers, ordered dictionaries and tuples are
understood, and each is built here from checked parts. Any other name is a FormatError; nothing is imported.
"""

from __future__ import annotations

import math
import pickletools
import re
from typing import Any

import numpy as np

from freshpot.errors import FormatError

__all__ = ["read_pickle"]

_MARK = object()
_NAMES = {
    ("_codecs", "encode"): "encode",
    ("builtins", "tuple"): "tuple",
    ("__builtin__", "tuple"): "tuple",
    ("builtins", "bytes"): "bytes",
    ("__builtin__", "bytes"): "bytes",
    ("collections", "OrderedDict"): "dict",
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "buffer" for core in ("core", "_core")},
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}


#: how deep containers may be in each other
_DEEPEST = 100
_CONTAINERS = (dict, list, tuple)


def _parts(value: Any) -> list[Any]:
    return [*value, *value.values()] if isinstance(value, dict) else list(value)


class _Name:
    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Array:
    """An array whose contents have not come yet."""

    def __init__(self) -> None:
        self.slots: list[Any] = []


class _DType:
    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype


def read_pickle(data: bytes, path: object = None) -> Any:
    """What the bytes hold: dictionaries, lists, numbers, texts, arrays.

    Raises:
        FormatError: cut off or corrupt, or it names something other than data.
    """
    machine = _Machine(path)
    position = 0
    try:
        for opcode, arg, place in pickletools.genops(data):
            position = place or 0
            if opcode.name == "STOP":
                return machine.result()
            machine.run(opcode.name, arg, position)
    except FormatError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise FormatError(f"corrupt or cut off: {error}", path=path, where=f"offset {position}") from error
    raise FormatError("cut off: no end mark", path=path, where=f"offset {position}")


class _Machine:
    def __init__(self, path: object) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.place = 0

    def fail(self, message: str) -> FormatError:
        return FormatError(message, path=self.path, where=f"offset {self.place}")

    def run(self, name: str, arg: Any, place: int) -> None:
        self.place = place
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            self.stack.append(arg)
        else:
            step = getattr(self, f"do_{name.lower()}", None)
            if step is None:
                raise self.fail(f"holds a pickle instruction ({name}) that data does not need; not executed")
            step(arg)

    def _to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise self.fail("corrupt: a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _remember(self, key: int) -> None:
        value = self.stack[-1]
        self.memo[key] = value
        if isinstance(value, _Array):
            value.slots.append(key)

    def result(self) -> Any:
        """The one value that is left, if it is nested no deeper than data is."""
        found = self.stack.pop()
        if self.stack:
            raise self.fail("corrupt: more than one value at the end")
        level = [found]
        for _ in range(_DEEPEST):
            inner = [part for value in level if isinstance(value, _CONTAINERS) for part in _parts(value)]
            level = list({id(value): value for value in inner}.values())
            if not level:
                return found
        raise self.fail(f"nested deeper than {_DEEPEST} levels, or a container in itself")

    # ---- instructions ----
    def do_proto(self, arg: Any) -> None: ...

    def do_frame(self, arg: Any) -> None: ...

    def do_mark(self, arg: Any) -> None:
        self.stack.append(_MARK)

    def do_pop(self, arg: Any) -> None:
        self.stack.pop()

    def do_pop_mark(self, arg: Any) -> None:
        self._to_mark()

    def do_dup(self, arg: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_empty_dict(self, arg: Any) -> None:
        self.stack.append({})

    def do_empty_list(self, arg: Any) -> None:
        self.stack.append([])

    def do_empty_tuple(self, arg: Any) -> None:
        self.stack.append(())

    def do_list(self, arg: Any) -> None:
        self.stack.append(self._to_mark())

    def do_tuple(self, arg: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _last(self, count: int) -> None:
        if len(self.stack) < count:
            raise self.fail("corrupt: the stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def do_tuple1(self, arg: Any) -> None:
        self._last(1)

    def do_tuple2(self, arg: Any) -> None:
        self._last(2)

    def do_tuple3(self, arg: Any) -> None:
        self._last(3)

    def do_dict(self, arg: Any) -> None:
        items = self._to_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def do_append(self, arg: Any) -> None:
        value = self.stack.pop()
        self._container(list).append(value)

    def do_appends(self, arg: Any) -> None:
        items = self._to_mark()
        self._container(list).extend(items)

    def do_setitem(self, arg: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._container(dict)[key] = value

    def do_setitems(self, arg: Any) -> None:
        items = self._to_mark()
        self._container(dict).update(zip(items[::2], items[1::2], strict=True))

    def _container(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise self.fail(f"corrupt: expected a {kind.__name__}")
        return self.stack[-1]

    def do_put(self, arg: Any) -> None:
        self._remember(int(arg))

    do_binput = do_long_binput = do_put

    def do_memoize(self, arg: Any) -> None:
        self._remember(len(self.memo))

    def do_get(self, arg: Any) -> None:
        self.stack.append(self.memo[int(arg)])

    do_binget = do_long_binget = do_get

    def do_global(self, arg: Any) -> None:
        module, _, name = arg.partition(" ")
        self._name(module, name)

    def do_stack_global(self, arg: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(module, name)

    def _name(self, module: Any, name: Any) -> None:
        kind = _NAMES.get((module, name))
        if kind is None:
            raise self.fail(f"names {module}.{name}, which is not data; nothing was executed")
        self.stack.append(_Name(kind))

    def do_reduce(self, arg: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or not isinstance(args, tuple):
            raise self.fail("corrupt: a call of something that is no name")
        build = getattr(self, f"make_{function.kind}", None)
        if build is None:
            raise self.fail(f"corrupt: a call of {function.kind}")
        self.stack.append(build(*args))

    def do_build(self, arg: Any) -> None:
        state, target = self.stack.pop(), self.stack.pop()
        if isinstance(target, _DType):
            order: Any = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
            target.dtype = target.dtype.newbyteorder(order) if order in ("<", ">") else target.dtype
            self.stack.append(target)
        elif isinstance(target, _Array):
            _, shape, dtype, fortran, raw = state
            made = self.make_buffer(raw, dtype, shape, "F" if fortran else "C")
            for key in target.slots:
                self.memo[key] = made
            self.stack.append(made)
        else:
            raise self.fail("sets the state of something that is no array; not executed")

    # ---- what may be made ----
    def make_encode(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise self.fail(f"corrupt: encoding {encoding!r}")
        return text.encode("latin1")

    def make_bytes(self) -> bytes:
        return b""

    def make_tuple(self, items: Any = ()) -> tuple[Any, ...]:
        return tuple(items)

    def make_dict(self, items: Any = ()) -> dict[Any, Any]:
        return dict(items)

    def make_dtype(self, name: Any, *_: Any) -> _DType:
        if not isinstance(name, str) or not re.fullmatch(r"[<>=|]?[biufc]\d{1,2}", name):
            raise self.fail(f"an array of elements {name!r}; only numbers are read")
        return _DType(np.dtype(name))

    def make_array(self, *_: Any) -> _Array:
        return _Array()

    def make_scalar(self, dtype: Any, raw: Any) -> Any:
        return self.make_buffer(raw, dtype, (), "C")[()]

    def make_buffer(self, raw: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray[Any, Any]:
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(dtype, _DType) or not isinstance(raw, (bytes, bytearray)):
            raise self.fail("corrupt: an array without type or bytes")
        sizes = tuple(int(size) for size in shape)
        wanted = math.prod(sizes) * dtype.dtype.itemsize
        if min(sizes, default=0) < 0 or wanted != len(raw):
            raise self.fail(f"corrupt: an array of shape {sizes} has {len(raw)} bytes, expected {wanted}")
        array = np.frombuffer(bytes(raw), dtype.dtype).reshape(sizes, order="F" if order == "F" else "C")
        return array.astype(dtype.dtype.newbyteorder("="))
