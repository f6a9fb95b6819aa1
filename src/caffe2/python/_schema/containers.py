"""Fields made of fields: structs and lists. Source: caffe2/python/schema.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python._errors import require
from caffe2.python._schema.field import FIELD_SEPARATOR, Field, as_field
from caffe2.python._schema.scalar import Scalar


class Struct(Field):
    """Named fields side by side: ``Struct(("a", np.int32), ("b:c", Scalar()))``; ``b:c`` nests.

    Fields are attributes (``s.b.c``), items (``s["b:c"]``, ``s[0]``, ``s[["a", "b"]]``) and iterable by name.
    ``+`` merges two structs, ``-`` takes the fields of one out of another.
    """

    fields: dict[str, Field]

    def __init__(self, *fields: tuple[str, Any]) -> None:
        made: dict[str, Field] = {}
        for entry in fields:
            require(len(entry) == 2, "a field is a pair of name and field.")
            name, value = entry
            require(name, "a field's name cannot be empty.")
            require(name != "lengths", "'lengths' is the name of a list's lengths: name the field otherwise.")
            field = as_field(value)
            name, _, rest = name.partition(FIELD_SEPARATOR)
            if rest:
                field = Struct((rest, field))
            if name in made:
                both = made[name]
                if not (isinstance(both, Struct) and isinstance(field, Struct)):
                    raise ValueError(f"Duplicate field name: {name}")
                field = both + field
            made[name] = field
        object.__setattr__(self, "fields", made)
        self._adopt()

    def __setattr__(self, key: str, value: Any) -> None:
        if not key.startswith("_"):
            raise TypeError(f"a Struct does not change: make a new one instead of setting '{key}'.")
        object.__setattr__(self, key, value)

    def _parts(self) -> list[tuple[str, Field]]:
        return list(self.fields.items())

    def get_children(self) -> list[tuple[str, Field]]:
        """Name and field of each child."""
        return self._parts()

    def clone(self, keep_blobs: bool = True) -> Any:
        """A copy of it and of all below it."""
        return type(self)(*((name, f.clone(keep_blobs=keep_blobs)) for name, f in self.fields.items()))

    def _find(self, nested_name: str) -> Field | None:
        name, _, rest = nested_name.partition(FIELD_SEPARATOR)
        field: Any = self.fields.get(name)
        if field is None or not rest:
            return field
        try:
            return field[rest]
        except (KeyError, TypeError):
            return None

    def __contains__(self, item: str) -> bool:
        return self._find(item) is not None

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, (list, tuple)):
            names = list(self.fields)
            return Struct(*((names[k] if isinstance(k, int) else k, self[k]) for k in item))
        if isinstance(item, int):
            return list(self.fields.values())[item]
        field = self._find(item)
        if field is None:
            raise KeyError(f'field "{item}" not found; there are: {", ".join(self.field_names())}')
        return field

    def get(self, item: str, default_value: Any) -> Any:
        """The field of that name, or the default."""
        return getattr(self, item, default_value)

    def __getattr__(self, item: str) -> Any:
        if item.startswith("__") or item == "fields" or item not in self.fields:
            raise AttributeError(item)
        return self.fields[item]

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Struct):
            return NotImplemented
        merged = dict(self.fields)
        for name, field in other.fields.items():
            mine = merged.get(name)
            if mine is not None:
                if not (isinstance(mine, Struct) and isinstance(field, Struct)):
                    kinds = f"{type(mine).__name__} and {type(field).__name__}"
                    raise TypeError(f"field '{name}' is {kinds}: only two Structs can be merged.")
                field = mine + field
            merged[name] = field
        return Struct(*merged.items())

    def __sub__(self, other: Any) -> Any:
        if not isinstance(other, Struct):
            return NotImplemented
        left = dict(self.fields)
        for name, field in other.fields.items():
            mine = left.get(name)
            if mine is None:
                continue
            if type(mine) is not type(field):
                kinds = f"{type(mine).__name__} and {type(field).__name__}"
                raise TypeError(f"field '{name}' is {kinds}: only fields of one kind can be taken out.")
            rest = mine - field if isinstance(mine, Struct) else None
            if rest is not None and rest.fields:
                left[name] = rest
            else:
                del left[name]
        return Struct(*left.items())

    def _lines(self, indent: int) -> list[str]:
        return self._block(indent, "Struct( ", self._parts(), ") ")


def _scalar(value: Any, dtype: Any) -> Scalar:
    if not isinstance(value, Field):
        return Scalar(dtype, value)
    require(isinstance(value, Scalar), f"lengths and evicted values are Scalars, not {type(value).__name__}.")
    return value.clone()


class List(Field):
    """Lists of varying length: ``lengths`` (int32, one a list) and the ``values`` of all lists in a row.

    If the values are a Struct, its fields are attributes of the list.
    """

    def __init__(self, values: Any, lengths_blob: Any = None) -> None:
        self.lengths = _scalar(lengths_blob, np.int32)
        self._items = as_field(values)
        self._adopt()

    def _parts(self) -> list[tuple[str, Field]]:
        return [("lengths", self.lengths), ("values", self._items)]

    def clone(self, keep_blobs: bool = True) -> Any:
        """A copy of it and of all below it."""
        return type(self)(*(part.clone(keep_blobs=keep_blobs) for part in self._arguments()))

    def _arguments(self) -> list[Field]:
        return [self._items, self.lengths]

    def __getattr__(self, item: str) -> Any:
        items = self.__dict__.get("_items")
        if not item.startswith("__") and items is not None:
            if isinstance(items, Struct):
                return getattr(items, item)
            if item in ("value", "items"):
                return items
        raise AttributeError(f"Field not found in list: {item}.")

    def __getitem__(self, item: str) -> Any:
        name, _, rest = item.partition(FIELD_SEPARATOR)
        parts: dict[str, Any] = dict(self._parts())
        if name not in parts or (rest and name != "values"):
            raise KeyError(f"Field not found in list: {item}.")
        return parts[name][rest] if rest else parts[name]

    def _lines(self, indent: int) -> list[str]:
        named = [("_items" if name == "values" else name, part) for name, part in self._parts()]
        return self._block(indent, f"{type(self).__name__}(", named, ")")


class ListWithEvicted(List):
    """A list with one more field, ``_evicted_values`` (int64): keys that a hash dropped."""

    def __init__(self, values: Any, lengths_blob: Any = None, evicted_values: Any = None) -> None:
        self._evicted_values = _scalar(evicted_values, np.int64)
        super().__init__(values, lengths_blob)

    def _parts(self) -> list[tuple[str, Field]]:
        return [*super()._parts(), ("_evicted_values", self._evicted_values)]

    def _arguments(self) -> list[Field]:
        return [*super()._arguments(), self._evicted_values]
