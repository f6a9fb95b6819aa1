"""The leaf of a schema: one tensor of known element type. Source: caffe2/python/schema.py."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from caffe2.python._errors import require
from caffe2.python._schema.field import Field
from caffe2.python.core import BlobReference

logger = logging.getLogger(__name__)


class FeatureSpec(NamedTuple):
    """Which features a field holds."""

    feature_type: Any = None
    feature_names: Any = None
    feature_ids: Any = None
    feature_is_request_only: Any = None
    desired_hash_size: Any = None
    feature_to_index: Any = None


class Metadata(NamedTuple):
    """Further facts about a scalar.

    ``categorical_limit``: values of an integer field are below it. ``expected_value``: typical mean.
    ``feature_specs``: the features in the field.
    """

    categorical_limit: Any = None
    expected_value: Any = None
    feature_specs: Any = None


class Scalar(Field):
    """One tensor: rows of type ``dtype`` (``np.float32``, ``(np.int32, 5)`` …), unknown if not given.

    ``blob`` is a BlobReference, or an array; other values become arrays of the type.
    Raises ValueError for a str (wrap it in BlobReference or np.array), MisuseError for structured types.
    """

    def __init__(self, dtype: Any = None, blob: Any = None, metadata: Metadata | None = None) -> None:
        self._metadata: Metadata | None = None
        self.set(dtype, blob, metadata, unsafe=True)

    def _parts(self) -> list[tuple[str, Field]]:
        return []

    def _leaves(self) -> Iterator[tuple[str, Scalar]]:
        yield "", self

    def field_type(self) -> np.dtype[Any]:
        """Element type and inner shape."""
        return self.dtype

    def has_blobs(self) -> bool:
        """True if it holds a blob or array."""
        return self._blob is not None

    def clone(self, keep_blobs: bool = True) -> Scalar:
        """A copy, with or without the blob."""
        return Scalar(self._original_dtype, self._blob if keep_blobs else None, self._metadata)

    def get(self) -> Any:
        """The blob or array; raises MisuseError if there is none."""
        require(self._blob is not None, "this field holds no blob and no array.")
        return self._blob

    def __call__(self) -> Any:
        return self.get()

    @property
    def metadata(self) -> Metadata | None:
        """Further facts, or None."""
        return self._metadata

    def set_metadata(self, value: Metadata) -> None:
        """Replace the metadata."""
        require(isinstance(value, Metadata), f"metadata must be Metadata; got {type(value).__name__}.")
        self._metadata = value
        self._validate_metadata()

    def _validate_metadata(self) -> None:
        if self._metadata is not None and self._metadata.categorical_limit is not None:
            require(
                np.issubdtype(self.dtype, np.integer),
                f"categorical_limit is for fields of integers; this one is {self.dtype}.",
            )

    def set_value(self, blob: Any, throw_on_type_mismatch: bool = False, unsafe: bool = False) -> None:
        """Replace the blob; with ``throw_on_type_mismatch`` an array must have the field's type."""
        if throw_on_type_mismatch and self.dtype.base != np.void:
            found = blob.dtype.base if isinstance(blob, np.ndarray) else type(blob).__name__
            require(found == self.dtype.base, f"the field holds arrays of {self.dtype.base}; got {found}.")
        self.set(dtype=self._original_dtype, blob=blob, unsafe=unsafe)

    def set(
        self, dtype: Any = None, blob: Any = None, metadata: Metadata | None = None, unsafe: bool = False
    ) -> None:
        """Replace type and blob. Only for scalars that nobody else uses yet: say ``unsafe=True``."""
        if not unsafe:
            logger.warning("a Scalar should not change: call set() on new ones only, with unsafe=True.")
        if isinstance(blob, str):
            raise ValueError("a str may be a name or a value: pass BlobReference(text), or np.array(text).")
        self._original_dtype = dtype
        kind = _row_type(dtype, blob)
        if blob is not None and not isinstance(blob, BlobReference):
            blob, kind = _as_array(blob, kind)
        self.dtype = np.dtype(np.void) if kind is None else kind
        require(not self.dtype.fields, f"a Scalar has no fields, {self.dtype} has: use schema.from_dtype.")
        self._blob = blob
        if metadata is not None:
            self.set_metadata(metadata)
        self._validate_metadata()

    def set_type(self, dtype: Any) -> None:
        """Replace the type."""
        self._original_dtype = dtype
        self.dtype = np.dtype(np.void if dtype is None else dtype)
        self._validate_metadata()

    def id(self) -> int:
        """Its number among the leaves of the whole schema."""
        return self._child_base_id()

    def _lines(self, indent: int) -> list[str]:
        return ["  " * indent + f"Scalar({self.dtype!r}, {self._blob!r}, {self._metadata!r})"]


def _row_type(dtype: Any, blob: Any) -> np.dtype[Any] | None:
    if dtype is None:
        return None
    if isinstance(dtype, tuple):
        if dtype[0] == np.void:
            raise TypeError(f"blob {blob} has no known type, so its shape {dtype[1]} cannot be kept.")
        if dtype[1] == 1:
            dtype = (dtype[0], (1,))  # numpy would drop a single column
    return np.dtype(dtype)


def _as_array(value: Any, kind: np.dtype[Any] | None) -> tuple[Any, np.dtype[Any] | None]:
    """The value as an array of the type, and the type with the array's inner shape."""
    given_array = isinstance(value, np.ndarray)
    typed = kind is not None and kind != np.void
    require(typed or given_array, f"a value without a type must be an array; got {type(value).__name__}.")
    if typed and kind is not None:
        value = np.array(value, dtype=kind.base)
        if value.size == 0 and not given_array:
            value = value.reshape((0, *kind.shape))
    if value.ndim == 0 and not given_array:
        value = value.reshape((1,))
    if value.ndim > 1 and kind is not None and kind.base != np.void:
        kind = np.dtype((kind.base, value.shape[1:]))
    return value, kind
