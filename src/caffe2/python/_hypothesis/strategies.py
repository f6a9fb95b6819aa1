"""Arrays, lengths and segments as hypothesis draws them.

Owned here: the strategies. Who calls it: `hypothesis_test_util`. The package hypothesis is the user's.

Source: caffe2/python/hypothesis_test_util.py.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np

from freshpot.errors import ArgumentError


def to_float32(x: float) -> float:
    """The nearest float32."""
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def floats(*args: Any, **kwargs: Any) -> Any:
    """`hypothesis.strategies.floats` of 32 bits unless ``width`` says otherwise."""
    if "width" not in kwargs:
        kwargs["width"] = 32
        for bound in ("min_value", "max_value"):
            if kwargs.get(bound) is not None:
                kwargs[bound] = to_float32(kwargs[bound])
    return st.floats(*args, **kwargs)


def dims(min_value: int = 1, max_value: int = 5) -> Any:
    """A size."""
    return st.integers(min_value=min_value, max_value=max_value)


def elements_of_type(dtype: Any = np.float32, filter_: Callable[[Any], bool] | None = None) -> Any:
    """Numbers of a type: fractions from -1 to 1, whole numbers from 0, truth values.

    Raises:
        ArgumentError: another type.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        drawn = floats(min_value=-1.0, max_value=1.0, width=kind.itemsize * 8)
    elif kind in (np.int32, np.int64):
        drawn = st.integers(min_value=0, max_value=np.iinfo(kind).max)
    elif kind.kind == "b":
        drawn = st.booleans()
    else:
        raise ArgumentError(f"Unexpected dtype without elements provided: {kind}")
    return drawn if filter_ is None else drawn.filter(filter_)


def arrays(dims: Any, dtype: Any = np.float32, elements: Any = None, unique: bool = False) -> Any:
    """Arrays of a shape."""
    if elements is None:
        elements = elements_of_type(dtype)
    return hypothesis.extra.numpy.arrays(dtype, dims, elements=elements, unique=unique)


def _shapes(min_dim: int, max_dim: int, **kwargs: Any) -> Any:
    return st.lists(dims(**kwargs), min_size=min_dim, max_size=max_dim)


def tensor(
    min_dim: int = 1,
    max_dim: int = 4,
    dtype: Any = np.float32,
    elements: Any = None,
    unique: bool = False,
    **kwargs: Any,
) -> Any:
    """An array of some dimensions; ``kwargs`` bound their sizes."""
    return _shapes(min_dim, max_dim, **kwargs).flatmap(
        lambda shape: arrays(shape, dtype, elements, unique=unique)
    )


def tensor1d(min_len: int = 1, max_len: int = 64, dtype: Any = np.float32, elements: Any = None) -> Any:
    """An array of one dimension."""
    return tensor(1, 1, dtype, elements, min_value=min_len, max_value=max_len)


def tensors(
    n: int, min_dim: int = 1, max_dim: int = 4, dtype: Any = np.float32, elements: Any = None, **kwargs: Any
) -> Any:
    """Some arrays of one shape."""
    return _shapes(min_dim, max_dim, **kwargs).flatmap(
        lambda shape: st.lists(arrays(shape, dtype, elements), min_size=n, max_size=n)
    )


def tensors1d(
    n: int, min_len: int = 1, max_len: int = 64, dtype: Any = np.float32, elements: Any = None
) -> Any:
    """Some arrays of one dimension, all of one size."""
    return tensors(n, 1, 1, dtype, elements, min_value=min_len, max_value=max_len)


def segment_ids(size: int, is_sorted: bool) -> Any:
    """To which segment each of ``size`` rows belongs; sorted ones begin at 0 and leave none out."""
    if size == 0:
        return st.just(np.empty(shape=[0], dtype=np.int32))
    if not is_sorted:
        return arrays([size], np.int32, st.integers(min_value=0, max_value=2 * size))
    steps = arrays([size], np.int32, st.booleans())
    return steps.map(lambda x: np.cumsum(x, dtype=np.int32) - x[0])


def lengths(
    size: int, min_segments: int | None = None, max_segments: int | None = None, **kwargs: Any
) -> Any:
    """Lengths of segments, 0 among them, that make up ``size``.

    Raises:
        ArgumentError: bounds that leave nothing.
    """
    least = 0 if min_segments is None else min_segments
    most = size if max_segments is None else max_segments
    if not 0 <= least <= most:
        raise ArgumentError(f"min_segments is {least}, max_segments {most}.")
    if size == 0 and most == 0:
        return st.just(np.empty(shape=[0], dtype=np.int32))
    if most == 0:
        raise ArgumentError("size is not 0, need at least one segment")
    borders = st.integers(min_value=max(least - 1, 0), max_value=most - 1).flatmap(
        lambda count: hypothesis.extra.numpy.arrays(
            np.int32, count, elements=st.integers(min_value=0, max_value=size)
        )
    )
    ends = np.array([0, size], dtype=np.int32)
    return borders.map(lambda x: np.diff(np.sort(np.append(x, ends))))


def _data_shapes(allow_empty: bool, min_dim: int, max_dim: int, **kwargs: Any) -> Any:
    empty = st.booleans() if allow_empty else st.just(False)
    return st.tuples(empty, _shapes(min_dim, max_dim, **kwargs))


def segmented_tensor(
    min_dim: int = 1,
    max_dim: int = 4,
    dtype: Any = np.float32,
    is_sorted: bool = True,
    elements: Any = None,
    segment_generator: Callable[..., Any] = segment_ids,
    allow_empty: bool = False,
    **kwargs: Any,
) -> Any:
    """An array, and the segments of its rows."""

    def drawn(shape: Sequence[int]) -> Any:
        return st.tuples(arrays(shape, dtype, elements), segment_generator(shape[0], is_sorted=is_sorted))

    shapes = _data_shapes(allow_empty, min_dim, max_dim, **kwargs)
    return shapes.map(lambda pair: ([0] if pair[0] else []) + pair[1]).flatmap(drawn)


def lengths_tensor(
    min_segments: int | None = None, max_segments: int | None = None, *args: Any, **kwargs: Any
) -> Any:
    """An array, and the lengths of its segments."""
    drawn = functools.partial(lengths, min_segments=min_segments, max_segments=max_segments)
    return segmented_tensor(*args, **{**kwargs, "segment_generator": drawn})


def sparse_segmented_tensor(
    min_dim: int = 1,
    max_dim: int = 4,
    dtype: Any = np.float32,
    is_sorted: bool = True,
    elements: Any = None,
    allow_empty: bool = False,
    segment_generator: Callable[..., Any] = segment_ids,
    itype: Any = np.int64,
    **kwargs: Any,
) -> Any:
    """An array, row numbers into it, and the segments of these."""

    def sizes(pair: tuple[bool, list[int]]) -> Any:
        count = st.just(0) if pair[0] else st.integers(min_value=1, max_value=pair[1][0])
        return st.tuples(st.just(pair[1]), count)

    def drawn(pair: tuple[list[int], int]) -> Any:
        shape, count = pair
        return st.tuples(
            arrays(shape, dtype, elements),
            arrays(count, itype, st.integers(min_value=0, max_value=shape[0] - 1)),
            segment_generator(count, is_sorted=is_sorted),
        )

    return _data_shapes(allow_empty, min_dim, max_dim, **kwargs).flatmap(sizes).flatmap(drawn)


def sparse_lengths_tensor(**kwargs: Any) -> Any:
    """An array, row numbers into it, and the lengths of their segments."""
    return sparse_segmented_tensor(segment_generator=lengths, **kwargs)
