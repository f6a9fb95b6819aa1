"""Conveniences of nets: constants, messages, Python functions, devices, seeds.

Owned here: the part of `Net` that adds more than one plain operator, or changes all of them.
Who calls it: `Net`, programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python._core.blobs import BlobReference, GradientSlice
from caffe2.python._core.devices import DataType
from caffe2.python._core.operators import register_python, with_workspace
from caffe2.python._core.tracebacks import operator_tracebacks
from caffe2.python._errors import require
from freshpot.errors import NotSupportedError
from freshpot.ops.control.python_op import register_python_builder

if TYPE_CHECKING:
    from caffe2.python._core.net import Net

_FILLS = {
    np.dtype(np.int32): "GivenTensorIntFill",
    np.dtype(np.int64): "GivenTensorInt64Fill",
    np.dtype(np.bool_): "GivenTensorBoolFill",
}


class Helpers:
    """The part of `Net` with conveniences."""

    def _self(self) -> Net:
        return self  # type: ignore[return-value]

    def Const(self, array: Any, blob_out: Any = None, dtype: Any = None) -> BlobReference:
        """Add a constant: a bool, or anything that makes a numpy array."""
        net = self._self()
        if isinstance(array, bool):
            return net.ConstantFill([], blob_out or 1, dtype=DataType.BOOL, value=array)
        array = np.array(array, dtype=dtype)
        fill = "GivenTensorStringFill" if array.dtype.kind in "US" else _FILLS.get(array.dtype)
        add = getattr(net, fill or "GivenTensorFill")
        return add([], blob_out or 1, shape=array.shape, values=array.flatten().tolist())

    def LogInfo(self, *msg_or_blobs: Any) -> None:
        """Print texts and blobs when the net runs."""
        net = self._self()
        for item in msg_or_blobs:
            if not isinstance(item, BlobReference):
                item = net.GivenTensorStringFill([], net.NextName("log"), shape=[], values=[item])
            net.Print(item, [])

    def DeduplicateGradientSlices(self, g: GradientSlice, aggregator: str = "sum") -> GradientSlice:
        """Add operators that make the row numbers of a sparse gradient unique.

        Args:
            aggregator: "sum" or "mean": what to do with the gradients of equal rows.

        Raises:
            MisuseError: not a sparse gradient.
            ValueError: another aggregator.
        """
        require(isinstance(g, GradientSlice), f"wants a GradientSlice, got {type(g).__name__}.")
        add = {"sum": "UnsortedSegmentSum", "mean": "UnsortedSegmentMean"}.get(aggregator.lower())
        if add is None:
            raise ValueError(f"aggregator must be 'sum' or 'mean', got '{aggregator}'.")
        net = self._self()
        unique, remapping = net.Unique([g.indices], 2, engine="SparseHash")
        return GradientSlice(unique, getattr(net, add)([g.values, remapping], 1))

    def Python(
        self,
        f: Any,
        grad_f: Any = None,
        python_func_type: Any = None,
        pass_workspace: bool = False,
        grad_output_indices: list[int] | None = None,
        grad_input_indices: list[int] | None = None,
    ) -> Callable[..., Any]:
        """A method that adds an operator which calls ``f(inputs, outputs)``.

        Args:
            f: the function, called with lists of tensors (``.data``, ``.feed()``, ``.reshape()`` …);
                or a tuple (factory, args, kwargs) that makes it where the net is created.
            grad_f: the same for the gradient. Its inputs are those of ``f``, its outputs, and their
                gradients; its outputs the gradients of the inputs.
            python_func_type: a class whose instance, made with ``f``, has ``forward`` and ``backward``.
            pass_workspace: call ``f(inputs, outputs, workspace)``.
            grad_output_indices, grad_input_indices: which of the outputs and inputs have gradients; all
                if not given.

        Raises:
            MisuseError: only one of the two is a tuple, or a tuple is not of three.
        """
        made_here = not isinstance(f, tuple)
        require(
            not grad_f or made_here == (not isinstance(grad_f, tuple)),
            "f and grad_f must both be functions or both be tuples (factory, args, kwargs).",
        )
        if made_here:
            function: dict[str, Any] = {"token": register_python(f, grad_f, python_func_type, pass_workspace)}
        else:
            function = {
                "pickled_builder": _builder(f, pass_workspace),
                "pickled_grad_builder": _builder(grad_f, pass_workspace) if grad_f else "",
                "pass_workspace": pass_workspace,
            }

        def add(*args: Any, **kwargs: Any) -> Any:
            arguments: dict[str, Any] = {
                "grad_output_indices": grad_output_indices or [],
                "grad_input_indices": grad_input_indices or [],
                **kwargs,
                **function,
            }
            return self._self()._CreateAndAddToSelf("Python", *args, **arguments)

        return add

    def set_rand_seed(
        self, seed: int = 100, sequence_seed: bool = True, seed_on_op_def: bool = False
    ) -> None:
        """Give every operator a random seed: ``seed`` plus its number; a hash of what it says; or ``seed``.

        Raises:
            MisuseError: both ways at once.
        """
        require(
            not (sequence_seed and seed_on_op_def), "sequence_seed and seed_on_op_def exclude each other."
        )
        for i, op in enumerate(self._self().Proto().op):
            if seed_on_op_def:
                number = hash(str(op) + str(seed)) % (2**32 - 1)
            else:
                number = seed + i if sequence_seed else seed
            op.device_option.random_seed = number

    def PopulateProtoWithFileName(self) -> None:
        """Name every operator after the place in the program that added it."""
        net = self._self()
        places = operator_tracebacks.get(net.Name(), {})
        for i, op in enumerate(net.Proto().op):
            if i in places:
                op.name = ":".join(map(str, places[i][0]))

    @staticmethod
    def _RunAllOnGPU(net: Any, gpu_id: int = 0, use_cudnn: bool = False) -> None:
        net.device_option.CopyFrom(caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CUDA, device_id=gpu_id))
        for op in net.op:
            if use_cudnn:
                op.engine = "CUDNN"
            if op.type == "RecurrentNetwork":
                for argument in op.arg:
                    if argument.name == "step_net":
                        Helpers._RunAllOnGPU(argument.n, gpu_id, use_cudnn)

    def RunAllOnGPU(self, gpu_id: int = 0, use_cudnn: bool = False) -> None:
        """Run every operator that names no device on a GPU."""
        self._RunAllOnGPU(self._self()._net, gpu_id, use_cudnn)

    def RunAllOnMKL(self) -> None:
        """Run everything on the device type MKLDNN."""
        self._on_device_type(caffe2_pb2.MKLDNN)

    def RunAllOnIDEEP(self) -> None:
        """Run everything on the device type IDEEP."""
        self._on_device_type(caffe2_pb2.IDEEP)

    def _on_device_type(self, device_type: int) -> None:
        option = caffe2_pb2.DeviceOption(device_type=device_type)
        self._self()._net.device_option.CopyFrom(option)

    def AddObserver(self, observer_type: str) -> Any:
        """Raises NotSupportedError: nets are watched in other ways here."""
        raise NotSupportedError(
            f"observer '{observer_type}': freshpot has no observers. "
            "workspace.BenchmarkNet gives the time of each operator."
        )

    def NumObservers(self) -> int:
        """How many observers watch the net: none."""
        return 0


def _builder(function: Any, pass_workspace: bool) -> bytes:
    require(len(function) == 3, "a function given as a tuple is (factory, args, kwargs).")
    if not pass_workspace:
        return register_python_builder(*function)
    factory, args, kwargs = function
    return register_python_builder(lambda *a, **k: with_workspace(factory(*a, **k)), args, kwargs)
