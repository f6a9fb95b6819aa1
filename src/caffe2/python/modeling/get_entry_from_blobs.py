"""Single elements of blobs while a net runs. Source: caffe2/python/modeling/get_entry_from_blobs.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe2.python import core
from caffe2.python.modeling._report import BlobReport


class GetEntryFromBlobs(BlobReport):
    """Adds operators that take one element of matrices, or one row, and print it.

    Args:
        blobs: names of the matrices.
        logging_frequency: print in every so many runs; below 1 never.
        i1: the row.
        i2: the column; -1 takes the whole row.
    """

    def __init__(self, blobs: Iterable[Any], logging_frequency: int, i1: int = 0, i2: int = 0) -> None:
        super().__init__(blobs, logging_frequency, f"_{i1}_{i2}" if i2 >= 0 else f"_{i1}_all")
        self._i1 = i1
        self._i2 = i2

    def modify_net(self, net: core.Net, *args: Any, **kwargs: Any) -> None:
        """As `BlobReport.modify_net`.

        Raises:
            ValueError: a negative row.
        """
        if self._i1 < 0:
            raise ValueError(f"row i1 must be 0 or more, got {self._i1}.")
        super().modify_net(net, *args, **kwargs)

    def _type(self) -> Any:
        return np.float64

    def _make(self, net: core.Net, blob: core.BlobReference, blob_to_device: dict[Any, Any]) -> Any:
        row = net.Slice([blob], starts=[self._i1, 0], ends=[self._i1 + 1, -1])
        if self._i2 == -1:
            entry = net.Copy([row], [net.NextScopedBlob(prefix=f"{blob}_{self._i1}_all")])
        else:
            name = net.NextScopedBlob(prefix=f"{blob}_{self._i1}_{self._i2}")
            entry = net.Slice([row], name, starts=[0, self._i2], ends=[-1, self._i2 + 1])
        self._print(net, entry)
        return entry
