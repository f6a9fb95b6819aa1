"""An order in which to read a data set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.state._shuffle import shuffle
from freshpot.ops.state._tree import Cursor


class SortAndShuffle(Operator):
    """indices = an order of all records: sorted by a field, shuffled in blocks, then the batches shuffled.

    Blocks are ``shuffle_size`` batches; what is left behind the last whole batch stays last. The order is the same
    in every run.

    Shapes:   cursor; fields -> (records,) int64
    Raises:   ArgumentError for sizes < 1, a field that is not there, lies in another or is not int32; ArityError if
              there are not as many fields as the cursor has.
    Source:   caffe2/operators/dataset_ops.cc
    """

    inputs = (Port("cursor"), Port("dataset_field_0", many=True, at_least=0))
    outputs = (Port("indices"),)
    args = (
        Arg("sort_by_field_idx", int, 1, "the field, from 0; -1: do not sort"),
        Arg("batch_size", int, 1, "records in a batch"),
        Arg("shuffle_size", int, 1, "batches in a block"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.batch_size < 1 or self.shuffle_size < 1:
            self.refuse("arguments 'batch_size' and 'shuffle_size' must be positive.", ArgumentError)

    def check(self, cursor: Any, *fields: Any) -> None:
        if not isinstance(cursor, Cursor):
            self.refuse("the first input must hold a cursor; make it with CreateTreeCursor.", ArgumentError)
        domains, by = cursor.tree.domains, self.sort_by_field_idx
        if len(domains) != len(fields):
            self.refuse(f"there are {len(fields)} tensors for {len(domains)} fields.", ArityError)
        if not -1 <= by < len(fields) or (by >= 0 and domains[by]):
            self.refuse(
                f"argument 'sort_by_field_idx' must be -1 or a field of the records, got {by}.", ArgumentError
            )
        if by >= 0 and getattr(fields[by], "dtype", None) != torch.int32:
            self.refuse(f"field {by}, to sort by, must be int32.", ArgumentError)

    def kernel(self, cursor: Cursor, *fields: Any) -> Tensor:
        by, batch = self.sort_by_field_idx, self.batch_size
        size = fields[max(by, 0)].shape[0]
        order = torch.argsort(fields[by], stable=True).tolist() if by >= 0 else list(range(size))
        blocks = self.shuffle_size
        if batch * blocks > size:
            blocks = size // batch
        step = batch * blocks
        if step > 1:
            at = 0
            while at + step < size:
                part = order[at : at + step]
                shuffle(part)
                order[at : at + step] = part
                at += step
        batches = list(range(size // batch))
        shuffle(batches)
        made = [order[i * batch + j] for i in batches for j in range(batch)]
        return torch.tensor(made + order[len(batches) * batch :], dtype=torch.int64, device=self.device)

    def infer(self, *_: Any) -> None:
        return None
