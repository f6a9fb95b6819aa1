"""Arguments, arrays and messages: small conversions that programs use.

Owned here: those conversions. Who calls it: `core`, builders of nets, programs.
"""

from __future__ import annotations

import collections.abc
import copy
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from caffe2.proto import caffe2_pb2
from caffe2.python._errors import require
from freshpot.errors import FormatError
from freshpot.formats.atomic import write_bytes
from freshpot.formats.tensor_proto import tensor_from_proto, tensor_to_proto

OPTIMIZER_ITERATION_NAME = "optimizer_iteration"
ITERATION_MUTEX_NAME = "iteration_mutex"


# ---- arguments -------------------------------------------------------------------------------------
def MakeArgument(key: str, value: Any) -> Any:
    """An Argument message whose kind follows from the value's type.

    bool and int become ``i``, float ``f``, text ``s``, a net ``n``, another message ``s`` (serialised),
    and lists and arrays the repeated kinds. An empty list sets nothing.

    Raises:
        ValueError: a value, or a mixture of values, that arguments cannot hold.
    """
    argument = caffe2_pb2.Argument(name=key)
    if isinstance(value, np.ndarray):
        value = value.flatten().tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bytes)):
        argument.s = _bytes(value)
    elif isinstance(value, caffe2_pb2.NetDef):
        argument.n.CopyFrom(value)
    elif isinstance(value, Message):
        argument.s = value.SerializeToString()
    elif type(value) is float:
        argument.f = value
    elif type(value) in (int, bool):
        argument.i = int(value)
    elif isinstance(value, collections.abc.Iterable):
        _set_list(argument, list(value))
    else:
        raise ValueError(f"argument '{key}' cannot hold a value of type {type(value).__name__}.")
    return argument


def _set_list(argument: Any, values: list[Any]) -> None:
    kinds = set(map(type, values))
    if any(issubclass(kind, (np.floating, np.integer, np.bool_)) for kind in kinds):
        values = [v.item() if isinstance(v, (np.floating, np.integer, np.bool_)) else v for v in values]
        kinds = set(map(type, values))
    if kinds <= {float}:
        argument.floats.extend(values)
    elif kinds <= {int, bool}:
        argument.ints.extend([int(v) for v in values])
    elif all(isinstance(v, (str, bytes)) for v in values):
        argument.strings.extend([_bytes(v) for v in values])
    elif all(isinstance(v, caffe2_pb2.NetDef) for v in values):
        argument.nets.extend(values)
    elif all(isinstance(v, Message) for v in values):
        argument.strings.extend([v.SerializeToString() for v in values])
    else:
        words = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"argument '{argument.name}' cannot hold a list of {words}. "
            "All values must be int, all float, all text, or all messages."
        )


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value


def ArgsToDict(args: Iterable[Any]) -> dict[str, Any]:
    """Argument messages as name -> value; None for one that says nothing."""
    made = {}
    for argument in args:
        if argument.HasField("name"):
            said = [value for field, value in argument.ListFields() if field.name != "name"]
            made[argument.name] = said[0] if said else None
    return made


def OpAlmostEqual(op_a: Any, op_b: Any, ignore_fields: str | list[str] | None = None) -> bool:
    """True if two OperatorDefs say the same, apart from the fields named."""
    ignored = [ignore_fields] if isinstance(ignore_fields, str) else ignore_fields or []

    def without(op: Any) -> Any:
        op = copy.deepcopy(op)
        for field in ignored:
            op.ClearField(field)
        return op

    a, b = without(op_a), without(op_b)
    return a == b or str(a) == str(b)


# ---- arrays ----------------------------------------------------------------------------------------
def CaffeBlobToNumpyArray(blob: Any) -> np.ndarray:
    """The array in a BlobProto of Caffe, old (num, channels, height, width) or new (shape)."""
    shape = (blob.num, blob.channels, blob.height, blob.width) if blob.num else tuple(blob.shape.dim)
    return np.asarray(blob.data, dtype=np.float32).reshape(shape)


def Caffe2TensorToNumpyArray(tensor: Any) -> np.ndarray:
    """The array in a TensorProto. INT32 becomes int64, as in the original on Linux.

    Raises:
        FormatError: elements and shape disagree.
    """
    array = tensor_from_proto(tensor)
    return array.astype(np.int64) if tensor.data_type == caffe2_pb2.TensorProto.INT32 else array


def NumpyArrayToCaffe2Tensor(arr: Any, name: str | None = None) -> Any:
    """A TensorProto with the type, shape and elements of an array.

    Raises:
        FormatError: an element type that TensorProto has not.
    """
    return tensor_to_proto(arr, name or "")


def NHWC2NCHW(tensor: np.ndarray) -> np.ndarray:
    """A view with the last dimension moved to the second place."""
    require(tensor.ndim >= 1, "NHWC2NCHW wants at least one dimension.")
    return tensor.transpose((0, tensor.ndim - 1, *range(1, tensor.ndim - 1)))


def NCHW2NHWC(tensor: np.ndarray) -> np.ndarray:
    """A view with the second dimension moved to the last place."""
    require(tensor.ndim >= 2, f"NCHW2NHWC wants at least two dimensions, got {tensor.ndim}.")
    return tensor.transpose((0, *range(2, tensor.ndim), 1))


