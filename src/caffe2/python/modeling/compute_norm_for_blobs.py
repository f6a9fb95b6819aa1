"""Norms of blobs while a net runs. Source: caffe2/python/modeling/compute_norm_for_blobs.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core
from caffe2.python.modeling._report import BlobReport


class ComputeNormForBlobs(BlobReport):
    """Adds operators that compute and print norms of blobs.

    Args:
        blobs: names of the blobs.
        logging_frequency: print in every so many runs; below 1 never.
        p: 1 for the sum of the magnitudes, 2 for the sum of the squares.
        compute_averaged_norm: divide by the number of elements.
        row_index: take that row of a matrix alone; as in the original, 0 takes the whole.

    Raises:
        ValueError: a negative row.
    """

    def __init__(
        self,
        blobs: Iterable[Any],
        logging_frequency: int,
        p: int = 2,
        compute_averaged_norm: bool = False,
        row_index: int | None = None,
    ) -> None:
        averaged = "_averaged" if compute_averaged_norm else ""
        super().__init__(blobs, logging_frequency, f"{averaged}_l{p}_norm")
        if row_index is not None and row_index < 0:
            raise ValueError(f"row_index must be 0 or more, got {row_index}.")
        self._p = p
        self._compute_averaged_norm = compute_averaged_norm
        self.row_index = row_index

    def _type(self) -> Any:
        return np.float64, (1,)

    def _make(self, net: core.Net, blob: core.BlobReference, blob_to_device: dict[Any, Any]) -> Any:
        with core.DeviceScope(blob_to_device.get(blob, core.DeviceOption(caffe2_pb2.CPU))):
            if self.row_index:
                row = net.NextScopedBlob(prefix=f"{blob}_row_{self.row_index}")
                blob = net.Slice([blob], row, starts=[self.row_index, 0], ends=[self.row_index + 1, -1])
            as_float = net.NextScopedBlob(prefix=f"{blob}_float")
            as_float = net.Cast(blob, as_float, to=core.DataType.FLOAT)
            name = net.NextScopedBlob(prefix=f"{blob}{self._field_name_suffix}")
            norm = net.LpNorm(as_float, name, p=self._p, average=self._compute_averaged_norm)
            net.StopGradient(norm, net.NextScopedBlob(f"{name}_stop_gradient"))
            self._print(net, norm)
            return norm
