"""What the data layers share: a thread that makes batches ahead, and the transformation of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from caffe import _log, _mode, _random
from caffe._net.layer import Lowering
from caffe.proto import caffe_pb2
from freshpot.data.datum_batches import DatumBatches
from freshpot.data.pinned import Pinned, Pinner, on_device
from freshpot.data.prefetch import Prefetcher
from freshpot.data.transforms import ImageTransform
from freshpot.errors import ArgumentError, DataError, FormatError
from freshpot.formats import caffemodel, protobuf

Arrays = Sequence[np.ndarray]

#: elements of all batches made ahead: 16 GiB
_MOST_AHEAD = 1 << 32


def draw_seed() -> int:
    """A seed from the package's generator: threads have streams of their own, so runs repeat exactly."""
    return int(torch.randint(2**63 - 1, (), generator=_random.generator()))


def own_records(low: Lowering) -> dict[str, int]:
    """Which records are this solver's, of several that train together; each tests with all."""
    if not low.train:
        return {}
    return {"shards": _mode.solver_count, "shard": _mode.solver_rank}


def need_batch_size(low: Lowering, batch_size: int) -> None:
    """Refuse a batch size below 1."""
    if batch_size < 1:
        low.refuse(f"batch_size must be at least 1, got {batch_size}.", ArgumentError)


def image_transform(low: Lowering) -> ImageTransform:
    """The layer's transform_param, its mean file read."""
    p = low.param.transform_param
    mean = None
    if p.HasField("mean_file"):
        if p.mean_value:
            low.refuse("mean_file and mean_value exclude each other; give one of them.", ArgumentError)
        mean = read_mean(p.mean_file)
    return ImageTransform(
        scale=p.scale,
        mean=mean,
        mean_values=list(p.mean_value),
        mirror=p.mirror,
        crop_size=p.crop_size,
        train=low.train,
        seed=draw_seed(),
    )


def read_mean(path: str) -> np.ndarray:
    """A mean image (C, H, W) from a binaryproto file.

    Raises:
        DataError: the file cannot be read. FormatError: it holds something else, or several images.
    """
    _log.info("data_transformer.cpp:25", f"Loading mean file from: {path}")
    mean = read_blob_file(path)
    if any(size != 1 for size in mean.shape[:-3]):
        raise FormatError(f"a mean is one image; this blob has the shape {mean.shape}.", path=path)
    return mean.reshape((1,) * (3 - mean.ndim) + mean.shape[mean.ndim - 3 if mean.ndim > 3 else 0 :])


def read_blob_file(path: str) -> np.ndarray:
    """The array of a file that holds one BlobProto.

    Raises:
        DataError: the file cannot be read.
        FormatError: it holds something else.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return caffemodel.read_blob(protobuf.parse_message(caffe_pb2.BlobProto, data, path=path), path=path)


class Feed:
    """A data layer's state: the thread that makes its batches, and the wait for them."""

    def __init__(self, low: Lowering, batches: Iterable[Arrays]) -> None:
        self._tops = low.layer.tops
        depth = low.param.data_param.prefetch
        if depth < 1:
            low.refuse(f"prefetch must be at least 1, got {depth}.", ArgumentError)
        elements = sum(top.count for top in self._tops)
        if depth * elements > _MOST_AHEAD:
            low.refuse(f"prefetch {depth} batches of {elements} elements is too much memory.", ArgumentError)
        self._source, self._depth, self._site = batches, depth, low.layer.site
        self._pinner = Pinner(batches)
        self._batches = Prefetcher(self._pinner, depth)
        #: batches handed out so far
        self.taken = 0

    def go_on_from(self, batch: int) -> None:
        """Let this batch, counted from the first, be the next one. A feed that is past it stays where it is.

        Where batches depend on chance, those between are made and thrown away, so that the draws agree.
        """
        if batch <= self.taken:
            return
        if isinstance(self._source, DatumBatches) and self._source.can_seek:
            self._batches.close()
            self._source.seek(batch)
            self._batches, self.taken = Prefetcher(self._pinner, self._depth), batch
        while self.taken < batch:
            next(self._batches)
            self.taken += 1

    def forward(self) -> None:
        """Put the next batch into the tops."""
        self.taken += 1
        self._pinner.serve(self._site.device)
        batch = next(self._batches)
        if self._site.device.type == "cpu" and not isinstance(batch, Pinned):
            for top, array in zip(self._tops, batch, strict=False):  # the label is optional
                top.put_array(array)
            return
        for top, tensor in zip(self._tops, on_device(batch, self._site.device), strict=False):
            top.put(tensor)


def start(low: Lowering, batches: Iterable[Arrays], shapes: Sequence[Sequence[int]]) -> None:
    """Shape the tops, and let ``batches`` be made in the background from now on."""
    for i, shape in zip(range(len(low.top)), shapes, strict=False):
        low.shape_top(i, shape)
    low.layer.state = Feed(low, batches)
    low.host(low.layer.state.forward)


def say_size(where: str, shape: Sequence[int]) -> None:
    """The original's line about the shape of a batch of images."""
    _log.info(where, f"output data size: {','.join(map(str, shape))}")
