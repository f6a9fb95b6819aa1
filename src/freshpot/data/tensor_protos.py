"""Records that are TensorProtos messages, the usual kind in a Caffe2 database, to and from arrays.

Called by the operator TensorProtosDBInput and by whoever writes such a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.data.reader import DBReader
from freshpot.data.records import RecordDecoder, Slot
from freshpot.errors import DataError, FormatError
from freshpot.formats import protobuf, wire
from freshpot.formats.tensor_proto import MAY_BE_BYTES, STORED, tensor_from_proto, tensor_to_proto

__all__ = ["TensorProtosInput", "encode_tensors", "tensor_protos_decoder"]

_PB = protobuf.load("caffe2")
_T = _PB.TensorProto
_FIELDS = _T.DESCRIPTOR.fields_by_name
_ELEMENT_FIELDS = {
    _FIELDS[name].number: name
    for name in (
        "float_data",
        "int32_data",
        "byte_data",
        "string_data",
        "double_data",
        "int64_data",
        "raw_data",
    )
}


class TensorProtosInput:
    """Batches of a database of TensorProtos records, for ever, as TensorProtosDBInput makes them.

    Args:
        reader: gives the records; after the last comes the first.
        batch_size: records in a batch; with 0 each batch is one record, without a batch axis.

    Iterating gives lists of arrays, one for each tensor of a record: (batch_size, *dims); a label without
    dims gives (batch_size,).

    Raises:
        FormatError: a record is damaged or of another shape than the others in its batch.
    """

    def __init__(self, reader: DBReader, batch_size: int = 0) -> None:
        if batch_size < 0:
            raise DataError(f"batch_size {batch_size}: expected 0 (no batch axis) or more")
        self.reader = reader
        self.batch_size = batch_size
        self._decoder = tensor_protos_decoder()

    def next_batch(self) -> list[NDArray[Any]]:
        """The next batch."""
        try:
            batch = self._decoder.decode(self.reader.read_block(max(self.batch_size, 1)))
        except FormatError as error:
            raise error if error.path else FormatError(str(error), path=self.reader.source) from error
        return batch if self.batch_size else [one.reshape(one.shape[1:]) for one in batch]

    def __iter__(self) -> Iterator[list[NDArray[Any]]]:
        while True:
            yield self.next_batch()


def tensor_protos_decoder() -> RecordDecoder:
    """A decoder of TensorProtos records; keep it for all batches of one database."""
    return RecordDecoder(_parse, _find_slots)


def encode_tensors(*arrays: Any) -> bytes:
    """One record: a TensorProtos message with these arrays.

    Images of uint8 are BYTE tensors in ``byte_data``; a number has no dims; the rest as
    ``tensor_to_proto`` makes it. This is what Caffe2's ``make_mnist_db`` writes for (image, label).
    """
    record = _PB.TensorProtos()
    for array in map(np.asarray, arrays):
        if array.dtype == np.uint8:
            record.protos.add(dims=array.shape, data_type=_T.BYTE, byte_data=array.tobytes())
        else:
            record.protos.append(tensor_to_proto(array))
    return record.SerializeToString()


def _parse(value: bytes, where: str) -> list[NDArray[Any]]:
    record = protobuf.parse_message(_PB.TensorProtos, value, where=where)
    return [
        tensor_from_proto(proto, where=f"{where}, tensor {index}")
        for index, proto in enumerate(record.protos)
    ]


def _find_slots(value: bytes) -> list[Slot] | None:
    slots = []
    for field in wire.scan_fields(value):
        slot = _find_slot(value, field)
        if slot is None:
            return None
        slots.append(slot)
    return slots


def _find_slot(value: bytes, tensor: wire.Field) -> Slot | None:
    """The elements of one tensor, if they stand in one piece."""
    if (tensor.number, tensor.wire_type) != (1, wire.BYTES):
        return None
    elements = [f for f in wire.scan_fields(value, tensor.begin, tensor.end) if f.number in _ELEMENT_FIELDS]
    if len(elements) != 1 or elements[0].wire_type != wire.BYTES or elements[0].begin == elements[0].end:
        return None
    proto = protobuf.parse_message(_T, value[tensor.begin : tensor.end])
    dtype, usual = STORED[proto.data_type]
    found = _ELEMENT_FIELDS[elements[0].number]
    as_bytes = found == "byte_data" and proto.data_type in MAY_BE_BYTES
    if (found != usual and not as_bytes) or found == "string_data":
        return None
    varint = found in ("int32_data", "int64_data")
    return Slot(elements[0].begin, elements[0].end, dtype, tuple(proto.dims), varint)
