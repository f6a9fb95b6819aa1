"""Activations, arithmetic."""

from __future__ import annotations

import math

import numpy as np

from freshpot.convert.to_caffe._layers import PB, Array, Call, Layers, caffe

_PLAIN = {
    "Relu": "ReLU",
    "Sigmoid": "Sigmoid",
    "Tanh": "TanH",
    "Abs": "AbsVal",
    "BNLL": "BNLL",
    "Softplus": "BNLL",
}


@caffe(*_PLAIN)
def plain(layers: Layers, call: Call) -> None:
    layers.add(_PLAIN[call.op.type], call.bottoms, call.tops[0])


@caffe("LeakyRelu", "CaffeReLU")
def leaky(layers: Layers, call: Call) -> None:
    slope = call.operator.alpha if call.op.type == "LeakyRelu" else call.operator.slope
    layers.add("ReLU", call.bottoms, call.tops[0]).relu_param.negative_slope = slope


@caffe("Elu")
def elu(layers: Layers, call: Call) -> None:
    layers.add("ELU", call.bottoms, call.tops[0]).elu_param.alpha = call.operator.alpha


@caffe("PRelu")
def prelu(layers: Layers, call: Call) -> None:
    call.channels_second()
    slope = call.fixed(1)
    shared = slope.size == 1 and call.shape()[1] != 1
    blob = slope.reshape(()) if shared else slope.reshape(-1)
    layers.add("PReLU", call.bottoms[:1], call.tops[0], [blob]).prelu_param.channel_shared = shared


@caffe("Clip", "CaffeClip")
def clip(layers: Layers, call: Call) -> None:
    p = layers.add("Clip", call.bottoms, call.tops[0]).clip_param
    p.min, p.max = call.operator.min, call.operator.max


@caffe("Swish", "CaffeSwish")
def swish(layers: Layers, call: Call) -> None:
    layers.add("Swish", call.bottoms, call.tops[0]).swish_param.beta = getattr(call.operator, "beta", 1.0)


@caffe("Threshold")
def threshold(layers: Layers, call: Call) -> None:
    layers.add("Threshold", call.bottoms, call.tops[0]).threshold_param.threshold = call.operator.threshold


@caffe("Exp", "CaffeExp", "Log", "CaffeLog")
def exp_log(layers: Layers, call: Call) -> None:
    type = call.op.type.removeprefix("Caffe")
    layer, own = layers.add(type, call.bottoms, call.tops[0]), call.operator
    if call.op.type.startswith("Caffe"):
        p = layer.exp_param if type == "Exp" else layer.log_param
        p.base, p.scale, p.shift = own.base, own.scale, own.shift


def power(
    layers: Layers, x: str, top: str, power: float = 1.0, scale: float = 1.0, shift: float = 0.0
) -> None:
    """top = (scale * x + shift) ^ power"""
    p = layers.add("Power", [x], top).power_param
    p.power, p.scale, p.shift = power, scale, shift


@caffe("Power", "Pow", "Sqr", "Cube", "Sqrt", "Rsqrt", "Reciprocal", "Negative", "Scale")
def powers(layers: Layers, call: Call) -> None:
    own, type = call.operator, call.op.type
    x, top = call.bottoms[0], call.tops[0]
    fixed = {"Sqr": 2.0, "Cube": 3.0, "Sqrt": 0.5, "Rsqrt": -0.5, "Reciprocal": -1.0}
    if type in fixed:
        power(layers, x, top, fixed[type])
    elif type == "Negative":
        power(layers, x, top, scale=-1.0)
    elif type == "Scale":
        power(layers, x, top, scale=own.scale)
    elif type == "Power":
        power(layers, x, top, own.power, own.scale, own.shift)
    elif len(call.op.inputs) > 1:
        call.refuse("an exponent that is a blob is in no layer.")
    else:
        power(layers, x, top, own.exponent)


@caffe("Copy", "StopGradient", "Alias", "CaffeKeep")
def passed_on(layers: Layers, call: Call) -> None:
    """A Power layer of one, which passes on."""
    layers.add("Power", call.bottoms[:1], call.tops[0])


