"""One layer family each: some `brew` helpers, ten scores on top, one step of SGD."""

from __future__ import annotations

from typing import Any

from caffe2.python import brew, model_helper
from programs.common import Program, classifier, train


def algebra(m: Any) -> Any:
    product = brew.mat_mul(m, ["data", "w"], "mm", trans_b=1)
    stack = brew.batch_mat_mul(m, ["p", "q"], "bmm", trans_a=1)
    brew.reduce_sum(m, stack, "rs", axes=[0], keepdims=0)
    brew.arg_min(m, stack, "am", axis=1)
    return product


def concat(m: Any) -> Any:
    a = brew.conv(m, "data", "a", 1, 3, 3, pad=1)
    b = brew.conv(m, "data", "b", 1, 2, 5, pad=2)
    return brew.concat(m, [a, b], "cat")


def conv_nd(m: Any) -> Any:
    c = brew.conv_nd(m, "data", "c3d", 2, 3, [3, 3, 3], strides=[1, 1, 1], pads=[1] * 6)
    return brew.relu(m, c, c)


def conv_options(m: Any) -> Any:
    filled = {"weight_init": ("MSRAFill", {}), "bias_init": ("ConstantFill", {"value": 0.1})}
    c = brew.conv(m, "data", "c1", 1, 4, 3, pad=1, stride=2, **filled)
    c = brew.conv(m, c, "c2", 4, 4, [3, 1], no_bias=1)
    return brew.conv(m, c, "c3", 4, 4, 3, dilation=2, pad_t=1, pad_l=2, pad_b=1, pad_r=2)


def dropout(m: Any) -> Any:
    x = brew.fc(m, "data", "f1", 8, 6)
    x = brew.dropout(m, x, "drop", ratio=0.3, is_test=0)
    return brew.dropout(m, x, "drop2", ratio=0.5, is_test=1)


def elementwise_linear(m: Any) -> Any:
    return brew.elementwise_linear(m, brew.fc(m, "data", "f1", 8, 6), "ew", 6)


def group_conv(m: Any) -> Any:
    return brew.group_conv(m, "data", "gc", 4, 6, 3, group=2)


def group_conv_deprecated(m: Any) -> Any:
    return brew.group_conv_deprecated(m, "data", "gcd", 4, 6, 3, group=2)


def inplace_and_reuse(m: Any) -> Any:
    x = brew.fc(m, "data", "f1", 8, 6)
    x = brew.relu(m, x, x)
    s = m.net.Sigmoid(x, "sg")
    square = m.net.Mul([s, s], "sq")
    stopped = m.net.StopGradient(m.net.Add([square, s], "z"), "zs")
    return m.net.Mul([s, stopped], "w")


def lrn(m: Any) -> Any:
    c = brew.conv(m, "data", "c1", 1, 6, 3)
    return brew.lrn(m, c, "norm1", size=5, alpha=0.0001, beta=0.75, bias=1.0)


def max_pool_with_index(m: Any) -> Any:
    return brew.max_pool_with_index(m, "data", "mpi", kernel=2, stride=2)


def moments_with_running_stats(m: Any) -> Any:
    c = brew.conv(m, "data", "c1", 1, 4, 3)
    brew.moments_with_running_stats(m, c, "mo", 4)
    return c


def pools(m: Any) -> Any:
    p = brew.max_pool(m, "data", "mp", kernel=2, stride=2)
    p = brew.average_pool(m, p, "ap", kernel=3, stride=1, pad=1)
    return brew.average_pool(m, p, "gap", global_pooling=1)


def prelu(m: Any) -> Any:
    return brew.prelu(m, brew.conv(m, "data", "c1", 1, 4, 3), "pr", num_channels=4)


def shared_input(m: Any) -> Any:
    x = brew.fc(m, "data", "f1", 8, 6)
    parts = [brew.relu(m, x, "ra"), brew.tanh(m, x, "tb"), m.net.Sigmoid(x, "sc"), x]
    return m.net.Sum(parts, "sum4")


def shared_param(m: Any) -> Any:
    x = brew.fc(m, "data", "f1", 8, 8)
    return m.net.FC([x, "f1_w", "f1_b"], "f1_again")


def spatial_bn_init(m: Any) -> Any:
    c = brew.conv(m, "data", "c1", 1, 4, 3)
    return brew.spatial_bn(m, c, "bn", 4, init_scale=0.5, init_bias=0.1, is_test=0)


def spatial_gn(m: Any) -> Any:
    return brew.spatial_gn(m, brew.conv(m, "data", "c1", 1, 4, 3), "gn", 4, group=2)


def sum_transpose(m: Any) -> Any:
    a = brew.conv(m, "data", "a", 1, 3, 3, pad=1)
    b = brew.conv(m, "data", "b", 1, 3, 1)
    t = brew.transpose(m, brew.sum(m, [a, b], "res"), "tr", axes=[0, 2, 3, 1])
    return brew.sub(m, [t, t], "sb")


def conv_nhwc() -> Any:
    model = model_helper.ModelHelper(name="conv_nhwc", arg_scope={"order": "NHWC"})
    c = brew.conv(model, "data", "c1", 3, 4, 3)
    with brew.arg_scope([brew.fc], order="NCHW"):
        return train(model, brew.fc(model, c, "last", 64, 10))


_BODIES = {
    algebra: 6,
    concat: 320,
    conv_nd: 192,
    conv_options: 128,
    dropout: 6,
    elementwise_linear: 6,
    group_conv: 216,
    group_conv_deprecated: 216,
    inplace_and_reuse: 6,
    lrn: 216,
    max_pool_with_index: 48,
    moments_with_running_stats: 144,
    pools: 3,
    prelu: 144,
    shared_input: 6,
    shared_param: 8,
    spatial_bn_init: 144,
    spatial_gn: 144,
    sum_transpose: 192,
}
PROGRAMS: dict[str, Program] = {
    "brew_" + body.__name__: classifier(body.__name__, body, dim) for body, dim in _BODIES.items()
}
PROGRAMS["brew_conv_nhwc"] = conv_nhwc
