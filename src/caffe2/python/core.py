"""Building nets: the module that every Caffe2 program starts from.

Owned here: the public names; the work is done in `_core`, one idea a module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from freshpot._loading import no_garbage as _no_garbage

with _no_garbage():
    import caffe2.python._import_c_extension as C
    from caffe2.python import lazy, scope, utils, workspace
    from caffe2.python._core import registry
    from caffe2.python._core.blobs import (
        BlobReference,
        GradientSlice,
        ScopedBlobReference,
        ScopedName,
        output_to_list,
    )
    from caffe2.python._core.blobs import rectify as _RectifyInputOutput
    from caffe2.python._core.cloning import clone_and_bind_net
    from caffe2.python._core.cross_device import (
        InjectCrossDeviceCopies,
        InjectDeviceCopiesAmongNets,
        InjectDeviceCopiesAmongNetsWithoutB2D,
        RemapEntry,
        copy_func_between_devices,
        update_placeholder_op_output,
    )
    from caffe2.python._core.devices import (
        DataType,
        DeviceOption,
        InferBlobDevices,
        InferOpBlobDevices,
        InferOpBlobDevicesAsDict,
        InferOpDeviceAsBlobDevices,
        IsGPUDeviceType,
        device_equal,
        device_option_equal,
    )
    from caffe2.python._core.gradients import IR, GetIndexFromGradientList, GradientRegistry
    from caffe2.python._core.net import Net
    from caffe2.python._core.operators import CreateOperator, CreatePythonOperator
    from caffe2.python._core.remap import (
        DEFAULT_REMAP_FUNCS,
        control_op_remap,
        recurrent_network_op_remap,
        remap_input,
        remap_proto,
    )
    from caffe2.python._core.ssa import (
        get_op_ids_in_path,
        get_output_producers,
        get_ssa,
        get_undefined_blobs,
        validate_ssa,
    )
    from caffe2.python._core.steps import (
        ExecutionStep,
        Plan,
        add_nets_in_order,
        execution_step,
        get_net_name,
        scoped_execution_step,
        to_execution_step,
    )

__all__ = [
    "DEFAULT_REMAP_FUNCS",
    "IR",
    "BlobReference",
    "C",
    "CreateOperator",
    "CreatePythonOperator",
    "DataType",
    "DeviceOption",
    "DeviceScope",
    "ExecutionStep",
    "GetGlobalInitArgs",
    "GetIndexFromGradientList",
    "GlobalInit",
    "GradientRegistry",
    "GradientSlice",
    "InferBlobDevices",
    "InferOpBlobDevices",
    "InferOpBlobDevicesAsDict",
    "InferOpDeviceAsBlobDevices",
    "InjectCrossDeviceCopies",
    "InjectDeviceCopiesAmongNets",
    "InjectDeviceCopiesAmongNetsWithoutB2D",
    "IsGPUDeviceType",
    "IsOperator",
    "IsOperatorWithEngine",
    "NameScope",
    "Net",
    "Plan",
    "RefreshRegisteredOperators",
    "RemapEntry",
    "ScopedBlobReference",
    "ScopedName",
    "SetEnginePref",
    "SetGlobalEnginePref",
    "SetOpEnginePref",
    "SetPerOpEnginePref",
    "_RectifyInputOutput",
    "add_nets_in_order",
    "clone_and_bind_net",
    "control_op_remap",
    "copy_func_between_devices",
    "device_equal",
    "device_option_equal",
    "execution_step",
    "get_net_name",
    "get_op_ids_in_path",
    "get_output_producers",
    "get_ssa",
    "get_undefined_blobs",
    "output_to_list",
    "recurrent_network_op_remap",
    "remap_input",
    "remap_proto",
    "scope",
    "scoped_execution_step",
    "to_execution_step",
    "update_placeholder_op_output",
    "utils",
    "validate_ssa",
    "workspace",
]

# Programs see where a class comes from, in what they print and pickle: here, as in the original.
for _public in (BlobReference, ExecutionStep, GradientRegistry, GradientSlice, IR, Net, Plan):
    _public.__module__ = __name__

DeviceScope = scope.DeviceScope
NameScope = scope.NameScope

SetPerOpEnginePref = C.set_per_op_engine_pref
SetGlobalEnginePref = C.set_global_engine_pref
SetEnginePref = C.set_engine_pref
SetOpEnginePref = C.set_op_engine_pref

_global_init_args: list[str] = []


def GlobalInit(args: Sequence[Any]) -> bool:
    """Take the command line of a program: ``[name, "--caffe2_log_level=0", …]``.

    The flags are remembered for `GetGlobalInitArgs`; freshpot needs none of them.
    """
    _global_init_args.extend(str(arg) for arg in args[1:])
    return C.global_init(args)


def GetGlobalInitArgs() -> list[str]:
    """The flags given to `GlobalInit` so far."""
    return list(_global_init_args)


def RefreshRegisteredOperators(trigger_lazy: bool = True) -> None:
    """Load libraries that `lazy_dyndep` noted; operators themselves are looked up in the register."""
    if trigger_lazy:
        lazy.TriggerLazyImport()


def IsOperator(op_type: str) -> bool:
    """True if there is an operator of that type."""
    return registry.is_operator(op_type)


def IsOperatorWithEngine(op_type: str, engine: str) -> bool:
    """True if there is an operator of that type, and the engine is one that its one kernel stands for."""
    return registry.is_operator(op_type) and registry.serves_engine(engine)


def __getattr__(name: str) -> Any:
    """``_REGISTERED_OPERATORS``, which programs look into: a set, made when asked for."""
    if name == "_REGISTERED_OPERATORS":
        return frozenset(registry.operator_types())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
