"""A Caffe net of `nets` as other libraries have it, with the same parameters.

Each class walks the prototxt's layers once; those of `nets` are all that it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format
from torch.nn import functional

from caffe.proto import caffe_pb2

Parameters = dict[str, list[np.ndarray]]


def layers_of(text: str) -> list[Any]:
    """The layers of a prototxt, each BatchNorm and the Scale behind it as one, ``(BatchNorm, Scale)``."""
    layers: list[Any] = []
    for layer in text_format.Parse(text, caffe_pb2.NetParameter()).layer:
        if layer.type == "Scale":
            layers[-1] = (layers[-1], layer)
        elif layer.type not in ("Input", "MemoryData"):
            layers.append(layer)
    return layers


def statistics(parameters: Parameters, norm: Any, scale: Any) -> list[np.ndarray]:
    """Scale, bias, mean and variance of batch normalisation and scale."""
    mean, variance, weight = parameters[norm.name]
    return [*parameters[scale.name], mean / weight, variance / weight]


def window(layer: Any) -> tuple[int, int, int]:
    """Kernel, stride and padding of a convolution or pooling."""
    if layer.type == "Pooling":
        p = layer.pooling_param
        return p.kernel_size, p.stride, p.pad
    p = layer.convolution_param
    return p.kernel_size[0], (list(p.stride) or [1])[0], (list(p.pad) or [0])[0]


class TorchNet(torch.nn.Module):
    """The net in PyTorch, as one would write it: conv2d, batch_norm, in-place relu."""

    def __init__(self, text: str, parameters: Parameters) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList()
        self._steps: list[tuple[list[str], str, Callable[..., torch.Tensor]]] = []
        for layer in layers_of(text):
            first = layer[0] if isinstance(layer, tuple) else layer
            last = layer[1] if isinstance(layer, tuple) else layer
            self._steps.append((list(first.bottom), last.top[0], self._step(layer, parameters)))

    def _weight(self, value: np.ndarray) -> torch.nn.Parameter:
        made = torch.from_numpy(value.copy())
        if made.dim() == 4:
            made = made.contiguous(memory_format=torch.channels_last) if self._last else made
        self.weights.append(torch.nn.Parameter(made))
        return self.weights[-1]

    def _statistic(self, value: np.ndarray) -> str:
        """Let a running statistic move along with the module; its name."""
        name = f"statistic{len(self._buffers)}"
        self.register_buffer(name, torch.from_numpy(value))
        return name

    _last = False

    def _step(self, layer: Any, parameters: Parameters) -> Callable[..., torch.Tensor]:
        if isinstance(layer, tuple):
            scale, bias, mean, variance = statistics(parameters, *layer)
            w, b = self._weight(scale), self._weight(bias)
            m, v = (self._statistic(value) for value in (mean, variance))
            return lambda x: functional.batch_norm(
                x, self.get_buffer(m), self.get_buffer(v), w, b, self.training, 1e-5
            )
        type = layer.type
        if type == "Convolution":
            w, *rest = [self._weight(p) for p in parameters[layer.name]]
            b = rest[0] if rest else None
            (_, stride, pad), groups = window(layer), layer.convolution_param.group
            return lambda x: functional.conv2d(x, w, b, stride, pad, 1, groups)
        if type == "Deconvolution":
            (w,) = (self._weight(p) for p in parameters[layer.name])
            (_, stride, pad), groups = window(layer), layer.convolution_param.group
            return lambda x: functional.conv_transpose2d(x, w, None, stride, pad, 0, groups)
        if type == "Crop":
            (offset,) = layer.crop_param.offset
            return lambda x, y: x[:, :, offset : offset + y.shape[2], offset : offset + y.shape[3]]
        if type == "InnerProduct":
            w, b = (self._weight(p) for p in parameters[layer.name])
            return lambda x: functional.linear(x.flatten(1), w, b)
        if type == "Pooling":
            if layer.pooling_param.global_pooling:
                return lambda x: functional.adaptive_avg_pool2d(x, 1)
            kernel, stride, pad = window(layer)
            return lambda x: functional.max_pool2d(x, kernel, stride, pad, ceil_mode=True)
        if type == "LRN":
            p = layer.lrn_param
            return lambda x: functional.local_response_norm(x, p.local_size, p.alpha, p.beta, p.k)
        return {
            "ReLU": functional.relu_,
            "Concat": lambda *x: torch.cat(x, 1),
            "Eltwise": lambda x, y: x + y,
            "Dropout": lambda x: functional.dropout(x, 0.5, self.training),
            "Softmax": lambda x: torch.softmax(x, 1),
            "SoftmaxWithLoss": lambda x, label: functional.cross_entropy(x, label),
        }[type]

    def forward(self, data: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        """The last blob."""
        blobs: dict[str, Any] = {"data": data, "label": label}
        for bottoms, top, step in self._steps:
            blobs[top] = step(*(blobs[name] for name in bottoms))
        return blobs[top]


class TorchNetLast(TorchNet):
    """The same with parameters in channels-last memory."""

    _last = True


def onnx_model(text: str, parameters: Parameters, shape: tuple[int, ...]) -> bytes:
    """The net as a serialised ONNX model."""
    from onnx import helper, numpy_helper

    nodes, values = [], []
    now: dict[str, str] = {}

    def constant(name: str, value: np.ndarray) -> str:
        values.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(type: str, inputs: list[str], top: str, **args: Any) -> None:
        made = f"{top}:{len(nodes)}"  # the tops of layers in place
        nodes.append(helper.make_node(type, inputs, [made], **args))
        now[top] = made

    for layer in layers_of(text):
        if isinstance(layer, tuple):
            name, top = layer[1].name, layer[1].top[0]
            given = [constant(f"{name}.{i}", v) for i, v in enumerate(statistics(parameters, *layer))]
            node("BatchNormalization", [now[top], *given], top, epsilon=1e-5)
            continue
        bottoms, top = [now.get(name, name) for name in layer.bottom], layer.top[0]
        given = [constant(f"{layer.name}.{i}", p) for i, p in enumerate(parameters.get(layer.name, []))]
        if layer.type == "Convolution":
            _, stride, pad = window(layer)
            args = {"strides": [stride] * 2, "pads": [pad] * 4, "group": layer.convolution_param.group}
            node("Conv", [*bottoms, *given], top, **args)
        elif layer.type == "Deconvolution":
            _, stride, pad = window(layer)
            args = {"strides": [stride] * 2, "pads": [pad] * 4, "group": layer.convolution_param.group}
            node("ConvTranspose", [*bottoms, *given], top, **args)
        elif layer.type == "Crop":
            (offset,) = layer.crop_param.offset
            node("Shape", bottoms[1:], f"{top}.like")
            limits = {
                "start": np.array([offset] * 2),
                "axes": np.array([2, 3]),
                "two": np.array([2]),
                "four": np.array([4]),
            }
            named = {key: constant(f"{top}.{key}", value) for key, value in limits.items()}
            node("Slice", [now[f"{top}.like"], named["two"], named["four"]], f"{top}.size")
            node("Add", [now[f"{top}.size"], named["start"]], f"{top}.end")
            node("Slice", [bottoms[0], named["start"], now[f"{top}.end"], named["axes"]], top)
        elif layer.type == "InnerProduct":
            node("Flatten", bottoms, f"{top}.flat")
            node("Gemm", [now[f"{top}.flat"], *given], top, transB=1)
        elif layer.type == "Pooling" and layer.pooling_param.global_pooling:
            node("GlobalAveragePool", bottoms, top)
        elif layer.type == "Pooling":
            kernel, stride, pad = window(layer)
            args = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "ceil_mode": 1}
            node("MaxPool", bottoms, top, **args)
        elif layer.type == "LRN":
            p = layer.lrn_param
            node("LRN", bottoms, top, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
        elif layer.type == "Dropout":
            node("Identity", bottoms, top)
        else:
            args = {"axis": 1} if layer.type in ("Softmax", "Concat") else {}
            node({"ReLU": "Relu", "Eltwise": "Add"}.get(layer.type, layer.type), bottoms, top, **args)
    ends = (
        [helper.make_tensor_value_info("data", 1, shape)],
        [helper.make_tensor_value_info(now[top], 1, None)],
    )
    graph = helper.make_graph(nodes, "net", *ends, values)
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def caffe2_nets(text: str, parameters: Parameters) -> tuple[Any, Any]:
    """The net as Caffe2 has it: init_net and predict_net."""
    from caffe2.python import core

    init, net = core.Net("init"), core.Net("predict")
    net.AddExternalInput("data")

    def filled(name: str, values: list[np.ndarray]) -> list[str]:
        names = [f"{name}_{i}" for i in range(len(values))]
        for blob, value in zip(names, values, strict=True):
            init.GivenTensorFill([], [blob], shape=list(value.shape), values=value.ravel())
        return names

    for layer in layers_of(text):
        if isinstance(layer, tuple):
            name, top = layer[1].name, layer[1].top[0]
            args = {"is_test": 1, "epsilon": 1e-5, "order": "NCHW"}
            net.SpatialBN([top, *filled(name, statistics(parameters, *layer))], top, **args)
            continue
        bottoms, top = list(layer.bottom), layer.top[0]
        given = filled(layer.name, parameters.get(layer.name, []))
        if layer.type == "Convolution":
            kernel, stride, pad = window(layer)
            group = layer.convolution_param.group
            net.Conv([*bottoms, *given], top, kernel=kernel, stride=stride, pad=pad, group=group)
        elif layer.type == "Pooling" and layer.pooling_param.global_pooling:
            net.AveragePool(bottoms, top, global_pooling=1)
        elif layer.type == "Pooling":
            kernel, stride, pad = window(layer)
            net.MaxPool(bottoms, top, kernel=kernel, stride=stride, pad=pad, legacy_pad=3)
        elif layer.type == "InnerProduct":
            net.FC([*bottoms, *given], top)
        elif layer.type == "LRN":
            p = layer.lrn_param
            net.LRN(bottoms, [top, f"_{top}"], size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
        elif layer.type == "Concat":
            net.Concat(bottoms, [top, f"_{top}"], order="NCHW")
        elif layer.type == "Dropout":
            net.Dropout(bottoms, [top, f"_{top}"], is_test=1)
        else:
            net.__getattr__({"ReLU": "Relu", "Eltwise": "Sum"}.get(layer.type, layer.type))(bottoms, top)
    net.AddExternalOutput(core.BlobReference(top))
    return init.Proto(), net.Proto()
