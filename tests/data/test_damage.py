"""Every reader of `freshpot.formats` and `freshpot.data`, given damaged bytes: a typed error or data, nothing else."""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import freshpot.data
import freshpot.formats
from freshpot.data import datum, image_list, images, pictures, reader, tensor_protos, windows
from freshpot.errors import FreshpotError
from freshpot.formats import blob_proto, caffe_text, caffemodel, idx, protobuf, prototxt, solverstate

CAFFE = protobuf.load("caffe")
ROOT = Path(__file__).resolve().parents[1]


# ---- good bytes -------------------------------------------------------------------------------------


def picture(kind: str, mode: str = "RGB") -> bytes:
    from PIL import Image

    pixels = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def written(write: Callable[[Path], object], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


def blob() -> Any:
    made = CAFFE.BlobProto(data=[1.0, 2.0, 3.0, 4.0])
    made.shape.dim.extend([2, 2])
    return made


def net() -> bytes:
    made = CAFFE.NetParameter(name="net")
    layer = made.layer.add(name="ip", type="InnerProduct", bottom=["x"], top=["y"])
    layer.blobs.extend([blob(), blob()])
    return bytes(made.SerializeToString())


def state(path: Path) -> None:
    values = [np.ones((2, 3), np.float32), np.zeros(4, np.float32)]
    solverstate.write_solverstate(path, solverstate.SolverState(7, "net.caffemodel", 1, values))


NET_TEXT = b"""name: "n"
layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "i" type: "InnerProduct" bottom: "d" top: "i" inner_product_param { num_output: 2 } }
"""
WINDOWS = b"# 0\na.png\n3\n10\n12\n2\n1 0.9 0 0 4 4\n0 0.1 1 1 3 3\n# 1\nb.png\n3\n8\n8\n1\n2 0.7 0 0 4 4\n"
DATUM = datum.array_to_datum(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), 4)
ENCODED = datum.file_to_datum(picture("PNG"), 4)
TENSORS = tensor_protos.encode_tensors(np.ones((2, 3), np.float32), np.array(5, np.int32))


# ---- readers: name -> its good files, and how a user reads one ---------------------------------------


def read_store(kind: str, path: Path) -> None:
    with reader.open_db(kind, path) as database:
        cursor = database.cursor()
        while cursor.valid:
            cursor.key(), cursor.value()
            cursor.next()


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def protodb(path: Path) -> None:
    made = protobuf.load("caffe2").TensorProtos()
    made.ParseFromString(TENSORS)
    for number, tensor in enumerate(made.protos):
        tensor.name = f"t{number}"
    path.write_bytes(made.SerializeToString())


def ignore(*_: object) -> None:
    """What readers say of old nets."""


def read_layers(path: Path) -> None:
    for layer in caffemodel.read_binary_net(path).layer:
        for each in layer.blobs:
            caffemodel.read_blob(each, path=path)


READERS: dict[str, tuple[list[bytes], Callable[[Path], object]]] = {
    "idx.read_idx": (
        [
            written(lambda path: idx.write_idx(path, np.arange(24, dtype=np.uint8).reshape(2, 3, 4)), "a"),
            written(lambda path: idx.write_idx(path, np.arange(24, dtype=np.int16).reshape(2, 3, 4)), "a.gz"),
        ],
        idx.read_idx,
    ),
    "idx.parse_idx": (
        [written(lambda path: idx.write_idx(path, np.arange(6, dtype=np.float64)), "a")],
        lambda path: idx.parse_idx(path.read_bytes()),
    ),
    "blob_proto.deserialize_blob": (
        [
            blob_proto.serialize_blob("x", np.arange(6, dtype=np.float32).reshape(2, 3)),
            blob_proto.serialize_blob("x", "words"),
        ],
        lambda path: blob_proto.deserialize_blob(path.read_bytes()),
    ),
    "caffemodel.read_binary_net": ([net()], caffemodel.read_binary_net),
    "caffemodel.read_blob": ([net()], read_layers),
    "solverstate.read_solverstate": ([written(state, "a.solverstate")], solverstate.read_solverstate),
    "caffe_text.read_net_text": ([NET_TEXT], lambda path: caffe_text.read_net_text(text_of(path), path, ignore)),
    "prototxt.parse_prototxt": (
        [NET_TEXT],
        lambda path: prototxt.parse_prototxt(text_of(path), CAFFE.NetParameter(), path),
    ),
    "protobuf.parse_message": (
        [net()],
        lambda path: protobuf.parse_message(CAFFE.NetParameter, path.read_bytes(), path=path),
    ),
    "datum.read_datum": (
        [DATUM, ENCODED],
        lambda path: datum.read_datum(path.read_bytes(), decode_image=images.decode_image),
    ),
    "images.decode_image": (
        [picture("PNG"), picture("JPEG"), picture("BMP")],
        lambda path: images.decode_image(path.read_bytes()),
    ),
    "images.read_image": ([picture("PNG", "L")], lambda path: images.read_image(path, height=4, width=4)),
    "pictures.read_picture": (
        [
            picture("PNG"), picture("PNG", "RGBA"), picture("JPEG"), picture("GIF", "P"), picture("BMP"),
            picture("TIFF", "L"), picture("PPM"), picture("TGA"),
        ],
        pictures.read_picture,
    ),
    "image_list.read_lines": ([b"a.png 1\nb c.png 2\n"], image_list.read_lines),
    "image_list.read_image_list": ([b"a.png 1\nb c.png 2\n"], image_list.read_image_list),
    "windows.read_window_file": ([WINDOWS], lambda path: windows.read_window_file(path, 0.5, 0.5)),
    "reader.open_db protodb": ([written(protodb, "a")], lambda path: read_store("protodb", path)),
}  # fmt: skip

