"""Activations: one bottom, one top, element by element."""

from __future__ import annotations

from caffe._net.layer import Lowering, layer


@layer("ReLU")
def relu(low: Lowering) -> None:
    slope = low.param.relu_param.negative_slope
    if slope:
        low.op("CaffeReLU", low.bottom, low.top, slope=slope)
    else:
        low.op("Relu", low.bottom, low.top)


@layer("Sigmoid")
def sigmoid(low: Lowering) -> None:
    low.op("Sigmoid", low.bottom, low.top)


@layer("TanH")
def tanh(low: Lowering) -> None:
    low.op("Tanh", low.bottom, low.top)


@layer("AbsVal")
def abs_val(low: Lowering) -> None:
    if low.bottom == low.top:
        low.refuse("cannot run in place: give the top another name than the bottom.")
    low.op("Abs", low.bottom, low.top)


@layer("BNLL")
def bnll(low: Lowering) -> None:
    low.op("BNLL", low.bottom, low.top)


@layer("ELU")
def elu(low: Lowering) -> None:
    low.op("Elu", low.bottom, low.top, alpha=low.param.elu_param.alpha)


@layer("Swish")
def swish(low: Lowering) -> None:
    low.op("CaffeSwish", low.bottom, [*low.top, low.temp("sigmoid")], beta=low.param.swish_param.beta)


@layer("Clip")
def clip(low: Lowering) -> None:
    p = low.param.clip_param
    low.op("CaffeClip", low.bottom, low.top, min=p.min, max=p.max)


@layer("Threshold")
def threshold(low: Lowering) -> None:
    low.op("Threshold", low.bottom, low.top, threshold=low.param.threshold_param.threshold)


@layer("Power")
def power(low: Lowering) -> None:
    p = low.param.power_param
    in_place = int(low.bottom == low.top)
    low.op("Power", low.bottom, low.top, power=p.power, scale=p.scale, shift=p.shift, overwrites=in_place)


@layer("Exp")
def exp(low: Lowering) -> None:
    p = low.param.exp_param
    low.op("CaffeExp", low.bottom, low.top, base=p.base, scale=p.scale, shift=p.shift)


@layer("Log")
def log(low: Lowering) -> None:
    p = low.param.log_param
    in_place = int(low.bottom == low.top)
    low.op("CaffeLog", low.bottom, low.top, base=p.base, scale=p.scale, shift=p.shift, overwrites=in_place)
