"""Readers and writers of data in nets.

Source: caffe2/python/dataio.py.
"""

from __future__ import annotations

from caffe2.python._dataio.base import Pipe, PipedReaderBuilder, Reader, ReaderBuilder, Writer
from caffe2.python._dataio.composite import CompositeReader, CompositeReaderBuilder
from caffe2.python._dataio.limits import (
    CounterReader,
    CountUntil,
    ReaderWithDelay,
    ReaderWithLimit,
    ReaderWithLimitBase,
    ReaderWithTimeLimit,
)

__all__ = [
    "CompositeReader",
    "CompositeReaderBuilder",
    "CountUntil",
    "CounterReader",
    "Pipe",
    "PipedReaderBuilder",
    "Reader",
    "ReaderBuilder",
    "ReaderWithDelay",
    "ReaderWithLimit",
    "ReaderWithLimitBase",
    "ReaderWithTimeLimit",
    "Writer",
]
