"""Rows of text files, one column a blob."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError, ArityError, DataError, FormatError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import NUMBER

_TYPES = {NUMBER["string"]: "string", NUMBER["float32"]: "float32"}


class TextFile:
    """Rows of a file, columns parted by tabs; safe between threads."""

    original_type = "std::unique_ptr<caffe2::TextFileReaderInstance>"

    def __init__(self, path: str, passes: int, types: list[str]) -> None:
        self.path = path
        self.types = types
        self._lock = threading.Lock()
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - it stays open for as long as the reader lives
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
        self._lines = enumerate(self._read(passes), 1)

    def _read(self, passes: int) -> Iterator[bytes]:
        for _ in range(passes):
            self._file.seek(0)
            yield from self._file

    def _parsed(self, text: bytes, line: int) -> list[Any]:
        fields = text.split(b"\t")
        if len(fields) != len(self.types):
            raise FormatError(
                f"there are {len(fields)} columns, expected {len(self.types)}.",
                path=self.path,
                where=f"row {line}",
            )
        try:
            return [
                float(field) if kind == "float32" else field
                for field, kind in zip(fields, self.types, strict=True)
            ]
        except ValueError as error:
            raise FormatError(f"{error}.", path=self.path, where=f"row {line}") from error

    def take(self, count: int) -> list[list[Any]]:
        """The next rows; fewer at the end."""
        with self._lock:
            lines = list(itertools.islice(self._lines, max(count, 0)))
        return [self._parsed(text.removesuffix(b"\n"), line) for line, text in lines]


class CreateTextFileReader(Operator):
    """A reader of a text file whose columns are parted by tabs.

    Shapes:   none -> handler
    Raises:   ArgumentError for no field types, or others than FLOAT and STRING; DataError if the file cannot be read.
    Source:   caffe2/operators/text_file_reader.cc
    """

    outputs = (Port("handler"),)
    args = (
        Arg("filename", str, "", "path of the file"),
        Arg("num_passes", int, 1, "how often the file is read"),
        Arg("field_types", [int], [], "type of each column: 1 (FLOAT) or 4 (STRING)"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if not self.field_types or not set(self.field_types) <= set(_TYPES):
            self.refuse(
                f"argument 'field_types' must name types out of 1 (FLOAT) and 4 (STRING), got {self.field_types}.",
                ArgumentError,
            )

    def kernel(self) -> Any:
        return TextFile(self.filename, self.num_passes, [_TYPES[each] for each in self.field_types])


class TextFileReaderRead(Operator):
    """The next rows of a text file, one blob a column; empty ones at its end.

    Shapes:   handler -> for each column: (up to batch_size,) float32 or text
    Raises:   ArityError if there are not as many outputs as columns; FormatError for a row with another number
              of columns, or text where a number is wanted.
    Differs:  a last row without a line's end is read; the original loses it.
    Source:   caffe2/operators/text_file_reader.cc
    """

    inputs = (Port("handler"),)
    outputs = (Port("column", many=True),)
    args = (Arg("batch_size", int, 1, "rows to read"),)
    remembers = True
    gradient_stops = True

    def check(self, reader: Any) -> None:
        if not isinstance(reader, TextFile):
            self.refuse("the input must hold a reader; make it with CreateTextFileReader.", ArgumentError)
        if len(reader.types) != self.num_outputs:
            self.refuse(
                f"rows have {len(reader.types)} columns, but there are {self.num_outputs} outputs.",
                ArityError,
            )

    def kernel(self, reader: TextFile) -> list[Any]:
        rows = reader.take(self.batch_size)
        made: list[Any] = []
        for i, kind in enumerate(reader.types):
            column = [row[i] for row in rows]
            if kind == "float32":
                made.append(torch.tensor(column, dtype=torch.float32, device=self.device))
            else:
                text = np.empty(len(column), dtype=object)
                text[:] = column
                made.append(text)
        return made

    def infer(self, *_: Any) -> None:
        return None
