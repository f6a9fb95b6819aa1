"""Files that the original wrote, through `caffe2.python`: read with equal values, written back byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffe2.proto import caffe2_pb2, metanet_pb2
from caffe2.python import core, utils, workspace
from freshpot.convert import netdef
from freshpot.data.reader import DBReader, open_db
from freshpot.data.reader import Mode as DBMode


@pytest.fixture
def files(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(core.Net, "_net_names_used", set())
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace(str(tmp_path))
    yield shared / "reference" / "caffe2" / "files"
    workspace.ResetWorkspace(".")


def records_of(path: Path) -> list[tuple[bytes, bytes]]:
    return DBReader("minidb", path).read_many(1000)


def run(type_: str, inputs: Any, outputs: Any, **args: Any) -> None:
    workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs, **args))


def assert_equal(found: Any, wanted: Any) -> None:
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(found, wanted)


def test_every_file_has_its_test(files: Path) -> None:
    known = {
        *("mnist100.json", "mnist100.minidb", "mnist100.npz"),
        *(f"mnist_lenet_checkpoint_00020.{end}" for end in ("json", "minidb", "npz")),
        *(f"predictor_lenet.{end}" for end in ("json", "meta.pbtxt", "minidb", "net.pbtxt", "npz")),
        *("lenet_init_net.pb", "lenet_mobile.npz", "lenet_predict_net.pb", "lenet_predict_net.pbtxt"),
    }
    assert {path.name for path in files.iterdir() if path.is_file()} == known


# ---- a database of images --------------------------------------------------------------------------
def test_images_are_read_in_batches(files: Path) -> None:
    facts = json.loads((files / "mnist100.json").read_text())
    recorded = np.load(files / "mnist100.npz")
    run("CreateDB", [], "reader", db=str(files / "mnist100.minidb"), db_type=facts["db_type"])
    net = core.Net("read")
    net.TensorProtosDBInput("reader", ["data_uint8", "label"], batch_size=40)
    workspace.CreateNet(net)
    batches = sorted({name.split("/")[0] for name in recorded.files if name.startswith("batch40_")})
    for batch in batches:
        workspace.RunNet(net)
        for blob in ("data_uint8", "label"):
            assert_equal(workspace.FetchBlob(blob), recorded[f"{batch}/{blob}"])
    assert len(batches) * 40 > facts["records"]  # the last one starts again


def test_images_are_written_as_a_program_does(files: Path, tmp_path: Path) -> None:
    """Record by record, with TensorProtos messages built by the program."""
    recorded = np.load(files / "mnist100.npz")
    written = tmp_path / "mine.minidb"
    with open_db("minidb", written, DBMode.NEW) as database, database.transaction() as transaction:
        for k, (image, label) in enumerate(zip(recorded["images"], recorded["labels"], strict=True)):
            message = caffe2_pb2.TensorProtos()
            message.protos.add(
                dims=[1, 28, 28], data_type=caffe2_pb2.TensorProto.BYTE, byte_data=image.tobytes()
            )
            message.protos.add(data_type=caffe2_pb2.TensorProto.INT32, int32_data=[int(label)])
            transaction.put(f"{k:08d}".encode(), message.SerializeToString())
    assert written.read_bytes() == (files / "mnist100.minidb").read_bytes()


# ---- a checkpoint ----------------------------------------------------------------------------------
def test_checkpoint_is_loaded(files: Path) -> None:
    recorded = np.load(files / "mnist_lenet_checkpoint_00020.npz")
    path = str(files / "mnist_lenet_checkpoint_00020.minidb")
    run("Load", [], list(recorded.files), db=path, db_type="minidb", absolute_path=1)
    for name in recorded.files:
        assert_equal(workspace.FetchBlob(name), recorded[name])


def test_checkpoint_is_written_byte_for_byte(files: Path, tmp_path: Path) -> None:
    facts = json.loads((files / "mnist_lenet_checkpoint_00020.json").read_text())
    recorded = np.load(files / "mnist_lenet_checkpoint_00020.npz")
    blobs = [key.partition("#")[0] for key in facts["record_bytes"]]
    for name in blobs:
        workspace.FeedBlob(name, recorded[name])
    run("Checkpoint", blobs, [], db="mnist_lenet_checkpoint_%05d.minidb", db_type="minidb", every=20)
    written = tmp_path / "mnist_lenet_checkpoint_00020.minidb"
    assert written.read_bytes() == (files / written.name).read_bytes()
    assert {key.decode(): len(value) for key, value in records_of(written)} == facts["record_bytes"]


def test_checkpoint_goes_through_other_stores(files: Path, tmp_path: Path) -> None:
    recorded = np.load(files / "mnist_lenet_checkpoint_00020.npz")
    for name in recorded.files:
        workspace.FeedBlob(name, recorded[name])
    run("Save", list(recorded.files), [], db="copy.lmdb", db_type="lmdb")
    workspace.ResetWorkspace()
    run("Load", [], [], db="copy.lmdb", db_type="lmdb", load_all=1)
    for name in recorded.files:
        assert_equal(workspace.FetchBlob(name), recorded[name])


# ---- predictors ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["init", "predict"])
def test_nets_of_messages_are_read_and_written(files: Path, kind: str) -> None:
    data = (files / f"lenet_{kind}_net.pb").read_bytes()
    message = caffe2_pb2.NetDef.FromString(data)
    assert message.SerializeToString() == data
    assert netdef.net_to_proto(netdef.net_from_bytes(data)).SerializeToString() == data
    text = text_format.MessageToString(message)
    assert text_format.Parse(text, caffe2_pb2.NetDef()).SerializeToString() == data


def test_weights_of_the_two_file_export(files: Path) -> None:
    exported = np.load(files / "predictor_lenet.npz")
    workspace.RunNetOnce((files / "lenet_init_net.pb").read_bytes())
    net = caffe2_pb2.NetDef.FromString((files / "lenet_predict_net.pb").read_bytes())
    weights = [name for name in net.external_input if name != "data"]
    assert weights
    for name in weights:
        assert_equal(workspace.FetchBlob(name), exported[f"param/{name}"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("predictor_lenet.net.pbtxt", caffe2_pb2.NetDef),
        ("predictor_lenet.meta.pbtxt", metanet_pb2.MetaNetDef),
        ("lenet_predict_net.pbtxt", caffe2_pb2.NetDef),
    ],
)
def test_text_is_read_and_printed_the_same(files: Path, name: str, kind: Any) -> None:
    text = (files / name).read_text()
    assert str(text_format.Parse(text, kind())) == text


def test_records_of_a_predictor_are_its_blobs(files: Path) -> None:
    facts = json.loads((files / "predictor_lenet.json").read_text())
    recorded = np.load(files / "predictor_lenet.npz")
    records = dict(records_of(files / "predictor_lenet.minidb"))
    assert {key.decode(): len(value) for key, value in records.items()} == facts["record_bytes"]
    for key, value in records.items():
        name = key.decode().partition("#")[0]
        if f"param/{name}" in recorded:
            workspace.DeserializeBlob(name, value)
            assert_equal(workspace.FetchBlob(name), recorded[f"param/{name}"])


# ---- single blobs ----------------------------------------------------------------------------------
def test_blobs_are_restored_and_saved(files: Path) -> None:
    recorded = dict(np.load(files / "blobs/values.npz"))
    for path in sorted((files / "blobs").glob("*.blob.pb")):
        name = caffe2_pb2.BlobProto.FromString(path.read_bytes()).name
        workspace.DeserializeBlob(name, path.read_bytes())
        kind = path.name.partition(".")[0]
        if kind == "int8tensor":
            found: Any = workspace.FetchInt8Blob(name)
            assert_equal(found.data, recorded[kind])
            assert [found.scale, found.zero_point] == [
                recorded[f"{kind}.{f}"] for f in ("scale", "zero_point")
            ]
        else:
            wanted = recorded[kind]
            found = workspace.FetchBlob(name)
            assert_equal(found, wanted.astype(object) if wanted.dtype.kind == "S" else wanted)
        assert workspace.SerializeBlob(name) == path.read_bytes(), kind


def test_tensor_messages_are_read_and_written(files: Path) -> None:
    recorded = np.load(files / "blobs/values.npz")
    for path in sorted((files / "blobs").glob("*.tensor.pb")):
        kind = path.name.partition(".")[0]
        message = caffe2_pb2.TensorProto.FromString(path.read_bytes())
        np.testing.assert_array_equal(utils.Caffe2TensorToNumpyArray(message), recorded[kind])
        assert message.SerializeToString() == path.read_bytes()
        workspace.FeedBlob("x", message)
        assert_equal(workspace.FetchBlob("x"), recorded[kind])
