"""Nets and weights from files and to files, as `caffe.Net` and the solvers use them.

Owned here: reading (upgrading, locating lines), copying and sharing weights, saving.
Who calls it: `pycaffe`, solvers, the command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe import _log
from caffe._net.blob import NetBlob
from caffe._net.net import CaffeNet
from caffe.proto import caffe_pb2
from freshpot.engine.blob import PinnedBlob
from freshpot.errors import ArityError, FormatError, NetError, ShapeError
from freshpot.formats import caffemodel
from freshpot.formats.caffe_text import read_net_text, strange_fields
from freshpot.formats.caffe_upgrade import upgrade_net
from freshpot.formats.model_file import ModelFile
from freshpot.formats.nearby import looked_in
from freshpot.formats.prototxt import TextMessage, Token, parse_prototxt
from freshpot.ops.exposure import written

#: where the original prints what upgrading says: how a message begins, or what it contains -> line
_UPGRADE_LINES = (
    ("deprecated V0LayerParameter: ", 28),
    ("problems upgrading V0", 33),
    ("deprecated V0LayerParameter", 36),
    ("V0NetParameter", 39),
    ("deprecated transformation parameters", 46),
    ("data transformation parameters", 49),
    ("transform_param messages", 51),
    ("deprecated V1LayerParameter: ", 55),
    ("problems upgrading V1", 59),
    ("deprecated V1LayerParameter", 63),
    ("deprecated input fields: ", 69),
    ("deprecated input fields", 72),
    ("not input fields", 74),
    ("Attempting to upgrade batch norm", 79),
    ("upgraded batch norm", 82),
    ("(enum)': ", 1083),
    ("(enum) to", 1090),
    ("for a solver's type", 1092),
)


#: what to do with a net whose weights file is not there; None: it is an error. `freshpot run` has something to do
absent: Callable[[CaffeNet, str], CopyReport] | None = None


def say_upgrade(severity: int, message: str) -> None:
    """Log what upgrading a file says, as the original does."""
    line = next((line for words, line in _UPGRADE_LINES if words in message), 66)
    _log.log(severity, f"upgrade_proto.cpp:{line}", message)


def read_text(path: str | os.PathLike[str], message: Any) -> TextMessage:
    """Read a prototxt file into ``message``.

    Raises:
        FormatError: not a text file of that message; names the line.
        OSError: the file cannot be read.
    """
    return parse_prototxt(_text(path), message, path)


def _text(path: str | os.PathLike[str]) -> str:
    """The text of a file. Comments may be in any encoding; the reader refuses other bytes elsewhere."""
    name = os.fsdecode(path)
    if "\0" in name:
        raise FormatError(f"{name!r} is no file's name: it has a character of value 0")
    data = Path(name).read_bytes()
    _refuse_pointer(data, path)
    if b"\0" in data:
        raise FormatError(
            "not a text file (is it a binary model? The net comes first: Net(prototxt, caffemodel, phase))",
            path=path,
            where=f"offset {data.index(0)}",
        )
    return data.decode("utf-8", "surrogateescape")


def not_there(path: str) -> NetError:
    """The error for a file that cannot be opened; it begins with the original's words."""
    what = "that is a folder." if os.path.isdir(path) else f"there is no such file{looked_in(path)}"
    return NetError(f"Could not open file {path}: {what}")


def _refuse_pointer(data: bytes, path: str | os.PathLike[str]) -> None:
    """What stands in a file's place is said to be that: a clone's without Git LFS, a failed download's."""
    if data.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise FormatError(
            "is a web page (HTML), not the file itself. Fetch it again, by the address of the file, not of a page "
            "about it (on GitHub: 'Raw').",
            path=path,
        )
    if data.startswith(b"version https://git-lfs.github.com/"):
        raise FormatError(
            "is a pointer of Git LFS, not the file itself. Fetch it: git lfs pull, in its repository.",
            path=path,
        )


def read_net(path: str | os.PathLike[str]) -> TextMessage:
    """A net description from a prototxt file, brought to the present form; unknown fields are kept.

    Raises:
        FormatError: it cannot be read or upgraded; names the line.
        OSError: the file cannot be read.
    """
    return read_net_text(_text(path), path, say_upgrade)


def load_net(path: str, phase: int, level: int = 0, stages: Sequence[str] | None = None) -> CaffeNet:
    """A net from a prototxt file, for a phase, level and stages."""
    return _make(read_net(path), phase, level, stages, path)


def parse_net(text: str, phase: int) -> CaffeNet:
    """A net from prototxt text."""
    return _make(read_net_text(text, None, say_upgrade), phase, 0, None, None)


