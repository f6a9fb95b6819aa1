"""Input and output records of nets: what their blobs mean.

Owned here: the part of `Net` that keeps schemas. Who calls it: `Net`, programs with schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from caffe2.python import scope
from caffe2.python._core.blobs import BlobReference, blob_ref
from caffe2.python._errors import require

if TYPE_CHECKING:
    from caffe2.python._core.net import Net


class Records:
    """The part of `Net` that keeps schemas."""

    _input_record: Any
    _output_record: Any

    def _self(self) -> Net:
        return self  # type: ignore[return-value]

    def input_record(self) -> Any:
        """The schema of the external inputs, or None."""
        return self._input_record

    def output_record(self) -> Any:
        """The schema of the external outputs, or None."""
        return self._output_record

    def set_input_record(self, input_record: Any) -> Any:
        """Set the schema of the inputs; blobs are made for it if it has none.

        Raises:
            MisuseError: the net has another already.
        """
        _require_same(self._input_record, input_record, "input")
        if not input_record.has_blobs():
            from caffe2.python import schema

            with scope.NameScope(self._self().Name()):
                input_record = schema.NewRecord(self, input_record)
        self._input_record = input_record
        for blob in input_record.field_blobs():
            if not self._self().is_external_input(blob):
                self._self().AddExternalInput(blob)
        return input_record

    def set_output_record(self, record: Any) -> None:
        """Set the schema of the outputs, whose blobs the net must define.

        Raises:
            MisuseError: the net has another already, or does not define a blob.
        """
        _require_same(self._output_record, record, "output")
        self._require_defined(record)
        for blob in record.field_blobs():
            if blob not in self._self().external_outputs:
                self._self().AddExternalOutput(blob)
        self._output_record = record

    def AppendOutputRecordField(self, field_name: str, record: Any) -> None:
        """Add a field to the schema of the outputs."""
        from caffe2.python import schema

        require(self._output_record is not None, f"net '{self._self().Name()}' has no output record.")
        self._require_defined(record)
        for blob in record.field_blobs():
            self._self().AddExternalOutput(blob)
        self._output_record = self._output_record + schema.Struct((field_name, record))

    def recover_input_record_by_prefix(self, prefix: str) -> None:
        """Make the input schema from the external inputs whose names start with ``prefix``."""
        record = _record_by_prefix(self._self()._net.external_input, prefix)
        if record:
            self.set_input_record(record)

    def recover_output_record_by_prefix(self, prefix: str) -> None:
        """Make the output schema from the external outputs whose names start with ``prefix``."""
        record = _record_by_prefix(self._self()._net.external_output, prefix)
        if record:
            self.set_output_record(record)

    def _require_defined(self, record: Any) -> None:
        for blob in record.field_blobs():
            defined = self._self().BlobIsDefined(blob)
            require(defined, f"net '{self._self().Name()}' does not define blob '{blob}'.")

    def _copy_records(self, other: Net, rename: Callable[[Any], str]) -> None:
        """Take another net's records, with blobs renamed."""
        for field in ("_input_record", "_output_record"):
            record = getattr(other, field)
            if record:
                from caffe2.python import schema

                blobs = [BlobReference(rename(b), net=self._self()) for b in record.field_blobs()]
                setattr(self, field, schema.from_blob_list(record, blobs))


def _require_same(known: Any, new: Any, what: str) -> None:
    same = known is None or (new.has_blobs() and set(new.field_blobs()) == set(known.field_blobs()))
    require(same, f"the {what} record is set already and cannot be replaced by another.")


def _record_by_prefix(names: Iterable[str], prefix: str) -> Any:
    from caffe2.python import schema

    columns = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if not columns:
        return None
    return schema.from_column_list(columns, col_blobs=[blob_ref(prefix + column) for column in columns])
