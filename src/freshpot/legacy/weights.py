"""Trained Caffe models that this machine lacks: nets that name one get random weights, and the table says so.

A path that is no known model (:mod:`known_models`) is refused, as by Caffe, unless stand-ins for all are asked for.
Served while a program runs: to `caffe.Net`, `copy_from`, `Classifier` and the ``caffe`` command. A file is made only
where a program asks for the model's download (`stand_in`), never in the user's own folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freshpot.errors import FreshpotError, NetError
from freshpot.formats.atomic import write_bytes
from freshpot.legacy import known_models
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay
from freshpot.legacy.routes import fetch

__all__ = ["download", "installed"]

#: what parameters of these layers are: mean, variance, factor; scale, shift; slope. None: drawn by their shape
_FIXED: dict[str, tuple[float, ...]] = {"BatchNorm": (0.0, 1.0, 1.0), "Scale": (1.0, 0.0), "PReLU": (0.25,)}


@contextlib.contextmanager
def installed(notes: Notes, text: str, every: bool = False) -> Iterator[None]:
    """Fill nets whose caffemodel is not there, if it is a known one.

    Args:
        notes: where it is said.
        text: the program, which may speak of where a model comes from.
        every: fill nets for any path.
    """
    from caffe import _files, _log

    def fill(net: Any, path: str) -> Any:
        why = known_models.known(path, text)
        if why is None and not every:
            raise NetError(_unknown(path))
        _fill(net)
        _log.warning(
            "net.cpp:738", f"{path}: not there ({why or 'unknown'}); '{net.name}' has random weights"
        )
        notes.add(
            f"{path}: not there{f' ({why})' if why else ''}; the net '{net.name}' was given random weights instead: "
            "its answers mean nothing"
        )
        return _files.CopyReport(untouched=[blob.name for layer in net.layers for blob in layer.blobs])

    before, _files.absent = _files.absent, fill
    try:
        yield
    finally:
        _files.absent = before


def _unknown(path: str) -> str:
    """What is wrong with a path that is no known model's."""
    close = known_models.nearest(path)
    near = f" There {'is' if len(close) == 1 else 'are'} {', '.join(close)}." if close else ""
    return (
        f"Could not open file {path}: there is no such file, and it is no model that was to be had anywhere.{near} "
        "For random weights in its place: freshpot run --stand-ins"
    )


def _fill(net: Any) -> None:
    """Weights of a spread that keeps signals alive; the same for one layer's name and shape in every net."""
    for layer in net.layers:
        for number, blob in enumerate(layer.blobs):
            shape = tuple(blob.dims)
            fixed = _FIXED.get(layer.type, ())
            if number < len(fixed):
                values = np.full(shape, fixed[number], np.float32)
            elif len([size for size in shape if size > 1]) < 2:
                values = np.zeros(shape, np.float32)
            else:
                random = np.random.default_rng(zlib.crc32(f"{layer.name}{number}".encode()))
                spread = math.sqrt(2 / max(1, math.prod(shape[1:])))
                values = random.standard_normal(math.prod(shape), np.float32).reshape(shape) * np.float32(
                    spread
                )
            blob.put(torch.from_numpy(values))
            net.site.settle((blob.data_cell,))


def download(folder: str, overlay: Overlay, notes: Notes) -> str:
    """What ``scripts/download_model_binary.py FOLDER`` is for: the model that the folder's readme names.

    It is fetched if its address still answers and its checksum is right; else a stand-in with random weights for the
    folder's ``deploy.prototxt`` is made in the overlay.

    Returns:
        what to print.
    """
    facts = _facts(os.path.join(folder, "readme.md"))
    name = os.path.basename(facts.get("caffemodel", f"{Path(folder).resolve().name}.caffemodel"))
    path = os.path.join(folder, name)
    if os.path.exists(path):
        return f"{path} is there\n"
    data = fetch(facts["caffemodel_url"]) if facts.get("caffemodel_url", "").startswith("http") else None
    if data is not None and hashlib.sha1(data).hexdigest() == facts.get("sha1"):
        write_bytes(overlay.target(path), data)
        return f"{path} downloaded from {facts['caffemodel_url']}\n"
    return _stand_in(folder, path, overlay, notes)


def _stand_in(folder: str, path: str, overlay: Overlay, notes: Notes) -> str:
    from caffe import _files
    from caffe.proto.caffe_pb2 import TEST

    definition = os.path.join(folder, "deploy.prototxt")
    try:
        net = _files.load_net(str(overlay.find(definition)), TEST)
    except (OSError, FreshpotError) as error:
        notes.add(f"{path}: cannot be fetched, and no stand-in can be made for it: {error}")
        return f"{path} cannot be fetched\n"
    _fill(net)
    place = overlay.place(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    _files.save_net(net, str(place))
    overlay.made(place)
    notes.add(f"{path}: cannot be fetched; a stand-in with random weights: its answers mean nothing")
    return f"{path}: a stand-in with random weights\n"


def _facts(path: str) -> dict[str, str]:
    """The fields at the head of a model's readme."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(1 << 16)
    except (OSError, UnicodeDecodeError):
        return {}
    return dict(re.findall(r"^(\w+):[ \t]*(.*\S)[ \t]*$", text, re.MULTILINE))
