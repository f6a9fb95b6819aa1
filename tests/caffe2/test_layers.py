"""Layers: nets as the original makes them, a model that learns, values, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import layer_cases
import numpy as np
import pytest

from caffe2.python import core, layer_model_instantiator, layer_test_util, optimizer, schema, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.layers import layers
from caffe2.python.layers.tags import TagContext, Tags
from caffe2.python.modeling.parameter_sharing import ParameterSharing
from freshpot.errors import ArgumentError

RECORDED = json.loads(Path(__file__).with_name("layers_of_the_original.json").read_text())


@pytest.fixture(autouse=True)
def _fresh() -> None:
    layer_cases.start_anew()


@pytest.mark.parametrize("name", layer_cases.LAYERS)
def test_nets_are_those_of_the_original(name: str) -> None:
    assert layer_cases.digests(name) == RECORDED["layers"][name]


def test_every_layer_has_a_case() -> None:
    without_order = {
        "BatchHuberLoss"
    }  # the original adds up its gradients in an order that differs from run to run
    known = {layer for layer, _, _ in layer_cases.LAYERS.values()} | without_order | {"Functional"}
    assert {name for name in layers._LAYER_REGISTRY if not name.startswith("_")} <= known


def test_whole_models_are_those_of_the_original() -> None:
    assert layer_cases.versions() == RECORDED["versions"]
    assert layer_cases.whole_model() == RECORDED["whole"]


def test_a_model_learns_and_predicts() -> None:
    model = layer_cases.model_of(layer_cases.struct(x=schema.Scalar((np.float32, (2,)))))
    model.add_trainer_extra_schema(layer_cases.struct(y=schema.Scalar(np.float32)))
    model.default_optimizer = optimizer.SgdOptimizer(0.2)
    prediction = model.FC(model.input_feature_schema.x, 1)
    label = model.trainer_extra_schema.y
    model.add_loss(model.BatchMSELoss(layer_cases.struct(prediction=prediction, label=label)))
    model.add_output_schema("prediction", prediction)
    init_net, net = layer_model_instantiator.generate_training_nets(model)
    workspace.RunNetOnce(init_net)
    x = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    y = 2 * x[:, 0] - x[:, 1] + 0.5
    schema.FeedRecord(model.input_feature_schema, [x])
    schema.FeedRecord(model.trainer_extra_schema, [y])
    workspace.CreateNet(net)
    workspace.RunNet(net, 300)
    assert workspace.FetchBlob(model.loss.field_blobs()[0]) < 1e-4
    predictor = layer_model_instantiator.generate_predict_net(model)
    assert [op.type for op in predictor.Proto().op] == ["FC"]
    workspace.RunNetOnce(predictor)
    np.testing.assert_allclose(schema.FetchRecord(prediction)()[:, 0], y, atol=0.05)


def test_types_that_the_original_tells() -> None:
    model = layer_cases.model_of(layer_cases.struct(x=layer_cases.VECTOR))
    top = model.TopK(model.input_feature_schema.x, ["values", "indices"], k=3)
    assert [kind.base for kind in top.field_types()] == [np.float32, np.int32]
    half = model.FloatToHalf(model.input_feature_schema.x, 1)
    assert (half.field_type().base, half.field_type().shape) == (np.float16, (8,))
    assert model.HalfToFloat(half, 1).field_type().base == np.float32
    filled = core.Net("filled")
    filled.ConstantFill([], "half", shape=[2], dtype=core.DataType.FLOAT16)
    with pytest.raises(ArgumentError, match="must be one of"):  # as in the original, only its type is known
        workspace.RunNetOnce(filled)


def test_the_huber_loss() -> None:
    record = layer_cases.struct(label=schema.Scalar(np.float32), prediction=schema.Scalar((np.float32, (1,))))
    model = layer_cases.model_of(record)
    loss = model.BatchHuberLoss(model.input_feature_schema, delta=0.5)
    label, prediction = np.array([0.0, 1.0, 2.0], np.float32), np.array([[0.25], [3.0], [2.0]], np.float32)
    schema.FeedRecord(model.input_feature_schema, [label, prediction])
    workspace.RunNetOnce(model.param_init_net)
    workspace.RunNetOnce(model.net)
    assert schema.FetchRecord(loss)() == pytest.approx((0.5 * 0.25**2 + 0.5 * 0.5**2 + 0.5 * 1.5) / 3)


def test_packed_records_are_collected() -> None:
    record = layer_cases.struct(a=schema.Scalar((np.float32, (2,))), id=schema.Scalar(np.int64))
    model = layer_cases.model_of(record)
    given = model.input_feature_schema
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    schema.FeedRecord(given, [rows, np.array([1, 2, 3, 1, 2])])
    packed = model.PackRecords(layer_cases.struct(a=given.a), 1, fields=["a"])
    last = model.LastNWindowCollector(packed, 3)
    sample = model.ReservoirSampling(layer_cases.struct(data=packed, object_id=given.id), 4)
    init_net, net = layer_model_instantiator.generate_training_nets_forward_only(_with_output(model, last))
    net.UnPackRecords([last.last_n()], ["last rows"], fields=["a"])
    net.UnPackRecords([sample.reservoir()], ["sample"], fields=["a"])
    workspace.RunNetOnce(init_net)
    workspace.CreateNet(net)
    workspace.RunNet(net, 2)  # rows 0 1 2 3 4 0 1 2 3 4: each run is longer than the ring
    assert workspace.FetchBlob("last rows").tolist() == rows[2:].tolist()
    assert schema.FetchRecord(last.num_visited)() == 10
    assert workspace.FetchBlob("sample").tolist() == rows[:3].tolist()  # one row an id


def _with_output(model: Any, output: Any) -> Any:
    model.output_schema = output
    return model


def test_readers_are_layers_in_programs_of_2017(tmp_path: Path) -> None:
    model = layer_cases.model_of(layer_cases.struct(x=VECTOR))
    reader = core.Net("reader").CreateDB([], "reader", db=str(tmp_path), db_type="lmdb")
    made = model.TensorProtosDBInput([reader], ["x", "y"], batch_size=2, name="input")
    assert [str(blob) for blob in made.field_blobs()] == ["input/x", "input/y"]
    assert model.net.Proto().op[-1].type == "TensorProtosDBInput"
    with pytest.raises(ArgumentError, match="takes \\[\\] as input"):
        model.TensorProtosDBInput([reader], ["x"], 2, "db", "lmdb")


def test_tags_and_contexts() -> None:
    with Tags("a"), Tags(["b", "c"]):
        assert TagContext.current().tags[-3:] == ["a", "b", "c"]
    assert "a" not in TagContext.current().tags
    with pytest.raises(MisuseError, match="not the last"):
        TagContext.current().remove_tags(["a"])
    made = Tags("d")(lambda: list(TagContext.current().tags))()
    assert made[-1] == "d"


def test_request_only_columns_stay_marked() -> None:
    model = layer_cases.model_of(layer_cases.struct(x=layer_cases.VECTOR, y=layer_cases.VECTOR))
    given = model.input_feature_schema
    layers.set_request_only(given.x)
    assert model.Relu(given.x, 1).metadata.feature_specs.feature_is_request_only
    assert model.Relu(given.y, 1).metadata is None


VECTOR, STRUCT = layer_cases.VECTOR, layer_cases.struct(a=layer_cases.VECTOR)
REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("FC", STRUCT, {"output_dims": 2}, "FC takes a Scalar"),
    ("FC", schema.Scalar(np.float32), {"output_dims": 2}, "must know the shape"),
    ("FC", VECTOR, {"output_dims": 2, "axis": 0}, "axis from 1 on"),
    ("FC", VECTOR, {"output_dims": 2, "clip_param": (2, 1)}, "is not below"),
    ("FC", VECTOR, {"output_dims": 2, "clip_param": (None, None)}, "neither a minimum nor a maximum"),
    ("FC", VECTOR, {"output_dims": 2, "max_fc_size": 3}, "below the input's size"),
    ("Concat", VECTOR, {}, "Concat takes a Struct"),
    ("Concat", layer_cases.struct(a=VECTOR, b=layer_cases.IMAGE), {}, "differ elsewhere"),
    ("Split", VECTOR, {"num_splits": 3}, "into 3 equal parts"),
    ("Split", VECTOR, {"split": [3, 3]}, "are 6 together"),
    ("Dropout", VECTOR, {"ratio": 1.0}, "from 0 to below 1"),
    ("BatchLRLoss", STRUCT, {}, "takes columns label, logit"),
    ("BatchMSELoss", STRUCT, {}, "takes columns label, prediction"),
    ("BPRLoss", STRUCT, {}, "pos_prediction, neg_prediction"),
    ("BlobWeightedSum", STRUCT, {}, "two columns"),
    ("AdaptiveWeight", STRUCT, {"weights": [-1]}, "must be positive"),
    ("AdaptiveWeight", STRUCT, {"estimation_method": "none"}, "must be one of log_std"),
    ("LabelSmooth", VECTOR, {"smooth_matrix": [1, 2, 3]}, "must be square"),
    ("HomotopyWeight", STRUCT, {}, "takes two columns"),
    ("PairwiseSimilarity", STRUCT, {"output_dim": 2}, "either all_embeddings"),
    ("MapToRange", VECTOR, {"max_index": 0}, "must be positive"),
    ("UniformSampling", VECTOR, {"num_samples": 3, "num_elements": 2}, "got 3 of 2"),
    ("SelectRecordByContext", STRUCT, {}, "two records or more"),
    ("SparseFeatureHash", VECTOR, {}, "takes a list of ids"),
    ("SparseLookup", schema.List(np.int64), {"inner_shape": 2, "reducer": "Sum"}, "has no metadata"),
    ("SparseLookup", layer_cases.ids(), {"inner_shape": 2, "reducer": "PositionWeighted"}, "with scores"),
    ("SparseLookup", layer_cases.ids(), {"inner_shape": 2, "reducer": "Median"}, "not for a list of ids"),
    ("SamplingTrain", STRUCT, {"prediction_layer": "FC", "output_dims": 2}, "'indices', 'input'"),
    ("GatherRecord", STRUCT, {}, "takes indices and record"),
]


@pytest.mark.parametrize(("layer", "record", "arguments", "match"), REFUSED)
def test_what_is_refused(layer: str, record: Any, arguments: dict[str, Any], match: str) -> None:
    nested = isinstance(record, schema.Struct)
    model = layer_cases.model_of(record if nested else layer_cases.struct(only=record))
    given = model.input_feature_schema if nested else model.input_feature_schema.only
    with pytest.raises(MisuseError, match=match):
        getattr(model, layer)(given, **arguments)


@pytest.mark.parametrize(
    ("error", "match", "act"),
    [
        (AttributeError, "non-registered layer", lambda m: m.NoSuchLayer),
        (MisuseError, "there is a global constant ONE already", lambda m: m.add_global_constant("ONE", 1)),
        (MisuseError, "cannot be filled by", lambda m: m.maybe_add_global_constant("ONE", 2.0)),
        (MisuseError, "one of them", lambda m: m.add_global_constant("TWO")),
        (MisuseError, "has no loss", lambda m: m.loss),
        (MisuseError, "output_schema of model m was not set", lambda m: m.output_schema),
        (MisuseError, "must be a Scalar or a Struct", lambda m: m.add_loss(1.0)),
        (MisuseError, "model prediction is empty", lambda m: m.prediction),
        (MisuseError, "expected a NetModifier", lambda m: m.add_final_net_modifiers(1)),
        (MisuseError, "numbers 0, 1, 2", lambda m: setattr(m, "breakdown_map", {"a": 1})),
        (ValueError, "must be str or BlobReference", lambda m: m.create_param(1, [1], ("ConstantFill",))),
    ],
)
def test_misuse_of_a_model(error: type[Exception], match: str, act: Any) -> None:
    with pytest.raises(error, match=match):
        act(layer_cases.model_of(STRUCT))


def test_shared_parameters_agree() -> None:
    model = layer_cases.model_of(layer_cases.struct(x=VECTOR))
    x = model.input_feature_schema.x
    with ParameterSharing({"b": "a", "c": "a"}):
        model.FC(x, 4, name="a")
        with pytest.raises(ValueError, match=r"inconsistent shapes of parameter a/w.*\[4, 8\].*\[5, 8\]"):
            model.FC(x, 5, name="b")
        with pytest.raises(MisuseError, match="a/w is shared: its optimizer"):
            model.FC(x, 4, name="c", weight_optim=model.NoOptim)


class TestTheTestCase(layer_test_util.LayersTestCase):
    """The class that programs derive their tests from."""

    def test_nets(self) -> None:
        features = self.model.input_feature_schema.float_features
        output = self.model.FC(features, 2)
        spec = layer_test_util.OpSpec("FC", [features(), None, None], output.field_blobs(), {"axis": 1})
        _, net = self.get_training_nets()
        self.assertNetContainOps(net, [spec])
        schema.FeedRecord(self.model.input_feature_schema, [np.ones((3, 32), np.float32)])
        self.run_train_net_forward_only(num_iter=2)
        assert schema.FetchRecord(output)().shape == (3, 2)
        with pytest.raises(AssertionError):
            self.assertNetContainOps(net, [spec._replace(type="Relu")])
