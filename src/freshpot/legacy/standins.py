"""The table of files that tutorials take for granted, and what is made in their place."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from freshpot.data import mnist
from freshpot.formats.atomic import write_bytes
from freshpot.legacy import caffe_folder, pictures
from freshpot.legacy.notes import Notes

__all__ = ["StandIns"]


class _Entry(NamedTuple):
    """Names it stands for (a pattern on the path with ``/``), and what makes it and says in words what it is."""

    names: str
    make: Callable[[re.Match[str], Path], str]


def _picture(hit: re.Match[str], place: Path) -> str:
    pictures.draw(hit["name"], place)
    return "a drawing of the same size in place of the photograph"


def _model(hit: re.Match[str], place: Path) -> str:
    """The user's own model if there is one where the original looked for it, else random weights."""
    from caffe2.python.models import _local
    from freshpot.legacy import squeezenet

    found = _local.find("squeezenet")
    if found is not None:
        for name in _local.FILES:
            shutil.copy(found / name, place.with_name(name))
        return f"a copy of the model in {found}"
    for name, net in zip(_local.FILES, squeezenet.nets(), strict=True):
        write_bytes(place.with_name(name), net.SerializeToString())
    return "SqueezeNet with random weights in place of the trained ones: its answers mean nothing"


def _caffe_root(hit: re.Match[str], place: Path) -> str:
    for folder in ("data/mnist", "examples/mnist", "python"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    return "an empty Caffe folder (data, examples)"


_TABLE = (
    _Entry(rf"(^|/)(?P<name>{'|'.join(map(re.escape, pictures.SIZES))})$", _picture),
    _Entry(r"(^|/)models/squeezenet/(init_net|predict_net)\.pb$", _model),
    _Entry(r"^(/|[A-Za-z]:/)(.*/)?caffe/?$", _caffe_root),
    *(_Entry(names, make) for names, make in caffe_folder.ENTRIES),
)


def _mnist_is_looked_for() -> bool:
    """freshpot's own search for the real files is going on: it must not find what would be made of its result."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == mnist.__name__:
            return True
        frame = frame.f_back
    return False


class StandIns:
    """Makes what the table has, and notes it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def make(self, name: str, place: Path) -> bool:
        """Make the stand-in for a name at a place; False if the table has none, or freshpot itself asks for MNIST."""
        if _mnist_is_looked_for():
            return False
        for entry in _TABLE:
            hit = re.search(entry.names, name.replace("\\", "/"))
            if hit is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._notes.add(f"{name}: {entry.make(hit, place)}")
                return True
        return False
