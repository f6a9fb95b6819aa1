"""`brew` and the model helpers: defaults, scopes, sharing, the nets they make, and their messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caffe2.python import brew, cnn, core, model_helper, optimizer, scope
from caffe2.python._errors import MisuseError
from caffe2.python.modeling.gradient_clipping import GradientClipping
from caffe2.python.modeling.initializers import Initializer, PseudoFP16Initializer
from caffe2.python.modeling.parameter_sharing import ParameterSharing
from caffe2.python.optimizer_context import UseOptimizer
from freshpot.errors import ArgumentError, NetError


@pytest.fixture
def model() -> Any:
    return model_helper.ModelHelper(name="m")


def argument(op: Any, name: str) -> Any:
    found = [arg for arg in op.arg if arg.name == name]
    return (found[0].s.decode() or found[0].i) if found else None


def trained(model: Any) -> Any:
    scores = brew.fc(model, brew.fc(model, "data", "a", 8, 6), "b", 6, 3)
    _, loss = model.SoftmaxWithLoss([scores, "label"], ["softmax", "loss"])
    model.AddGradientOperators([loss])
    return model


def test_inner_arg_scope_wins_and_call_wins_over_both(model: Any) -> None:
    with brew.arg_scope([brew.conv, brew.max_pool], stride=2):
        with brew.arg_scope(brew.conv, stride=3):
            brew.conv(model, "data", "inner", 3, 4, 3)
            brew.conv(model, "data", "call", 3, 4, 3, stride=4)
        brew.conv(model, "data", "outer", 3, 4, 3)
    brew.conv(model, "data", "none", 3, 4, 3)
    assert [argument(op, "stride") for op in model.net.Proto().op] == [3, 4, 2, None]


def test_arg_scope_ends_with_an_error_inside(model: Any) -> None:
    with pytest.raises(KeyError), brew.arg_scope(brew.conv, stride=3):
        raise KeyError("stop")
    brew.conv(model, "data", "c", 3, 4, 3)
    assert argument(model.net.Proto().op[0], "stride") is None


def test_registered_helper_takes_the_models_defaults(model: Any) -> None:
    def doubled(model: Any, blob_in: Any, blob_out: Any, order: str = "") -> tuple[Any, str]:
        return model.net.Add([blob_in, blob_in], blob_out), order

    assert not brew.has_helper("doubled")
    brew.Register(doubled)
    try:
        assert brew.has_helper(doubled)
        assert brew.doubled(model, "x", "y") == ("y", "NCHW")
        with pytest.raises(AttributeError, match="has a helper 'doubled' already"):
            brew.Register(doubled)
    finally:
        del brew._registry["doubled"]


def test_scopes_share_parameters(model: Any) -> None:
    with ParameterSharing({"b": "a"}):
        for name in ("a", "b"):
            with scope.NameScope(name):
                brew.fc(model, "data", "f", 8, 8)
    assert model.params == ["a/f_w", "a/f_b"]
    assert [list(op.input)[1] for op in model.net.Proto().op] == ["a/f_w", "a/f_w"]
    assert [list(op.output) for op in model.net.Proto().op] == [["a/f"], ["b/f"]]


def test_half_precision_parameter_has_a_master(model: Any) -> None:
    brew.fc(model, "data", "f", 8, 6, WeightInitializer=PseudoFP16Initializer)
    info = model.get_param_info(model.params[0])
    assert info.blob_copy == {core.DataType.FLOAT: "f_w_fp32"}
    assert info.size == 48


def test_parameters_may_have_optimizers_of_their_own(model: Any) -> None:
    with UseOptimizer({"BIAS": optimizer.AdamOptimizer(0.1)}):
        trained(model)
    optimizer.build_sgd(model, 0.1)
    updates = {op.output[0]: op.type for op in model.Proto().op if op.output[0] in model.params}
    assert updates == {"a_w": "WeightedSum", "a_b": "Adam", "b_w": "WeightedSum", "b_b": "Adam"}


def test_complete_net_comes_apart_again(model: Any) -> None:
    trained(model)
    complete = model.GetCompleteNet()
    inits, ops = len(model.InitProto().op), len(model.Proto().op)
    assert len(complete.Proto().op) == inits + ops
    model.ConstructInitTrainNetfromNet(complete)
    assert (len(model.InitProto().op), len(model.Proto().op)) == (inits, ops)


def test_predictor_is_cut_out_and_renamed(model: Any) -> None:
    optimizer.build_sgd(trained(model), 0.1)
    extract = model_helper.ExtractPredictorNet
    net, params = extract(model.Proto(), ["data"], ["b"], renames={"data": "image"})
    assert [op.type for op in net.Proto().op] == ["FC", "FC"]
    assert net.Proto().op[0].input[0] == "image"
    assert sorted(params) == ["a_b", "a_w", "b_b", "b_w"]
    with pytest.raises(NetError, match="no operator reads any of nothing"):
        extract(model.Proto(), ["nothing"], ["b"])


def test_gradient_clipping_by_value(model: Any) -> None:
    trained(model)
    clip = GradientClipping(grad_clip_method="by_value", blobs_to_exclude=["a_b"])
    clip(model.net, grad_map={str(p): g for p, g in model.param_to_grad.items()})
    clipped = [op.output[0] for op in model.Proto().op if op.type == "Clip"]
    assert clipped == ["a_w_grad", "b_w_grad", "b_b_grad"]


def test_is_test_net_may_not_be_a_training_net(model: Any) -> None:
    brew.spatial_bn(model, "data", "bn", 3, is_test=0)
    with pytest.raises(NetError, match=r"SpatialBN -> bn.* says is_test=0"):
        model_helper.ExtractPredictorNet(model.Proto(), ["data"], ["bn"])


def twice(m: Any) -> None:
    m.AddParameter(core.BlobReference("w"))
    m.AddParameter(core.BlobReference("w"))
    m.Validate()


MISUSE: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "no model": (lambda m: brew.fc("data", "f", 8, 6), RuntimeError, "first argument must be the model"),
    "no helper": (lambda m: brew.max_pol(m, "x", "y"), AttributeError, "Did you mean max_pool"),
    "dropout": (lambda m: brew.dropout(m, "x", "y", ratio=0.5), ArgumentError, "'is_test' is required"),
    "kernel": (lambda m: brew.conv(m, "x", "y", 1, 2, [1, 2, 3]), ArgumentError, "Use brew.conv_nd"),
    "engine": (lambda m: brew.conv(m, "x", "y", 1, 2, 3, engine="NNPACK"), ArgumentError, "is CUDNN; got"),
    "order": (lambda m: brew.conv_nd(m, "x", "y", 1, 2, 3, order="NHWC"), ArgumentError, "must be NCHW"),
    "groups": (
        lambda m: brew.group_conv_deprecated(m, "x", "y", 3, 4, 3, group=2),
        ArgumentError,
        "dim_in 3 is not a multiple of 2",
    ),
    "operator": (lambda m: m.Rellu("x", "y"), AttributeError, "Rellu is not a registered operator"),
    "reader": (lambda m: m.TensorProtosDBInput(["r"], ["x"], 1, "d", "lmdb"), ArgumentError, r"takes \[\]"),
    "shape": (
        lambda m: [brew.fc(m, "x", "y", 8, size) for size in (6, 5)],
        MisuseError,
        r"'y_w' exists with shape \[6, 8\]",
    ),
    "name": (
        lambda m: m.create_param(3, [1], Initializer("ConstantFill")),
        TypeError,
        "str or BlobReference",
    ),
    "twice": (twice, NetError, "added twice: w"),
    "gradients": (lambda m: trained(m).AddGradientOperators(["loss"]), RuntimeError, "already"),
    "too early": (lambda m: m.GetOptimizationParamInfo(), RuntimeError, "call AddGradientOperators first"),
    "devices": (lambda m: m.GetDevices(), NetError, "not data parallel"),
    "cnn order": (lambda m: cnn.CNNModelHelper(order="CHWN"), ArgumentError, "NCHW or NHWC; got 'CHWN'"),
    "clip": (lambda m: GradientClipping("by_magic"), MisuseError, "grad_clip_method must be one of"),
    "sharing": (lambda m: ParameterSharing({"a": "a/b"}).__enter__(), ValueError, "prefix"),
    "condition": (
        lambda m: brew.cond(m, "c", ["c"], trained(model_helper.ModelHelper(name="t"))),
        MisuseError,
        "reads blob 'data'",
    ),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_says_what_is_wrong(case: str, model: Any) -> None:
    act, error, message = MISUSE[case]
    with pytest.raises(error, match=message):
        act(model)
