"""Caffe's parameter files: blobs in protobuf (`.caffemodel`) and in HDF5 (`.caffemodel.h5`).

Owned here: BlobProto <-> numpy, the layout of both kinds of file. Who calls it: the Caffe door, converters.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError
from freshpot.formats import protobuf
from freshpot.formats.atomic import atomic_write, write_bytes
from freshpot.formats.packed import get_packed, put_packed

FloatArray = NDArray[np.float32]


def blob_shape(blob: Any) -> tuple[int, ...]:
    """The shape that a BlobProto states: its ``shape``, or the four old fields."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    if any(blob.HasField(f) for f in ("num", "channels", "height", "width")):
        return (blob.num, blob.channels, blob.height, blob.width)
    return ()


def read_blob(blob: Any, *, diff: bool = False, where: str | None = None, path: object = None) -> FloatArray:
    """The values (or gradients) of a BlobProto as a float32 array of its shape.

    Raises:
        FormatError: the number of values is not what the shape says.
    """
    values = _values(blob, diff)
    shape = blob_shape(blob)
    count = math.prod(shape)
    if any(n < 0 for n in shape) or count != len(values):
        raise FormatError(
            f"a blob of shape {shape} has {len(values)} values, expected {count}", path=path, where=where
        )
    try:
        return values.reshape(shape)
    except ValueError as error:  # more axes than NumPy takes
        raise FormatError(f"a blob of {len(shape)} axes: {error}", path=path, where=where) from error


def _values(blob: Any, diff: bool) -> FloatArray:
    """The numbers of a blob, flat: of its double field if that has any."""
    double, single = ("double_diff", "diff") if diff else ("double_data", "data")
    if len(getattr(blob, double)):
        return np.frombuffer(get_packed(blob, double), "<f8").astype(np.float32)
    return np.frombuffer(get_packed(blob, single), "<f4").astype(np.float32)


def fill_blob(blob: Any, values: FloatArray, diff: FloatArray | None = None) -> None:
    """Write an array (and its gradient) into an empty BlobProto, in the present form."""
    blob.shape.dim.extend(values.shape)
    put_packed(blob, "data", np.ascontiguousarray(values, "<f4").tobytes())
    if diff is not None:
        put_packed(blob, "diff", np.ascontiguousarray(diff, "<f4").tobytes())


def fits(shape: tuple[int, ...], blob: Any) -> bool:
    """True if a parameter of ``shape`` can take a blob; old four-number shapes match by their last axes."""
    stated = blob_shape(blob)
    if blob.HasField("shape") or len(stated) != 4:
        return stated == shape
    return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == stated


def read_binary_net(path: str | os.PathLike[str]) -> Any:
    """A NetParameter from a binary file, not upgraded.

    Raises:
        FormatError: the bytes are no complete NetParameter.
        OSError: the file cannot be read.
    """
    return protobuf.parse_message(protobuf.load("caffe").NetParameter, Path(path).read_bytes(), path=path)


def write_message(path: str | os.PathLike[str], message: Any) -> None:
    """Write a message as a binary file, atomically."""
    write_bytes(path, message.SerializeToString())


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """True if the name says HDF5, as the original decides it."""
    return os.fspath(path).endswith(".h5")


def read_hdf5_layers(path: str | os.PathLike[str]) -> dict[str, dict[int, FloatArray]]:
    """Parameters by `hdf5_name` of the layer and number from an HDF5 caffemodel.

    Raises:
        FormatError: no HDF5 file, or not laid out as a caffemodel.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group):
                raise FormatError("no group 'data': not a caffemodel in HDF5", path=path)
            layers: dict[str, dict[int, FloatArray]] = {}
            _collect(data, "", path, layers, set())
            return layers
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, (FormatError, FileNotFoundError)):
            raise
        raise FormatError(f"not a readable HDF5 file: {error}", path=path) from error


def _collect(
    group: Any, layer: str, path: object, layers: dict[str, dict[int, FloatArray]], seen: set[int]
) -> None:
    """Add the arrays in a group and in the groups within: layer names may have slashes in them."""
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in seen:
        raise FormatError(f"group '{group.name}' stands in the file twice", path=path)
    seen.add(address)
    arrays = {}
    for name, member in group.items():
        if isinstance(member, h5py.Group):
            _collect(member, f"{layer}/{name}" if layer else name, path, layers, seen)
        elif member is None:
            raise FormatError(f"'{group.name}/{name}' is a link to nowhere", path=path)
        elif layer and name.isdecimal():
            arrays[int(name)] = read_hdf5_array(member, path)
    if layer and (arrays or not len(group)):
        layers[layer] = arrays


def hdf5_name(layer: str) -> str:
    """What a layer is called in an HDF5 file, where slashes part groups and empty parts vanish."""
    return "/".join(part for part in layer.split("/") if part)


def read_hdf5_array(dataset: Any, path: object) -> FloatArray:
    """The float32 array of a dataset of the file at ``path``.

    Raises:
        FormatError: no array of floats, one that is stored in another file, or larger than the file can hold.
    """
    if not hasattr(dataset, "shape") or dataset.dtype.kind != "f":
        raise FormatError(f"'{dataset.name}' is not an array of floats", path=path)
    if dataset.is_virtual or dataset.external or dataset.file.filename != os.fspath(str(path)):
        raise FormatError(f"'{dataset.name}' is stored in another file; that is not followed", path=path)
    if dataset.nbytes > max(64 << 20, 64 * os.path.getsize(str(path))):
        raise FormatError(
            f"'{dataset.name}' claims {dataset.nbytes} bytes, more than the file can hold", path=path
        )
    return np.asarray(dataset[...], dtype=np.float32)


def write_hdf5_layers(
    path: str | os.PathLike[str],
    layers: Mapping[str, Iterable[tuple[int, FloatArray]]],
    diffs: Mapping[str, Iterable[tuple[int, FloatArray]]] | None = None,
) -> None:
    """Write parameters (and gradients) by layer name and number as an HDF5 caffemodel, atomically.

    Raises:
        FormatError: layer names that cannot be in one HDF5 file: an empty one, two that are alike.
        OSError: the file cannot be written.
    """
    import io

    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for group_name, content in (("data", layers), ("diff", diffs)):
            if content is None:
                continue
            group = file.create_group(group_name)
            for name, arrays in content.items():
                arrays = list(arrays)
                if not arrays and not hdf5_name(name):
                    continue
                try:
                    inner = group.require_group(hdf5_name(name))
                    for k, array in arrays:
                        inner.create_dataset(str(k), data=array, dtype="<f4")
                except ValueError as error:  # no name, or one that is there already
                    raise FormatError(
                        f"layer '{name}' cannot be a group in HDF5: {error}", path=path
                    ) from error
    with atomic_write(path) as out:
        out.write(buffer.getbuffer())
