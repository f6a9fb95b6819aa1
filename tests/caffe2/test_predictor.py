"""Exported predictors and two-file exports: read, run, written back byte for byte; model folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffe2.proto import caffe2_pb2, metanet_pb2
from caffe2.python import core, workspace
from caffe2.python.predictor import mobile_exporter, predictor_exporter, predictor_py_utils, serde
from freshpot.errors import DataError, DTypeError, FormatError, FreshpotError, MissingBlobError


@pytest.fixture
def files(shared: Path) -> Iterator[Path]:
    core.Net._net_names_used = set()
    workspace.SwitchWorkspace("default", True)
    workspace.ResetWorkspace()
    yield shared / "reference" / "caffe2" / "files"
    workspace.ResetWorkspace()


def net(path: Path) -> Any:
    message = caffe2_pb2.NetDef()
    message.ParseFromString(path.read_bytes())
    return message


def meta_of(files: Path) -> Any:
    return text_format.Parse((files / "predictor_lenet.meta.pbtxt").read_text(), metanet_pb2.MetaNetDef())


def test_predictor_is_loaded_and_predicts(files: Path) -> None:
    facts = json.loads((files / "predictor_lenet.json").read_text())
    loaded = predictor_exporter.prepare_prediction_net(str(files / "predictor_lenet.minidb"), "minidb")
    assert workspace.Blobs() == facts["blobs_after_prepare"]
    recorded = np.load(files / "predictor_lenet.npz")
    workspace.FeedBlob("data", recorded["data"])
    workspace.RunNet(loaded)
    np.testing.assert_allclose(workspace.FetchBlob("softmax"), recorded["softmax"], rtol=1e-4, atol=1e-6)
    for key in recorded.files:
        if key.startswith("param/"):
            np.testing.assert_array_equal(workspace.FetchBlob(key.removeprefix("param/")), recorded[key])


def test_description_reads_as_recorded(files: Path) -> None:
    loaded = predictor_exporter.load_from_db(str(files / "predictor_lenet.minidb"), "minidb")
    assert str(loaded) == (files / "predictor_lenet.meta.pbtxt").read_text()


def test_description_takes_a_device(files: Path) -> None:
    device = core.DeviceOption(caffe2_pb2.CUDA, 0)
    loaded = predictor_exporter.load_from_db(str(files / "predictor_lenet.minidb"), "minidb", device)
    assert {op.device_option.device_type for pair in loaded.nets for op in pair.value.op} == {caffe2_pb2.CUDA}


def test_predictor_is_written_byte_for_byte(files: Path, tmp_path: Path) -> None:
    recorded = np.load(files / "predictor_lenet.npz")
    for key in recorded.files:
        workspace.FeedBlob(key.removeprefix("param/"), recorded[key])
    meta = meta_of(files)
    predict = predictor_py_utils.GetNet(meta, "PREDICT_NET_TYPE")
    predict.name = "mnist_deploy"
    export = predictor_exporter.PredictorExportMeta(
        predict_net=core.Net(predict),
        parameters=predictor_py_utils.GetBlobs(meta, "PARAMETERS_BLOB_TYPE"),
        inputs=["data"],
        outputs=["softmax"],
    )
    written = tmp_path / "lenet.minidb"
    predictor_exporter.save_to_db("minidb", str(written), export)
    assert written.read_bytes() == (files / "predictor_lenet.minidb").read_bytes()


def test_two_files_are_written_byte_for_byte(files: Path) -> None:
    init, predict = net(files / "lenet_init_net.pb"), net(files / "lenet_predict_net.pb")
    workspace.RunNetOnce(init)
    params = [op.output[0] for op in init.op if op.output[0] != "data"]
    made_init, made_predict = mobile_exporter.Export(workspace, predict, params)
    assert made_init.SerializeToString() == (files / "lenet_init_net.pb").read_bytes()
    assert made_predict.SerializeToString() == (files / "lenet_predict_net.pb").read_bytes()
    assert str(predict) == (files / "lenet_predict_net.pbtxt").read_text()


def test_two_files_predict(files: Path) -> None:
    recorded = np.load(files / "lenet_mobile.npz")
    messages = [(files / f"lenet_{kind}_net.pb").read_bytes() for kind in ("init", "predict")]
    (softmax,) = workspace.Predictor(*messages).run([recorded["data"]])
    np.testing.assert_allclose(softmax, recorded["softmax"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        (np.float32([[1, 2]]), "GivenTensorFill"),
        (np.int32([1]), "GivenTensorIntFill"),
        (np.int64([1, 2]), "GivenTensorInt64Fill"),
        (np.uint8([[0, 255]]), "GivenTensorByteStringToUInt8Fill"),
        (np.array([b"a", b"\xff"], object), "GivenTensorStringFill"),
    ],
)
def test_tensors_are_stored_in_nets(files: Path, array: np.ndarray, type_: str) -> None:
    message = caffe2_pb2.NetDef()
    mobile_exporter.add_tensor(message, "x", array)
    assert [op.type for op in message.op] == [type_]
    workspace.RunNetOnce(message)
    found = workspace.FetchBlob("x")
    assert found.tolist() == array.tolist()
    assert found.dtype == array.dtype


@pytest.mark.parametrize("array", [np.float64([1]), np.array(["a"], object)])
def test_arrays_that_cannot_be_stored(array: np.ndarray) -> None:
    with pytest.raises(DTypeError, match="stored in a net"):
        mobile_exporter.add_tensor(caffe2_pb2.NetDef(), "x", array)


@pytest.mark.parametrize(
    ("blobs", "words"),
    [
        ((["w"], ["x", "x"], ["y"]), "every input may be named once"),
        ((["w"], ["w"], ["y"]), "are parameters and also inputs"),
        ((["w"], ["x"], ["w"]), "are parameters and also outputs"),
    ],
)
def test_exports_that_make_no_sense(blobs: tuple[list[str], ...], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        predictor_exporter.PredictorExportMeta(caffe2_pb2.NetDef(), *blobs)


def test_shape_that_nobody_knows(files: Path) -> None:
    export = predictor_exporter.PredictorExportMeta(caffe2_pb2.NetDef(name="n"), [], ["x"], [])
    with pytest.raises(MissingBlobError, match="the shape of 'x' is needed"):
        predictor_exporter.get_meta_net_def(export)


def test_keys_of_a_named_submodel() -> None:
    keys = predictor_exporter.get_predictor_exporter_helper("sub")
    assert keys.predict_net_name() == "PREDICT_NET_TYPE_sub"
    assert keys.inputs_name() == "INPUTS_BLOB_TYPE_sub"


def test_parts_of_a_description(files: Path) -> None:
    meta = meta_of(files)
    assert predictor_py_utils.GetNet(meta, "nothing") is None
    assert list(predictor_py_utils.GetBlobs(meta, "nothing")) == []
    assert predictor_py_utils.GetBlobsByTypePrefix(meta, "INPUTS") == ["data"]
    predictor_py_utils.ReplaceBlobs(meta, "INPUTS_BLOB_TYPE", ["a", "b"])
    assert list(predictor_py_utils.GetBlobs(meta, "INPUTS_BLOB_TYPE")) == ["a", "b"]
    predictor_exporter.set_model_info(meta, "project", "class", "1")
    assert meta.modelInfo.modelClass == "class"
    with pytest.raises(FreshpotError, match="keys there: PARAMETERS_BLOB_TYPE"):
        predictor_py_utils.ReplaceBlobs(meta, "nothing", [])


def test_bytes_that_are_no_message() -> None:
    with pytest.raises(FormatError, match=r"4 bytes are not a caffe2\.NetDef message"):
        serde.deserialize_protobuf_struct(b"\xff\xff\xff\xff", caffe2_pb2.NetDef)


# ---- model folders -------------------------------------------------------------------------------
@pytest.fixture
def zoo(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with one in it."""
    (tmp_path / "tiny").mkdir()
    for kind in ("init", "predict"):
        shutil.copy(files / f"lenet_{kind}_net.pb", tmp_path / "tiny" / f"{kind}_net.pb")
    monkeypatch.setenv("CAFFE2_MODELS", str(tmp_path))
    return tmp_path


