"""ONNX models, run as Caffe2 nets: ``rep = backend.prepare(model); rep.run(x)``.

Owned here: the calls that programs make. Who does the work: `freshpot.convert.from_onnx`, so nets have freshpot's
choice of operators, and opset 5 to 22 are read. The package ``onnx`` is not needed.

Source: caffe2/python/onnx/backend.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from caffe2.python.onnx._messages import as_own
from caffe2.python.onnx.backend_rep import Caffe2Rep
from caffe2.python.onnx.helper import namedtupledict
from caffe2.python.onnx.workspace import Workspace
from freshpot.convert.from_onnx import Imported, from_onnx
from freshpot.convert.netdef import net_to_proto
from freshpot.convert.pair import init_net as parameters_net
from freshpot.errors import ArgumentError, ArityError, DeviceError, NotSupportedError
from freshpot.formats.onnx import MESSAGES, tensor, value_info

__all__ = [
    "Caffe2Backend",
    "get_device_option",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


def get_device_option(device: str) -> Any:
    """The DeviceOption of "CPU", "CUDA" or "CUDA:1".

    Raises:
        DeviceError: another device.
    """
    kind, _, index = str(device).partition(":")
    if kind not in ("CPU", "CUDA") or (index and not index.isdigit()):
        raise DeviceError(f"device is {device!r}; known are CPU, CUDA and CUDA:N.")
    return core.DeviceOption(
        caffe2_pb2.CPU if kind == "CPU" else workspace.GpuDeviceType, int(index) if index else 0
    )


class Caffe2Backend:
    """The calls of ONNX's backends, as class methods."""

    _known_opset_version = 9

    @classmethod
    def prepare(
        cls, model: Any, device: str = "CPU", raw_values_dict: Any = None, **kwargs: Any
    ) -> Caffe2Rep:
        """A model, ready to run.

        Args:
            model: a ModelProto, its bytes, or its file's path.
            device: "CPU", "CUDA" or "CUDA:1".
            raw_values_dict: not taken; let the model hold its parameters.
            kwargs: ``shapes``, sizes by input, for a model that leaves others than the first open; further names,
                such as ``opset_version`` and ``no_check_UNSAFE``, are taken for programs' sake.

        Raises:
            NotSupportedError: operators without a converter, all of them named. FormatError: no ONNX model.
            ArgumentError: sizes that are open. DeviceError: no such device.
        """
        if raw_values_dict:
            raise NotSupportedError("raw_values_dict is not taken: let the model hold its parameters.")
        init, predict, made = _pair(model, device, kwargs.get("shapes"))
        return Caffe2Rep(init, predict, Workspace(), list(made.inputs))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> Any:
        """The outputs of a model, a named tuple of arrays; see `prepare`."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Mapping[str, Any] | Sequence[Any],
        device: str = "CPU",
        opset_version: int = _known_opset_version,
        outputs_info: Any = None,
    ) -> Any:
        """The outputs of one node, a named tuple of arrays.

        Args:
            node: a NodeProto, or its bytes.
            inputs: arrays by name, or in order.
            device: "CPU", "CUDA" or "CUDA:1".
            opset_version: the operator set that the node belongs to.
            outputs_info: taken for programs' sake.

        Raises:
            ArityError: another number of inputs than the node has. Errors of `prepare`.
        """
        node = as_own(node, "NodeProto")
        names = [name for name in node.input if name]
        if not isinstance(inputs, Mapping):
            if len(names) != len(inputs):
                raise ArityError(f"{node.op_type}: expected {len(names)} but got {len(inputs)}")
            inputs = dict(zip(names, inputs, strict=True))
        values = {name: np.asarray(value) for name, value in inputs.items()}
        model = MESSAGES.ModelProto(ir_version=7)
        model.opset_import.add(domain="", version=opset_version)
        model.graph.name = "node"
        model.graph.node.append(node)
        # the first input is data; what follows is often wanted beforehand: shapes, axes, weights
        data, *fixed = values
        model.graph.input.append(value_info(data, str(values[data].dtype), values[data].shape))
        model.graph.initializer.extend(tensor(name, values[name]) for name in fixed)
        for name in filter(None, node.output):
            info = model.graph.output.add(name=name)
            info.type.tensor_type.elem_type = 1
        outputs = cls.run_model(model, {data: values[data]}, device)
        wanted = [name for name in node.output if name]
        return namedtupledict("Outputs", wanted)(*(outputs[name] for name in wanted))

    @classmethod
    def onnx_graph_to_caffe2_net(
        cls, model: Any, device: str = "CPU", opset_version: int = _known_opset_version, **kwargs: Any
    ) -> tuple[Any, Any]:
        """A model's init_net and predict_net, as NetDefs; see `prepare`."""
        return _pair(model, device, kwargs.get("shapes"))[:2]

    @classmethod
    def supports_device(cls, device_str: str) -> bool:
        """Whether models run there."""
        try:
            option = get_device_option(device_str)
        except DeviceError:
            return False
        return option.device_type == caffe2_pb2.CPU or bool(workspace.has_gpu_support)

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether a model can be converted."""
        try:
            _pair(model, device, kwargs.get("shapes"))
        except (NotSupportedError, ArgumentError):
            return False
        return cls.supports_device(device)


def _pair(model: Any, device: str, shapes: Mapping[str, Sequence[int]] | None) -> tuple[Any, Any, Imported]:
    made = from_onnx(as_own(model), shapes)
    name = made.net.name
    option = get_device_option(device)
    init = parameters_net(f"{name}_init", made.parameters)
    made.net.name = f"{name}_predict"
    predict = net_to_proto(made.net)
    for proto in (init, predict):
        proto.device_option.CopyFrom(option)
    return init, predict, made


prepare = Caffe2Backend.prepare
run_node = Caffe2Backend.run_node
run_model = Caffe2Backend.run_model
supports_device = Caffe2Backend.supports_device
is_compatible = Caffe2Backend.is_compatible
