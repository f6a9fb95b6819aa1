"""A reader of text files.

Source: caffe2/python/text_file_reader.py.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python.dataio import Reader
from caffe2.python.schema import Scalar, Struct, data_type_for_dtype


class TextFileReader(Reader):
    """Rows of a text file whose columns are parted by tabs.

    Args:
        init_net: gets the operator that opens the file.
        filename: the file.
        schema: a Struct of scalars, of float32 or text, one a column.
        num_passes: how often the file is read.
        batch_size: rows in a batch.

    Raises:
        MisuseError: the schema is something else.
    """

    def __init__(
        self, init_net: Any, filename: str, schema: Any, num_passes: int = 1, batch_size: int = 1
    ) -> None:
        require(isinstance(schema, Struct), f"the schema must be a Struct, got {type(schema).__name__}.")
        for name, child in schema.get_children():
            require(isinstance(child, Scalar), f"field '{name}' must be a Scalar.")
        super().__init__(schema)
        self._reader = init_net.CreateTextFileReader(
            [],
            filename=filename,
            num_passes=num_passes,
            field_types=[data_type_for_dtype(dtype) for dtype in schema.field_types()],
        )
        self._batch_size = batch_size

    def read(self, net: Any) -> tuple[Any, Any]:
        names = self.schema().field_names()
        blobs = core.output_to_list(
            net.TextFileReaderRead([self._reader], len(names), batch_size=self._batch_size)
        )
        is_empty = net.IsEmpty([blobs[0]], core.ScopedBlobReference(net.NextName("should_stop")))
        return is_empty, blobs
