"""Model folders on this machine: where they are, and reading them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python.predictor import serde
from freshpot.errors import DataError, FormatError

FILES = ("init_net.pb", "predict_net.pb")


def home(variable: str = "CAFFE2_MODELS") -> Path:
    """The folder for models of this user."""
    base = Path(os.environ.get("CAFFE2_HOME", "~/.caffe2")).expanduser()
    return Path(os.environ.get(variable, base / "models"))


def folders() -> list[Path]:
    """Where models are looked for, in order."""
    return [Path(__file__).parent, home()]


def find(name: str) -> Path | None:
    """The folder of a model, or None."""
    return next((f / name for f in folders() if all((f / name / file).is_file() for file in FILES)), None)


def read(folder: Path) -> tuple[Any, Any]:
    """Messages init_net and predict_net of a model folder.

    Raises:
        DataError: a file is missing. FormatError: one is not a net.
    """
    init_net, predict_net = (_read_net(folder / file) for file in FILES)
    return init_net, predict_net


def _read_net(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path} is missing: a model folder must have {' and '.join(FILES)}.")
    try:
        return serde.deserialize_protobuf_struct(path.read_bytes(), caffe2_pb2.NetDef)
    except FormatError as error:
        raise FormatError(str(error), path=path) from error
