"""Schemas: named, nested columns of data, and records, which are schemas that hold blobs or arrays.

``Struct(("label", np.int32), ("image", Scalar((np.float32, 784))))`` describes two columns; `NewRecord` makes
blobs for them in a net, `FeedRecord` and `FetchRecord` move arrays in and out of the workspace.

Source: caffe2/python/schema.py.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from caffe2.python import core, workspace
from caffe2.python._errors import require
from caffe2.python._schema.containers import List, ListWithEvicted, Struct
from caffe2.python._schema.field import FIELD_SEPARATOR, Field, as_field
from caffe2.python._schema.scalar import FeatureSpec, Metadata, Scalar
from caffe2.python.core import BlobReference
from freshpot.errors import NotSupportedError

__all__ = [
    "FIELD_SEPARATOR",
    "ConstRecord",
    "FeatureSpec",
    "FeedRecord",
    "FetchRecord",
    "Field",
    "InitEmptyRecord",
    "List",
    "ListWithEvicted",
    "Map",
    "MapWithEvicted",
    "Metadata",
    "NamedTuple",
    "NewRecord",
    "RawTuple",
    "Scalar",
    "Struct",
    "Tuple",
    "as_record",
    "attach_metadata_to_scalars",
    "data_type_for_dtype",
    "dtype_for_core_type",
    "equal_schemas",
    "from_blob_list",
    "from_column_list",
    "from_dtype",
    "is_schema_subset",
    "schema_check",
]

logger = logging.getLogger(__name__)

_TYPES: list[tuple[Any, int]] = [
    (str, core.DataType.STRING),
    (np.float16, core.DataType.FLOAT16),
    (np.float32, core.DataType.FLOAT),
    (np.float64, core.DataType.DOUBLE),
    (bool, core.DataType.BOOL),
    (np.int8, core.DataType.INT8),
    (np.int16, core.DataType.INT16),
    (np.int32, core.DataType.INT32),
    (np.int64, core.DataType.INT64),
    (np.uint8, core.DataType.UINT8),
    (np.uint16, core.DataType.UINT16),
]


# --- making schemas -----------------------------------------------------------------------------------


def Map(
    keys: Any, values: Any, keys_name: str = "keys", values_name: str = "values", lengths_blob: Any = None
) -> List:
    """A list of pairs of key and value."""
    return List(Struct((keys_name, keys), (values_name, values)), lengths_blob=lengths_blob)


def MapWithEvicted(
    keys: Any,
    values: Any,
    keys_name: str = "keys",
    values_name: str = "values",
    lengths_blob: Any = None,
    evicted_values: Any = None,
) -> ListWithEvicted:
    """A `Map` with the keys that a hash dropped."""
    pairs = Struct((keys_name, keys), (values_name, values))
    return ListWithEvicted(pairs, lengths_blob=lengths_blob, evicted_values=evicted_values)


def NamedTuple(name_prefix: str, *fields: Any) -> Struct:
    """A struct with the names ``PREFIX_0``, ``PREFIX_1``, …"""
    return Struct(*((f"{name_prefix}_{i}", field) for i, field in enumerate(fields)))


def Tuple(*fields: Any) -> Struct:
    """A struct with the names ``field_0``, ``field_1``, …"""
    return NamedTuple("field", *fields)


def RawTuple(num_fields: int, name_prefix: str = "field") -> Struct:
    """A `NamedTuple` of scalars of unknown type."""
    require(
        isinstance(num_fields, int) and num_fields >= 0, f"num_fields must be 0 or more; got {num_fields}."
    )
    return NamedTuple(name_prefix, *([np.void] * num_fields))


def from_dtype(dtype: Any, _outer_shape: tuple[int, ...] = ()) -> Field:
    """A scalar of a numpy type. Structured types are refused: the original could not read them either."""
    kind = np.dtype(dtype)
    if kind.fields:
        raise NotSupportedError(f"a schema from the structured type {kind}: list its columns in a Struct.")
    return Scalar(np.dtype((kind.base, _outer_shape + kind.shape)))


def from_column_list(
    col_names: list[str],
    col_types: list[Any] | None = None,
    col_blobs: list[Any] | None = None,
    col_metadata: list[Any] | None = None,
) -> Any:
    """A schema from nested column names, and types, blobs and metadata if given.

    Columns ``lengths`` and ``values`` side by side become a `List`, with ``keys`` a `Map`.
    """
    count = len(col_names)
    columns = [col_types or [None] * count, col_blobs or [None] * count, col_metadata or [None] * count]
    for column in columns:
        require(len(column) == count, f"there are {count} column names; got {len(column)} facts about them.")
    root: dict[str, Any] = {}
    for name, dtype, blob, metadata in zip(col_names, *columns, strict=True):
        *path, last = name.split(FIELD_SEPARATOR)
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[last] = Scalar(dtype=dtype, blob=blob, metadata=metadata)
    return _from_tree(root)


def _from_tree(node: Any) -> Any:
    if isinstance(node, Field):
        return node
    parts = {name: _from_tree(child) for name, child in node.items()}
    if set(parts) == {"lengths", "values"}:
        return List(parts["values"], lengths_blob=parts["lengths"])
    if set(parts) == {"lengths", "keys", "values"}:
        return Map(parts["keys"], parts["values"], lengths_blob=parts["lengths"])
    return Struct(*parts.items())


def from_blob_list(schema: Field, values: Any, throw_on_type_mismatch: bool = False) -> Any:
    """A copy of the schema whose leaves hold the values, in order."""
    _require_field(schema)
    values = [values] if isinstance(values, BlobReference) else values
    record = schema.clone_schema()
    scalars = record.all_scalars()
    require(len(scalars) == len(values), f"the schema has {len(scalars)} columns; got {len(values)} values.")
    for leaf, value in zip(scalars, values, strict=True):
        leaf.set_value(value, throw_on_type_mismatch, unsafe=True)
    return record


def as_record(value: Any) -> Any:
    """A field from a field, a dict, a list (as a `Tuple`), a type or a blob."""
    if isinstance(value, Field):
        return value
    if isinstance(value, (list, tuple)):
        return Tuple(*(as_record(part) for part in value))
    if isinstance(value, dict):
        return Struct(*((name, as_record(part)) for name, part in value.items()))
    return as_field(value)


def _require_field(value: Any) -> None:
    require(isinstance(value, Field), f"a schema or record is wanted; got {type(value).__name__}.")


# --- records in nets and workspaces -------------------------------------------------------------------


def _blobs_of(record: Field) -> list[BlobReference]:
    _require_field(record)
    blobs = record.field_blobs()
    require(all(isinstance(b, BlobReference) for b in blobs), "the record must hold blobs; it holds arrays.")
    return blobs


def FetchRecord(blob_record: Field, ws: Any = None, throw_on_type_mismatch: bool = False) -> Any:
    """The record with the arrays that its blobs hold in the workspace (or in ``ws``)."""
    blobs = [str(blob) for blob in _blobs_of(blob_record)]
    arrays = [workspace.FetchBlob(b) if ws is None else ws.blobs[b].fetch() for b in blobs]
    return from_blob_list(blob_record, arrays, throw_on_type_mismatch)


def FeedRecord(blob_record: Field, arrays: Any, ws: Any = None) -> None:
    """Put arrays (a list, or a record of arrays) into the record's blobs in the workspace (or in ``ws``)."""
    blobs = _blobs_of(blob_record)
    values = arrays.field_blobs() if isinstance(arrays, Field) else arrays
    require(len(values) == len(blobs), f"the record has {len(blobs)} columns; got {len(values)} arrays.")
    for blob, array in zip(blobs, values, strict=True):
        if ws is None:
            workspace.FeedBlob(str(blob), array)
        else:
            ws.create_blob(str(blob)).feed(array)


