"""Addresses that tutorials download from and that are gone: answered with data that freshpot has or makes.

Served while a program runs, through ``urllib`` and, if installed, ``requests``. Other addresses are not touched.
"""

from __future__ import annotations

import contextlib
import email.message
import io
import itertools
import os
import re
import tempfile
import urllib.error
import urllib.request
import urllib.response
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from freshpot.data.mnist import load_mnist
from freshpot.legacy import caffe_folder, paddle_data
from freshpot.legacy.notes import Notes

__all__ = ["Routes", "fetch"]

_SECONDS = 5.0  # how long an address that may still live is waited for


class _Route(NamedTuple):
    """A pattern of addresses, what is answered in words, how it is made, and may the address still live."""

    address: str
    what: str
    make: Callable[[re.Match[str]], bytes]
    alive: bool = False


def _mnist_zip(hit: re.Match[str]) -> bytes:
    """Both databases of the tutorials, zipped."""
    from freshpot.data.image_db import write_image_db

    packed = io.BytesIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for split in ("train", "test"):
            digits = load_mnist(None, split)
            path = Path(folder) / f"mnist-{split}-nchw-lmdb"
            write_image_db("lmdb", path, digits.images[:, None], digits.labels)
            archive.write(path / "data.mdb", f"{path.name}/data.mdb")
    return packed.getvalue()


def _mnist_idx(hit: re.Match[str]) -> bytes:
    """One of MNIST's four files."""
    return caffe_folder.mnist_idx(hit["half"] == "train", hit["kind"], bool(hit["gz"]))


def _mnist_idx_zip(hit: re.Match[str]) -> bytes:
    """All four, zipped."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for half, kind in itertools.product(("train", "t10k"), ("images", "labels")):
            name = f"{half}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
            archive.writestr(name, caffe_folder.mnist_idx(half == "train", kind, False))
    return packed.getvalue()


def _iris(hit: re.Match[str]) -> bytes:
    """150 rows of four lengths and a name, of three kinds that a line nearly parts."""
    random = np.random.default_rng(1936)
    kinds = {
        "setosa": (5.0, 3.4, 1.5, 0.2),
        "versicolor": (5.9, 2.8, 4.3, 1.3),
        "virginica": (6.6, 3.0, 5.5, 2.0),
    }
    lines = []
    for kind, middle in kinds.items():
        for row in random.normal(middle, (0.4, 0.3, 0.3, 0.15), (50, 4)).clip(0.1):
            lines.append(",".join(f"{value:.1f}" for value in row) + f",Iris-{kind}")
    return ("\n".join(lines) + "\n\n").encode()


def _model(hit: re.Match[str]) -> bytes:
    from freshpot.legacy import squeezenet

    init, predict = squeezenet.nets()
    return (init if hit["net"] == "init_net" else predict).SerializeToString()


def _codes(hit: re.Match[str]) -> bytes:
    lines = [f" {number}: 'class {number} (no name: stand-in list)'," for number in range(1001)]
    return "\n".join(["{", *lines, "}"]).encode()


_TABLE = (
    _Route(r"download\.caffe2\.ai/databases/mnist-lmdb\.zip$", "databases made from {mnist}", _mnist_zip),
    _Route(
        r"yann\.lecun\.com/exdb/mnist/(?P<half>train|t10k)-(?P<kind>images|labels)-idx\d-ubyte(?P<gz>\.gz)?$",
        "a file made from {mnist}",
        _mnist_idx,
    ),
    _Route(r"download\.caffe2\.ai/datasets/mnist/mnist\.zip$", "files made from {mnist}", _mnist_idx_zip),
    _Route(
        r"archive\.ics\.uci\.edu/ml/machine-learning-databases/iris/iris\.data$",
        "150 drawn rows in place of the iris data",
        _iris,
        alive=True,
    ),
    _Route(
        r"archive\.ics\.uci\.edu/ml/machine-learning-databases/housing/housing\.data$",
        "506 drawn rows in place of the housing data",
        lambda hit: paddle_data.housing(),
        alive=True,
    ),
    _Route(
        r"ocw\.mit\.edu/.*/t8\.shakespeare\.txt$",
        "4,000 lines of drawn words in place of Shakespeare's works",
        lambda hit: paddle_data.text(),
        alive=True,
    ),
    _Route(
        r"download\.caffe2\.ai/models/squeezenet/(?P<net>init_net|predict_net)\.pb$",
        "SqueezeNet with random weights: its answers mean nothing",
        _model,
    ),
    _Route(
        r"gist\.github(usercontent)?\.com/aaronmarkham/cd3a6b6ac071eca6f7b4a6e40e6038aa",
        "a list of 1001 classes without names",
        _codes,
        alive=True,
    ),
)


class Routes:
    """Answers the addresses of the table, and notes it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._answers: dict[str, bytes] = {}

    def answer(self, address: str) -> bytes | None:
        """What is at an address of the table; None for any other."""
        if address in self._answers:
            return self._answers[address]
        for route in _TABLE:
            hit = re.search(route.address, address)
            if hit is not None:
                data = fetch(address) if route.alive else None
                if data is None:
                    data = route.make(hit)
                    what = (
                        route.what.replace("{mnist}", _mnist_name())
                        if "{mnist}" in route.what
                        else route.what
                    )
                    self._notes.add(f"{address}: {what}")
                self._answers[address] = data
                return data
        return None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Serve the table to ``urllib.request`` and to ``requests``."""
        before = urllib.request._opener  # type: ignore[attr-defined]
        urllib.request.install_opener(urllib.request.build_opener(_Handler(self)))
        try:
            with self._serving_requests():
                yield
        finally:
            urllib.request._opener = before  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def _serving_requests(self) -> Iterator[None]:
        import requests

        plain = requests.Session.request

        def request(session: Any, method: str, url: Any, *args: Any, **keywords: Any) -> Any:
            data = self.answer(str(url)) if method.upper() == "GET" else None
            if data is None:
                return plain(session, method, url, *args, **keywords)
            made = requests.Response()
            made.status_code, made.url, made.reason = 200, str(url), "OK"
            made.raw = io.BytesIO(data)
            made._content = data
            return made

        setattr(requests.Session, "request", request)  # noqa: B010 - a method is replaced for the time of the run
        try:
            yield
        finally:
            setattr(requests.Session, "request", plain)  # noqa: B010


class _Handler(urllib.request.BaseHandler):
    """First in urllib's chain."""

    handler_order = 1

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def default_open(self, request: urllib.request.Request) -> Any:
        data = self._routes.answer(request.full_url) if request.get_method() == "GET" else None
        if data is None:
            return None
        headers = email.message.Message()
        headers["Content-Length"] = str(len(data))
        response = urllib.response.addinfourl(io.BytesIO(data), headers, request.full_url, 200)
        response.msg = "OK"  # type: ignore[attr-defined]
        return response


def _mnist_name() -> str:
    return load_mnist(None, "test", limit=1).title


def fetch(address: str) -> bytes | None:
    """What an address that may still live has; None if it cannot be reached."""
    if os.environ.get("FRESHPOT_OFFLINE", "") not in ("", "0"):
        return None
    try:
        with urllib.request.build_opener().open(address, timeout=_SECONDS) as response:
            return response.read()
    except (OSError, ValueError):
        return None
