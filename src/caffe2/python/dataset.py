"""Data in memory, with a schema: written, read in order or at random.

Source: caffe2/python/dataset.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe2.python import core, workspace
from caffe2.python._errors import require
from caffe2.python.dataio import Reader, Writer
from caffe2.python.schema import InitEmptyRecord, Struct, from_blob_list, from_column_list


class _DatasetReader(Reader):
    """Reads in order; made by `Dataset.reader`."""

    def __init__(
        self, dataset: Dataset, name: str | None, batch_size: int = 1, enforce_batch_size: bool = False
    ) -> None:
        super().__init__(dataset.content())
        self.dataset = dataset
        self.name = name or f"{dataset.name}_cursor"
        self.batch_size = batch_size
        self.enforce_batch_size = enforce_batch_size
        self.cursor: Any = None

    def setup_ex(self, init_net: Any, exit_net: Any) -> None:
        if self.cursor is None:
            self.cursor = init_net.CreateTreeCursor(
                [], init_net.NextScopedBlob(self.name), fields=self.dataset.fields
            )

    def _need(self, blob: Any, method: str) -> None:
        require(bool(blob), f"call {method} of this reader first.")

    def read(self, read_net: Any) -> tuple[Any, Any]:
        self._need(self.cursor, "setup_ex")
        return self._read(read_net, "ReadNextBatch", [self.cursor])

    def _read(self, net: Any, type_: str, inputs: list[Any], **args: Any) -> tuple[Any, Any]:
        content = self.dataset.content()
        with core.NameScope(net.NextName(self.name)):
            fields = getattr(net, type_)(
                [*inputs, *content.field_blobs()],
                content.field_names(),
                batch_size=self.batch_size,
                enforce_batch_size=self.enforce_batch_size,
                **args,
            )
            fields = core.output_to_list(fields)
            return net.IsEmpty([fields[0]]), fields

    def reset(self, net: Any) -> None:
        net.ResetCursor([self.cursor], [])


class _DatasetRandomReader(_DatasetReader):
    """Reads in the order of a blob of indices; made by `Dataset.random_reader`."""

    def __init__(
        self,
        dataset: Dataset,
        name: str | None,
        indices: Any,
        batch_size: int = 1,
        loop_over: bool = False,
        enforce_batch_size: bool = False,
    ) -> None:
        super().__init__(dataset, name, batch_size, enforce_batch_size)
        self.indices = indices
        self.loop_over = loop_over
        self.offsets: Any = None

    def computeoffset(self, net: Any) -> None:
        """Add what finds out where rows begin, which reading needs."""
        self.reset(net)
        self.offsets = net.ComputeOffset([self.cursor, *self.dataset.content().field_blobs()], "offsets")

    def sort_and_shuffle(
        self, net: Any, sort_by_field: str | None = None, shuffle_size: int = 1, batch_size: int = 1
    ) -> None:
        """Add what makes an order: sorted by a field, batches of it shuffled ``shuffle_size`` at a time.

        Raises:
            MisuseError: there is no such field.
        """
        content = self.dataset.content()
        place = -1
        if sort_by_field:
            require(sort_by_field in content.field_names(), f"the dataset has no field '{sort_by_field}'.")
            place = content.field_names().index(sort_by_field)
        self.reset(net)
        self.indices = net.SortAndShuffle(
            [self.cursor, *content.field_blobs()],
            "indices",
            sort_by_field_idx=place,
            shuffle_size=shuffle_size,
            batch_size=batch_size,
        )

    def read(self, read_net: Any) -> tuple[Any, Any]:
        self._need(self.cursor, "setup_ex")
        self._need(self.indices, "sort_and_shuffle")
        self._need(self.offsets, "computeoffset")
        inputs = [self.cursor, self.indices, self.offsets]
        return self._read(read_net, "ReadRandomBatch", inputs, loop_over=self.loop_over)


class _DatasetWriter(Writer):
    """Appends rows; made by `Dataset.writer`."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self.mutex: Any = None

    def setup_ex(self, init_net: Any, exit_net: Any) -> None:
        if self.mutex is None:
            self.mutex = init_net.CreateMutex([])

    def write(self, writer_net: Any, fields: Sequence[Any]) -> None:
        """Add operators that check blobs against the schema and append them.

        Raises:
            MisuseError: before `setup_ex`; or there are not as many blobs as fields.
        """
        require(self.mutex is not None, "call setup_ex of this writer first.")
        blobs = self._content.field_blobs()
        require(len(fields) == len(blobs), f"Expected {len(blobs)} fields, got {len(fields)}.")
        writer_net.CheckDatasetConsistency(fields, [], fields=self._content.field_names())
        writer_net.AtomicAppend([self.mutex, *blobs, *fields], blobs)


