"""Data sets in tensors, read a batch of records at a time. See `_tree` for how fields belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError, DataError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.dtypes import describe
from freshpot.ops.sparse._rows import join
from freshpot.ops.state._tree import Cursor, Tree
from freshpot.ops.tensor._clone import clone

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

_FIELDS = Arg("fields", [str], [], "names of the fields; 'x:lengths' counts rows of 'x:…'")
_BATCH = Arg("batch_size", int, 1, "records to read")
_WHOLE = Arg("enforce_batch_size", bool, False, "1: leave out the last records if they do not fill a batch")


class _OnFields(Operator, abstract=True):
    """An operator that knows the fields' names."""

    args: ClassVar[tuple[Arg, ...]] = (_FIELDS,)
    needs_fields: ClassVar[bool] = True

    def setup(self) -> None:
        if self.needs_fields and not self.fields:
            self.refuse("argument 'fields' must name the fields.", ArgumentError)
        self.tree = Tree(self.fields, self.wrong)

    def wrong(self, message: str) -> NoReturn:
        """Refuse the data."""
        self.refuse(message)


class CreateTreeCursor(_OnFields):
    """A cursor at the beginning of a data set with these fields.

    Source:   caffe2/operators/dataset_ops.cc
    """

    outputs = (Port("cursor"),)

    def kernel(self) -> Any:
        return Cursor(self.tree)


class CheckDatasetConsistency(_OnFields):
    """Refuse fields that do not fit each other.

    Raises:   ShapeError naming the field.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("field_0", many=True),)

    def kernel(self, *tensors: Any) -> tuple[Any, ...]:
        self.tree.check(tensors)
        self.tree.check_consistent(tensors)
        return ()


class TrimDataset(_OnFields):
    """Leave out the last records, so that their number is a multiple.

    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("fields", many=True),)
    outputs = (Port("fields", many=True),)
    args = (_FIELDS, Arg("multiple_of", int, doc="the number of records becomes a multiple of it, > 0"))
    inplace = ANY_PAIR
    must_inplace = tuple((i, i) for i in range(64))

    def setup(self) -> None:
        super().setup()
        if self.multiple_of < 1:
            self.refuse(f"argument 'multiple_of' must be positive, got {self.multiple_of}.", ArgumentError)

    def kernel(self, *tensors: Any) -> tuple[Any, ...]:
        self.tree.check(tensors)
        offsets = self.tree.offsets(tensors)
        records = len(offsets[0]) - 1
        kept = records - records % self.multiple_of
        return tuple(clone(t[: offsets[d][kept]]) for t, d in zip(tensors, self.tree.domains, strict=True))


class _OnCursor(Operator, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("cursor"),)

    def check(self, cursor: Any, *_: Any) -> None:
        if not isinstance(cursor, Cursor):
            self.refuse("the first input must hold a cursor; make it with CreateTreeCursor.", ArgumentError)


_READ = (Port("cursor"), Port("dataset_field_0", many=True, at_least=0))


class ResetCursor(_OnCursor):
    """Go back to the beginning.

    Source:   caffe2/operators/dataset_ops.cc
    """

    def kernel(self, cursor: Cursor) -> tuple[Any, ...]:
        with cursor.lock:
            cursor.offsets = []
        return ()


class GetCursorOffset(_OnCursor):
    """offsets = rows read so far of each domain; nothing if nothing was read.

    Shapes:   cursor -> offsets: (domains,) int32
    Source:   caffe2/operators/dataset_ops.cc
    """

    outputs = (Port("offsets"),)

    def kernel(self, cursor: Cursor) -> Tensor:
        return torch.tensor(cursor.offsets, dtype=torch.int32)