def test_models_are_imported_by_name(zoo: Path, files: Path) -> None:
    from caffe2.python import models

    tiny = models.tiny
    assert tiny.predict_net == net(files / "lenet_predict_net.pb")
    with pytest.raises(ImportError, match="cannot import name 'absent'"):
        exec("from caffe2.python.models import absent")
    with pytest.raises(AttributeError, match=r"Put its init_net\.pb and predict_net\.pb into"):
        _ = models.absent


def test_models_with_the_types_of_their_inputs(zoo: Path) -> None:
    from caffe2.python.models.download import ModelDownloader

    with pytest.raises(DataError, match=r"value_info\.json is missing"):
        ModelDownloader().get_c2_model("tiny")
    (zoo / "tiny" / "value_info.json").write_text('{"data": [1, [1, 1, 28, 28]]}')
    init_net, predict_net, values = ModelDownloader().get_c2_model("tiny")
    assert (init_net.name, predict_net.name) == ("tiny_init", "tiny")
    assert values == {"data": [1, [1, 1, 28, 28]]}


def test_a_download_that_fails_says_what_to_do(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from caffe2.python.models import download

    monkeypatch.setattr(download, "DOWNLOAD_BASE_URL", f"file://{zoo}/nowhere/")
    assert download.main(["-i", "squeezenet"]) == 1
    assert f"put init_net.pb, predict_net.pb into {zoo / 'squeezenet'}" in capsys.readouterr().err
    assert not (zoo / "squeezenet").exists()
    assert download.main(["../x y"]) == 1
    assert "is not a model name" in capsys.readouterr().err


def test_a_download_is_whole(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe2.python.models import download

    monkeypatch.setattr(download, "DOWNLOAD_BASE_URL", f"file://{zoo}/")
    download.downloadModel("tiny", zoo / "copy")
    assert sorted(path.name for path in (zoo / "copy").iterdir()) == ["init_net.pb", "predict_net.pb"]
    with pytest.raises(DataError, match="exists already"):
        download.downloadModel("tiny", zoo / "copy")
