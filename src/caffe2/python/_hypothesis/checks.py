# ruff: noqa: PT009, PT027  (checks of a unittest.TestCase)
"""Test cases that check an operator: against numpy, against its slope, across devices.

Owned here: the checks. Who calls it: `hypothesis_test_util`.

Source: caffe2/python/hypothesis_test_util.py.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, device_checker, gradient_checker, test_util, workspace
from freshpot.errors import ArgumentError, ArityError

Devices = Mapping[str, Any] | None

_TYPES = {
    "float64": caffe2_pb2.TensorProto.DOUBLE,
    "float32": caffe2_pb2.TensorProto.FLOAT,
    "int32": caffe2_pb2.TensorProto.INT32,
    "int64": caffe2_pb2.TensorProto.INT64,
}


@contextlib.contextmanager
def temp_workspace(name: str | bytes = b"temp_ws") -> Iterator[None]:
    """Work in another workspace, which is emptied afterwards."""
    before = workspace.CurrentWorkspace()
    workspace.SwitchWorkspace(name.decode() if isinstance(name, bytes) else name, True)
    try:
        yield
    finally:
        workspace.ResetWorkspace()
        workspace.SwitchWorkspace(before)


def _on(device_option: Any, op: Any) -> Any:
    op = copy.deepcopy(op)
    op.device_option.CopyFrom(device_option)
    return op


def _feed(device_option: Any, op: Any, inputs: Sequence[Any], devices: Devices) -> None:
    """Feed an operator's inputs, each where the operator wants it."""
    if len(op.input) > len(inputs):
        raise ArityError(f"must supply an input for each input on the op: {list(op.input)} vs {inputs}")
    devices = devices or core.InferOpBlobDevicesAsDict(op)[0]
    for name, value in zip(op.input, inputs, strict=False):
        workspace.FeedBlob(name, value, device_option=devices.get(name, device_option))


def runOpBenchmark(
    device_option: Any,
    op: Any,
    inputs: Sequence[Any],
    input_device_options: Devices = None,
    iterations: int = 10,
) -> Any:
    """Milliseconds that an operator takes, as `workspace.BenchmarkNet` gives them."""
    op = _on(device_option, op)
    net = caffe2_pb2.NetDef(name=op.name or "test", op=[op])
    with temp_workspace():
        _feed(device_option, op, inputs, input_device_options)
        workspace.CreateNet(net)
        return workspace.BenchmarkNet(net.name, 1, iterations, True)


def runOpOnInput(
    device_option: Any, op: Any, inputs: Sequence[Any], input_device_options: Devices = None
) -> list[Any]:
    """The outputs of an operator.

    Raises:
        ArityError: fewer inputs than it has.
    """
    op = _on(device_option, op)
    with temp_workspace():
        _feed(device_option, op, inputs, input_device_options)
        workspace.RunOperatorOnce(op)
        return [workspace.FetchBlob(name) for name in op.output]


