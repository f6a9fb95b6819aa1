"""Layers that bring data from databases and memory, and the one that swallows what nothing reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe import _log
from caffe._layers import _feeding
from caffe._net import fillers
from caffe._net.blob import NetBlob
from caffe._net.layer import Lowering, layer
from caffe.proto import caffe_pb2
from freshpot.data.datum_batches import DatumBatches
from freshpot.data.reader import Database, open_db
from freshpot.errors import ArgumentError, ArityError, MissingBlobError

_OPENED = {"lmdb": "db_lmdb.cpp:35", "leveldb": "db_leveldb.cpp:18"}


def _open(param: Any) -> Database:
    p = param.data_param
    db_type = caffe_pb2.DataParameter.DB.Name(p.backend).lower()
    database = open_db(db_type, p.source)
    _log.info(_OPENED[db_type], f"Opened {db_type} {p.source}")
    return database


@layer("Data", bottoms=0, tops=(1, 2), create=_open)
def data(low: Lowering) -> None:
    if isinstance(low.layer.state, _feeding.Feed):
        return
    p = low.param.data_param
    _feeding.need_batch_size(low, p.batch_size)
    batches = DatumBatches(
        low.layer.state,
        p.batch_size,
        _feeding.image_transform(low),
        color=_color(low),
        on_restart=lambda: _log.info("data_layer.cpp:73", "Restarting data prefetching from start."),
        **_feeding.own_records(low),
    )
    shape = (p.batch_size, *batches.first_shape())
    _feeding.say_size("data_layer.cpp:45", shape)
    _feeding.start(low, batches, [shape, shape[:1]])


def _color(low: Lowering) -> bool | None:
    """How compressed images are decoded; without a word about it, as they are stored."""
    p = low.param.transform_param
    if p.force_color and p.force_gray:
        low.refuse("force_color and force_gray exclude each other; set one of them.", ArgumentError)
    return True if p.force_color else False if p.force_gray else None


class _Memory:
    """Arrays that the user gave, handed out a batch at a time."""

    def __init__(self, low: Lowering) -> None:
        p = low.param.memory_data_param
        self.batch = p.batch_size
        self.image = (p.channels, p.height, p.width)
        self._tops = low.layer.tops
        self._warns = low.param.HasField("transform_param")
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None
        self._row = 0

    def set_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Take data (N, C, H, W) and labels (N, 1, 1, 1), N a multiple of the batch size.

        Raises:
            RuntimeError: arrays that do not fit, in the words that programs know.
        """
        _check(data, "data array", self.image)
        _check(labels, "labels array", (1, 1, 1))
        if len(data) != len(labels):
            raise RuntimeError("data and labels must have the same first dimension")
        if len(data) % self.batch:
            raise RuntimeError("first dimensions of input arrays must be a multiple of batch size")
        if not len(data):
            raise RuntimeError("input arrays have no rows")
        if self._warns:
            _log.warning("memory_data_layer.cpp:90", "MemoryData does not transform array data on Reset()")
        self._arrays, self._row = (data, labels), 0

    def forward(self) -> None:
        """Put the next batch, as the user's arrays have it now, into the tops."""
        if self._arrays is None:
            raise MissingBlobError("has no data: call net.set_input_arrays(data, labels) first.")
        for top, array in zip(self._tops, self._arrays, strict=True):
            top.put_array(array[self._row : self._row + self.batch], borrowed=True)
        self._row = (self._row + self.batch) % len(self._arrays[0])


def _check(array: np.ndarray, name: str, shape: tuple[int, int, int]) -> None:
    if not array.flags.c_contiguous:
        raise RuntimeError(f"{name} must be C contiguous")
    if array.ndim != 4:
        raise RuntimeError(f"{name} must be 4-d")
    if array.dtype != np.float32:
        raise RuntimeError(f"{name} must be float32")
    for what, wanted, found in zip(
        ("number of channels", "height", "width"), shape, array.shape[1:], strict=True
    ):
        if wanted != found:
            raise RuntimeError(f"{name} has wrong {what}")


@layer("MemoryData", bottoms=0, tops=2)
def memory_data(low: Lowering) -> None:
    if low.layer.state is not None:
        return
    memory = _Memory(low)
    if min(memory.batch, *memory.image) < 1:
        low.refuse(
            "batch_size, channels, height and width of memory_data_param must be given and positive, got "
            f"{memory.batch}, {', '.join(map(str, memory.image))}.",
            ArgumentError,
        )
    low.shape_top(0, (memory.batch, *memory.image))
    low.shape_top(1, (memory.batch,))  # (N, 1, 1, 1) from the first forward pass on, as in the original
    low.layer.state = memory
    low.host(memory.forward)


@layer("DummyData", bottoms=0, tops=(1, None))
def dummy_data(low: Lowering) -> None:
    if low.layer.state is not None:
        return
    given = list(low.param.dummy_data_param.data_filler)
    if len(given) not in (0, 1, len(low.top)):
        low.refuse(
            f"give no data_filler, one, or one a top: {len(low.top)} tops, {len(given)} fillers.", ArityError
        )
    default = caffe_pb2.FillerParameter(type="constant")
    chosen = given * len(low.top) if len(given) == 1 else given or [default] * len(low.top)
    changing: list[tuple[NetBlob, Any]] = []
    for i, (shape, filler) in enumerate(zip(_dummy_shapes(low), chosen, strict=True)):
        low.shape_top(i, shape)
        top = low.layer.tops[i]
        top.put(fillers.fill(filler, top.dims))
        if filler.type != "constant":
            changing.append((top, filler))
    low.layer.state = changing

    def refill() -> None:
        for top, filler in changing:
            top.put(fillers.fill(filler, top.dims))

    low.host(refill)


def _dummy_shapes(low: Lowering) -> list[list[int]]:
    """A shape for each top, from ``shape`` or from the four old fields."""
    p = low.param.dummy_data_param
    old = {word: list(getattr(p, word)) for word in ("num", "channels", "height", "width")}
    if not any(old.values()):
        return [list(shape.dim) for shape in _one_a_top(low, "shape", list(p.shape))]
    if p.shape:
        low.refuse("shape and the old fields num, channels, height, width exclude each other.", ArgumentError)
    sizes = [_one_a_top(low, word, values) for word, values in old.items()]
    return [list(shape) for shape in zip(*sizes, strict=True)]


def _one_a_top(low: Lowering, word: str, given: list[Any]) -> list[Any]:
    tops = len(low.top)
    if len(given) not in (1, tops):
        low.refuse(f"give {word} once, or once a top: {tops} tops, {len(given)} given.", ArityError)
    return given * tops if len(given) == 1 else given


@layer("Silence", bottoms=(1, None), tops=0)
def silence(low: Lowering) -> None:
    bottoms = low.layer.bottoms

    def backward(propagate_down: list[bool]) -> None:
        for bottom, wanted in zip(bottoms, propagate_down, strict=True):
            if wanted:
                bottom.clear_diff()

    low.host(lambda: None, backward)