def _make(
    made: TextMessage, phase: int, level: int, stages: Sequence[str] | None, path: str | None
) -> CaffeNet:
    """A net that runs. Fields that the schema does not know are refused by the net, hints are logged."""
    param = made.message
    _refuse_solver(made)
    param.state.phase = phase
    param.state.level = level
    param.state.stage.extend(stages or [])
    return CaffeNet(param, path, layer_lines(made), strange_fields(made))


def _refuse_solver(made: TextMessage) -> None:
    """A solver file where a net is wanted is said to be that, in one sentence."""
    fields = {field.name: field for field in made.unknown.get((), ())}
    if made.message.layer or not {"base_lr", "max_iter", "lr_policy"} & set(fields):
        return
    net = fields.get("net") or fields.get("train_net")
    token = net.values[0] if net is not None else None
    name = f"; its net is the file {token.text}" if isinstance(token, Token) else ""
    raise FormatError(
        f"is a solver, not a net: caffe.get_solver (or `caffe train --solver`) takes it{name}.",
        path=made.path,
    )


def layer_lines(made: TextMessage) -> list[int | None]:
    """The line at which each layer begins; None for one that the upgrade made."""
    return [made.line_of("layer", i) for i in range(len(made.message.layer))]


# ---- weights --------------------------------------------------------------------------------------


@dataclass(slots=True)
class CopyReport:
    """What copying weights did: parameters by what became of them. Prints as a table."""

    copied: list[str] = field(default_factory=list)
    #: in the file, not in the net
    ignored: list[str] = field(default_factory=list)
    #: in both, with shapes that differ (only when the caller asked to skip those)
    mismatched: list[str] = field(default_factory=list)
    #: in the net, not in the file: keep what the filler gave them
    untouched: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{'parameters':<44}{'became'}"]
        for word in ("copied", "ignored", "mismatched", "untouched"):
            lines += [f"{name:<44}{word}" for name in getattr(self, word)]
        return "\n".join(lines)


def copy_weights(
    net: CaffeNet, path: str, skip_mismatched: bool = False, hdf5: bool | None = None
) -> CopyReport:
    """Copy parameters by layer name from a caffemodel (binary or HDF5).

    Args:
        hdf5: whether the file is HDF5; None: if its name says so.

    Raises:
        RuntimeError: the file is not there.
        ArityError: a layer has another number of parameters in the file.
        ShapeError: a parameter has another shape in the file (unless ``skip_mismatched``).
        FormatError: the file is broken.
    """
    if not os.path.isfile(path):
        if absent is not None:
            return absent(net, path)
        raise not_there(path)
    with open(path, "rb") as file:
        _refuse_pointer(file.read(100), path)
    if caffemodel.is_hdf5(path) if hdf5 is None else hdf5:
        return _copy_hdf5(net, path, skip_mismatched)
    with ModelFile(path) as file:
        upgrade_net(file.net, path, say_upgrade)
        return _copy_binary(net, file, path, skip_mismatched)


def _copy_binary(net: CaffeNet, file: ModelFile, path: str, skip_mismatched: bool) -> CopyReport:
    report = CopyReport()
    for source in file.net.layer:
        if source.name not in net.layer_names:
            _log.info("net.cpp:745", f"Ignoring source layer {source.name}")
            report.ignored += [f"{source.name}[{k}]" for k in range(len(source.blobs))]
            continue
        i = net.layer_names.index(source.name)
        if len(net.layers[i].blobs) != len(source.blobs):
            raise _count_error(net, i, len(source.blobs), path)
        for k, blob in enumerate(source.blobs):
            target = net.layers[i].blobs[k]
            where = f"layer '{source.name}' parameter {k}"
            if caffemodel.fits(target.dims, blob):
                _read(net, target, file.values(blob, where))
                report.copied.append(f"{source.name}[{k}]")
            else:
                _mismatch(net, i, k, caffemodel.blob_shape(blob), path, skip_mismatched, report)
    return _finish(net, report, path)


def _copy_hdf5(net: CaffeNet, path: str, skip_mismatched: bool) -> CopyReport:
    report = CopyReport()
    sources = caffemodel.read_hdf5_layers(path)
    places = {caffemodel.hdf5_name(name): i for i, name in reversed(list(enumerate(net.layer_names)))}
    for name, blobs in sources.items():
        if name not in places:
            _log.info("net.cpp:806", f"Ignoring source layer {name}")
            report.ignored += [f"{name}[{k}]" for k in blobs]
            continue
        i = places[name]
        owned = {k for layer, k, _ in net.param_list if layer == i and not net.is_shared(i, k)}
        if len(blobs) > len(net.layers[i].blobs) or not owned <= set(blobs):
            raise _count_error(net, i, len(blobs), path)
        for k, values in blobs.items():
            target = net.layers[i].blobs[k]
            if target.dims == values.shape:
                _put(net, target, values)
                report.copied.append(target.name)
            else:
                _mismatch(net, i, k, values.shape, path, skip_mismatched, report)
    return _finish(net, report, path)