def NewRecord(net: Any, schema: Field) -> Any:
    """The schema with new blobs of the net, named after the columns (a lone scalar: ``unnamed_scalar``)."""
    if isinstance(schema, Scalar):
        result = schema.clone()
        result.set_value(net.NextScopedBlob("unnamed_scalar"), unsafe=True)
        return result
    _require_field(schema)
    return from_blob_list(schema, [net.NextScopedBlob(prefix=name) for name in schema.field_names()])


def ConstRecord(net: Any, array_record: Field) -> Any:
    """New blobs of the net that are filled with the record's arrays whenever it runs."""
    record = NewRecord(net, array_record)
    for blob, array in zip(record.field_blobs(), array_record.field_blobs(), strict=True):
        net.Const(array, blob)
    return record


def InitEmptyRecord(net: Any, schema_or_record: Field, enforce_types: bool = False) -> Any:
    """Blobs with no rows for every column. Columns of unknown type become float, or raise TypeError."""
    has_blobs = schema_or_record.has_blobs()
    record = schema_or_record if has_blobs else NewRecord(net, schema_or_record)
    for kind, blob in zip(record.field_types(), record.field_blobs(), strict=True):
        try:
            typed = {"shape": [0, *kind.shape], "dtype": data_type_for_dtype(kind)}
        except TypeError:
            if enforce_types:
                raise
            logger.warning("column %s has no type that blobs can have, %s: it is made float.", blob, kind)
            typed = {"shape": [0]}
        net.ConstantFill([], blob, **typed)
    return record


# --- comparing and converting -------------------------------------------------------------------------


def is_schema_subset(schema: Field, original_schema: Field) -> bool:
    """True if every column of the one is a column of the other, by name."""
    return set(schema.field_names()) <= set(original_schema.field_names())


def equal_schemas(
    schema: Field,
    original_schema: Field,
    check_field_names: bool = True,
    check_field_types: bool = True,
    check_field_metas: bool = False,
) -> bool:
    """True if the columns agree in what is to be checked."""
    _require_field(schema)
    _require_field(original_schema)
    a, b = schema, original_schema
    return (
        (not check_field_names or a.field_names() == b.field_names())
        and (not check_field_types or a.field_types() == b.field_types())
        and (not check_field_metas or a.field_metadata() == b.field_metadata())
    )


def schema_check(schema: Any, previous: Field | None = None) -> Any:
    """`as_record`, and MisuseError if it does not equal ``previous``."""
    record = as_record(schema)
    require(
        previous is None or equal_schemas(record, previous),
        f"the schema changed: columns {record.field_names()}"
        f" instead of {previous.field_names() if previous is not None else []}.",
    )
    return record


def data_type_for_dtype(dtype: np.dtype[Any]) -> int:
    """The `core.DataType` of a numpy type; TypeError if there is none."""
    for kind, data_type in _TYPES:
        if dtype.base == kind:
            return data_type
    raise TypeError(f"Unknown dtype: {dtype.base}")


def dtype_for_core_type(core_type: int) -> Any:
    """The type of a `core.DataType`; TypeError if there is none."""
    for kind, data_type in _TYPES:
        if data_type == core_type:
            return kind
    raise TypeError(f"Unknown core type: {core_type}")


def attach_metadata_to_scalars(field: Field, metadata: Metadata) -> None:
    """Give every leaf the metadata."""
    for leaf in field.all_scalars():
        leaf.set_metadata(metadata)
