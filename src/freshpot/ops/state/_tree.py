"""Data sets as lists of tensors, some of which say how many rows of others belong to each row.

A field ``x:lengths`` says so for all fields whose names begin with ``x:``; a field belongs to the longest such
name. Fields of one such list - and those of none - make a domain: their tensors have the same number of rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import torch


class Tree:
    """Which domain each field is in, and which field's lengths make each domain (domain 0: the records)."""

    def __init__(self, fields: Sequence[str], refuse: Callable[[str], NoReturn]) -> None:
        parts = [name.split(":") for name in fields]
        #: fields that are lengths, in order; list j makes domain j + 1
        self.length_fields = [i for i, part in enumerate(parts) if part[-1] == "lengths"]
        self.domains = [self._domain(i, parts, refuse) for i in range(len(parts))]
        self.names = list(fields)
        self._refuse = refuse
        for i, domain in enumerate(self.domains):
            if domain and self.length_fields[domain - 1] > i:
                refuse(
                    f"field '{fields[i]}' comes before its lengths '{fields[self.length_fields[domain - 1]]}'."
                )

    def _domain(self, i: int, parts: list[list[str]], refuse: Callable[[str], NoReturn]) -> int:
        best, domain = 1, 0
        for j, other in enumerate(self.length_fields):
            prefix = parts[other][:-1]
            if other == i or parts[i][: len(prefix)] != prefix or best > len(parts[other]):
                continue
            if best == len(parts[other]):
                refuse(f"fields have two lengths of the same name: '{':'.join(parts[other])}'.")
            best, domain = len(parts[other]), j + 1
        return domain

    @property
    def count(self) -> int:
        """Domains."""
        return len(self.length_fields) + 1

    def check(self, tensors: Sequence[Any]) -> None:
        """Refuse tensors that are not the fields: their number, dimensions, the lengths' type."""
        if len(tensors) != len(self.domains):
            self._refuse(f"there are {len(tensors)} tensors for {len(self.domains)} fields.")
        for name, tensor in zip(self.names, tensors, strict=True):
            if not hasattr(tensor, "shape") or len(tensor.shape) < 1:
                self._refuse(f"field '{name}' must be a tensor with one dimension or more.")
        for i in self.length_fields:
            if tensors[i].dtype != torch.int32 or tensors[i].dim() != 1:
                self._refuse(f"field '{self.names[i]}' must be a vector of int32.")

    def limits(self, tensors: Sequence[Any]) -> list[int]:
        """Rows of each domain: the fewest of its fields."""
        made = [
            min((t.shape[0] for t, d in zip(tensors, self.domains, strict=True) if d == k), default=0)
            for k in range(self.count)
        ]
        return made

    def check_consistent(self, tensors: Sequence[Any]) -> None:
        """Refuse fields of one domain with other numbers of rows, and lengths that do not add up to them."""
        limits = self.limits(tensors)
        for name, tensor, domain in zip(self.names, tensors, self.domains, strict=True):
            if tensor.shape[0] != limits[domain]:
                self._refuse(
                    f"field '{name}' has {tensor.shape[0]} rows, others of its kind {limits[domain]}."
                )
        for j, i in enumerate(self.length_fields):
            total = int(tensors[i].sum())
            if j + 1 in self.domains and total != limits[j + 1]:
                self._refuse(
                    f"'{self.names[i]}' add up to {total}, but their fields have {limits[j + 1]} rows."
                )

    def offsets(self, tensors: Sequence[Any]) -> list[list[int]]:
        """For each domain: where the rows of each record begin, and at last where they end."""
        made = [list(range(self.limits(tensors)[0] + 1))]
        for i in self.length_fields:
            sums = [0, *tensors[i].cumsum(0).tolist()]
            outer = made[self.domains[i]]
            if outer[-1] >= len(sums):
                self._refuse(f"'{self.names[i]}' has fewer rows than the lengths around it say.")
            made.append([sums[at] for at in outer])
        for k, (limit, own) in enumerate(zip(self.limits(tensors), made, strict=True)):
            if k in self.domains and own[-1] > limit:
                self._refuse(f"lengths ask for {own[-1]} rows of a field that has {limit}.")
        return made


class Part(NamedTuple):
    """A range of rows for each domain."""

    starts: list[int]
    ends: list[int]


class Cursor:
    """A place in a data set: how far each domain has been read; nothing yet after a reset."""

    original_type = "std::unique_ptr<caffe2::dataset_ops::TreeCursor>"

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.offsets: list[int] = []
        self.lock = threading.Lock()

    def advance(self, tensors: Sequence[Any], count: int, whole: bool) -> Part:
        """Read on by ``count`` records, or as many as there are; with ``whole``, all or none."""
        tree = self.tree
        tree.check(tensors)
        with self.lock:
            starts = self.offsets or [0] * tree.count
            limits = tree.limits(tensors)
            left = limits[0] - starts[0]
            if left < 0:
                tree._refuse(f"the cursor is at record {starts[0]} of {limits[0]}.")
            if whole and left < count:
                self.offsets = limits
                return Part(starts, starts)
            ends = [starts[0] + min(left, count)]
            for k, i in enumerate(tree.length_fields):
                outer = tree.domains[i]
                total = int(tensors[i][starts[outer] : ends[outer]].sum())
                if k + 1 in tree.domains and starts[k + 1] + total > limits[k + 1]:
                    tree._refuse(
                        f"'{tree.names[i]}' asks for more rows than its fields have ({limits[k + 1]})."
                    )
                ends.append(starts[k + 1] + total)
            self.offsets = ends
            return Part(starts, ends)
