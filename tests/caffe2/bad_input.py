"""Programs that go wrong, one function each: what `test_bad_input` runs.

Only names of the original's API are used, so that a function can be run against the original too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, utils, workspace
from caffe2.python.predictor import predictor_exporter


def feed(**arrays: Any) -> None:
    for name, value in arrays.items():
        workspace.FeedBlob(name, np.asarray(value))


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def op(type_: str, inputs: Any, outputs: Any, **args: Any) -> Any:
    return core.CreateOperator(type_, inputs, outputs, **args)


def net(*ops: Any, name: str = "bad") -> Any:
    proto = caffe2_pb2.NetDef(name=name)
    proto.op.extend(ops)
    return proto


# ---- operators -------------------------------------------------------------------------------------
def method_of_no_operator(folder: Path) -> None:
    core.Net("bad").Reluu("x", "y")


def unknown_operator_once(folder: Path) -> None:
    workspace.RunOperatorOnce(op("Reluu", "x", "y"))


def unknown_operator_in_a_net(folder: Path) -> None:
    feed(x=floats(2))
    workspace.CreateNet(net(op("Relu", "x", "y"), op("Sofmax", "y", "z")))


def too_few_inputs(folder: Path) -> None:
    feed(x=floats(2, 3), w=floats(5, 3))
    workspace.RunNetOnce(net(op("FC", ["x", "w"], "y")))


def too_many_outputs(folder: Path) -> None:
    feed(x=floats(2))
    workspace.RunNetOnce(net(op("Relu", "x", ["y", "z"])))


def output_over_an_input(folder: Path) -> None:
    feed(x=floats(2, 3), w=floats(3, 3), b=floats(3))
    workspace.RunNetOnce(net(op("FC", ["x", "w", "b"], "x")))


# ---- blobs -----------------------------------------------------------------------------------------
def fetch_of_a_missing_blob(folder: Path) -> None:
    feed(conv1_w=floats(2))
    workspace.FetchBlob("conv_w")


def missing_input(folder: Path) -> None:
    feed(data=floats(2))
    workspace.CreateNet(net(op("Relu", "dta", "y")))


def input_that_a_later_operator_writes(folder: Path) -> None:
    feed(x=floats(2))
    workspace.RunNetOnce(net(op("Relu", "y", "z"), op("Relu", "x", "y")))


def empty_input(folder: Path) -> None:
    workspace.CreateBlob("x")
    workspace.CreateNet(net(op("Relu", "x", "y")))
    workspace.RunNet("bad")


def saving_a_missing_blob(folder: Path) -> None:
    workspace.RunOperatorOnce(op("Save", ["nowhere"], [], db=str(folder / "db"), db_type="minidb"))


# ---- shapes ----------------------------------------------------------------------------------------
def features_that_differ(folder: Path) -> None:
    feed(x=floats(2, 4), w=floats(5, 3), b=floats(5))
    workspace.RunNetOnce(net(op("FC", ["x", "w", "b"], "y")))


def channels_that_differ(folder: Path) -> None:
    feed(x=floats(1, 3, 8, 8), w=floats(4, 2, 3, 3), b=floats(4))
    workspace.RunNetOnce(net(op("Conv", ["x", "w", "b"], "y", kernel=3)))


def shapes_that_do_not_broadcast(folder: Path) -> None:
    feed(x=floats(2, 3), y=floats(4))
    workspace.RunNetOnce(net(op("Add", ["x", "y"], "z", broadcast=1)))


def reshape_to_another_size(folder: Path) -> None:
    feed(x=floats(2, 3))
    workspace.RunNetOnce(net(op("Reshape", "x", ["y", "old"], shape=[4, 2])))


def shape_that_changes_between_runs(folder: Path) -> None:
    feed(x=floats(2, 3), w=floats(5, 3), b=floats(5))
    workspace.CreateNet(net(op("Relu", "x", "r"), op("FC", ["r", "w", "b"], "y")))
    workspace.RunNet("bad", 3)
    feed(x=floats(2, 4))
    workspace.RunNet("bad")


def inferred_shapes_that_differ(folder: Path) -> None:
    workspace.InferShapesAndTypes(
        [net(op("MatMul", ["x", "y"], "z"))], blob_dimensions={"x": [2, 3], "y": [4, 5]}, nets_proto=True
    )


# ---- element types ---------------------------------------------------------------------------------
def integers_for_floats(folder: Path) -> None:
    feed(x=np.ones((2, 3), np.int32), w=floats(5, 3), b=floats(5))
    workspace.RunNetOnce(net(op("FC", ["x", "w", "b"], "y")))


def floats_for_labels(folder: Path) -> None:
    feed(p=floats(2, 3), label=floats(2))
    workspace.RunNetOnce(net(op("LabelCrossEntropy", ["p", "label"], "xent")))


def text_for_a_tensor(folder: Path) -> None:
    workspace.FeedBlob("x", "text")
    workspace.RunNetOnce(net(op("Relu", "x", "y")))


def feed_of_complex_numbers(folder: Path) -> None:
    workspace.FeedBlob("x", np.zeros(2, np.complex64))


def feed_of_objects(folder: Path) -> None:
    workspace.FeedBlob("x", np.array([{}]))


def feed_of_a_list(folder: Path) -> None:
    workspace.FeedBlob("x", [1.0, 2.0])


# ---- arguments -------------------------------------------------------------------------------------
def missing_argument(folder: Path) -> None:
    feed(iter=np.zeros(1, np.int64))
    workspace.RunNetOnce(net(op("LearningRate", "iter", "lr", policy="fixed")))


def argument_of_another_kind(folder: Path) -> None:
    workspace.RunNetOnce(net(op("GaussianFill", [], "x", shape=[2], std=1)))


def argument_out_of_range(folder: Path) -> None:
    feed(x=floats(1, 3, 8, 8), w=floats(4, 3, 3, 3), b=floats(4))
    workspace.RunNetOnce(net(op("Conv", ["x", "w", "b"], "y", kernel=3, stride=0)))


def order_that_is_none(folder: Path) -> None:
    feed(x=floats(1, 3, 8, 8))
    workspace.RunNetOnce(net(op("MaxPool", "x", "y", kernel=2, order="CHWN")))


def argument_that_cannot_be_stored(folder: Path) -> None:
    op("Relu", "x", "y", what=object())


# ---- nets ------------------------------------------------------------------------------------------
def run_of_a_net_that_was_never_created(folder: Path) -> None:
    workspace.CreateNet(net(name="train"))
    workspace.RunNet("trian")


def name_clash(folder: Path) -> None:
    for _ in range(2):
        workspace.CreateNet(net(op("ConstantFill", [], "x", shape=[1])))


def net_without_a_name(folder: Path) -> None:
    workspace.CreateNet(net(name=""))


def bytes_that_are_no_net(folder: Path) -> None:
    workspace.RunNetOnce(b"\x0a\xff")


def bytes_that_are_no_operator(folder: Path) -> None:
    workspace.RunOperatorOnce(b"\x0a\xff")


def bytes_that_are_no_plan(folder: Path) -> None:
    workspace.RunPlan(b"\x0a\xff")


def predictor_from_bytes_that_are_no_net(folder: Path) -> None:
    workspace.Predictor(net(name="init").SerializeToString(), b"\x0a\xff")


def predictor_from_a_truncated_net(folder: Path) -> None:
    fill = op("GivenTensorFill", [], "w", shape=[9], values=[0.5] * 9)
    workspace.Predictor(net(fill, name="init").SerializeToString()[:-7], net().SerializeToString())


def predictor_that_lacks_a_weight(folder: Path) -> None:
    workspace.Predictor(net(name="init").SerializeToString(), net(op("Relu", "w", "y")).SerializeToString())


def failing_operator_in_the_second_run(folder: Path) -> None:
    """Lengths that do not add up are found when the data is looked at."""
    feed(x=floats(4), lengths=np.array([1, 3], np.int32))
    workspace.CreateNet(net(op("LengthsSum", ["x", "lengths"], "y")))
    workspace.RunNet("bad", 2)
    feed(lengths=np.array([1, 2], np.int32))
    workspace.RunNet("bad")


# ---- gradients -------------------------------------------------------------------------------------
def gradient_that_is_not_there(folder: Path) -> None:
    made = core.Net("bad")
    made.ArgMax("x", "i")
    made.AddGradientOperators(["i"])


def gradient_of_what_was_overwritten(folder: Path) -> None:
    made = core.Net("bad")
    made.Mul(["x", "y"], "z")
    made.Relu("x", "x")
    made.AddGradientOperators(["z"])


# ---- models ----------------------------------------------------------------------------------------
def unknown_helper(folder: Path) -> None:
    brew.convv(model_helper.ModelHelper(name="m"), "x", "y", 1, 1, kernel=1)


# ---- Python operators ------------------------------------------------------------------------------
class Boo(Exception):
    """What a program might raise."""


def fails(inputs: Any, outputs: Any) -> None:
    raise Boo("no luck")


def python_operator_that_raises(folder: Path) -> None:
    made = core.Net("bad")
    made.Python(fails)([], ["y"])
    workspace.RunNetOnce(made)


def feeds_a_list_of_text(inputs: Any, outputs: Any) -> None:
    outputs[0].feed(np.zeros(2, np.complex64))


def python_operator_that_feeds_what_blobs_cannot_hold(folder: Path) -> None:
    made = core.Net("bad")
    made.Python(feeds_a_list_of_text)([], ["y"])
    workspace.RunNetOnce(made)


# ---- devices ---------------------------------------------------------------------------------------
def unknown_device(folder: Path) -> None:
    feed(x=floats(2))
    workspace.RunNetOnce(net(op("Relu", "x", "y", device_option=core.DeviceOption(caffe2_pb2.OPENCL, 0))))


def feed_to_an_unknown_device(folder: Path) -> None:
    workspace.FeedBlob("x", floats(2), core.DeviceOption(caffe2_pb2.IDEEP + 1, 0))


# ---- files -----------------------------------------------------------------------------------------
def saved(folder: Path, db_type: str = "minidb") -> Path:
    """A database with two blobs."""
    feed(u=floats(300), v=floats(3))
    path = folder / f"saved.{db_type}"
    workspace.RunOperatorOnce(op("Save", ["u", "v"], [], db=str(path), db_type=db_type, absolute_path=1))
    return path


def load(path: Path, db_type: str, *blobs: str) -> None:
    args = {"db": str(path), "db_type": db_type, "absolute_path": 1}
    workspace.RunNetOnce(net(op("Load", [], blobs or ["u", "v"], **args)))


def load_of_no_file(folder: Path) -> None:
    load(folder / "nosuch.minidb", "minidb")


def load_of_a_blob_that_was_not_saved(folder: Path) -> None:
    load(saved(folder), "minidb", "u", "w")


def load_with_an_unknown_db_type(folder: Path) -> None:
    load(saved(folder), "minidbb")


def load_with_the_wrong_db_type(folder: Path) -> None:
    load(saved(folder), "lmdb")


def load_of_a_truncated_minidb(folder: Path) -> None:
    path = saved(folder)
    path.write_bytes(path.read_bytes()[:-100])
    load(path, "minidb")


def load_of_a_minidb_with_impossible_sizes(folder: Path) -> None:
    path = saved(folder)
    path.write_bytes(b"\xff\xff\xff\x7f" + path.read_bytes()[4:])
    load(path, "minidb")


def load_of_a_minidb_with_damaged_records(folder: Path) -> None:
    path = saved(folder)
    data = bytearray(path.read_bytes())
    data[12:40] = b"\xff" * 28
    path.write_bytes(data)
    load(path, "minidb")


def load_of_a_truncated_lmdb(folder: Path) -> None:
    path = saved(folder, "lmdb")
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes()[:6000])
    load(path, "lmdb")


def load_of_a_damaged_lmdb(folder: Path) -> None:
    path = saved(folder, "lmdb")
    file = path / "data.mdb"
    file.write_bytes(b"\x5a" * len(file.read_bytes()))
    load(path, "lmdb")


def images_from_a_database_of_something_else(folder: Path) -> None:
    model = model_helper.ModelHelper(name="m")
    workspace.RunOperatorOnce(op("CreateDB", [], "reader", db=str(saved(folder)), db_type="minidb"))
    model.net.TensorProtosDBInput(["reader"], ["data", "label"], batch_size=1)
    workspace.RunNetOnce(model.net)


def predictor_from_a_database_of_something_else(folder: Path) -> None:
    predictor_exporter.prepare_prediction_net(str(saved(folder)), "minidb")


def tensor_message_without_its_values(folder: Path) -> None:
    message = caffe2_pb2.TensorProto(dims=[4], data_type=caffe2_pb2.TensorProto.FLOAT, float_data=[1.0])
    utils.Caffe2TensorToNumpyArray(message)


def blob_of_bytes_that_are_none(folder: Path) -> None:
    workspace.DeserializeBlob("x", b"\x0a\xff")