class ReadNextBatch(_OnCursor):
    """The next records of all fields; none past the end.

    Raises:   ShapeError if the fields do not fit the cursor or each other.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = _READ
    outputs = (Port("field_0", many=True),)
    args = (_BATCH, _WHOLE)

    def kernel(self, cursor: Cursor, *tensors: Any) -> tuple[Any, ...]:
        if self.num_outputs != len(tensors):
            self.refuse(f"there are {self.num_outputs} outputs for {len(tensors)} fields.", ArityError)
        part = cursor.advance(tensors, self.batch_size, self.enforce_batch_size)
        domains = cursor.tree.domains
        return tuple(clone(t[part.starts[d] : part.ends[d]]) for t, d in zip(tensors, domains, strict=True))


class ComputeOffset(_OnCursor):
    """Where the rows of each record begin in each domain, and at last where they end.

    Shapes:   cursor, fields -> (records + 1, domains) int64
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = _READ
    outputs = (Port("offsets"),)

    def kernel(self, cursor: Cursor, *tensors: Any) -> Tensor:
        cursor.tree.check(tensors)
        cursor.tree.check_consistent(tensors)
        return torch.tensor(cursor.tree.offsets(tensors)).t().contiguous()


class ReadRandomBatch(_OnCursor):
    """The records whose numbers come next in a list.

    Shapes:   cursor; idx: (n,) int64; offsetsmat: as ComputeOffset makes it; fields -> fields
    Raises:   ShapeError if a number is not a record, or the offsets do not fit the fields.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("cursor"), Port("idx, offsetsmat, fields", many=True, at_least=0))
    outputs = (Port("field_0", many=True),)
    args = (_BATCH, _WHOLE, Arg("loop_over", bool, False, "1: begin again at the end of the list"))

    def setup(self) -> None:
        if self.num_inputs != self.num_outputs + 3:
            self.refuse(f"there are {self.num_outputs} outputs for {self.num_inputs - 3} fields.", ArityError)

    def check(self, cursor: Any, *rest: Any) -> None:
        super().check(cursor)
        for value, dims in zip(rest, (1, 2), strict=False):
            if not isinstance(value, Tensor) or value.dtype != torch.int64 or value.dim() != dims:
                self.refuse(f"idx must be a vector and offsetsmat a matrix of int64, got {describe(value)}.")

    def kernel(self, cursor: Cursor, numbers: Tensor, offsets: Tensor, *tensors: Any) -> tuple[Any, ...]:
        tree = cursor.tree
        tree.check(tensors)
        chosen = self._next(cursor, numbers.reshape(-1))
        if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < len(offsets) - 1:
            self.refuse(f"numbers must be from 0 to {len(offsets) - 2}.")
        if offsets.shape[1] != tree.count or int(offsets.min()) < 0 or bool((offsets.diff(dim=0) < 0).any()):
            self.refuse(f"offsets must rise, in {tree.count} columns.")
        made = []
        for tensor, domain in zip(tensors, tree.domains, strict=True):
            column = offsets[:, domain].tolist()
            if column[-1] > tensor.shape[0]:
                self.refuse(f"offsets go up to {column[-1]}, but a field has {tensor.shape[0]} rows.")
            parts = [tensor[column[i] : column[i + 1]] for i in chosen.tolist()]
            made.append(join(parts) if parts else clone(tensor[:0]))
        return tuple(made)

    def _next(self, cursor: Cursor, numbers: Tensor) -> Tensor:
        with cursor.lock:
            at = cursor.offsets[0] if cursor.offsets else 0
            if self.enforce_batch_size and at + self.batch_size > len(numbers):
                at = len(numbers)
            if self.loop_over and at >= len(numbers):
                at = 0
            cursor.offsets = [at + self.batch_size]
        return numbers[at : at + self.batch_size]


class Records:
    """Records of a data set, each a list of what its fields hold."""

    original_type = "std::shared_ptr<std::vector<caffe2::Tensor> >"

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)


class PackRecords(_OnFields):
    """The records of a data set, as one value.

    Raises:   ShapeError if the fields do not fit each other.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("fields", many=True),)
    outputs = (Port("tensor"),)
    args = (
        _FIELDS,
        Arg("pack_to_single_shared_ptr", bool, False, "of no effect here: how the original stores them"),
    )

    def kernel(self, *tensors: Any) -> Any:
        self.tree.check(tensors)
        offsets = self.tree.offsets(tensors)
        columns = list(zip(tensors, (offsets[d] for d in self.tree.domains), strict=True))
        return Records(
            [[clone(t[at[i] : at[i + 1]]) for t, at in columns] for i in range(len(offsets[0]) - 1)]
        )

    def infer(self, *_: Any) -> None:
        return None


