"""The three upgrade tools: nets as text, nets as binary files, solvers as text."""

from __future__ import annotations

from typing import Any

from caffe import _files, _log
from caffe.proto import caffe_pb2
from freshpot.errors import DataError, FormatError
from freshpot.formats import caffemodel
from freshpot.formats.atomic import write_bytes
from freshpot.formats.caffe_text import upgrade_net_text
from freshpot.formats.caffe_upgrade import net_needs_upgrade, upgrade_net, upgrade_solver
from freshpot.formats.prototxt import format_prototxt

FLAGS = ()
USAGE = {
    "upgrade_net_proto_text": "usage: caffe upgrade_net_proto_text OLD.prototxt NEW.prototxt",
    "upgrade_net_proto_binary": "usage: caffe upgrade_net_proto_binary OLD.caffemodel NEW.caffemodel",
    "upgrade_solver_proto_text": "usage: caffe upgrade_solver_proto_text OLD.prototxt NEW.prototxt",
}
_UNREADABLE = 2


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Upgrade; 0 done, 1 wrong use or done with problems, 2 the input cannot be read."""
    tool = words[0]
    place = f"{tool}.cpp"
    if len(words) != 3:
        _log.error(f"{place}:22", USAGE[tool])
        return 1
    try:
        return {
            "upgrade_net_proto_text": _net_text,
            "upgrade_net_proto_binary": _net_binary,
            "upgrade_solver_proto_text": _solver_text,
        }[tool](words[1], words[2], place)
    except _Unreadable as error:
        _log.error(f"{place}:30", str(error))
        return _UNREADABLE


class _Unreadable(DataError):
    """The input cannot be read."""


def _read(path: str, what: str, read: Any) -> Any:
    try:
        return read(path)
    except (OSError, FormatError) as error:
        raise _Unreadable(f"Failed to parse input file as {what}: {path}: {error}") from error


def _note(needed: bool, complete: bool, path: str, place: str) -> None:
    if not needed:
        _log.error(f"{place}:43", f"File already in latest proto format: {path}")
    elif not complete:
        _log.error(f"{place}:39", "There were problems while upgrading; see above.")


def _net_text(source: str, target: str, place: str) -> int:
    made = _read(source, "NetParameter", lambda p: _files.read_text(p, caffe_pb2.NetParameter()))
    needed = net_needs_upgrade(made.message)
    complete = upgrade_net_text(made, _files.say_upgrade) if needed else True
    _note(needed, complete, source, place)
    write_bytes(target, format_prototxt(made).encode())
    _log.info(f"{place}:49", f"Wrote upgraded NetParameter text proto to {target}")
    return 0 if complete else 1


def _net_binary(source: str, target: str, place: str) -> int:
    param = _read(source, "NetParameter", caffemodel.read_binary_net)
    needed = net_needs_upgrade(param)
    complete = upgrade_net(param, source, _files.say_upgrade) if needed else True
    _note(needed, complete, source, place)
    caffemodel.write_message(target, param)
    _log.info(f"{place}:48", f"Wrote upgraded NetParameter binary proto to {target}")
    return 0 if complete else 1


def _solver_text(source: str, target: str, place: str) -> int:
    made = _read(source, "SolverParameter", lambda p: _files.read_text(p, caffe_pb2.SolverParameter()))
    needed = upgrade_solver(made.message, source, _files.say_upgrade)
    _note(needed, True, source, place)
    write_bytes(target, format_prototxt(made).encode())
    _log.info(f"{place}:49", f"Wrote upgraded SolverParameter text proto to {target}")
    return 0
