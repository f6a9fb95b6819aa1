"""Networks for use, in files: ``<path>.pdmodel`` with what is computed, ``<path>.pdiparams`` with the parameters.

Those that freshpot writes hold a net (a NetDef behind a first line that says so); the original's hold a program. Both
are read, and the original's pair of ``__model__`` and a folder or file of parameters too. Called by
:mod:`freshpot.paddle.jit` and :mod:`freshpot.paddle.static`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freshpot.convert.netdef import net_from_bytes, net_to_proto
from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats.atomic import write_bytes
from freshpot.net import Net
from freshpot.paddle._stream import ELEMENTS, read_tensor, write_tensors
from freshpot.paddle.jit._program import Program, read_program

__all__ = ["parameters_of", "read_network", "write_network"]

_HEAD = b"freshpot net 1\n"


def write_network(path: str, captured: Any, names: Mapping[str, str] | None = None) -> None:
    """Write a captured net as ``<path>.pdmodel`` and ``<path>.pdiparams``; missing folders are made.

    Args:
        names: the parameters' own names by the net's, where they differ.
    """
    net, own = captured.net, names or {}
    net.args = {
        "inputs": list(captured.inputs),
        "trainable": list(captured.trainable),
        "constants": list(captured.constants),
        "names": [own.get(name, name) for name in sorted(captured.parameters)],
        **{f"shape_{i}": _sizes_of(captured, name) for i, name in enumerate(captured.inputs)},
    }
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    values = [captured.parameters[name].detach().cpu().numpy() for name in sorted(captured.parameters)]
    write_bytes(path + ".pdiparams", write_tensors(values))
    write_bytes(path + ".pdmodel", _HEAD + net_to_proto(net).SerializeToString())


def _sizes_of(captured: Any, name: str) -> list[int]:
    """An input's element type, as Paddle numbers it, and its sizes, -1 for an open one; nothing if not known."""
    if name not in captured.shapes:
        return []
    sizes, dtype = captured.shapes[name]
    number = next(
        k for k, v in ELEMENTS.items() if np.dtype(v) == np.dtype(str(dtype).removeprefix("torch."))
    )
    return [number, *(-1 if size is None else size for size in sizes)]


def _shape_in(net: Net, i: int) -> tuple[list[int | None], torch.dtype] | None:
    """What `_sizes_of` wrote of input i."""
    said = net.args.get(f"shape_{i}")
    if not isinstance(said, list) or not said or said[0] not in ELEMENTS:
        return None
    dtype = torch.from_numpy(np.empty(0, ELEMENTS[said[0]])).dtype
    return [None if size == -1 else int(size) for size in said[1:]], dtype


def read_network(model: Path, parameters: Path | None) -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    """A :class:`Program` of the original or a captured net of ours, and the parameters by name.

    Args:
        model: the file of what is computed.
        parameters: a file of all parameters, or a folder with a file for each; None: the network has none.

    Raises:
        FormatError: corrupt, cut off, or files that do not belong together. OSError: one cannot be opened.
        NotSupportedError: operators that are not done here.
    """
    data = model.read_bytes()
    if not data.startswith(_HEAD):
        if data[:1] == b"{":
            raise NotSupportedError(
                f"{model}: a program of Paddle 3 (json); .pdmodel of Paddle 1.0 to 2.6 is read"
            )
        program = read_program(data, model)
        return program, _read_all(sorted(program.parameters), program, parameters)
    from freshpot.torch import Captured

    net = net_from_bytes(data[len(_HEAD) :], path=model)
    said = {key: _texts(net.args.get(key)) for key in ("inputs", "trainable", "constants")}
    names = [blob for blob in net.inputs if blob not in said["inputs"]]
    values = _read_all(sorted(names), None, parameters)
    made = {name: torch.from_numpy(values[name]) for name in names}
    shapes = {
        name: found for i, name in enumerate(said["inputs"]) if (found := _shape_in(net, i)) is not None
    }
    return Captured(net, made, said["trainable"], said["inputs"], said["constants"], shapes), values


def parameters_of(model: Path, parameters: Path | None) -> dict[str, np.ndarray[Any, Any]]:
    """A network's parameters, by their own names. Raises as :func:`read_network` does."""
    network, values = read_network(model, parameters)
    own = [] if isinstance(network, Program) else _texts(network.net.args.get("names"))
    return dict(zip(own, values.values(), strict=True)) if len(own) == len(values) else values


def _texts(value: Any) -> list[str]:
    return [str(part) for part in value] if isinstance(value, (list, tuple)) else []


def _read_all(names: Iterable[str], program: Program | None, source: Path | None) -> dict[str, Any]:
    names = list(names)
    if not names:
        return {}
    if source is None:
        raise FormatError(f"the network has {len(names)} parameters, and no file of them was found")
    values = {}
    if source.is_dir():
        for name in names:
            if os.sep in name or name in ("", ".", ".."):
                raise FormatError(f"a parameter named {name!r} is no name of a file", path=source)
            file = source / name
            values[name], _ = read_tensor(file.read_bytes(), 0, file)
    else:
        data, at = source.read_bytes(), 0
        for name in names:
            values[name], at = read_tensor(data, at, source)
        if at != len(data):
            raise FormatError(f"{len(data) - at} bytes are left after {len(names)} parameters", path=source)
    for name, shape in (program.parameters if program is not None else {}).items():
        if list(values[name].shape) != shape:
            raise FormatError(
                f"'{name}' is {list(values[name].shape)}, the program says {shape}", path=source
            )
    return values