class UnPackRecords(_OnFields):
    """The fields of records that PackRecords made; of no records, fields without rows, like the prototypes.

    Raises:   DataError if there are no records and no prototypes.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("packed_tensor"), Port("prototypes", many=True, at_least=0))
    outputs = (Port("fields", many=True),)

    def setup(self) -> None:
        super().setup()
        if self.num_outputs != len(self.fields) or self.num_inputs not in (1, 1 + len(self.fields)):
            self.refuse(
                f"makes {len(self.fields)} outputs, and takes as many prototypes or none.", ArityError
            )

    def check(self, packed: Any, *_: Any) -> None:
        if not isinstance(packed, Records):
            self.refuse("the first input must hold records; make them with PackRecords.", ArgumentError)

    def kernel(self, packed: Records, *prototypes: Any) -> tuple[Any, ...]:
        if packed.rows:
            return tuple(join(list(column)) for column in zip(*packed.rows, strict=True))
        if not prototypes:
            raise DataError(
                f"{self.op}: there are no records, so that only prototypes could say what the fields hold."
            )
        return tuple(clone(p[:0]) for p in prototypes)


class TensorVector:
    """A list of tensors."""

    original_type = "std::unique_ptr<std::vector<caffe2::Tensor> >"

    def __init__(self) -> None:
        self.tensors: list[Any] = []


class CreateTensorVector(Operator):
    """An empty list of tensors.

    Source:   caffe2/operators/dataset_ops.cc
    """

    outputs = (Port("tensor_vector"),)

    def kernel(self) -> Any:
        return TensorVector()


class _OnVector(Operator, abstract=True):
    inputs = (Port("tensor_vector"),)

    def check(self, vector: Any) -> None:
        if not isinstance(vector, TensorVector):
            self.refuse(
                "the input must hold a list of tensors; make it with CreateTensorVector.", ArgumentError
            )


class TensorVectorSize(_OnVector):
    """size = how many tensors there are.

    Shapes:   tensor_vector -> () int32
    Source:   caffe2/operators/dataset_ops.cc
    """

    outputs = (Port("size"),)

    def kernel(self, vector: TensorVector) -> Tensor:
        return torch.tensor(len(vector.tensors), dtype=torch.int32)


class ConcatTensorVector(_OnVector):
    """The tensors, joined along the first dimension.

    Raises:   ShapeError if there are none.
    Source:   caffe2/operators/dataset_ops.cc
    """

    outputs = (Port("tensor"),)

    def kernel(self, vector: TensorVector) -> Any:
        if not vector.tensors:
            self.refuse("the list has no tensors.")
        return join(vector.tensors)


def _appended(operator: Operator, a: Any, b: Any) -> Any:
    if len(a.shape) and not a.shape[0] and len(b.shape):
        return clone(b)  # what has no rows yet becomes of any type
    if len(a.shape) < 1 or a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
        operator.refuse(
            f"rows {tuple(b.shape)} of {b.dtype} do not go with those of {tuple(a.shape)}, {a.dtype}."
        )
    return join([a, b])


class Append(Operator):
    """A = the rows of A, then those of B.

    Shapes:   A: (n, ...); B: (m, ...) -> (n + m, ...)
    Raises:   ShapeError if the rows differ.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("A"), Port("B"))
    outputs = (Port("A"),)
    must_inplace = ((0, 0),)

    def kernel(self, A: Any, B: Any) -> Any:
        return _appended(self, A, B)


class AtomicAppend(Operator):
    """As Append, for several pairs, while a mutex is held.

    Shapes:   mutex; A for each pair; B for each pair -> A for each pair
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("mutex_and_pairs", many=True, at_least=3),)
    outputs = (Port("A", many=True),)
    inplace = ANY_PAIR

    def setup(self) -> None:
        if self.num_inputs != 2 * self.num_outputs + 1:
            self.refuse(
                f"for {self.num_outputs} outputs there must be {2 * self.num_outputs + 1} inputs.", ArityError
            )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        count = len(outputs)
        with inputs[0].value:  # what other threads append is read and written under the same mutex
            made = [
                _appended(self, a.value, b.value)
                for a, b in zip(inputs[1 : 1 + count], inputs[1 + count :], strict=True)
            ]
            for blob, value in zip(outputs, made, strict=True):
                blob.value = value
