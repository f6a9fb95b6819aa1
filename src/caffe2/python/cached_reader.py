"""A reader that keeps what another reads in a database.

Source: caffe2/python/cached_reader.py.
"""

from __future__ import annotations

import os
from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python.dataio import Reader
from caffe2.python.db_file_reader import DBFileReader
from caffe2.python.pipeline import pipe
from caffe2.python.task import Cluster, TaskGroup


class CachedReader(DBFileReader):
    """Reads from a database, which `build_cache_step` fills from another reader.

    Args:
        original_reader: the other reader; its schema counts.
        db_path, db_type, name, batch_size, loop_over: as in `DBFileReader`.

    Raises:
        MisuseError: no reader.
    """

    default_name_suffix = "cached_reader"

    def __init__(
        self,
        original_reader: Reader,
        db_path: str,
        db_type: str = "LevelDB",
        name: str | None = None,
        batch_size: int = 100,
        loop_over: bool = False,
    ) -> None:
        require(original_reader is not None, "original_reader can't be None")
        self.original_reader = original_reader
        super().__init__(db_path, db_type, name, batch_size, loop_over)

    def _init_reader_schema(self, *args: Any, **kwargs: Any) -> Any:
        return self.original_reader._schema

    def build_cache_step(self, overwrite: bool = False) -> Any:
        """A step that fills the database; an empty step if it is there already, unless ``overwrite``."""
        if os.path.exists(self.db_path) and not overwrite:
            return core.execution_step("build_step", [])
        init_net = core.Net("init")
        self._init_field_blobs_as_empty(init_net)
        with Cluster(), core.NameScope(self.name), TaskGroup() as copying:
            pipe(self.original_reader, self.ds.writer(), num_threads=16)
            copy_step = copying.to_task().get_step()
        save_net = core.Net("save")
        save_net.Save(
            self.ds.get_blobs(),
            [],
            db=self.db_path,
            db_type=self.db_type,
            blob_name_overrides=self.ds.field_names(),
            absolute_path=True,
        )
        return core.execution_step("build_cache", [init_net, copy_step, save_net])
