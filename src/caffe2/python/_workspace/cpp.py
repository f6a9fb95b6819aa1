"""The objects that the original's C++ extension shows to Python: Workspace, Blob, Net, Predictor.

Owned here: their methods over the engine's objects. Who calls it: `workspace`, programs through
`workspace.C` and functions of Python operators that get the workspace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python._errors import require
from caffe2.python._workspace import nets, run_plan, state, values
from freshpot.engine import Blob as EngineBlob
from freshpot.engine import Plan
from freshpot.engine import Workspace as EngineWorkspace
from freshpot.engine.prediction import PredictionPlan
from freshpot.errors import ArityError, DTypeError, MissingBlobError, near_matches
from freshpot.formats import protobuf
from freshpot.ops.control.tensor_view import TensorView

TensorCPU = TensorView


class Blob:
    """One blob of a workspace."""

    def __init__(self, ws: EngineWorkspace, blob: EngineBlob) -> None:
        self._ws = ws
        self._blob = blob

    def feed(self, arg: Any, device_option: Any = None) -> bool:
        """Put a numpy array, torch tensor or text into it."""
        return values.feed(self._ws, self._blob.name, arg, device_option)

    _feed = feed

    def fetch(self) -> Any:
        """A copy of what it holds."""
        return values.fetch(self._blob)

    def is_tensor(self) -> bool:
        """True if it holds a tensor."""
        return values.spec(self._blob.value) is not None

    def as_tensor(self) -> TensorView:
        """Its tensor. Raises DTypeError if it holds something else."""
        if not self.is_tensor():
            raise DTypeError("does not hold a tensor.", blob=self._blob.name)
        return TensorView(self._blob)

    def tensor(self) -> TensorView:
        """Its tensor; an empty one is made if it holds nothing yet."""
        return TensorView(self._blob) if self._blob.empty else self.as_tensor()

    def to_torch(self) -> Any:
        """The torch tensor in it, not a copy."""
        return self.as_tensor().to_torch()

    def serialize(self, name: str) -> bytes:
        """It as a serialised BlobProto."""
        return values.serialize(self._blob)

    def deserialize(self, data: bytes) -> None:
        """Put what a serialised BlobProto holds into it."""
        values.deserialize(self._ws, self._blob.name, data)


class Net:
    """A net that was created in a workspace."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def name(self) -> str:
        """Its name."""
        return self._plan.name

    def run(self) -> None:
        """Run it."""
        nets.guarded(self._plan.name, self._plan.run)


