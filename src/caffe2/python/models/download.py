"""Fetching trained models: ``python -m caffe2.python.models.download [-i] [-f] MODEL…``.

The server of the original may be gone. Where a download fails the error says which folder the two files
of a model belong into, and everything else works from that folder.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffe2.python.models import _local
from freshpot.errors import DataError

DOWNLOAD_BASE_URL = "https://s3.amazonaws.com/download.caffe2.ai/models/"


def getURLFromName(name: str, filename: str) -> str:
    """Address of a file of a model."""
    return f"{DOWNLOAD_BASE_URL}{name}/{filename}"


def validModelName(name: str) -> bool:
    """True for names of letters, digits, ``_``, ``-`` and ``/``, other than ``__init__``."""
    return name != "__init__" and re.match("^[/0-9a-zA-Z_-]+$", name) is not None


def downloadFromURLToFile(url: str, filename: str | Path, show_progress: bool = True) -> None:
    """Write what is at an address to a file.

    Raises:
        DataError: the address cannot be reached.
    """
    if show_progress:
        print(f"Downloading from {url}")
    try:
        with urllib.request.urlopen(url) as response, open(filename, "wb") as file:
            shutil.copyfileobj(response, file)
    except (urllib.error.URLError, OSError) as error:
        raise DataError(f"could not download {url}: {error}.") from error


def downloadModel(model: str, folder: Path, force: bool = False, files: Sequence[str] = _local.FILES) -> None:
    """Fetch a model into a folder: all of its files or none.

    Raises:
        DataError: the folder exists (and ``force`` is off), or a file cannot be fetched.
    """
    if folder.exists() and not force:
        raise DataError(f"{folder} exists already; pass --force to replace it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        try:
            for file in files:
                downloadFromURLToFile(getURLFromName(model, file), Path(temporary, file))
        except DataError as error:
            raise DataError(
                f"{error} If you have the model from elsewhere, put {', '.join(files)} into {folder}."
            ) from error
        if folder.is_dir():
            shutil.rmtree(folder)
        shutil.copytree(temporary, folder)


class ModelDownloader:
    """Models with the shapes of their inputs, from this user's folder; fetched if they are not there."""

    def __init__(self, model_env_name: str = "CAFFE2_MODELS") -> None:
        self.model_env_name = model_env_name

    def _model_dir(self, model: str) -> Path:
        return _local.home(self.model_env_name) / model

    def get_c2_model(self, model_name: str) -> tuple[Any, Any, dict[str, Any]]:
        """Messages init_net and predict_net, and input name -> (type, shape).

        Raises:
            DataError: the model is neither here nor to be had. FormatError: a file is not what it should be.
        """
        folder = self._model_dir(model_name)
        if not folder.exists():
            downloadModel(model_name, folder, files=(*_local.FILES, "value_info.json"))
        init_net, predict_net = _local.read(folder)
        predict_net.name, init_net.name = model_name, f"{model_name}_init"
        values = folder / "value_info.json"
        if not values.is_file():
            raise DataError(f"{values} is missing: it gives type and shape of each input, as JSON.")
        return init_net, predict_net, json.loads(values.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="caffe2.python.models.download", description="Fetch trained models."
    )
    parser.add_argument("model", nargs="+", help="which")
    parser.add_argument(
        "-i", "--install", action="store_true", help="to this user's model folder, not to the current one"
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace a folder that exists")
    given = parser.parse_args(arguments)
    for model in given.model:
        try:
            if not validModelName(model):
                raise DataError(f"'{model}' is not a model name: letters, digits, '_', '-' and '/' only.")
            downloadModel(model, (_local.home() if given.install else Path()) / model, given.force)
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