class HypothesisTestCase(test_util.TestCase):
    """A test case with checks for operators; ``gc`` and ``dc`` of `gcs` are what ``device_option`` stands for."""

    def assertDeviceChecks(
        self,
        device_options: Sequence[Any],
        op: Any,
        inputs: Sequence[Any],
        outputs_to_check: Sequence[int],
        input_device_options: Devices = None,
        threshold: float = 0.01,
    ) -> None:
        """The outputs are the same on all devices, within ``threshold``, absolute and relative."""
        checker = device_checker.DeviceChecker(threshold, device_options=device_options)
        self.assertTrue(checker.CheckSimple(op, inputs, outputs_to_check, input_device_options))

    def assertGradientChecks(
        self,
        device_option: Any,
        op: Any,
        inputs: Sequence[Any],
        outputs_to_check: int,
        outputs_with_grads: Sequence[int],
        grad_ops: Any = None,
        threshold: float = 0.005,
        stepsize: float = 0.05,
        input_device_options: Devices = None,
        ensure_outputs_are_inferred: bool = False,
    ) -> None:
        """The gradient is the slope, measured with steps of ``stepsize``.

        Args:
            device_option: where it runs.
            op: the OperatorDef.
            inputs: its inputs.
            outputs_to_check: position of the input whose gradient is checked.
            outputs_with_grads: positions of the outputs that the loss is made of.
            grad_ops: the backward operators, by default the operator's own.
            threshold, stepsize: how near, and with what steps.
            input_device_options: blob -> device, where it is another.
            ensure_outputs_are_inferred: whether shapes have to be inferred, and rightly.
        """
        checker = gradient_checker.GradientChecker(
            stepsize=stepsize,
            threshold=threshold,
            device_option=device_option,
            workspace_name=str(device_option),
            input_device_options=input_device_options,
        )
        result, grad, slope = checker.CheckSimple(
            op,
            inputs,
            outputs_to_check,
            outputs_with_grads,
            grad_ops=grad_ops,
            input_device_options=input_device_options,
            ensure_outputs_are_inferred=ensure_outputs_are_inferred,
        )
        self.assertEqual(grad.shape, slope.shape)
        self.assertTrue(result, f"Gradient check failed for input {op.input[outputs_to_check]}")

    def assertReferenceChecks(
        self,
        device_option: Any,
        op: Any,
        inputs: Sequence[Any],
        reference: Callable[..., Any],
        input_device_options: Devices = None,
        threshold: float = 1e-4,
        output_to_grad: str | None = None,
        grad_reference: Callable[..., Any] | None = None,
        atol: float | None = None,
        outputs_to_check: Sequence[int] | None = None,
        ensure_outputs_are_inferred: bool = False,
    ) -> list[Any]:
        """The outputs are what ``reference(*inputs)``, a tuple of arrays, says; they are returned.

        Args:
            device_option: where it runs.
            op: the OperatorDef.
            inputs: its inputs.
            reference: the same in numpy.
            input_device_options: blob -> device, where it is another.
            threshold: how near, relative, and absolute unless ``atol`` says otherwise.
            output_to_grad: the output whose gradient is checked, too.
            grad_reference: its gradients, from the gradient of the output, the outputs and the inputs.
            atol: how near, absolute.
            outputs_to_check: positions of the outputs; all by default.
            ensure_outputs_are_inferred: whether shapes have to be inferred, and rightly.
        """
        op = _on(device_option, op)
        with temp_workspace():
            _feed(device_option, op, inputs, input_device_options)
            net = core.Net("opnet")
            net.Proto().op.extend([op])
            strict = ensure_outputs_are_inferred or os.getenv("CAFFE2_ASSERT_SHAPEINFERENCE") == "1"
            inferred = self._inferred(net, strict)
            workspace.RunNetOnce(net)
            expected = reference(*inputs)
            if not isinstance(expected, (tuple, list)):
                raise ArgumentError(
                    "You are providing a wrong reference implementation. A proper one should return a tuple/list of "
                    "numpy arrays."
                )
            if not outputs_to_check:
                self.assertEqual(len(expected), len(op.output))
                outputs_to_check = range(len(op.output))
            outputs = []
            for i, wanted in zip(outputs_to_check, expected, strict=False):
                outputs.append(workspace.FetchBlob(op.output[i]))
                _assert_like(
                    op.output[i], outputs[-1], wanted, threshold, threshold if atol is None else atol
                )
                if inferred is not None:
                    self._check_inferred(op.output[i], *inferred, ensure_outputs_are_inferred)
            if grad_reference is not None:
                if output_to_grad is None:
                    raise ArgumentError("If grad_reference is set, output_to_grad has to be set as well.")
                with core.DeviceScope(device_option):
                    self._assertGradReferenceChecks(
                        op, inputs, expected, output_to_grad, grad_reference, threshold=threshold
                    )
            return outputs

    def _inferred(self, net: Any, strict: bool) -> tuple[Any, Any] | None:
        try:
            return workspace.InferShapesAndTypes([net])
        except RuntimeError as error:
            logging.warning(str(error))
            if strict:
                raise
            return None

    def _check_inferred(self, name: str, shapes: Any, types: Any, strict: bool) -> None:
        """The inferred shape, and an inferred int32, are the real ones: otherwise a warning, or a failure."""
        self.assertTrue(not strict or name in shapes, f"Shape for {name} was not inferred")
        if name not in shapes:
            return
        output = workspace.FetchBlob(name)
        kind = _TYPES.get(str(getattr(output, "dtype", "")))
        try:
            self.assertEqual(list(shapes[name]), list(np.shape(output)), f"Shape {name} mismatch")
            if kind == caffe2_pb2.TensorProto.INT32:
                self.assertEqual(types[name], kind, f"Type {name} mismatch")
        except AssertionError as error:
            logging.warning(str(error))
            if strict or os.getenv("CAFFE2_ASSERT_SHAPEINFERENCE") == "1":
                raise

    def _assertGradReferenceChecks(
        self,
        op: Any,
        inputs: Sequence[Any],
        ref_outputs: Sequence[Any],
        output_to_grad: str,
        grad_reference: Callable[..., Any],
        threshold: float = 1e-4,
    ) -> None:
        """The gradients, with the output itself as its gradient, are what the reference says."""
        seed = output_to_grad + "_grad"
        grad_ops, grads = core.GradientRegistry.GetBackwardPass([op], {output_to_grad: seed})
        output = workspace.FetchBlob(output_to_grad)
        expected = grad_reference(output, ref_outputs, inputs)
        workspace.FeedBlob(seed, output)
        workspace.RunOperatorsOnce(grad_ops)
        self.assertEqual(len(expected), len(inputs))
        for name, wanted in zip(op.input, expected, strict=False):
            grad = grads.get(name)
            if not grad:
                self.assertIsNone(wanted)
            elif isinstance(grad, core.GradientSlice):
                _assert_like(
                    str(grad.values), workspace.FetchBlob(grad.values), wanted[0], threshold, threshold
                )
                _assert_like(str(grad.indices), workspace.FetchBlob(grad.indices), wanted[1], 1e-4, 1e-4)
            else:
                _assert_like(str(grad), workspace.FetchBlob(grad), wanted, threshold, threshold)

    def assertValidationChecks(
        self,
        device_option: Any,
        op: Any,
        inputs: Sequence[Any],
        validator: Callable[..., Any],
        input_device_options: Devices = None,
        as_kwargs: bool = True,
        init_net: Any = None,
    ) -> None:
        """A function looks at inputs and outputs: by name with ``as_kwargs``, as two lists otherwise."""
        names = [*op.input, *op.output]
        if as_kwargs and len(set(names)) != len(names):
            raise ArgumentError("in-place ops are not supported in as_kwargs mode")
        op = _on(device_option, op)
        with temp_workspace():
            _feed(device_option, op, inputs, input_device_options)
            if init_net:
                workspace.RunNetOnce(init_net)
            workspace.RunOperatorOnce(op)
            outputs = [workspace.FetchBlob(name) for name in op.output]
            if as_kwargs:
                validator(**dict(zip(names, [*inputs, *outputs], strict=True)))
            else:
                validator(inputs=inputs, outputs=outputs)

    def assertRunOpRaises(
        self,
        device_option: Any,
        op: Any,
        inputs: Sequence[Any],
        input_device_options: Devices = None,
        exception: Any = (Exception,),
        regexp: str | None = None,
    ) -> None:
        """The operator raises such an error, whose message fits ``regexp``."""
        op = _on(device_option, op)
        with temp_workspace():
            _feed(device_option, op, inputs, input_device_options)
            if regexp is None:
                self.assertRaises(exception, workspace.RunOperatorOnce, op)
            else:
                self.assertRaisesRegex(exception, regexp, workspace.RunOperatorOnce, op)


def _assert_like(name: str, found: Any, wanted: Any, rtol: float, atol: float) -> None:
    if getattr(found, "dtype", np.dtype(object)).kind in "SO":
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(
            found, wanted, atol=atol, rtol=rtol, err_msg=f"Output {name} is not matching the reference"
        )
