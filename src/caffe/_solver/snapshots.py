"""Snapshots: a caffemodel and a solver state, written together and read together.

Owned here: names, order and checks of the two files. Who calls it: `solver`.
"""

from __future__ import annotations

import os
from typing import Any

from caffe import _files, _log
from caffe._net.net import CaffeNet
from caffe._solver.nets import unreadable
from caffe._solver.update import Update
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError, DataError, FormatError
from freshpot.formats.solverstate import SolverState, read_solverstate, write_solverstate


def check_writable(param: Any) -> None:
    """Refuse a prefix in a folder where no file can be made, before hours of training.

    Raises:
        ArgumentError: no prefix.
        DataError: no file can be made there.
    """
    if not param.HasField("snapshot_prefix"):
        raise ArgumentError("the solver gives snapshot and no snapshot_prefix.")
    probe = _name(param, 0, ".tempfile")
    try:
        with open(probe, "wb"):
            pass
        os.remove(probe)
    except OSError as error:
        raise DataError(
            f"cannot write files beginning with '{param.snapshot_prefix}' (snapshot_prefix): {error.strerror}. "
            "Does the folder exist?"
        ) from error


def _name(param: Any, iteration: int, ending: str) -> str:
    return f"{param.snapshot_prefix}_iter_{iteration}{ending}"


def write(
    param: Any, net: CaffeNet, update: Update, iteration: int, current_step: int, extra: bytes = b""
) -> None:
    """Write both files. Each appears whole or not at all, the weights first.

    Raises:
        DataError: they cannot be written.
    """
    hdf5 = param.snapshot_format == caffe_pb2.SolverParameter.HDF5
    ending = ".h5" if hdf5 else ""
    model = _name(param, iteration, f".caffemodel{ending}")
    state = _name(param, iteration, f".solverstate{ending}")
    form = "HDF5 file" if hdf5 else "binary proto file"
    try:
        _log.info(f"solver.cpp:{474 if hdf5 else 464}", f"Snapshotting to {form} {model}")
        (_files.save_net_hdf5 if hdf5 else _files.save_net)(net, model, param.snapshot_diff)
        _log.info(f"sgd_solver.cpp:{296 if hdf5 else 284}", f"Snapshotting solver state to {form} {state}")
        write_solverstate(state, SolverState(iteration, model, current_step, update.history(), extra))
    except (OSError, RuntimeError) as error:
        raise DataError(f"the snapshot at iteration {iteration} could not be written: {error}") from error


def read(path: str, net: CaffeNet, update: Update) -> SolverState:
    """Restore a net and its histories; returns the state. Nothing changes if the state does not fit.

    Raises:
        DataError: a file is not there.
        FormatError: a damaged file.
        ArityError, ShapeError: a state of another net or solver type.
    """
    try:
        state = read_solverstate(path)
    except OSError as error:
        raise unreadable(path, "the solver state", error) from error
    except FormatError as error:
        if ".caffemodel" not in os.path.basename(path):
            raise
        raise FormatError(
            "is a model, not a solver state (its name ends in .solverstate). A model's weights are loaded by "
            "solver.net.copy_from, or by `caffe train --weights`.",
            path=path,
        ) from error
    update.check(state.history, path)
    if state.learned_net:
        _files.copy_weights(net, _find_model(state.learned_net, path))
    if not path.endswith(".h5"):
        _log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
    update.restore(state.history)
    return state


def _find_model(name: str, state_path: str) -> str:
    """The weights that a state names: at that path, else beside the state (as when both were moved)."""
    beside = os.path.join(os.path.dirname(state_path), os.path.basename(name))
    for path in (name, beside):
        if os.path.isfile(path):
            return path
    if "\0" in name:
        raise FormatError("the name of the weights is no file name", path=state_path)
    raise DataError(f"{state_path}: it names the weights '{name}', which are neither there nor at '{beside}'")
