"""Statistics of blobs while a net runs. Source: caffe2/python/modeling/compute_statistics_for_blobs.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe2.python import core
from caffe2.python.modeling._report import BlobReport


class ComputeStatisticsForBlobs(BlobReport):
    """Adds operators that compute and print minimum, maximum, mean and standard deviation of blobs.

    Args:
        blobs: names of the blobs.
        logging_frequency: print in every so many runs.
    """

    def __init__(self, blobs: Iterable[Any], logging_frequency: int) -> None:
        super().__init__(blobs, logging_frequency, "_summary")

    def _type(self) -> Any:
        return np.float64, (1,)

    def _make(self, net: core.Net, blob: core.BlobReference, blob_to_device: dict[Any, Any]) -> Any:
        as_float = net.Cast(blob, to=core.DataType.FLOAT)
        name = net.NextScopedBlob(prefix=f"{blob}{self._field_name_suffix}")
        summary = net.Summarize(as_float, name, to_file=0)
        net.Print(summary, [], every_n=self._logging_frequency)
        return summary
