"""Caffe's solver states: `.solverstate` (protobuf) and `.solverstate.h5` (HDF5).

Owned here: the state <-> both kinds of file. Who calls it: the Caffe door's solvers.

Beside what the original keeps, a state may carry ``extra``: bytes of our own (where the data were, the
state of random numbers). The original's readers pass over it, and its files have none.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import FormatError
from freshpot.formats import caffemodel, protobuf
from freshpot.formats.atomic import atomic_write
from freshpot.formats.wire import BYTES, encode_varint, scan_fields

__all__ = ["SolverState", "read_solverstate", "write_solverstate"]

FloatArray = NDArray[np.float32]
#: field number of ``extra`` in the protobuf form, and the attribute's name in HDF5
_EXTRA_FIELD = 21001
_EXTRA_NAME = "freshpot"


@dataclass(slots=True)
class SolverState:
    """Where a training run stands, but for the weights, which are in the file ``learned_net``."""

    iteration: int
    learned_net: str = ""
    current_step: int = 0
    #: histories of the update rule, in the order of the net's parameters
    history: Sequence[FloatArray] = field(default_factory=list)
    extra: bytes = b""


def read_solverstate(path: str | os.PathLike[str]) -> SolverState:
    """Read a state; a name that ends in ``.h5`` means HDF5.

    Raises:
        FormatError: the file is damaged, or something else.
        OSError: it cannot be read.
    """
    return _read_hdf5(path) if caffemodel.is_hdf5(path) else _read_binary(path)


def write_solverstate(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a state, atomically; a name that ends in ``.h5`` means HDF5."""
    if caffemodel.is_hdf5(path):
        _write_hdf5(path, state)
    else:
        _write_binary(path, state)


# ---- protobuf -------------------------------------------------------------------------------------


def _read_binary(path: str | os.PathLike[str]) -> SolverState:
    data = Path(path).read_bytes()
    message = protobuf.parse_message(protobuf.load("caffe").SolverState, data, path=path)
    if not (message.HasField("iter") or message.history):
        raise FormatError("no iteration and no history: not a solver state", path=path)
    if message.iter < 0 or message.current_step < 0:
        raise FormatError(
            f"iteration {message.iter}, step {message.current_step}: both must be >= 0", path=path
        )
    history = [
        caffemodel.read_blob(blob, where=f"history {i}", path=path) for i, blob in enumerate(message.history)
    ]
    return SolverState(message.iter, message.learned_net, message.current_step, history, _extra(data))


def _extra(data: bytes) -> bytes:
    found = [
        data[f.begin : f.end] for f in scan_fields(data) if f.number == _EXTRA_FIELD and f.wire_type == BYTES
    ]
    return found[-1] if found else b""


def _write_binary(path: str | os.PathLike[str], state: SolverState) -> None:
    message: Any = protobuf.load("caffe").SolverState(iter=state.iteration, current_step=state.current_step)
    if state.learned_net:
        message.learned_net = state.learned_net
    for array in state.history:
        caffemodel.fill_blob(message.history.add(), array)
    with atomic_write(path) as out:
        out.write(message.SerializeToString())
        if state.extra:
            out.write(
                encode_varint(_EXTRA_FIELD << 3 | BYTES) + encode_varint(len(state.extra)) + state.extra
            )


# ---- HDF5 -----------------------------------------------------------------------------------------


def _read_hdf5(path: str | os.PathLike[str]) -> SolverState:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            group = file.get("history")
            if not isinstance(group, h5py.Group):
                raise FormatError("no group 'history': not a solver state in HDF5", path=path)
            missing = [str(i) for i in range(len(group)) if str(i) not in group]
            if missing:
                raise FormatError(f"history {missing[0]} of {len(group)} is missing", path=path)
            return SolverState(
                _number(file, "iter", path),
                _text(file, path),
                _number(file, "current_step", path),
                [caffemodel.read_hdf5_array(group[str(i)], path) for i in range(len(group))],
                _bytes(file, path),
            )
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, (FormatError, FileNotFoundError)):
            raise
        raise FormatError(f"not a readable HDF5 file: {error}", path=path) from error


def _number(file: Any, name: str, path: object) -> int:
    found = file.get(name)
    if getattr(found, "shape", None) not in ((), (1,)) or found.dtype.kind not in "iu":
        raise FormatError(f"'{name}' must be one whole number", path=path)
    value = int(np.asarray(found[()]).reshape(-1)[0])
    if not 0 <= value < 2**31:
        raise FormatError(f"'{name}' is {value}, expected 0 to {2**31 - 1}", path=path)
    return value


def _text(file: Any, path: object) -> str:
    if "learned_net" not in file:
        return ""
    found = file["learned_net"][()]
    if not isinstance(found, (bytes, str)):
        raise FormatError("'learned_net' must be text", path=path)
    return found.decode("utf-8", "surrogateescape") if isinstance(found, bytes) else found


def _bytes(file: Any, path: object) -> bytes:
    found = file.attrs.get(_EXTRA_NAME)
    if found is None:
        return b""
    if getattr(found, "dtype", None) != np.uint8:
        raise FormatError(f"the attribute '{_EXTRA_NAME}' must be bytes", path=path)
    return np.asarray(found).tobytes()


def _write_hdf5(path: str | os.PathLike[str], state: SolverState) -> None:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("iter", data=np.array([state.iteration], np.int32))
        name = state.learned_net.encode("utf-8", "surrogateescape")
        file.create_dataset("learned_net", data=np.array(name + b"\0", f"S{len(name) + 1}"))
        file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
        group = file.create_group("history")
        for i, array in enumerate(state.history):
            group.create_dataset(str(i), data=array, dtype="<f4")
        if state.extra:
            file.attrs[_EXTRA_NAME] = np.frombuffer(state.extra, np.uint8)
    with atomic_write(path) as out:
        out.write(buffer.getbuffer())