class _Blobs(Mapping[str, Blob]):
    """The blobs of a workspace by name."""

    def __init__(self, ws: EngineWorkspace) -> None:
        self._ws = ws

    def __getitem__(self, name: str) -> Blob:
        return Blob(self._ws, values.find(self._ws, str(name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ws.names())

    def __len__(self) -> int:
        return len(self._ws.names())


class _Current(type):
    @property
    def current(cls) -> Workspace:
        """The current workspace."""
        return cls(_of=state.current())


class Workspace(metaclass=_Current):
    """A workspace as an object: blobs and nets of its own, beside those that have names.

    Args:
        parent: a workspace whose blobs are seen from it too.
    """

    def __init__(self, parent: Workspace | None = None, *, _of: EngineWorkspace | None = None) -> None:
        self._ws: EngineWorkspace = _of or (
            EngineWorkspace(parent=parent._ws) if parent else EngineWorkspace(".")
        )

    @property
    def blobs(self) -> Mapping[str, Blob]:
        """Its blobs by name."""
        return _Blobs(self._ws)

    @property
    def nets(self) -> dict[str, Net]:
        """The nets created in it, by name."""
        return {name: Net(plan) for name, plan in self._ws.nets.items()}

    def has_blob(self, name: Any) -> bool:
        """True if there is a blob of that name."""
        return str(name) in self._ws

    def create_blob(self, name: Any) -> Blob:
        """The blob of that name, made if needed."""
        return Blob(self._ws, self._ws.create(str(name)))

    def remove_blob(self, name: Any) -> bool:
        """Remove a blob; False if there was none."""
        return self._ws.remove(str(name))

    def feed_blob(self, name: Any, arr: Any, device_option: Any = None) -> bool:
        """Put a value into a blob, made if needed."""
        return values.feed(self._ws, str(name), arr, device_option)

    def fetch_blob(self, name: Any) -> Any:
        """A copy of what a blob holds."""
        return values.fetch(values.find(self._ws, str(name)))

    def fetch_int8_blob(self, name: Any) -> Any:
        """A copy of a quantised tensor: data, scale, zero point."""
        value = self.fetch_blob(name)
        require(isinstance(value, tuple), f"blob '{name}' is not a quantised tensor; use fetch_blob.")
        return value

    def create_net(self, net: Any, overwrite: bool = False) -> Net:
        """Bind a net to the workspace under its name."""
        return Net(nets.create(net, overwrite, self._ws))

    def run(self, obj: Any) -> bool:
        """Run a net, a plan or an operator, given as an object or a message.

        Raises:
            ValueError: something else.
        """
        proto = obj.Proto() if hasattr(obj, "Proto") else obj
        if isinstance(proto, caffe2_pb2.PlanDef):
            return run_plan.run_plan(proto, self._ws)
        if isinstance(proto, caffe2_pb2.NetDef):
            return nets.run_once(proto, self._ws)
        if isinstance(proto, caffe2_pb2.OperatorDef):
            return nets.run_once(caffe2_pb2.NetDef(op=[proto]), self._ws)
        raise ValueError(f"a workspace runs nets, plans and operators, not {type(obj).__name__}.")

    def _run_operator(self, data: bytes) -> bool:
        """Run a serialised OperatorDef."""
        return self.run(protobuf.parse_message(caffe2_pb2.OperatorDef, data))

    def _run_net(self, data: bytes) -> bool:
        """Run a serialised NetDef once."""
        return self.run(protobuf.parse_message(caffe2_pb2.NetDef, data))

    def _run_plan(self, data: bytes) -> bool:
        """Run a serialised PlanDef."""
        return self.run(protobuf.parse_message(caffe2_pb2.PlanDef, data))


class Predictor:
    """A net for inference in a workspace of its own that sees the current one's blobs.

    Args:
        init_net: net that fills the parameters; run once.
        predict_net: net to run.

    Raises:
        NetError: a net that does not fit.
    """

    def __init__(self, init_net: Any, predict_net: Any) -> None:
        self._ws = EngineWorkspace(parent=state.current())
        nets.run_once(init_net, self._ws)
        self._net = nets.read_net(predict_net)
        for name in self._net.inputs:
            self._ws.create(name)
        outputs, parent = set(self._net.outputs), self._ws.parent

        def seen(blob: EngineBlob) -> bool:
            """True for outputs, and for blobs that the current workspace has too."""
            return blob.name in outputs or (parent is not None and parent.find(blob.name) is blob)

        self._plan = PredictionPlan(self._net, self._ws, seen)

    def run(self, inputs: Sequence[Any] | Mapping[str, Any]) -> list[np.ndarray]:
        """Run the net on arrays: in the order of its external inputs, or by name.

        Returns:
            its external outputs, copied.

        Raises:
            ArityError: more inputs than the net has.
            MissingBlobError: an input of another name.
        """
        if isinstance(inputs, Mapping):
            self._check_names(inputs)
        else:
            if len(inputs) > len(self._net.inputs):
                raise ArityError(
                    f"the net has {len(self._net.inputs)} external inputs, got {len(inputs)}.",
                    net=self._net.name,
                )
            inputs = dict(zip(self._net.inputs, inputs, strict=False))
        for name, array in inputs.items():
            values.feed(self._ws, str(name), array)
        self._plan.run()
        return [values.fetch(values.find(self._ws, name)) for name in self._net.outputs]

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        for name in inputs:
            if str(name) not in self._net.inputs:
                raise MissingBlobError(
                    f"'{name}' is no external input.{near_matches(str(name), self._net.inputs)}",
                    net=self._net.name,
                    blob=str(name),
                )
