"""The translators of Caffe's layers.

Owned here: which operators a layer becomes. Who calls it: `registry`.

Source: caffe2/python/caffe_translator.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.proto import caffe2_legacy_pb2, caffe2_pb2
from caffe2.python import core, utils
from caffe2.python._caffe_translator.legacy_pad import blob_dims
from caffe2.python._caffe_translator.registry import (
    CAFFE,
    Translator,
    TranslatorRegistry,
    add_argument,
    base_translate,
    refuse,
)

Made = tuple[Any, list[Any]]


def _tensor(value: Any, name: str) -> Any:
    return utils.NumpyArrayToCaffe2Tensor(value, name)


def _trained(layer: Any, blobs: list[Any], count: int) -> list[Any]:
    """The layer's arrays, of which there must be some number."""
    if len(blobs) < count:
        raise refuse(layer, f"the trained net has {len(blobs)} arrays for it, {count} are needed.")
    return blobs


# ---- nothing to do ---------------------------------------------------------------------------------
def _nothing(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    return [], []


for _name in ("Input", "VideoData", "Data"):
    TranslatorRegistry.Register(_name)(_nothing)


# ---- one operator without parameters ---------------------------------------------------------------
def _plain(caffe2_type: str) -> Translator:
    def translate(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
        return base_translate(layer, caffe2_type), []

    return translate


for _name, _type in (("ReLU", "Relu"), ("Softmax", "Softmax"), ("TanH", "Tanh"), ("Sigmoid", "Sigmoid")):
    TranslatorRegistry.Register(_name)(_plain(_type))


# ---- windows ---------------------------------------------------------------------------------------
def _one(layer: Any, values: Any, default: int) -> int:
    """A repeated field's only number, or a single field's."""
    if isinstance(values, int):
        return values
    if len(values) > 1:
        raise refuse(
            layer, "Translator currently does not support non-conventional pad/kernel/stride settings."
        )
    return values[0] if values else default


def _window(layer: Any, param: Any, op: Any) -> None:
    """The arguments stride, pad and kernel."""
    stride, pad = _one(layer, param.stride, 1), _one(layer, param.pad, 0)
    kernel = _one(layer, param.kernel_size, 0)
    if param.HasField("stride_h") or param.HasField("stride_w"):
        add_argument(op, "stride_h", param.stride_h)
        add_argument(op, "stride_w", param.stride_w)
    else:
        add_argument(op, "stride", stride)
    if not (param.HasField("pad_h") or param.HasField("pad_w")):
        add_argument(op, "pad", pad)
    elif param.pad_h == param.pad_w:
        add_argument(op, "pad", param.pad_h)
    else:
        for side, value in (("t", param.pad_h), ("b", param.pad_h), ("l", param.pad_w), ("r", param.pad_w)):
            add_argument(op, f"pad_{side}", value)
    if param.HasField("kernel_h") or param.HasField("kernel_w"):
        add_argument(op, "kernel_h", param.kernel_h)
        add_argument(op, "kernel_w", param.kernel_w)
    else:
        add_argument(op, "kernel", kernel)


@TranslatorRegistry.Register("Convolution")
def translate_conv(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Conv."""
    param = layer.convolution_param
    op = base_translate(layer, "Conv")
    _window(layer, param, op)
    params = _weight_and_bias(op, _trained(layer, blobs, 1), len(blobs) == 2)
    if param.group != 1:
        add_argument(op, "group", param.group)
    if len(param.dilation) == 1:
        add_argument(op, "dilation", param.dilation[0])
    elif len(param.dilation) == 2:
        add_argument(op, "dilation_h", param.dilation[0])
        add_argument(op, "dilation_w", param.dilation[1])
    return op, params


def _weight_and_bias(op: Any, blobs: list[Any], has_bias: bool) -> list[Any]:
    """Add the inputs "top_w" and, where there is one, "top_b"; their tensors."""
    name = op.output[0]
    op.input.append(f"{name}_w")
    params = [_tensor(blobs[0], f"{name}_w")]
    if has_bias:
        op.input.append(f"{name}_b")
        params.append(_tensor(blobs[1].flatten(), f"{name}_b"))
    return params


@TranslatorRegistry.Register("Deconvolution")
def translate_deconv(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """ConvTranspose."""
    param = layer.convolution_param
    if param.group > 1:
        raise refuse(layer, "Translator currently does not support group deconvolution.")
    op = base_translate(layer, "ConvTranspose")
    _window(layer, param, op)
    params = _weight_and_bias(op, _trained(layer, blobs, 1 + param.bias_term), param.bias_term)
    add_argument(op, "order", "NCHW")
    return op, params


@TranslatorRegistry.Register("Pooling")
def translate_pool(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """MaxPool or AveragePool, with Caffe's sizes."""
    param = layer.pooling_param
    kinds = {CAFFE.PoolingParameter.MAX: "MaxPool", CAFFE.PoolingParameter.AVE: "AveragePool"}
    if param.pool not in kinds:
        raise refuse(layer, "only MAX and AVE pooling is translated.")
    op = base_translate(layer, kinds[param.pool])
    _window(layer, param, op)
    add_argument(op, "order", "NCHW")
    if not getattr(param, "torch_pooling", False):
        add_argument(op, "legacy_pad", caffe2_legacy_pb2.CAFFE_LEGACY_POOLING)
    if param.global_pooling:
        add_argument(op, "global_pooling", 1)
    return op, []


def _volume(op: Any, param: Any) -> None:
    add_argument(op, "kernels", [param.kernel_depth, param.kernel_size, param.kernel_size])
    add_argument(op, "strides", [param.temporal_stride, param.stride, param.stride])
    pad = getattr(param, "pad", 0)
    add_argument(op, "pads", [getattr(param, "temporal_pad", 0), pad, pad] * 2)


@TranslatorRegistry.Register("Convolution3D")
def translate_conv_nd(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Conv over volumes, of forks of Caffe that have the layer."""
    op = base_translate(layer, "Conv")
    _volume(op, layer.convolution3d_param)
    return op, _weight_and_bias(op, _trained(layer, blobs, 1), len(blobs) == 2)


@TranslatorRegistry.Register("Pooling3D")
def translate_pool3d(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """MaxPool or AveragePool over volumes, of forks of Caffe that have the layer."""
    param = layer.pooling3d_param
    op = base_translate(layer, "MaxPool" if param.pool == 0 else "AveragePool")
    add_argument(op, "order", "NCHW")
    _volume(op, param)
    return op, []


@TranslatorRegistry.Register("ROIPooling")
def translate_roi_pooling(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """RoIPool, of forks of Caffe that have the layer."""
    op = base_translate(layer, "RoIPool")
    add_argument(op, "order", "NCHW")
    if is_test:
        add_argument(op, "is_test", is_test)
    else:
        op.output.append(op.output[0] + "_argmaxes")
    param = layer.roi_pooling_param
    for field in ("pooled_h", "pooled_w", "spatial_scale"):
        if param.HasField(field):
            add_argument(op, field, getattr(param, field))
    return op, []


# ---- layers with parameters ------------------------------------------------------------------------
@TranslatorRegistry.Register("InnerProduct")
def translate_inner_product(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """FC."""
    param = layer.inner_product_param
    if param.axis != 1 or param.transpose:
        raise refuse(layer, "only axis 1, and no transpose, is translated.")
    op = base_translate(layer, "FC")
    weight, bias = _trained(layer, blobs, 2)[:2]
    if weight.ndim not in (2, 4) or (weight.ndim == 4 and weight.shape[:2] != (1, 1)):
        raise refuse(
            layer, f"its weight has shape {weight.shape}; wanted is (K, D) or the older (1, 1, K, D)."
        )
    return op, _weight_and_bias(op, [weight.reshape(-1, weight.shape[-1]), bias], True)


@TranslatorRegistry.Register("InstanceNorm")
def translate_instance_norm(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """InstanceNorm, of forks of Caffe that have the layer."""
    op = base_translate(layer, "InstanceNorm")
    weight, bias = _trained(layer, blobs, 2)[:2]
    params = _weight_and_bias(op, [weight.flatten(), bias], True)
    add_argument(op, "order", "NCHW")
    return op, params


@TranslatorRegistry.Register("BatchNorm")
def translate_batch_norm(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """SpatialBN; with five arrays, as NVCaffe has them, scale and bias are the layer's own."""
    op = base_translate(layer, "SpatialBN")
    name = op.output[0]
    add_argument(op, "is_test", is_test)
    add_argument(op, "epsilon", layer.batch_norm_param.eps)
    add_argument(op, "order", "NCHW")
    op.input.extend(f"{name}_{part}" for part in ("scale", "bias", "mean", "var"))
    if not is_test:
        op.output.extend(f"{name}_{part}" for part in ("mean", "var", "saved_mean", "saved_var"))
    mean, variance, factor = _trained(layer, blobs, 3)[:3]
    if factor[0] == 0:
        raise refuse(layer, "scalar is zero.")
    if len(blobs) > 3:
        scale, bias = (blob.flatten() for blob in _trained(layer, blobs, 5)[3:5])
    else:
        scale, bias = np.ones(len(mean), factor.dtype), np.zeros(len(mean), factor.dtype)
    return op, [
        _tensor(scale, f"{name}_scale"),
        _tensor(bias, f"{name}_bias"),
        _tensor((1.0 / factor[0]) * mean, f"{name}_mean"),
        _tensor((1.0 / factor[0]) * variance, f"{name}_var"),
    ]


@TranslatorRegistry.Register("Scale")
def translate_scale(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Mul, and Add where there is a bias."""
    mul = base_translate(layer, "Mul")
    add_argument(mul, "axis", layer.scale_param.axis)
    add_argument(mul, "broadcast", True)
    if len(mul.input) != 1 or layer.scale_param.num_axes != 1 or len(blobs) not in (1, 2):
        raise refuse(
            layer, "only one bottom, one axis, and a trained scale with or without bias is translated."
        )
    name = mul.output[0]
    mul.input.append(f"{name}scale_w")
    weights = [_tensor(blobs[0].flatten(), f"{name}scale_w")]
    if len(blobs) == 1:
        return [mul], weights
    add = caffe2_pb2.OperatorDef()
    add.CopyFrom(mul)
    add.type = "Add"
    mul.output[:] = [f"{name}_internal"]
    add.input[:] = [f"{name}_internal", f"{name}scale_b"]
    return [mul, add], [*weights, _tensor(blobs[1].flatten(), f"{name}scale_b")]


@TranslatorRegistry.Register("PReLU")
def translate_prelu(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """PRelu."""
    op = base_translate(layer, "PRelu")
    name = op.output[0] + "_Slope"
    op.input.append(name)
    return op, [_tensor(_trained(layer, blobs, 1)[0], name)]


# ---- the rest --------------------------------------------------------------------------------------
@TranslatorRegistry.Register("Crop")
def translate_crop(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Slice, of the sizes that the input's sizes make."""
    sizes = blob_dims(kwargs["net"], kwargs["net_params"], kwargs["input_dims"])
    axis, offsets = layer.crop_param.axis, layer.crop_param.offset
    if len(offsets) != 1:
        raise refuse(layer, "only one offset is translated.")
    if layer.bottom[1] not in sizes:
        raise refuse(layer, f"the size of '{layer.bottom[1]}' is not known: no operator writes it.")
    like = sizes[layer.bottom[1]]
    op = caffe2_pb2.OperatorDef(type="Slice", input=[layer.bottom[0]], output=layer.top)
    add_argument(op, "starts", [0] * axis + [offsets[0]] * (len(like) - axis))
    add_argument(op, "ends", [-1] * axis + [int(offsets[0] + size) for size in like[axis:]])
    return op, []


@TranslatorRegistry.Register("LRN")
def translate_lrn(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """LRN across channels."""
    param = layer.lrn_param
    if param.norm_region != CAFFE.LRNParameter.ACROSS_CHANNELS:
        raise refuse(layer, "Does not support norm region other than across channels.")
    op = base_translate(layer, "LRN")
    op.output.append(f"_{op.output[0]}_scale")
    add_argument(op, "size", int(param.local_size))
    add_argument(op, "alpha", float(param.alpha))
    add_argument(op, "beta", float(param.beta))
    add_argument(op, "bias", float(param.k))
    add_argument(op, "order", "NCHW")
    return op, []


@TranslatorRegistry.Register("Dropout")
def translate_dropout(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Dropout."""
    op = base_translate(layer, "Dropout")
    op.output.append(f"_{op.output[0]}_mask")
    add_argument(op, "ratio", layer.dropout_param.dropout_ratio)
    if is_test:
        add_argument(op, "is_test", 1)
    return op, []


@TranslatorRegistry.Register("SoftmaxWithLoss")
def translate_softmax_with_loss(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Softmax, LabelCrossEntropy, AveragedLoss."""
    data, label = layer.bottom[0], layer.bottom[1]
    softmax = core.CreateOperator("Softmax", [data], data + "_translator_autogen_softmax")
    entropy = core.CreateOperator(
        "LabelCrossEntropy", [softmax.output[0], label], data + "_translator_autogen_xent"
    )
    return [softmax, entropy, core.CreateOperator("AveragedLoss", entropy.output[0], layer.top[0])], []


@TranslatorRegistry.Register("Accuracy")
def translate_accuracy(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Accuracy."""
    op = base_translate(layer, "Accuracy")
    if layer.accuracy_param.top_k != 1:
        add_argument(op, "top_k", layer.accuracy_param.top_k)
    return op, []


@TranslatorRegistry.Register("Concat")
def translate_concat(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Concat along the channels."""
    op = base_translate(layer, "Concat")
    op.output.append(f"_{op.output[0]}_dims")
    add_argument(op, "order", "NCHW")
    return op, []


@TranslatorRegistry.Register("Eltwise")
def translate_eltwise(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Sum."""
    param = layer.eltwise_param
    if param.coeff or param.operation != CAFFE.EltwiseParameter.SUM:
        raise refuse(layer, "only a sum without factors is translated.")
    return base_translate(layer, "Sum"), []


@TranslatorRegistry.Register("Reshape")
def translate_reshape(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Reshape."""
    op = base_translate(layer, "Reshape")
    op.output.append(f"_{op.input[0]}_dims")
    add_argument(op, "shape", layer.reshape_param.shape.dim)
    return op, []


@TranslatorRegistry.Register("Flatten")
def translate_flatten(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """Flatten or FlattenToVec."""
    param = layer.flatten_param
    if param.end_axis != -1 or param.axis not in (0, 1):
        raise refuse(layer, "only axis 0 or 1 to the last is translated.")
    return base_translate(layer, "Flatten" if param.axis else "FlattenToVec"), []


@TranslatorRegistry.Register("Reduction")
def translate_reduction(layer: Any, blobs: list[Any], is_test: bool, **kwargs: Any) -> Made:
    """ReduceBackSum or ReduceBackMean over axes that are counted from the back."""
    param = layer.reduction_param
    kinds = {CAFFE.ReductionParameter.SUM: "ReduceBackSum", CAFFE.ReductionParameter.MEAN: "ReduceBackMean"}
    if param.operation not in kinds or param.axis > 0:
        raise refuse(layer, "only SUM and MEAN over an axis counted from the back is translated.")
    op = base_translate(layer, kinds[param.operation])
    add_argument(op, "num_reduce_dim", -param.axis)
    return op, []
