"""Solver files, and the nets that a solver description asks for.

Owned here: reading and upgrading solver files; making the train net and the test nets.
Who calls it: `solver`, the command line.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffe import _files, _log
from caffe._net.net import CaffeNet
from caffe._solver import detection
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError, DataError, FormatError, near_matches
from freshpot.formats.caffe_text import StrangeField, strange_fields
from freshpot.formats.caffe_upgrade import upgrade_net, upgrade_solver
from freshpot.formats.nearby import looked_in

_TRAIN_FIELDS = "net, net_param, train_net, train_net_param"


def read_solver(path: str | os.PathLike[str]) -> Any:
    """A SolverParameter from a file, upgraded, its snapshot prefix filled in.

    Raises:
        DataError: the file cannot be read.
        FormatError: it is not a solver; names the line.
    """
    path = os.fspath(path)
    param = caffe_pb2.SolverParameter()
    try:
        made = _files.read_text(path, param)
    except OSError as error:
        raise unreadable(path, "the solver file", error) from error
    if unknown := made.unknown_names():
        names = [name.rpartition(" ")[2] for name in unknown]
        if {"layer", "layers"} & set(names):
            raise FormatError(
                f'is a net, not a solver. A solver is a file of its own, that names the net: net: "{path}"',
                path=path,
            )
        known = near_matches(names[0], param.DESCRIPTOR.fields_by_name)
        raise FormatError(f"a solver has no such field: {'; '.join(unknown)}.{known}", path=path)
    upgrade_solver(param, path, _files.say_upgrade)
    _fill_prefix(param, path)
    return param


def unreadable(path: str, what: str, error: OSError) -> DataError:
    """The error for a file that cannot be read."""
    near = looked_in(path) if isinstance(error, FileNotFoundError) else ""
    return DataError(f"{path}: {what} cannot be read: {error.strerror or error}{near}")


def _fill_prefix(param: Any, path: str) -> None:
    """Without a prefix, or with a folder as prefix, snapshots are named after the solver file."""
    if not param.HasField("snapshot_prefix"):
        param.snapshot_prefix = os.path.splitext(path)[0]
        _log.info(
            "upgrade_proto.cpp:1103",
            f"snapshot_prefix was not specified and is set to {param.snapshot_prefix}",
        )
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = os.path.join(param.snapshot_prefix, Path(path).stem)
        _log.info(
            "upgrade_proto.cpp:1108",
            f"snapshot_prefix was a directory and is replaced to {param.snapshot_prefix}",
        )


class _Description:
    """A net description with where it came from."""

    def __init__(
        self,
        param: Any,
        source: str,
        path: str | None = None,
        lines: Sequence[int | None] = (),
        strange: Sequence[StrangeField] = (),
    ) -> None:
        self.param = param
        self.source = source
        self.path = path
        self.lines = lines
        self.strange = strange

    @classmethod
    def read(cls, path: str, field: str) -> _Description:
        try:
            made = _files.read_net(path)
        except OSError as error:
            raise unreadable(path, f"the solver's {field}", error) from error
        return cls(
            made.message, f"{field} file: {path}", path, _files.layer_lines(made), strange_fields(made)
        )

    @classmethod
    def given(cls, param: Any, field: str) -> _Description:
        copy = caffe_pb2.NetParameter()
        copy.CopyFrom(param)
        upgrade_net(copy, field, _files.say_upgrade)
        return cls(copy, field)

    def make(self, phase: int, state: Any = None) -> CaffeNet:
        """The net, in a phase; the description's own state, then ``state``, have the last word."""
        merged = caffe_pb2.NetState(phase=phase)
        merged.MergeFrom(self.param.state)
        if state is not None:
            merged.MergeFrom(state)
        self.param.state.CopyFrom(merged)
        return CaffeNet(self.param, self.path, self.lines, self.strange)


def make_train_net(param: Any) -> CaffeNet:
    """The net to train.

    Raises:
        ArgumentError: none of the fields that name it is given, or more than one.
    """
    given = [field for field in _TRAIN_FIELDS.split(", ") if param.HasField(field)]
    if len(given) != 1:
        raise ArgumentError(
            f"the solver must name its train net by exactly one of the fields {_TRAIN_FIELDS}; "
            f"it gives {', '.join(given) or 'none'}."
        )
    field = given[0]
    line = {"train_net_param": 88, "train_net": 92, "net_param": 97, "net": 102}[field]
    value = getattr(param, field)
    if field.endswith("_param"):
        _log.info(f"solver.cpp:{line}", f"Creating training net specified in {field}.")
        made = _Description.given(value, field)
    else:
        _log.info(f"solver.cpp:{line}", f"Creating training net from {field} file: {value}")
        made = _Description.read(value, field)
    net = made.make(caffe_pb2.TRAIN, param.train_state)
    load_weights(net, param.weights)
    return net


def make_test_nets(param: Any) -> list[CaffeNet]:
    """The nets to test on: those of test_net_param and test_net, then the generic net for what test_iter is left.

    Raises:
        ArgumentError: test_iter, test_state or test_interval do not fit the number of nets; there is no such eval_type
            or ap_version.
    """
    detection.check(param)
    generic = next((f for f in ("net_param", "net") if param.HasField(f)), None)
    own = len(param.test_net_param) + len(param.test_net)
    count = len(param.test_iter)
    if count < own or (generic is None and count != own):
        raise ArgumentError(
            f"test_iter must be given once for each test net: {own} test nets, {count} values of test_iter."
            + ("" if generic or count < own else " (Only a solver with net or net_param may give more.)")
        )
    if param.test_state and len(param.test_state) != count:
        raise ArgumentError(
            f"test_state must be given for all {count} test nets or none, got {len(param.test_state)}."
        )
    if count and param.test_interval <= 0:
        raise ArgumentError(f"a solver with test nets needs test_interval > 0, got {param.test_interval}.")
    nets = []
    for i, made in enumerate(_test_descriptions(param, generic, count - own)):
        _log.info("solver.cpp:190", f"Creating test net (#{i}) specified by {made.source}")
        nets.append(made.make(caffe_pb2.TEST, param.test_state[i] if param.test_state else None))
        nets[-1].debug_info = param.debug_info
        load_weights(nets[-1], param.weights)
    return nets


def _test_descriptions(param: Any, generic: str | None, generic_count: int) -> list[_Description]:
    made = [_Description.given(net, "test_net_param") for net in param.test_net_param]
    made += [_Description.read(path, "test_net") for path in param.test_net]
    for _ in range(generic_count):
        if generic == "net_param":
            made.append(_Description.given(param.net_param, "net_param"))
        else:
            made.append(_Description.read(param.net, "net"))
    return made


def load_weights(net: CaffeNet, lists: Sequence[str]) -> None:
    """Copy weights from files, each entry a comma-separated list.

    Raises:
        DataError: a file is not there.
        ShapeError, ArityError, FormatError: as when a net copies weights.
    """
    for path in (word.strip() for entry in lists for word in entry.split(",")):
        _log.info("solver.cpp:72", f"Finetuning from {path}")
        copy_weights(net, path)


def copy_weights(net: CaffeNet, path: str) -> None:
    """Copy weights from a file.

    Raises:
        DataError: it is not there.
        ShapeError, ArityError, FormatError: as when a net copies weights.
    """
    if not os.path.isfile(path) and _files.absent is None:
        raise DataError(f"{path}: there are no such weights{looked_in(path)}")
    _files.copy_weights(net, path)
