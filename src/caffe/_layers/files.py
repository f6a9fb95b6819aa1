"""Layers that read HDF5 files and lists of images, and the one that writes HDF5."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import torch

from caffe import _log, _random
from caffe._layers import _feeding
from caffe._net.blob import NetBlob
from caffe._net.layer import Lowering, layer
from freshpot.data.hdf5_rows import HDF5Rows
from freshpot.data.image_list import ImageLine, ImageListBatches, read_image_list, read_lines
from freshpot.errors import ArgumentError, DataError, KernelError
from freshpot.formats.atomic import write_bytes


@layer("ImageData", bottoms=0, tops=2)
def image_data(low: Lowering) -> None:
    if low.layer.state is not None:
        return
    p = low.param.image_data_param
    _feeding.need_batch_size(low, p.batch_size)
    if (p.new_height > 0) != (p.new_width > 0):
        low.refuse("give new_height and new_width together, or neither.", ArgumentError)
    _log.info("image_data_layer.cpp:38", f"Opening file {p.source}")
    lines = read_image_list(p.source)
    if p.shuffle:
        _log.info("image_data_layer.cpp:53", "Shuffling data")
    _log.info("image_data_layer.cpp:63", f"A total of {len(lines)} images.")
    batches = ImageListBatches(
        lines,
        p.root_folder,
        p.batch_size,
        _feeding.image_transform(low),
        height=p.new_height,
        width=p.new_width,
        color=p.is_color,
        shuffle=p.shuffle,
        first=_skipped(low, p, lines),
        seed=_feeding.draw_seed(),
    )
    shape = (p.batch_size, *batches.first_shape())
    _feeding.say_size("image_data_layer.cpp:90", shape)
    _feeding.start(low, batches, [shape, shape[:1]])


def _skipped(low: Lowering, p: Any, lines: list[ImageLine]) -> int:
    """How many images to skip at the start: a number below rand_skip."""
    if not p.rand_skip:
        return 0
    skip = int(torch.randint(p.rand_skip, (), generator=_random.generator()))
    _log.info("image_data_layer.cpp:70", f"Skipping first {skip} data points.")
    if skip >= len(lines):
        low.refuse(
            f"rand_skip skips {skip} images, and there are {len(lines)}; make it smaller.", ArgumentError
        )
    return skip


@layer("HDF5Data", bottoms=0, tops=(1, None))
def hdf5_data(low: Lowering) -> None:
    if low.layer.state is not None:
        return
    p = low.param.hdf5_data_param
    _feeding.need_batch_size(low, p.batch_size)
    if low.param.HasField("transform_param"):
        low.refuse("HDF5Data does not transform data; remove transform_param.", ArgumentError)
    _log.info("hdf5_data_layer.cpp:81", f"Loading list of HDF5 filenames from: {p.source}")
    paths = " ".join(read_lines(p.source)).split()
    _log.info("hdf5_data_layer.cpp:95", f"Number of HDF5 files: {len(paths)}")
    if not paths:
        raise DataError(f"{p.source}: the list of HDF5 files is empty")
    batches = HDF5Rows(
        paths,
        low.top,
        p.batch_size,
        shuffle=p.shuffle,
        seed=_feeding.draw_seed(),
        **_feeding.own_records(low),
    )
    _feeding.start(low, batches, batches.shapes())


@layer("HDF5Output", bottoms=2, tops=0)
def hdf5_output(low: Lowering) -> None:
    if low.layer.state is None:
        low.layer.state = _Output(low)
    low.host(low.layer.state.forward, lambda propagate_down: None)


class _Output:
    """The file that a layer writes, in one piece at its first forward pass."""

    def __init__(self, low: Lowering) -> None:
        self._path: str = low.param.hdf5_output_param.file_name
        self._bottoms = low.layer.bottoms
        self._done = False
        self._write({})

    def forward(self) -> None:
        """Write the bottoms as data sets ``data`` and ``label``.

        Raises:
            KernelError: a second pass; the file holds one, as in the original.
        """
        if self._done:
            raise KernelError(
                f"has written a batch to {self._path} already, and the file holds one: run one forward pass, "
                "or make the net anew with another file_name."
            )
        data, label = self._bottoms
        if data.num != label.num:
            raise KernelError(
                f"'{data.name}' has {data.num} rows, '{label.name}' has {label.num}: they must be equal."
            )
        _log.info("hdf5_output_layer.cpp:33", f"Saving HDF5 file {self._path}")
        self._write({"data": _four_axes(data), "label": _four_axes(label)})
        self._done = True
        _log.info("hdf5_output_layer.cpp:38", f"Successfully saved {data.num} rows")

    def _write(self, arrays: dict[str, np.ndarray]) -> None:
        import h5py

        buffer = BytesIO()
        with h5py.File(buffer, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
        try:
            write_bytes(self._path, buffer.getvalue())
        except OSError as error:
            raise DataError(f"{self._path}: cannot be written: {error.strerror or error}") from error


def _four_axes(blob: NetBlob) -> np.ndarray:
    shape = (blob.num, blob.channels, blob.height, blob.width)
    return blob.data_array().reshape(shape)
