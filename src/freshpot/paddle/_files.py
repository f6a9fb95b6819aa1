"""``paddle.save`` and ``paddle.load``: dictionaries of arrays, as pickles the original reads and writes."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats.atomic import write_bytes
from freshpot.paddle._pickle_reader import read_pickle
from freshpot.paddle._stream import read_tensor
from freshpot.paddle._tensor import Tensor, to_tensor

__all__ = ["load", "save"]

_NAME_TABLE = "StructuredToParameterName@@"


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy().reshape(value.shape)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.ndarray, np.generic)):
        return value
    raise NotSupportedError(f"paddle.save: {type(value).__name__} is no data; save layer.state_dict()")


def save(obj: Any, path: str | os.PathLike[str], protocol: int = 4, **configs: Any) -> None:
    """Write a state dictionary (or any nest of data) to a file, atomically; missing folders are made.

    Raises:
        NotSupportedError: something that is no data, a layer itself for instance.
    """
    plain = _plain(obj)
    if (
        isinstance(obj, dict)
        and obj
        and all(isinstance(value, Tensor) and value.persistable for value in obj.values())
    ):
        plain[_NAME_TABLE] = {key: value.name for key, value in obj.items()}
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    stream = io.BytesIO()
    pickle.dump(plain, stream, protocol)
    write_bytes(path, stream.getvalue())


def load(path: str | os.PathLike[str], return_numpy: bool = False, **configs: Any) -> Any:
    """Read a file of :func:`save` or of the original; nothing in it is executed.

    Args:
        path: the file; or what ``jit.load`` takes, a folder or the files' common name: then the network's parameters.
        configs: ``model_filename`` and ``params_filename``, names of files in the folder ``path``.

    Raises:
        FormatError: corrupt, cut off, or holding something other than data.
        OSError: it cannot be opened.
    """
    if os.path.isdir(path) or (not os.path.isfile(path) and os.path.isfile(f"{path}.pdmodel")):
        values = _of_a_network(os.fspath(path), **configs)
        return values if return_numpy else _tensors(values, {})
    with open(path, "rb") as file:
        found = read_pickle(file.read(), path)
    if isinstance(found, dict) and not configs.get("keep_name_table"):
        found.pop(_NAME_TABLE, None)
    return found if return_numpy else _tensors(found, {})


def _of_a_network(path: str, **configs: Any) -> dict[str, Any]:
    """The parameters in a network's files; of a folder without a network, those in its files, by their names."""
    from freshpot.paddle.jit import located
    from freshpot.paddle.jit._files import parameters_of

    named = {key: configs[key] for key in ("model_filename", "params_filename") if configs.get(key)}
    model, parameters = located(path, **named)
    if os.path.isdir(path) and not model.is_file():
        found = {}
        for file in sorted(Path(path).iterdir()):
            found[file.name], at = read_tensor(file.read_bytes(), 0, file)
            if at != file.stat().st_size:
                raise FormatError("bytes are left after the parameter", path=file)
        return found
    return parameters_of(model, parameters)


def _tensors(value: Any, done: dict[int, Any]) -> Any:
    """Arrays as tensors; what occurs several times is made once."""
    if id(value) not in done:
        done[id(value)] = _made(value, done)
    return done[id(value)]


def _made(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, np.ndarray):
        return to_tensor(value)
    if (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], np.ndarray)
    ):
        made = to_tensor(value[1])
        made.name = value[0]
        return made
    if isinstance(value, dict):
        return {key: _tensors(part, done) for key, part in value.items()}
    return type(value)(_tensors(part, done) for part in value) if isinstance(value, (list, tuple)) else value