def _read(net: CaffeNet, target: NetBlob, write: Callable[[np.ndarray], None]) -> None:
    """Let values be written to the parameter's own memory, where it has that on the CPU."""
    cell = target.data_cell
    if not (isinstance(cell, PinnedBlob) and cell.peek.is_cpu):
        values = np.empty(target.dims, np.float32)
        write(values)
        _put(net, target, values)
        return
    memory = cell.overwritten
    write(memory.numpy())
    written(memory)


def _put(net: CaffeNet, target: NetBlob, values: np.ndarray) -> None:
    target.put(torch.from_numpy(values.reshape(target.dims)))
    net.site.settle((target.data_cell,))


def _finish(net: CaffeNet, report: CopyReport, path: str | None) -> CopyReport:
    seen = {*report.copied, *report.mismatched}
    report.untouched = [blob.name for layer in net.layers for blob in layer.blobs if blob.name not in seen]
    _log.info("net.cpp:770", f"Copied weights:\n{report}")
    if not (report.copied or report.mismatched) and report.untouched:
        held = ", ".join(list(dict.fromkeys(name.rpartition("[")[0] for name in report.ignored))[:5])
        why = (
            f"the net '{net.name}' has no layer named as its layers are ({held} …)"
            if held
            else "it holds no weights"
        )
        _log.warning(
            "net.cpp:770",
            f"{path or 'the source'}: nothing was copied: {why}. All weights are as they were. Is it the right model?",
        )
    return report


def _count_error(net: CaffeNet, i: int, count: int, path: str | None) -> ArityError:
    return ArityError(
        f"has {len(net.layers[i].blobs)} parameters, and {count} in {path or 'the source'}."
        " To leave them out, rename the layer.",
        net=net.name or None,
        op=net.place(i),
    )


def _mismatch(
    net: CaffeNet, i: int, k: int, shape: tuple[int, ...], path: str | None, skip: bool, report: CopyReport
) -> None:
    name = net.layers[i].blobs[k].name
    if skip:
        report.mismatched.append(name)
        return
    raise ShapeError(
        f"parameter {k} has shape {net.layers[i].blobs[k].dims}, and {shape} in {path or 'the source'}."
        " To train it from scratch, rename the layer, or copy with skip_mismatched=True.",
        net=net.name or None,
        op=net.place(i),
        blob=name,
    )


def share_weights(net: CaffeNet, other: CaffeNet) -> None:
    """Let parameters be ``other``'s memory, by layer name.

    Raises:
        ArityError, ShapeError: a layer of the same name has other parameters.
    """
    for source in other.layers:
        if source.name not in net.layer_names:
            _log.info("net.cpp:680", f"Ignoring source layer {source.name}")
            continue
        i = net.layer_names.index(source.name)
        if len(net.layers[i].blobs) != len(source.blobs):
            raise _count_error(net, i, len(source.blobs), None)
        for k, blob in enumerate(source.blobs):
            mine = net.layers[i].blobs[k]
            if mine.dims != blob.dims:
                _mismatch(net, i, k, blob.dims, None, False, CopyReport())
            if mine.data_cell is not blob.data_cell:  # else it was shared before: plans need not look again
                mine.share_data(blob, net.workspace)


# ---- saving ---------------------------------------------------------------------------------------


def net_message(net: CaffeNet, write_diff: bool = False) -> Any:
    """The net with its parameters as a NetParameter: layers as they run, splits included."""
    made = caffe_pb2.NetParameter(name=net.name)
    for layer in net.layers:
        copy = made.layer.add()
        copy.CopyFrom(layer.param)
        del copy.blobs[:]
        for blob in layer.blobs:
            diff = blob.diff_array() if write_diff else None
            caffemodel.fill_blob(copy.blobs.add(), blob.data_array(), diff)
    return made


def save_net(net: CaffeNet, path: str, write_diff: bool = False) -> None:
    """Write the net with its parameters as a binary caffemodel, atomically."""
    _write(path, lambda: caffemodel.write_message(path, net_message(net, write_diff)))


def save_net_hdf5(net: CaffeNet, path: str, write_diff: bool = False) -> None:
    """Write the parameters as HDF5, atomically; shared ones once, with the layer that owns them."""

    def arrays(which: Callable[[NetBlob], np.ndarray]) -> dict[str, list[tuple[int, np.ndarray]]]:
        return {
            layer.name: [(k, which(blob)) for k, blob in enumerate(layer.blobs) if not net.is_shared(i, k)]
            for i, layer in enumerate(net.layers)
        }

    diffs = arrays(NetBlob.diff_array) if write_diff else None
    data = arrays(NetBlob.data_array)
    _write(path, lambda: caffemodel.write_hdf5_layers(path, data, diffs))


def _write(path: str, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise RuntimeError(f"Could not write {path}: {error.strerror or error}") from error
