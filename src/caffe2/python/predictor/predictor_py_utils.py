"""Parts of a MetaNetDef, the message that describes an exported predictor.

Owned here: looking up and adding its nets, plans and blob lists; the nets that go into it.
Source: caffe2/python/predictor/predictor_py_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2.python import core, scope
from freshpot.errors import MissingBlobError, NetError


def create_predict_net(predictor_export_meta: Any) -> Any:
    """The prediction net as it is saved: operators kept, inputs and outputs as the export says."""
    meta = predictor_export_meta
    proto = core.Net(meta.predict_net.name or "predict").Proto()
    proto.op.extend(meta.predict_net.op)
    proto.partition_info.extend(meta.predict_net.partition_info)
    proto.external_input.extend(meta.inputs + meta.parameters)
    proto.external_output.extend(meta.outputs)
    proto.arg.extend(meta.predict_net.arg)
    if meta.net_type is not None:
        proto.type = meta.net_type
    if meta.num_workers is not None:
        proto.num_workers = meta.num_workers
    return proto


def create_predict_init_net(ws: Any, predictor_export_meta: Any) -> Any:
    """A net that fills inputs and outputs with zeros, of the shapes they have in the workspace ``ws``.

    Shapes given in the export go first.

    Raises:
        MissingBlobError: neither the export nor the workspace knows a blob's shape.
    """
    meta = predictor_export_meta
    net = core.Net("predict-init")
    external = meta.inputs + meta.outputs
    for blob in external:
        shape = meta.shapes.get(blob)
        if shape is None:
            shape = _shape_in(ws, blob)
        with scope.EmptyDeviceScope():
            net.ConstantFill([], blob, shape=shape, value=0.0)
    net.Proto().external_input.extend(external)
    if meta.extra_init_net:
        net.AppendNet(meta.extra_init_net)
    AddModelIdArg(meta, net.Proto())
    return net.Proto()


def _shape_in(ws: Any, blob: str) -> Any:
    if blob not in ws.blobs:
        raise MissingBlobError(
            f"the shape of '{blob}' is needed, but it is not in the workspace: run the net once,"
            " or pass shapes={'" + blob + "': ...} to PredictorExportMeta.",
            blob=blob,
        )
    return ws.blobs[blob].fetch().shape


def get_comp_name(string: str, name: str) -> str:
    """Key of a part of the message: with ``name`` where several predictors share one message."""
    return f"{string}_{name}" if name else string


def _value(pairs: Iterable[Any], key: str) -> Any:
    """The first value under a key, or None: the message has lists of pairs where others have maps."""
    return next((pair.value for pair in pairs if pair.key == key), None)


def GetPlan(meta_net_def: Any, key: str) -> Any:
    """The plan under a key, or None."""
    return _value(meta_net_def.plans, key)


GetPlanOriginal = GetPlan


def GetNet(meta_net_def: Any, key: str) -> Any:
    """The net under a key, or None."""
    return _value(meta_net_def.nets, key)


GetNetOriginal = GetNet


def GetBlobs(meta_net_def: Any, key: str) -> Any:
    """The blob names under a key; none if there is no such key."""
    blobs = _value(meta_net_def.blobs, key)
    return [] if blobs is None else blobs


def GetBlobsByTypePrefix(meta_net_def: Any, blob_type_prefix: str) -> list[str]:
    """The blob names under all keys that start with a prefix, each once."""
    found = (b.value for b in meta_net_def.blobs if b.key.startswith(blob_type_prefix))
    return list(dict.fromkeys(name for names in found for name in names))


def GetApplicationSpecificInfo(meta_net_def: Any, key: str) -> Any:
    """The text under a key, or None."""
    return _value(meta_net_def.applicationSpecificInfo, key)


def GetBlobsOrder(meta_net_def: Any) -> Any:
    """The order in which the blobs were saved."""
    return meta_net_def.blobsOrder


def AddBlobs(meta_net_def: Any, blob_name: str, blob_def: Iterable[str]) -> None:
    """Append blob names under a key."""
    blobs = _value(meta_net_def.blobs, blob_name)
    if blobs is None:
        blobs = meta_net_def.blobs.add(key=blob_name).value
    blobs.extend(blob_def)


def ReplaceBlobs(meta_net_def: Any, blob_name: str, blob_def: Iterable[str]) -> None:
    """Put other blob names under a key.

    Raises:
        NetError: there is no such key.
    """
    blobs = _value(meta_net_def.blobs, blob_name)
    if blobs is None:
        known = ", ".join(pair.key for pair in meta_net_def.blobs) or "none"
        raise NetError(f"there are no blobs under '{blob_name}' in the meta net; keys there: {known}.")
    del blobs[:]
    blobs.extend(blob_def)


def AddPlan(meta_net_def: Any, plan_name: str, plan_def: Any) -> None:
    """Add a plan under a key."""
    meta_net_def.plans.add(key=plan_name, value=plan_def)


def AddNet(meta_net_def: Any, net_name: str, net_def: Any) -> None:
    """Add a net under a key."""
    meta_net_def.nets.add(key=net_name, value=net_def)


def SetBlobsOrder(meta_net_def: Any, blobs_order: Iterable[str]) -> None:
    """Say in which order the blobs are saved."""
    meta_net_def.blobsOrder.extend(blobs_order)


def SetPreLoadBlobs(meta_net_def: Any, pre_load_blobs: Iterable[str]) -> None:
    """Say which blobs are to be loaded first."""
    meta_net_def.preLoadBlobs.extend(pre_load_blobs)


def SetRequestOnlyEmbeddings(meta_net_def: Any, request_only_embeddings: Iterable[str]) -> None:
    """Say which embeddings belong to requests only."""
    meta_net_def.requestOnlyEmbeddings.extend(request_only_embeddings)


def SetTensorBoundShapes(meta_net_def: Any, tensor_bound_shapes: Any) -> None:
    """Say how large tensors may be."""
    meta_net_def.tensorBoundShapes.CopyFrom(tensor_bound_shapes)


def SetAOTConfig(meta_net_def: Any, aot_config: Any) -> None:
    """Say how the net is to be compiled ahead of time."""
    meta_net_def.aotConfig.CopyFrom(aot_config)


def GetArgumentByName(net_def: Any, arg_name: str) -> Any:
    """The argument of that name of a net, or None."""
    return next((arg for arg in net_def.arg if arg.name == arg_name), None)


def AddModelIdArg(meta_net_def: Any, net_def: Any) -> None:
    """Give ``net_def`` the ``model_id`` of the prediction net, if that has one."""
    given = GetArgumentByName(meta_net_def.predict_net, "model_id")
    if given is None:
        return
    arg = GetArgumentByName(net_def, "model_id")
    if arg is None:
        arg = net_def.arg.add(name="model_id")
    arg.i = given.i
