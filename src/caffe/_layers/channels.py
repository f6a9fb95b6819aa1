"""Layers of nets that treat channels apart: depthwise convolutions, ShuffleNet, SENet, and centres of classes."""

from __future__ import annotations

import math

from caffe._layers.vision import convolve
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError


@layer("DepthwiseConvolution", bottoms=(1, None), tops=(1, None), same_count=True)
def depthwise_convolution(low: Lowering) -> None:
    convolve(low, "Conv", transposed=False)


@layer("ConvolutionDepthwise")
def convolution_depthwise(low: Lowering) -> None:
    p = low.param.convolution_param
    p.num_output = p.group = low.shapes[0][low.axis(p.axis)]
    convolve(low, "Conv", transposed=False)


@layer("ShuffleChannel")
def shuffle_channel(low: Lowering) -> None:
    group = low.param.shuffle_channel_param.group
    shape = low.shapes[0]
    if len(shape) < 2 or group < 1 or shape[1] % group:
        low.refuse(f"group {group} must divide the channels of bottom {shape}.", ArgumentError)
    low.op("ChannelShuffle", low.bottom, low.top, group=group)


@layer("Axpy", bottoms=3)
def axpy(low: Lowering) -> None:
    low.op("ChannelAxpy", low.bottom, low.top)


@layer("CenterLoss", bottoms=2, loss=True, not_forced=(1,))
def center_loss(low: Lowering) -> None:
    p = low.param.center_loss_param
    if p.num_output < 1:
        low.refuse(
            f"num_output (the number of classes) must be at least 1, got {p.num_output}.", ArgumentError
        )
    features = math.prod(low.shapes[0][low.axis(p.axis) :])
    centers = low.weight((p.num_output, features), p.center_filler)
    low.op("CaffeCenterLoss", [*low.bottom, centers], low.top)
    low.no_gradient_for(1)
