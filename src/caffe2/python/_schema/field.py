"""What all fields of a schema can do: name their leaves, hold blobs, be cloned and compared.

Source: caffe2/python/schema.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from caffe2.python._schema.scalar import Scalar

FIELD_SEPARATOR = ":"


def join_names(prefix: str, suffix: str) -> str:
    """Two parts of a nested name; either may be empty."""
    return FIELD_SEPARATOR.join(part for part in (prefix, suffix) if part)


def as_field(value: Any, keep_blobs: bool = True) -> Field:
    """A field of one's own: a clone of a field, a Scalar of a type, or a Scalar that holds a blob."""
    from caffe2.python._schema.scalar import Scalar

    if isinstance(value, Field):
        return value.clone(keep_blobs=keep_blobs)
    if type(value) in (type, np.dtype):
        return Scalar(dtype=value)
    return Scalar(blob=value)


class Field:
    """A node of a schema. Its leaves are `Scalar` fields, one tensor each.

    A subclass says what it consists of in `_parts`; the rest follows.
    """

    _parent: tuple[Any, int] = (None, 0)

    def _parts(self) -> list[tuple[str, Field]]:
        """Name and field of each child, in order."""
        raise NotImplementedError

    def _adopt(self) -> None:
        """Tell the children where they are. To be called once they are there."""
        for number, (_, child) in enumerate(self._parts()):
            child._set_parent(self, number)

    def _set_parent(self, parent: Any, relative_id: int) -> None:
        self._parent = (parent, relative_id)

    def _leaves(self) -> Iterator[tuple[str, Scalar]]:
        for prefix, child in self._parts():
            for name, leaf in child._leaves():
                yield join_names(prefix, name), leaf

    def field_names(self) -> list[str]:
        """Nested names of the leaves, parts joined by colons."""
        return [name for name, _ in self._leaves()]

    def field_types(self) -> list[np.dtype[Any]]:
        """Element type (and inner shape) of each leaf."""
        return [leaf.dtype for _, leaf in self._leaves()]

    def field_metadata(self) -> list[Any]:
        """Metadata of each leaf."""
        return [leaf.metadata for _, leaf in self._leaves()]

    def field_blobs(self) -> list[Any]:
        """Blob or array of each leaf; raises MisuseError if one has none."""
        return [leaf.get() for _, leaf in self._leaves()]

    def all_scalars(self) -> list[Scalar]:
        """The leaves."""
        return [leaf for _, leaf in self._leaves()]

    def has_blobs(self) -> bool:
        """True if every leaf holds a blob or array."""
        return all(leaf.has_blobs() for _, leaf in self._leaves())

    def clone(self, keep_blobs: bool = True) -> Any:
        """A copy of the field and of all below it, with or without what the leaves hold."""
        raise NotImplementedError

    def clone_schema(self) -> Any:
        """A copy without blobs."""
        return self.clone(keep_blobs=False)

    def slice(self) -> slice:
        """Where this field's leaves stand among those of the whole schema."""
        start = self._child_base_id()
        return slice(start, start + len(self.field_names()))

    def _child_base_id(self, child_index: int | None = None) -> int:
        """Number of the first leaf of this field, or of one of its children, in the whole schema."""
        parent, place = self._parent
        before = [] if child_index is None else self._parts()[:child_index]
        position = sum(len(child.field_names()) for _, child in before)
        return position if parent is None else position + parent._child_base_id(place)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Field)
            and self.field_names() == other.field_names()
            and self.field_types() == other.field_types()
            and self.field_metadata() == other.field_metadata()
        )

    __hash__ = object.__hash__

    def _lines(self, indent: int) -> list[str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return "".join(line + "\n" for line in self._lines(0))

    def _block(self, indent: int, head: str, parts: list[tuple[str, Field]], tail: str) -> list[str]:
        pad = "  " * indent
        inner = [line for name, f in parts for line in (f"{pad}  {name}=", *f._lines(indent + 2))]
        return [pad + head, *inner, pad + tail]
