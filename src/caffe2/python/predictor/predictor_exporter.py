"""A net and its weights in one database, for prediction elsewhere.

Owned here: what to export (`PredictorExportMeta`), saving and loading it. The records and the message
in the first of them are those of caffe2/python/predictor/predictor_exporter.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from caffe2.proto import caffe2_pb2, metanet_pb2
from caffe2.python import core, scope, workspace
from caffe2.python._errors import require
from caffe2.python.predictor import predictor_py_utils as utils
from caffe2.python.predictor import serde
from caffe2.python.predictor_constants import predictor_constants


class _Fields(NamedTuple):
    predict_net: Any
    parameters: list[str]
    inputs: list[str]
    outputs: list[str]
    shapes: Mapping[str, Any]
    name: str
    extra_init_net: Any
    global_init_net: Any
    net_type: str | None
    num_workers: int | None
    trainer_prefix: str | None


class PredictorExportMeta(_Fields):
    """What to export.

    Args:
        predict_net: a `core.Net`, a `core.Plan`, or the message of one.
        parameters, inputs, outputs: blobs; parameters are saved, and may be neither inputs nor outputs.
        shapes: blob -> shape of inputs and outputs; those left out are looked up in the workspace.
        name: tells several predictors in one message apart.
        extra_init_net: appended to the net that makes inputs and outputs.
        global_init_net: appended to the net that loads the parameters.
        net_type, num_workers: executor of the exported net.
        trainer_prefix: put before the names of training plans.

    Raises:
        MisuseError: an input twice, or a parameter that is also an input or output.
    """

    def __new__(
        cls,
        predict_net: Any,
        parameters: Iterable[Any],
        inputs: Iterable[Any],
        outputs: Iterable[Any],
        shapes: Mapping[str, Any] | None = None,
        name: str = "",
        extra_init_net: Any = None,
        global_init_net: Any = None,
        net_type: str | None = None,
        num_workers: int | None = None,
        trainer_prefix: str | None = None,
    ) -> PredictorExportMeta:
        parameters, inputs, outputs = ([str(b) for b in blobs] for blobs in (parameters, inputs, outputs))
        require(len(set(inputs)) == len(inputs), f"every input may be named once; got {inputs}.")
        for what, blobs in (("inputs", inputs), ("outputs", outputs)):
            both = sorted(set(parameters).intersection(blobs))
            require(not both, f"{both} are parameters and also {what}; a blob may be one of these.")
        if isinstance(predict_net, (core.Net, core.Plan)):
            predict_net = predict_net.Proto()
        require(
            isinstance(predict_net, (caffe2_pb2.NetDef, caffe2_pb2.PlanDef)),
            f"predict_net must be a Net, a Plan, or the message of one; got {type(predict_net).__name__}.",
        )
        return super().__new__(
            cls,
            predict_net,
            parameters,
            inputs,
            outputs,
            shapes or {},
            name,
            extra_init_net,
            global_init_net,
            net_type,
            num_workers,
            trainer_prefix,
        )

    def inputs_name(self) -> str:
        """Key of the list of inputs."""
        return self._key(predictor_constants.INPUTS_BLOB_TYPE)

    def outputs_name(self) -> str:
        """Key of the list of outputs."""
        return self._key(predictor_constants.OUTPUTS_BLOB_TYPE)

    def parameters_name(self) -> str:
        """Key of the list of parameters."""
        return self._key(predictor_constants.PARAMETERS_BLOB_TYPE)

    def global_init_name(self) -> str:
        """Key of the net that loads the parameters."""
        return self._key(predictor_constants.GLOBAL_INIT_NET_TYPE)

    def predict_init_name(self) -> str:
        """Key of the net that makes inputs and outputs."""
        return self._key(predictor_constants.PREDICT_INIT_NET_TYPE)

    def predict_net_name(self) -> str:
        """Key of the net that predicts."""
        return self._key(predictor_constants.PREDICT_NET_TYPE)

    def train_init_plan_name(self) -> str:
        """Key of the plan that prepares training."""
        return self._prefixed(self._key(predictor_constants.TRAIN_INIT_PLAN_TYPE))

    def train_plan_name(self) -> str:
        """Key of the plan that trains."""
        return self._prefixed(self._key(predictor_constants.TRAIN_PLAN_TYPE))

    def _key(self, kind: str) -> str:
        return utils.get_comp_name(kind, self.name)

    def _prefixed(self, key: str) -> str:
        return f"{self.trainer_prefix}_{key}" if self.trainer_prefix else key


def get_predictor_exporter_helper(submodelNetName: str) -> PredictorExportMeta:
    """An export of nothing, for the keys under which a submodel of that name is found."""
    return PredictorExportMeta(core.Net(submodelNetName), [], [], [], name=submodelNetName)


def prepare_prediction_net(filename: str, db_type: str, device_option: Any = None) -> Any:
    """Load an exported predictor into the workspace and create its net; returns the net, ready to run.

    Raises:
        FormatError, NetError: the database cannot be read, or is no exported predictor.
    """
    meta_net_def = load_from_db(filename, db_type, device_option)
    for key in (predictor_constants.GLOBAL_INIT_NET_TYPE, predictor_constants.PREDICT_INIT_NET_TYPE):
        workspace.RunNetOnce(_net(meta_net_def, key, filename))
    predict_net = core.Net(_net(meta_net_def, predictor_constants.PREDICT_NET_TYPE, filename))
    workspace.CreateNet(predict_net)
    return predict_net


def _net(meta_net_def: Any, key: str, filename: str) -> Any:
    net = utils.GetNet(meta_net_def, key)
    known = [pair.key for pair in meta_net_def.nets]
    require(
        net is not None, f"{filename}: there is no net '{key}' in the exported predictor; it has {known}."
    )
    return net


def _global_init_net(predictor_export_meta: PredictorExportMeta, db_type: str | None) -> Any:
    net = core.Net("global-init")
    if db_type != "manifold_db":
        net.Load([predictor_constants.PREDICTOR_DBREADER], predictor_export_meta.parameters)
        net.Proto().external_input.extend([predictor_constants.PREDICTOR_DBREADER])
        net.Proto().external_output.extend(predictor_export_meta.parameters)
    if predictor_export_meta.global_init_net:
        net.AppendNet(predictor_export_meta.global_init_net)
    utils.AddModelIdArg(predictor_export_meta, net.Proto())
    return net.Proto()


def get_meta_net_def(
    predictor_export_meta: PredictorExportMeta, ws: Any = None, db_type: str | None = None
) -> Any:
    """The message that describes the predictor. Shapes come from ``ws``, or the current workspace."""
    meta = predictor_export_meta
    message = metanet_pb2.MetaNetDef()
    ws = ws or workspace.C.Workspace.current
    utils.AddNet(message, meta.predict_init_name(), utils.create_predict_init_net(ws, meta))
    utils.AddNet(message, meta.global_init_name(), _global_init_net(meta, db_type))
    utils.AddNet(message, meta.predict_net_name(), utils.create_predict_net(meta))
    utils.AddBlobs(message, meta.parameters_name(), meta.parameters)
    utils.AddBlobs(message, meta.inputs_name(), meta.inputs)
    utils.AddBlobs(message, meta.outputs_name(), meta.outputs)
    return message


def set_model_info(meta_net_def: Any, project_str: str, model_class_str: str, version: str) -> None:
    """Note where the model comes from."""
    require(
        isinstance(meta_net_def, metanet_pb2.MetaNetDef),
        f"meta_net_def must be a MetaNetDef message, got {type(meta_net_def).__name__}.",
    )
    meta_net_def.modelInfo.project = project_str
    meta_net_def.modelInfo.modelClass = model_class_str
    meta_net_def.modelInfo.version = version


def save_to_db(
    db_type: str,
    db_destination: str,
    predictor_export_meta: PredictorExportMeta,
    use_ideep: bool = False,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Save the description and the parameters to a database. More arguments go to the Save operator."""
    message = get_meta_net_def(predictor_export_meta, db_type=db_type)
    with core.DeviceScope(core.DeviceOption(caffe2_pb2.CPU)):
        workspace.FeedBlob(predictor_constants.META_NET_DEF, serde.serialize_protobuf_struct(message))
    save = core.CreateOperator(
        "Save",
        [predictor_constants.META_NET_DEF, *predictor_export_meta.parameters],
        [],
        device_option=core.DeviceOption(caffe2_pb2.IDEEP if use_ideep else caffe2_pb2.CPU),
        absolute_path=True,
        db=db_destination,
        db_type=db_type,
        **kwargs,
    )
    workspace.RunOperatorOnce(save)


def load_from_db(filename: str, db_type: str, device_option: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The description of the predictor in a database, which stays open for loading the parameters.

    Its operators get ``device_option``, or that of the current device scope, if there is one.

    Raises:
        FormatError: the description cannot be read.
    """
    reader = core.BlobReference(predictor_constants.PREDICTOR_DBREADER)
    description = core.BlobReference(predictor_constants.META_NET_DEF)
    workspace.RunOperatorOnce(core.CreateOperator("CreateDB", [], [reader], db=filename, db_type=db_type))
    workspace.RunOperatorOnce(core.CreateOperator("Load", [reader], [description]))
    found = workspace.FetchBlob(predictor_constants.META_NET_DEF)
    stored = found if isinstance(found, bytes) else str(found).encode()
    meta_net_def = serde.deserialize_protobuf_struct(stored, metanet_pb2.MetaNetDef)
    device_option = device_option if device_option is not None else scope.CurrentDeviceScope()
    if device_option is not None:
        for pair in meta_net_def.nets:
            for op in pair.value.op:
                op.device_option.CopyFrom(device_option)
    return meta_net_def