def Const(net: Any, value: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A blob with a new name that is fed with ``value`` at once, as an external input of ``net``."""
    require(isinstance(net, core.Net), f"net must be a core.Net, got {type(net).__name__}.")
    blob = net.AddExternalInput(net.NextName(prefix=name))
    workspace.FeedBlob(str(blob), np.array(value, dtype=dtype))
    return blob


def execution_step_with_progress(name: str, init_net: Any, substeps: Any, rows_read: Any) -> Any:
    """A step of concurrent steps that prints a blob every five seconds."""
    report_net = core.Net("report_net")
    report_net.Print([rows_read], [])
    return core.execution_step(
        name, substeps, report_net=report_net, concurrent_substeps=True, report_interval=5
    )


class Dataset:
    """Rows in memory: one blob a field of the schema.

    Args:
        fields: a Struct, or a list of columns' names ("a:lengths" …).
        name: prefix of names that are made for it.

    Raises:
        MisuseError: ``fields`` is something else.
    """

    def __init__(self, fields: Any, name: str | None = None) -> None:
        require(
            isinstance(fields, (list, Struct)),
            f"fields are a Struct or a list of names, got {type(fields).__name__}.",
        )
        if isinstance(fields, list):
            fields = from_column_list(fields)
        self.schema = fields
        self.fields = fields.field_names()
        self.field_types = fields.field_types()
        self.name = name or "dataset"
        self.field_blobs = fields.field_blobs() if fields.has_blobs() else None

    def trim(self, net: Any, multiple_of: int) -> None:
        """Add an operator that drops the last rows, so that their number is a multiple."""
        net.TrimDataset(self.field_blobs, self.field_blobs, fields=self.fields, multiple_of=multiple_of)

    def init_empty(self, init_net: Any) -> None:
        """Add operators to ``init_net`` that make blobs without rows."""
        self.field_blobs = InitEmptyRecord(init_net, self.schema.clone_schema()).field_blobs()

    def init_from_dataframe(self, net: Any, dataframe: Any) -> None:
        """Make blobs from the columns of a pandas data frame: fed at once, external inputs of ``net``.

        Raises:
            MisuseError: it has not as many columns as the schema has fields.
        """
        require(
            len(self.fields) == len(dataframe.columns),
            f"there are {len(self.fields)} fields and {len(dataframe.columns)} columns.",
        )
        self.field_blobs = [
            Const(net, dataframe.iloc[:, i].to_numpy(), name=field) for i, field in enumerate(self.fields)
        ]

    def get_blobs(self) -> Any:
        """The blobs; None before they were made."""
        return self.field_blobs

    def content(self) -> Any:
        """The blobs as a record."""
        return from_blob_list(self.schema, self.field_blobs)

    def field_names(self) -> list[str]:
        """Names of the fields."""
        return self.fields

    def _need_blobs(self) -> None:
        require(bool(self.field_blobs), "the dataset has no blobs; call init_empty or init_from_dataframe.")

    def reader(
        self,
        init_net: Any = None,
        cursor_name: str | None = None,
        batch_size: int = 1,
        enforce_batch_size: bool = False,
    ) -> _DatasetReader:
        """A reader in order, which nobody may write beside.

        Args:
            init_net: gets the cursor; else call `setup_ex`.
            cursor_name: name of the cursor's blob.
            batch_size: rows in a batch.
            enforce_batch_size: leave out a last batch that is smaller.

        Raises:
            MisuseError: the dataset has no blobs.
        """
        self._need_blobs()
        reader = _DatasetReader(self, cursor_name, batch_size, enforce_batch_size)
        if init_net is not None:
            reader.setup_ex(init_net, None)
        return reader

    def random_reader(
        self,
        init_net: Any = None,
        indices: Any = None,
        cursor_name: str | None = None,
        batch_size: int = 1,
        loop_over: bool = False,
        enforce_batch_size: bool = False,
    ) -> _DatasetRandomReader:
        """A reader in the order of ``indices``, round and round if ``loop_over``; else as `reader`."""
        self._need_blobs()
        reader = _DatasetRandomReader(self, cursor_name, indices, batch_size, loop_over, enforce_batch_size)
        if init_net is not None:
            reader.setup_ex(init_net, None)
        return reader

    def writer(self, init_net: Any = None) -> _DatasetWriter:
        """A writer that appends, beside which nobody may read.

        Raises:
            MisuseError: the dataset has no blobs.
        """
        self._need_blobs()
        writer = _DatasetWriter(self.content())
        if init_net is not None:
            writer.setup_ex(init_net, None)
        return writer