# ---- messages --------------------------------------------------------------------------------------
def TryReadProtoWithClass(cls: type[Message], s: str | bytes) -> Any:
    """A message from its text or its serialised form, whichever it is.

    Raises:
        google.protobuf.message.DecodeError: it is neither.
    """
    message = cls()
    try:
        text_format.Parse(s, message)
    except (text_format.ParseError, UnicodeDecodeError):
        message = cls()
        message.ParseFromString(s.encode("latin-1") if isinstance(s, str) else s)
    return message


def GetContentFromProto(obj: Any, function_map: Mapping[Any, Callable[[Any], Any]]) -> Any:
    """What the function for the message's class makes of it; None if there is none."""
    function = function_map.get(type(obj))
    return function(obj) if function else None


def GetContentFromProtoString(s: str | bytes, function_map: Mapping[Any, Callable[[Any], Any]]) -> Any:
    """As `GetContentFromProto`, for the first class as which ``s`` can be read.

    Raises:
        google.protobuf.message.DecodeError: there is none.
    """
    for cls, function in function_map.items():
        try:
            message = TryReadProtoWithClass(cls, s)
        except DecodeError:
            continue
        return function(message)
    raise DecodeError(f"not a message of any of {', '.join(cls.__name__ for cls in function_map)}.")


def ConvertProtoToBinary(proto_class: type[Message], filename: str, out_filename: str) -> None:
    """Write a message that is in a file as text to another file, serialised.

    Raises:
        FormatError: the file holds no such message.
    """
    try:
        message = TryReadProtoWithClass(proto_class, Path(filename).read_bytes())
    except DecodeError as error:
        raise FormatError(f"not a {proto_class.__name__}: {error}", path=filename) from error
    write_bytes(out_filename, message.SerializeToString())


# ---- building nets ---------------------------------------------------------------------------------
def BuildUniqueMutexIter(
    init_net: Any, net: Any, iter: Any = None, iter_mutex: Any = None, iter_val: int = 0
) -> Any:
    """The blob of a counter that goes up by one each time ``net`` runs; made unless ``init_net`` has it.

    Args:
        iter, iter_mutex: names of the counter and of the mutex that guards it.
        iter_val: where it starts.
    """
    from caffe2.python import core

    counter = OPTIMIZER_ITERATION_NAME if iter is None else iter
    if init_net.BlobIsDefined(counter):
        return init_net.GetBlobRef(counter)
    mutex = ITERATION_MUTEX_NAME if iter_mutex is None else iter_mutex
    on_cpu = core.DeviceOption(caffe2_pb2.CPU, extra_info=["device_type_override:cpu"])
    with core.DeviceScope(on_cpu):
        iteration = init_net.ConstantFill([], counter, shape=[1], value=iter_val, dtype=core.DataType.INT64)
        guard = init_net.CreateMutex([], [mutex])
        net.AtomicIter([guard, iteration], [iteration])
    return iteration


def ResetBlobs(blobs: Iterable[Any]) -> None:
    """Empty blobs of the current workspace."""
    from caffe2.python import workspace

    for name in blobs:
        workspace.ResetBlob(name)


def GetGPUMemoryUsageStats() -> dict[str, Any]:
    """Bytes of GPU memory in use and at most, by GPU and in total."""
    import torch

    count = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    now = np.array([torch.cuda.memory_allocated(i) for i in count], dtype=np.int64)
    most = np.array([torch.cuda.max_memory_allocated(i) for i in count], dtype=np.int64)
    return {"total_by_gpu": now, "max_by_gpu": most, "total": now.sum(), "max_total": most.sum()}


# ---- checks and debugging --------------------------------------------------------------------------
def raiseIfNotEqual(a: Any, b: Any, msg: str) -> None:
    """Raise `MisuseError` with ``msg`` unless two values are equal."""
    require(a == b, f"{msg}. {a} != {b}")


def EnumClassKeyVals(cls: type) -> dict[str, str]:
    """The text constants of a class, by name.

    Raises:
        MisuseError: not a class, or two constants of one value.
    """
    require(type(cls) is type, f"EnumClassKeyVals wants a class, got {type(cls).__name__}.")
    found: dict[str, str] = {}
    for key in dir(cls):
        value = getattr(cls, key)
        if key == key.upper() and isinstance(value, str):
            require(value not in found.values(), f"{cls.__name__}.{key}: another constant is '{value}' too.")
            found[key] = value
    return found


class DebugMode:
    """Runs a function, and starts the debugger where it raises."""

    @classmethod
    def run(cls, func: Callable[[], Any]) -> Any:
        """The function's result. After an exception, the debugger, then the end of the process."""
        try:
            return func()
        except KeyboardInterrupt:
            raise
        except Exception:
            print(
                f"{sys.exc_info()[1]}\nThe debugger starts here: 'bt' shows the stack, 'help' the commands."
            )
            import pdb  # costs more than the rest of this module

            pdb.post_mortem()
            sys.exit(1)


def debug(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: run the function in `DebugMode`."""

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return DebugMode.run(lambda: f(*args, **kwargs))

    return wrapper
