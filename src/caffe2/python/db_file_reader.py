"""A reader of blobs that were saved in a database.

Source: caffe2/python/db_file_reader.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from caffe2.python import _import_c_extension as C
from caffe2.python import core, scope, workspace
from caffe2.python._errors import require
from caffe2.python.dataio import Reader
from caffe2.python.dataset import Dataset
from caffe2.python.schema import from_column_list


class DBFileReader(Reader):
    """Reads the rows of a dataset whose blobs were saved with Save.

    Args:
        db_path: the database.
        db_type: its kind, as "minidb".
        name: prefix of names that are made; by default made from the path.
        batch_size: rows in a batch.
        loop_over: go round and round.
        field_names: the columns, where they are not to be all blobs in the order of the alphabet.

    Raises:
        MisuseError: no path, or a kind of database that is not known.
    """

    default_name_suffix = "db_file_reader"

    def __init__(
        self,
        db_path: str,
        db_type: str,
        name: str | None = None,
        batch_size: int = 100,
        loop_over: bool = False,
        field_names: Sequence[str] | None = None,
    ) -> None:
        require(db_path is not None, "db_path can't be None.")
        known = C.registered_dbs()
        require(
            db_type.lower() in known, f"db_type [{db_type}] is not available; there are {', '.join(known)}."
        )
        self.db_path = os.path.expanduser(db_path)
        self.db_type = db_type
        self.name = name or f"{self._extract_db_name_from_db_path()}_{self.default_name_suffix}"
        self.batch_size = batch_size
        self.loop_over = loop_over
        super().__init__(self._init_reader_schema(field_names))
        self.ds = Dataset(self._schema, f"{self.name}_dataset")
        self.ds_reader: Any = None

    def _init_reader_schema(self, field_names: Sequence[str] | None = None) -> Any:
        """The schema: of the names given, else of all blobs in the database, which are loaded for it."""
        if field_names:
            return from_column_list(list(field_names))
        with core.NameScope(self.name):
            prefix = scope.CurrentNameScope()
        workspace.RunOperatorOnce(
            core.CreateOperator(
                "Load",
                [],
                [],
                absolute_path=True,
                db=self.db_path,
                db_type=self.db_type,
                load_all=True,
                add_prefix=prefix,
            )
        )
        columns = [n.removeprefix(prefix) for n in workspace.Blobs() if n.startswith(prefix)]
        return from_column_list(columns)

    def setup_ex(self, init_net: Any, finish_net: Any) -> None:
        """Add what loads the blobs, once, and what orders the rows."""
        if self.ds_reader:
            self.ds_reader.setup_ex(init_net, finish_net)
            return
        self._init_field_blobs_as_empty(init_net)
        init_net.Load(
            [],
            self.ds.get_blobs(),
            db=self.db_path,
            db_type=self.db_type,
            absolute_path=True,
            source_blob_names=self.ds.field_names(),
        )
        self.ds_reader = self.ds.random_reader(init_net, batch_size=self.batch_size, loop_over=self.loop_over)
        self.ds_reader.sort_and_shuffle(init_net)
        self.ds_reader.computeoffset(init_net)

    def read(self, read_net: Any) -> tuple[Any, Any]:
        require(bool(self.ds_reader), "call setup_ex of this reader first.")
        return self.ds_reader.read(read_net)

    def _init_field_blobs_as_empty(self, init_net: Any) -> None:
        with core.NameScope(self.name):
            self.ds.init_empty(init_net)

    def _extract_db_name_from_db_path(self) -> str:
        """The path's last part without what follows its last dot."""
        return os.path.basename(self.db_path).rsplit(".", 1)[0]