#: readers whose damaged files are elsewhere: in a process of its own where a library may crash
ELSEWHERE = {
    "caffemodel.read_hdf5_layers": "caffe/hostile.py",
    "caffemodel.read_hdf5_array": "caffe/hostile.py",
    "hdf5_rows.read_datasets": "caffe/hostile.py",
    "lmdb_tree.LmdbFile": "data/test_stores.py",
    "mnist.load_mnist": "formats/test_idx.py",
    "onnx_file.read_model": "convert/test_onnx_files.py",
    "reader.open_db": "data/test_stores.py",
    "synthetic.load_synthetic": "data/test_synthetic.py",
    "wire.decode_varints": "formats/test_wire.py",
    "wire.scan_fields": "formats/test_wire.py",
}


def test_every_reader_has_its_damaged_files() -> None:
    found = set()
    for package in (freshpot.formats, freshpot.data):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for name, member in vars(importlib.import_module(module.name)).items():
                reads = name.partition("_")[0] in ("read", "parse", "decode", "load", "deserialize", "scan")
                if reads and inspect.isfunction(member) and member.__module__ == module.name:
                    found.add(f"{module.name.rpartition('.')[2]}.{name}")
    found -= {"protobuf.load", "protobuf.read_table"}  # read files of freshpot's own
    missing = sorted(found - set(READERS) - set(ELSEWHERE))
    assert not missing, f"no test damages what these read: {', '.join(missing)}"
    assert all((ROOT / place).is_file() for place in ELSEWHERE.values())


# ---- damage -----------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn, goods: list[bytes]) -> bytes:
    """One of the files, cut, with bytes changed, taken out, put in or doubled, once to three times."""
    data = draw(st.sampled_from(goods))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        upto = at + draw(st.integers(0, 8))
        what = draw(st.sampled_from(["cut", "flip", "change", "remove", "insert", "double", "large"]))
        if what == "cut":
            data = data[:at]
        elif what == "flip" and data:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif what == "change":
            data = data[:at] + draw(st.binary(max_size=8)) + data[upto:]
        elif what == "remove":
            data = data[:at] + data[upto:]
        elif what == "insert":
            data = data[:at] + draw(st.binary(max_size=8)) + data[at:]
        elif what == "double":
            data = data[:upto] + data[at:]
        else:
            many = draw(
                st.sampled_from([b"\xff" * 8, b"\xff\xff\xff\xff\x07", b"\x7f\xff\xff\xff", b"9" * 30])
            )
            data = data[:at] + many + data[at + len(many) :]
    return data


#: as many files a reader in the default suite, the same in every run
QUICK = 60


def try_damaged(name: str, examples: int) -> None:
    goods, read = READERS[name]
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"

        @settings(
            max_examples=examples, deadline=None, database=None, derandomize=examples == QUICK,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(damaged(goods))
        def one(data: bytes) -> None:
            nonlocal refused
            path.write_bytes(data)
            try:
                read(path)
            except FreshpotError:
                refused += 1

        one()
    assert refused, "nothing was refused: the damage does nothing"


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(name: str, tmp_path: Path) -> None:
    goods, read = READERS[name]
    for number, good in enumerate(goods):
        path = tmp_path / str(number)
        path.write_bytes(good)
        read(path)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_give_a_typed_error_or_data(name: str) -> None:
    try_damaged(name, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files(name: str) -> None:
    try_damaged(name, 1000)