@caffe("Dropout")
def dropout(layers: Layers, call: Call) -> None:
    layers.add("Dropout", call.bottoms, call.tops[0]).dropout_param.dropout_ratio = call.operator.ratio


@caffe("Softmax", "CaffeSoftmax")
def softmax(layers: Layers, call: Call) -> None:
    shape = call.shape()
    axis = call.operator.axis % len(shape)
    if call.op.type == "Softmax" and math.prod(shape[axis + 1 :]) != 1:
        call.refuse("a softmax over several dimensions is no layer.")
    layers.add("Softmax", call.bottoms, call.tops[0]).softmax_param.axis = axis


@caffe("Sum", "Max", "Eltwise")
def eltwise(layers: Layers, call: Call) -> None:
    own = call.operator
    if len({tuple(call.shape(i)) for i in range(len(call.op.inputs))}) > 1:
        call.refuse("inputs of several shapes are in no layer.")
    if len(call.bottoms) == 1:
        power(layers, call.bottoms[0], call.tops[0], scale=(getattr(own, "coeff", None) or [1.0])[0])
        return
    how = own.operation if call.op.type == "Eltwise" else call.op.type.upper()
    p = layers.add("Eltwise", call.bottoms, call.tops[0]).eltwise_param
    p.operation = PB.EltwiseParameter.EltwiseOp.Value(how)
    p.coeff.extend(own.coeff if call.op.type == "Eltwise" else [])


@caffe("Add", "Sub", "Mul", "Div")
def binary(layers: Layers, call: Call) -> None:
    """Of two blobs, or of a blob and a parameter: one number, or one a channel."""
    type, top = call.op.type, call.tops[0]
    values = [call.value(0), call.value(1)]
    if values[0] is not None and values[1] is None and type in ("Add", "Mul", "Sub"):
        x, fixed, turned = 1, values[0], True
    elif values[1] is not None and values[0] is None:
        x, fixed, turned = 0, values[1], False
    else:
        _of_blobs(layers, call)
        return
    if fixed.size == 1 and tuple(call.made_shape()) == tuple(call.shape(x)):
        number = float(fixed.reshape(-1)[0])
        sign = -1.0 if turned and type == "Sub" else 1.0
        if type in ("Add", "Sub"):
            shift = number if type == "Add" or turned else -number
            power(layers, call.bottoms[x], top, scale=sign, shift=shift)
        else:
            power(layers, call.bottoms[x], top, scale=number if type == "Mul" else 1.0 / number)
        return
    row = _channels(call, x, fixed)
    if turned and type == "Sub":
        inner = layers.fresh(top)
        power(layers, call.bottoms[x], inner, scale=-1.0)
        layers.add("Bias", [inner], top, [row])
    elif type in ("Add", "Sub"):
        layers.add("Bias", [call.bottoms[x]], top, [row if type == "Add" else -row])
    else:
        layers.add("Scale", [call.bottoms[x]], top, [row if type == "Mul" else 1.0 / row])


def _of_blobs(layers: Layers, call: Call) -> None:
    type = call.op.type
    if call.shape(0) != call.shape(1) or type == "Div":
        call.refuse("two blobs are divided, or brought to one shape, by no layer.")
    p = layers.add("Eltwise", call.bottoms, call.tops[0]).eltwise_param
    p.operation = PB.EltwiseParameter.PROD if type == "Mul" else PB.EltwiseParameter.SUM
    if type == "Sub":
        p.coeff.extend([1.0, -1.0])


def _channels(call: Call, x: int, fixed: Array) -> Array:
    """A parameter as one number a channel."""
    shape, own = call.shape(x), call.operator
    if own.broadcast and own.start not in (-1, None):
        laid = [1] * own.start + list(fixed.shape)
        laid += [1] * (len(shape) - len(laid))
    else:
        laid = [1] * (len(shape) - fixed.ndim) + list(fixed.shape)
    wanted = [n if i == 1 else 1 for i, n in enumerate(shape)]
    if len(laid) != len(shape) or laid != wanted:
        call.refuse(
            f"a parameter of shape {fixed.shape} beside a blob {tuple(shape)} is no number a channel."
        )
    return np.asarray(fixed).reshape(-1)
