"""Files of Caffe's folder that notebooks take for granted, made where a program asks for one that is not there.

MNIST's files and databases are made of freshpot's MNIST; nets are described (:mod:`caffe_nets`); lists of class names
and mean images are stand-ins.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from re import Match

import numpy as np

from freshpot.data.mnist import load_mnist
from freshpot.formats.atomic import write_bytes
from freshpot.formats.idx import write_idx
from freshpot.legacy import caffe_nets

__all__ = ["ENTRIES", "mnist_idx", "write_mnist_database"]

#: mean colour of ImageNet's photographs: blue, green, red
_MEAN = (104.0, 117.0, 123.0)


def _net(hit: Match[str], place: Path) -> str:
    write_bytes(place, caffe_nets.FILES[hit["name"]]().encode())
    return "the net's description, written by freshpot"


def _words(hit: Match[str], place: Path) -> str:
    count = 200 if hit["set"] else 1000
    write_bytes(place, "".join(f"n{n:08d} class {n}\n" for n in range(count)).encode())
    return f"a list of {count} classes without names"


def _mean(hit: Match[str], place: Path) -> str:
    image = np.empty((3, 256, 256), np.float32)
    image[:] = np.array(_MEAN, np.float32)[:, None, None]
    if hit["kind"] == "npy":
        with open(place, "wb") as file:
            np.save(file, image)
    else:
        from caffe.proto import caffe_pb2
        from freshpot.formats.caffemodel import fill_blob

        blob = caffe_pb2.BlobProto()
        fill_blob(blob, image[None], None)
        write_bytes(place, blob.SerializeToString())
    return "ImageNet's mean colour everywhere, in place of its mean image"


def mnist_idx(train: bool, kind: str, packed: bool) -> bytes:
    """One of MNIST's four files."""
    digits = load_mnist(None, "train" if train else "test")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "idx"
        write_idx(path, digits.images if kind == "images" else digits.labels)
        data = path.read_bytes()
    return gzip.compress(data, 1) if packed else data


def _idx(hit: Match[str], place: Path) -> str:
    write_bytes(place, mnist_idx(hit["half"] == "train", hit["kind"], bool(hit["gz"])))
    return f"made from {_title()}"


def write_mnist_database(path: Path, split: str) -> str:
    """MNIST's half as Caffe's script writes it, as LMDB; one that is there is replaced. Returns what it holds."""
    from freshpot.data.image_db import write_image_db

    digits = load_mnist(None, split)
    shutil.rmtree(path, ignore_errors=True)
    write_image_db("lmdb", path, digits.images, digits.labels, record="datum")
    return f"{len(digits)} records, {digits.title}"


def _database(hit: Match[str], place: Path) -> str:
    return write_mnist_database(place.parent, hit["half"])


def _styles(hit: Match[str], place: Path) -> str:
    """Pictures of five styles, told by colour, and the list of one half of them."""
    from freshpot.legacy import pictures

    folder = place.parent / "images"
    folder.mkdir(exist_ok=True)
    lines = []
    for number in range(100):
        picture = folder / f"{number:03d}.jpg"
        if not picture.exists():
            pictures.draw_style(picture, number % 5, number)
        if (number // 5 % 5 == 4) == (hit["half"] == "test"):
            lines.append(f"{picture} {number % 5}\n")
    write_bytes(place, "".join(lines).encode())
    return f"a list of {len(lines)} drawings of 5 styles in place of the photographs"


def _title() -> str:
    return load_mnist(None, "test", limit=1).title


#: pattern on the path with ``/``, and what makes the file and says in words what it is
ENTRIES: tuple[tuple[str, Callable[[Match[str], Path], str]], ...] = (
    (rf"(^|/)(?P<name>{'|'.join(caffe_nets.FILES)})$", _net),
    (r"(^|/)data/ilsvrc12/(?P<set>det_)?synset_words\.txt$", _words),
    (r"(^|/)ilsvrc_2012_mean\.(?P<kind>npy)$", _mean),
    (r"(^|/)data/ilsvrc12/imagenet_mean\.(?P<kind>binaryproto)$", _mean),
    (r"(^|/)(?P<half>train|t10k)-(?P<kind>images|labels)-idx[13]-ubyte(?P<gz>\.gz)?$", _idx),
    (r"(^|/)data/flickr_style/(?P<half>train|test)\.txt$", _styles),
    (r"(^|/)mnist_(?P<half>train|test)_lmdb/data\.mdb$", _database),
)
