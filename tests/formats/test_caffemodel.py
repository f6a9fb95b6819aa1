"""Caffe's parameter files: blobs of every age in protobuf and HDF5, and what is refused of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from freshpot.errors import FormatError
from freshpot.formats import caffemodel, protobuf
from freshpot.formats.packed import get_packed, put_packed

PB = protobuf.load("caffe")
F = np.float32


def blob(shape: list[int] | None = None, legacy: tuple[int, ...] | None = None, **fields: Any) -> Any:
    made = PB.BlobProto(**fields)
    if shape is not None:
        made.shape.SetInParent()
        made.shape.dim.extend(shape)
    for name, size in zip(("num", "channels", "height", "width"), legacy or (), strict=False):
        setattr(made, name, size)
    return made


# ---- blobs ----------------------------------------------------------------------------------------

SHAPES = [
    (blob([2, 3], data=range(6)), (2, 3)),
    (blob([], data=[5]), ()),
    (blob(data=[5]), ()),
    (blob([0, 4]), (0, 4)),
    (blob([1, 1, 1, 1, 6], data=range(6)), (1, 1, 1, 1, 6)),
    (blob(legacy=(1, 2, 3, 1), data=range(6)), (1, 2, 3, 1)),
    (blob([6], legacy=(9, 9, 9, 9), data=range(6)), (6,)),
    (blob([2, 3], double_data=range(6)), (2, 3)),
    (blob([6], data=[9.0], double_data=range(6)), (6,)),  # doubles count where there are both
]


@pytest.mark.parametrize(("message", "shape"), SHAPES)
def test_blobs_of_every_kind(message: Any, shape: tuple[int, ...]) -> None:
    array = caffemodel.read_blob(message)
    assert array.shape == shape == caffemodel.blob_shape(message)
    assert array.dtype == F
    assert array.flags.writeable
    if array.size > 1:
        np.testing.assert_array_equal(array.ravel(), np.arange(array.size))


def test_gradients() -> None:
    made = PB.BlobProto()
    caffemodel.fill_blob(made, np.zeros((2, 2), F), np.arange(4, dtype=F).reshape(2, 2))
    np.testing.assert_array_equal(caffemodel.read_blob(made, diff=True), [[0, 1], [2, 3]])
    doubles = blob([2], double_diff=[1.5, 2.5], double_data=[0, 0])
    np.testing.assert_array_equal(caffemodel.read_blob(doubles, diff=True), [1.5, 2.5])


def test_a_filled_blob_is_as_protobuf_would_write_it() -> None:
    array = np.random.RandomState(0).randn(3, 4).astype(F)
    made = PB.BlobProto()
    caffemodel.fill_blob(made, array.T)
    plain = PB.BlobProto(data=array.T.ravel().tolist())
    plain.shape.dim.extend([4, 3])
    assert made.SerializeToString() == plain.SerializeToString()


BAD_BLOBS = [
    (blob([2, 3], data=range(5)), "a blob of shape (2, 3) has 5 values, expected 6"),
    (blob([2, 3]), "a blob of shape (2, 3) has 0 values, expected 6"),
    (blob([], data=[1, 2]), "a blob of shape () has 2 values, expected 1"),
    (blob([-1, -6], data=range(6)), "a blob of shape (-1, -6) has 6 values"),
    (blob(legacy=(2, 2, 2, 2), data=range(6)), "a blob of shape (2, 2, 2, 2) has 6 values, expected 16"),
    (blob([2**62, 2**62], data=[1]), "has 1 values, expected 21267647932558653966460912964485513216"),
    (blob([1] * 100, data=[1]), "a blob of 100 axes: "),
    (blob([2, 3], double_data=range(7)), "a blob of shape (2, 3) has 7 values, expected 6"),
]


@pytest.mark.parametrize(("message", "words"), BAD_BLOBS)
def test_blobs_that_do_not_add_up(message: Any, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        caffemodel.read_blob(message, where="layer 'ip' parameter 0", path="m.caffemodel")
    assert str(caught.value).startswith("m.caffemodel: layer 'ip' parameter 0: ")
    assert words in str(caught.value)


FITS = [
    ((3, 4), blob([3, 4]), True),
    ((3, 4), blob([4, 3]), False),
    ((3, 4), blob([1, 1, 3, 4]), False),  # a shape is meant as it is
    ((3, 4), blob(legacy=(1, 1, 3, 4)), True),
    ((4,), blob(legacy=(1, 1, 1, 4)), True),
    ((4,), blob(legacy=(1, 1, 4, 1)), False),
    ((2, 3, 4, 5), blob(legacy=(2, 3, 4, 5)), True),
    ((1, 2, 3, 4, 5), blob(legacy=(2, 3, 4, 5)), False),
]


@pytest.mark.parametrize(("shape", "message", "fits"), FITS)
def test_old_shapes_match_by_their_last_axes(shape: tuple[int, ...], message: Any, fits: bool) -> None:
    assert caffemodel.fits(shape, message) is fits


def test_packed_fields() -> None:
    made = PB.BlobProto()
    put_packed(made, "data", b"")
    assert get_packed(made, "data") == b""
    for piece in (np.arange(3, dtype="<f4"), np.arange(1000, dtype="<f4")):
        put_packed(made, "data", piece.tobytes())
    assert list(made.data[:5]) == [0, 1, 2, 0, 1]
    assert get_packed(made, "data") == np.array(made.data, "<f4").tobytes()


# ---- binary files ---------------------------------------------------------------------------------


def test_reference_model(shared: Path) -> None:
    folder = shared / "reference/caffe/files"
    arrays = np.load(folder / "arrays.npz")
    binary = caffemodel.read_binary_net(folder / "mlp_iter_10.caffemodel")
    hdf5 = caffemodel.read_hdf5_layers(folder / "mlp_iter_10.caffemodel.h5")
    seen = 0
    for layer in binary.layer:
        for k, message in enumerate(layer.blobs):
            wanted = arrays[f"mlp_iter_10/{layer.name}/{k}"]
            np.testing.assert_array_equal(caffemodel.read_blob(message), wanted)
            np.testing.assert_array_equal(hdf5[layer.name][k], wanted)
            seen += 1
    assert seen == 4


BROKEN = [
    b"\x0a",
    b"\x0a\x05abc",
    b"\xa2\x06\xff\xff\xff\xff\x07",
    b"\x07",
    b"name: 'text'",
    b"\x0a\x02\xff\xfe",
]


@pytest.mark.parametrize("data", BROKEN)
def test_broken_binary_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.caffemodel"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"m\.caffemodel: "):
        caffemodel.read_binary_net(path)


def big_net() -> Any:
    """As large as AlexNet: 61 million weights, 244 MB."""
    net = PB.NetParameter(name="big")
    for k, shape in enumerate([(96, 3, 11, 11), (256, 48, 5, 5), (4096, 9216), (4096, 4096), (1000, 4096)]):
        array = np.arange(np.prod(shape), dtype=F).reshape(shape)
        caffemodel.fill_blob(net.layer.add(name=f"l{k}", type="InnerProduct").blobs.add(), array)
    return net


@pytest.mark.slow
def test_a_large_model(tmp_path: Path) -> None:
    net = big_net()
    caffemodel.write_message(tmp_path / "big.caffemodel", net)
    again = caffemodel.read_binary_net(tmp_path / "big.caffemodel")
    for mine, theirs in zip(net.layer, again.layer, strict=True):
        array = caffemodel.read_blob(theirs.blobs[0])
        assert array.shape == tuple(mine.blobs[0].shape.dim)
        np.testing.assert_array_equal(array.ravel()[[0, 1, -1]], [0, 1, F(array.size - 1)])


# ---- HDF5 -----------------------------------------------------------------------------------------


def test_hdf5_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    layers = {
        "conv": [(0, np.ones((2, 3), F)), (1, np.zeros(2, F))],
        "relu": [],
        "res1/conv/3x3": [(0, np.full((1,), 7, F))],
        "/abs//lead": [(0, np.full((2,), 8, F))],
        "res1/conv": [(1, np.full((2,), 9, F))],
        "": [],
    }
    caffemodel.write_hdf5_layers(path, layers, layers)
    found = caffemodel.read_hdf5_layers(path)
    wanted = {caffemodel.hdf5_name(name): dict(arrays) for name, arrays in layers.items() if name}
    assert {n: sorted(a) for n, a in found.items()} == {n: sorted(a) for n, a in wanted.items()}
    for name, arrays in wanted.items():
        for k, array in arrays.items():
            np.testing.assert_array_equal(found[name][k], array)
    with h5py.File(path) as file:
        assert sorted(file) == ["data", "diff"]


@pytest.mark.parametrize(
    "layers", [{"": [(0, np.ones(1, F))]}, {"a": [(0, np.ones(1, F))], "/a": [(0, np.ones(1, F))]}]
)
def test_names_that_hdf5_cannot_hold(tmp_path: Path, layers: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"m\.h5: layer '/?a?' cannot be a group in HDF5"):
        caffemodel.write_hdf5_layers(tmp_path / "m.h5", layers)
    assert not list(tmp_path.iterdir())


def _text(file: Any) -> None:
    file.create_group("data/a").create_dataset("0", data=np.array([b"text"]))


def _integers(file: Any) -> None:
    file.create_group("data/a").create_dataset("0", data=np.arange(3))


def _no_data(file: Any) -> None:
    file.create_group("weights")


def _data_is_an_array(file: Any) -> None:
    file.create_dataset("data", data=np.ones(3))


def _external_link(file: Any) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other.create_dataset("secret", data=np.ones(3, F))
    file.create_group("data/a")["0"] = h5py.ExternalLink("other.h5", "/secret")


def _external_storage(file: Any) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(bytes(12))
    file.create_group("data/a").create_dataset("0", (3,), "<f4", external=[(str(secret), 0, 12)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((3,), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (3,))
    file.create_group("data/a").create_virtual_dataset("0", layout)


def _cycle(file: Any) -> None:
    inner = file.create_group("data/a")
    inner["again"] = file["data"]


def _dangling(file: Any) -> None:
    file.create_group("data/a")["0"] = h5py.SoftLink("/nowhere")


def _enormous(file: Any) -> None:
    file.create_group("data/a").create_dataset("0", (2**40,), "<f4", chunks=(1024,))


HOSTILE = [
    (_text, "'/data/a/0' is not an array of floats"),
    (_integers, "'/data/a/0' is not an array of floats"),
    (_no_data, "no group 'data': not a caffemodel in HDF5"),
    (_data_is_an_array, "no group 'data': not a caffemodel in HDF5"),
    (_external_link, "'/secret' is stored in another file; that is not followed"),
    (_external_storage, "'/data/a/0' is stored in another file; that is not followed"),
    (_virtual, "'/data/a/0' is stored in another file; that is not followed"),
    (_cycle, "stands in the file twice"),
    (_dangling, "'/data/a/0' is a link to nowhere"),
    (_enormous, "'/data/a/0' claims 4398046511104 bytes, more than the file can hold"),
]


@pytest.mark.parametrize(("make", "words"), HOSTILE)
def test_hostile_hdf5(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(FormatError) as caught:
        caffemodel.read_hdf5_layers(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_files_that_are_no_hdf5(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"m\.h5: not a readable HDF5 file: "):
        caffemodel.read_hdf5_layers(path)


def test_writing_leaves_no_broken_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        caffemodel.write_hdf5_layers(tmp_path / "nowhere" / "m.h5", {"a": [(0, np.ones(1, F))]})
    assert not list(tmp_path.iterdir())
