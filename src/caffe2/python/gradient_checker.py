"""Checks of gradients against slopes: the change of a loss over a small step of one input.

Source: caffe2/python/gradient_checker.py. The loss of one operator is half the sum of the squares of its
outputs, that of a net the sum of its outputs.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, net_drawer, utils, workspace
from caffe2.python._errors import require
from freshpot.errors import DTypeError, ShapeError

#: of a large input only the first and last few elements are checked, unless CAFFE2_FULL_GRAD_CHECK=1
_ENDS = 3


def getGradientForOp(op: Any) -> tuple[list[Any], list[Any]]:
    """The gradient operators of an operator, whose output gradients end in ``_grad``, and the gradients of
    its inputs."""
    return core.GradientRegistry.GetGradientForOp(op, [f"{name}_grad" for name in op.output])


def _get_grad_blob(grad_map: Mapping[Any, Any], input_to_check: Any) -> np.ndarray:
    """The gradient of a blob; a sparse one is made dense."""
    grad = grad_map[input_to_check]
    if not isinstance(grad, core.GradientSlice):
        return workspace.FetchBlob(grad)
    inputs = [grad.indices, grad.values, input_to_check]
    workspace.RunOperatorOnce(core.CreateOperator("SparseToDense", inputs, "tmp_dense_grad"))
    return workspace.FetchBlob("tmp_dense_grad")


def _get_grad(
    net: core.Net,
    outputs: Sequence[Any],
    outputs_with_grad: Sequence[Any],
    input_values: Mapping[Any, np.ndarray] | None,
    inputs_with_grads: Sequence[Any],
) -> tuple[list[tuple[Any, Any]], dict[Any, np.ndarray], core.Net]:
    """Run a copy of a net with its gradients: outputs with their values, gradients by blob, the copy."""
    grad_net = net.Clone(net.Name() + "_copy")
    grad_map = grad_net.AddGradientOperators(list(outputs_with_grad))
    for name, value in (input_values or {}).items():
        workspace.FeedBlob(name, value)
    for name in inputs_with_grads:
        require(name in grad_map, f"net '{net.Name()}': '{name}' has no gradient to check.")
        require(workspace.HasBlob(name), f"net '{net.Name()}': input '{name}' has no value; feed it first.")
    workspace.RunNetOnce(grad_net)
    results = [(output, workspace.FetchBlob(output)) for output in outputs]
    return results, {name: _get_grad_blob(grad_map, name) for name in inputs_with_grads}, grad_net


def _assert_close(value1: Any, value2: Any, threshold: float, err_msg: str = "") -> tuple[Any, Any]:
    """Mean and largest difference of two arrays. Raises AssertionError if they are not close."""
    np.testing.assert_allclose(value1, value2, atol=threshold, rtol=threshold, err_msg=err_msg)
    delta = np.abs(np.asarray(value1) - np.asarray(value2)).flatten()
    return np.mean(delta), max(delta)


class NetGradientChecker:
    """Checks of whole nets, in the current workspace."""

    @staticmethod
    def CompareNets(
        nets: Sequence[core.Net],
        outputs: Sequence[Sequence[Any]],
        outputs_with_grad_ids: Sequence[int],
        inputs_with_grads: Sequence[Any],
        input_values: Mapping[Any, np.ndarray] | None = None,
        threshold: float = 1e-7,
        print_net_images: bool = False,
    ) -> None:
        """Check that nets have the same outputs and the same gradients.

        Args:
            outputs: for each net, the blobs to compare with those of the others.
            outputs_with_grad_ids: positions in ``outputs`` of those to derive.
            inputs_with_grads: blobs whose gradients are compared.
            input_values: what to feed; by default what the blobs hold.
            threshold: absolute and relative tolerance.
            print_net_images: draw the nets into PNG files in the current folder.

        Raises:
            AssertionError: they differ.
        """
        results = []
        for net, names in zip(nets, outputs, strict=True):
            derive = [names[i] for i in outputs_with_grad_ids]
            results.append(_get_grad(net, names, derive, input_values, inputs_with_grads))
        if print_net_images:
            _draw("caffe2_net_forward_", nets)
            _draw("caffe2_net_", [grad_net for _, _, grad_net in results])
        first, first_grads, _ = results[0]
        for other, grads, _ in results[1:]:
            require(len(other) == len(first), "the nets have different numbers of outputs to compare.")
            for i, ((blob, value), (other_blob, other_value)) in enumerate(zip(first, other, strict=True)):
                message = f"output {i} differs: blobs '{blob}' and '{other_blob}'"
                _assert_close(value, other_value, threshold, message)
            for blob, grad in grads.items():
                _assert_close(first_grads[blob], grad, threshold, f"gradients of '{blob}' differ")

    @staticmethod
    def Check(
        net: core.Net,
        outputs_with_grad: Sequence[Any],
        input_values: Mapping[Any, np.ndarray],
        input_to_check: Any,
        step_size: float = 0.0001,
        threshold: float = 0.05,
        print_net: bool = True,
    ) -> tuple[Any, Any]:
        """Check the gradient of the sum of a net's outputs.

        Args:
            outputs_with_grad: the outputs.
            input_values: what to feed.
            input_to_check: the blob to derive by.
            step_size: how far it is moved either way, one element at a time.
            threshold: absolute and relative tolerance.
            print_net: show the net in the error.

        Returns:
            mean and largest difference.

        Raises:
            AssertionError: gradient and slope differ.
        """
        _, grads, full_net = _get_grad(net, [], outputs_with_grad, input_values, [input_to_check])
        start = input_values[input_to_check]

        def loss(i: int, step: float) -> Any:
            moved = start.copy()
            moved.flat[i] += step
            workspace.FeedBlob(input_to_check, moved)
            workspace.RunNetOnce(full_net)
            return sum(workspace.FetchBlob(output) for output in outputs_with_grad).sum()

        slope = np.zeros_like(start)
        for i in range(start.size):
            slope.flat[i] = (loss(i, step_size) - loss(i, -step_size)) / step_size / 2
        message = f"gradient of '{input_to_check}' in net '{net.Name()}' differs from the slope"
        if print_net:
            message += f": {net.Proto()}"
        return _assert_close(grads[input_to_check], slope, threshold, message)


def _draw(prefix: str, nets: Sequence[core.Net]) -> None:
    for i, net in enumerate(nets):
        Path(f"{prefix}{i}{net.Name()}.png").write_bytes(net_drawer.GetPydotGraph(net).create_png())


class GradientChecker:
    """Checks of single operators.

    Args:
        stepsize: how far an input is moved either way, one element at a time.
        threshold: absolute and relative tolerance.
        device_option: where to run; by default the CPU.
        workspace_name: the workspace to run in, emptied afterwards.
        input_device_options: blob -> device, where it is another.
    """

    def __init__(
        self,
        stepsize: float,
        threshold: float,
        device_option: Any = None,
        workspace_name: str = "gradient_check",
        input_device_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._stepsize = stepsize
        self._threshold = threshold
        self._device_option = device_option or caffe2_pb2.DeviceOption()
        self._workspace_name = workspace_name
        self._input_device_options = dict(input_device_options or {})

    def GetLossAndGrad(
        self,
        op: Any,
        grad_ops: Sequence[Any],
        inputs: Sequence[np.ndarray],
        input_names: Sequence[str],
        input_to_check: int,
        grad_name: Any,
        outputs_with_grads: Sequence[int],
    ) -> tuple[float, np.ndarray]:
        """The loss, and its gradient by one input. Arguments as for `CheckSimple`."""
        for name, value in zip(input_names, inputs, strict=False):
            workspace.FeedBlob(name, value, self._input_device_options.get(name, self._device_option))
        workspace.RunOperatorOnce(op)
        loss = 0.0
        for i in outputs_with_grads:
            value = workspace.FetchBlob(op.output[i])
            loss += (value**2).sum()
            workspace.FeedBlob(f"{op.output[i]}_grad", value, self._device_option)
        workspace.RunOperatorsOnce(grad_ops)
        if isinstance(grad_name, core.GradientSlice):
            return loss / 2, self._dense(grad_name, inputs[input_to_check])
        return loss / 2, workspace.FetchBlob(grad_name)

    def _dense(self, grad: core.GradientSlice, like: np.ndarray) -> np.ndarray:
        """A sparse gradient in the shape of its input."""
        dense = np.zeros(like.shape, np.float32)
        np.add.at(dense, workspace.FetchBlob(grad.indices), workspace.FetchBlob(grad.values))
        return dense

    def CheckSimple(
        self,
        op: Any,
        inputs: Sequence[np.ndarray],
        input_to_check: int,
        outputs_with_grads: Sequence[int],
        grad_ops: Sequence[Any] | None = None,
        input_device_options: Mapping[str, Any] | None = None,
        ensure_outputs_are_inferred: bool = False,
    ) -> tuple[bool, np.ndarray, np.ndarray]:
        """Check the gradient of an operator by one of its inputs.

        Of an input of more than six elements the first and last three are checked; all of them with
        CAFFE2_FULL_GRAD_CHECK=1 in the environment.

        Args:
            op: the OperatorDef.
            inputs: arrays for its inputs.
            input_to_check: position of the input to derive by.
            outputs_with_grads: positions of the outputs that make up the loss.
            grad_ops: gradient operators, if not the registered ones; they write ``<input>_grad``.
            input_device_options: blob -> device of the first feed, where it is another.
            ensure_outputs_are_inferred: check the inferred shapes and types of the gradients, too.

        Returns:
            whether gradient and slope are close (if not, the places are printed), gradient, slope.

        Raises:
            ShapeError: the gradient has not the shape of the input, or another than inferred.
        """
        before = workspace.CurrentWorkspace()
        if self._workspace_name != before:
            workspace.SwitchWorkspace(self._workspace_name, True)
        try:
            op = copy.deepcopy(op)
            op.device_option.CopyFrom(self._device_option)
            grad_name = f"{op.input[input_to_check]}_grad"
            if grad_ops is None:
                grad_ops, grads = getGradientForOp(op)
                grad_name = grads[input_to_check]
            check = _OperatorCheck(self, op, grad_ops, grad_name, input_to_check, outputs_with_grads)
            self._feed(op, inputs, input_device_options)
            grad, slope = check.grad_and_slope(inputs, self._stepsize)
            if ensure_outputs_are_inferred:
                _check_inference(op, grad_ops)
        finally:
            if self._workspace_name != before:
                workspace.ResetWorkspace()
                workspace.SwitchWorkspace(before)
        return self._close(grad, slope), grad, slope

    def _feed(self, op: Any, inputs: Sequence[np.ndarray], devices: Mapping[str, Any] | None) -> None:
        devices = devices or core.InferOpBlobDevicesAsDict(op)[0]
        for name, value in zip(op.input, inputs, strict=False):
            workspace.FeedBlob(name, value, devices.get(name, self._device_option))

    def _close(self, grad: np.ndarray, slope: np.ndarray) -> bool:
        far = np.flatnonzero(~np.isclose(grad, slope, atol=self._threshold, rtol=self._threshold))
        if far.size:
            print("Failed. [idx, grad, grad_estimate] are:")
            print(np.vstack([far, grad.flat[far], slope.flat[far]]).T)
        return not far.size


class _OperatorCheck:
    """One operator, its gradient operators, and what to derive by what."""

    def __init__(
        self,
        checker: GradientChecker,
        op: Any,
        grad_ops: Sequence[Any],
        grad_name: Any,
        input_to_check: int,
        outputs_with_grads: Sequence[int],
    ) -> None:
        self.checker, self.op, self.grad_ops, self.grad_name = checker, op, grad_ops, grad_name
        self.input_to_check, self.outputs_with_grads = input_to_check, outputs_with_grads

    def run(self, inputs: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
        """Loss and gradient."""
        return self.checker.GetLossAndGrad(
            self.op,
            self.grad_ops,
            inputs,
            self.op.input,
            self.input_to_check,
            self.grad_name,
            self.outputs_with_grads,
        )

    def grad_and_slope(self, inputs: Sequence[np.ndarray], step: float) -> tuple[np.ndarray, np.ndarray]:
        """The gradient, and the slope; where that is not worked out, the gradient stands for it."""
        _, grad = self.run(inputs)
        at = self.input_to_check
        moved = [*inputs]
        slope = np.zeros_like(inputs[at])
        _require_shape(str(self.op.input[at]), grad.shape, slope.shape)
        slope[...] = grad
        for i in _to_check(slope.size):
            losses = []
            for sign in (1, -1):
                moved[at] = inputs[at].copy()
                moved[at].flat[i] += sign * step
                losses.append(self.run(moved)[0])
            slope.flat[i] = (losses[0] - losses[1]) / step / 2
        return grad, slope


def _to_check(size: int) -> Sequence[int]:
    if size <= 2 * _ENDS or os.environ.get("CAFFE2_FULL_GRAD_CHECK") == "1":
        return range(size)
    return [*range(_ENDS), *range(size - _ENDS, size)]


def _require_shape(blob: str, found: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(found) != tuple(expected):
        raise ShapeError(f"its gradient has shape {tuple(found)}, expected {tuple(expected)}.", blob=blob)


def _check_inference(op: Any, grad_ops: Sequence[Any]) -> None:
    """Raise if shapes or types of the gradients are inferred wrongly or not at all."""
    net = caffe2_pb2.NetDef(op=[op, *grad_ops])
    shapes, types = workspace.InferShapesAndTypes([net], nets_proto=True)
    for name in {name for grad_op in grad_ops for name in grad_op.output}:
        if name not in shapes:
            raise ShapeError("no shape was inferred.", blob=name)
        value = workspace.FetchBlob(name)
        _require_shape(name, shapes[name], value.shape)
        expected = utils.NumpyArrayToCaffe2Tensor(value).data_type
        if types[name] != expected:
            raise DTypeError(f"type {types[name]} was inferred, it is {expected}.", blob=name)
