"""Normalisation and noise: batch normalisation, mean and variance, dropout."""

from __future__ import annotations

from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError


@layer("BatchNorm")
def batch_norm(low: Lowering) -> None:
    p = low.param.batch_norm_param
    channels = (low.shapes[0][low.axis(1)],)
    _no_learning(low)
    sums = [low.weight(channels), low.weight(channels), low.weight((1,))]
    low.op(
        "BatchNorm",
        [low.kept_bottom(), *sums],
        [*low.top, *sums, low.temp("mean"), low.temp("deviation")],
        eps=p.eps,
        moving_average_fraction=p.moving_average_fraction,
        use_global_stats=int(p.use_global_stats if p.HasField("use_global_stats") else not low.train),
    )


def _no_learning(low: Lowering) -> None:
    """The three blobs are statistics: a solver must not touch them."""
    for spec in low.param.param:
        if spec.lr_mult != 0:
            low.refuse(
                f"its blobs are statistics, not parameters: lr_mult must be 0, got {spec.lr_mult:g}.",
                ArgumentError,
            )
    while len(low.param.param) < 3:
        low.param.param.add(lr_mult=0.0)


@layer("MVN")
def mvn(low: Lowering) -> None:
    p = low.param.mvn_param
    if len(low.shapes[0]) > 4:
        low.refuse(f"bottom must have at most 4 axes (num, channels, height, width), got {low.shapes[0]}.")
    low.op(
        "MVN",
        low.bottom,
        [*low.top, low.temp("divisor")],
        across_channels=int(p.across_channels),
        normalize_variance=int(p.normalize_variance),
        eps=p.eps,
    )


@layer("Dropout")
def dropout(low: Lowering) -> None:
    p = low.param.dropout_param
    ratio = p.dropout_ratio
    if not 0 <= ratio < 1:
        low.refuse(f"dropout_ratio must be at least 0 and less than 1, got {ratio:g}.", ArgumentError)
    drops = low.train or p.sample_weights_test
    made = low.top if p.scale_train else [low.temp("dropped")]
    low.op("Dropout", low.bottom, [*made, low.temp("mask")], ratio=ratio, is_test=int(not drops))
    if not p.scale_train:  # of a time when tests were scaled, not training
        low.op("Power", made, low.top, scale=1.0 - ratio)
