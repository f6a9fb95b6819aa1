"""What all layers of a `LayerModelHelper` have in common, and the table of layers by name.

A layer knows its parameters and the record (schema with blobs) that it takes and gives; its operators are added to
as many nets as wanted, and may differ between training, evaluation and prediction.

Source: caffe2/python/layers/layers.py.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, schema, scope, utils, workspace
from caffe2.python._errors import require
from caffe2.python.layers.tags import TagContext
from freshpot.errors import FreshpotError

logger = logging.getLogger(__name__)

IdList = schema.List(np.int64)
IdScoreList = schema.Map(np.int64, np.float32)
IdListWithEvicted = schema.ListWithEvicted(np.int64)
IdScoreListWithEvicted = schema.MapWithEvicted(np.int64, np.float32)


# --- records ------------------------------------------------------------------------------------------


def almost_equal_schemas(
    record: Any,
    original_schema: Any,
    check_field_names: bool = True,
    check_field_types: bool = True,
    check_field_metas: bool = False,
) -> bool:
    """`schema.equal_schemas`, where a list of ids (with scores) may also have a column of evicted ids."""
    evicted = {id(IdList): IdListWithEvicted, id(IdScoreList): IdScoreListWithEvicted}
    if id(original_schema) not in evicted:
        return schema.equal_schemas(record, original_schema)
    checks = (check_field_names, check_field_types, check_field_metas)
    return any(
        schema.equal_schemas(record, form, *checks)
        for form in (original_schema, evicted[id(original_schema)])
    )


def get_key(record: Any) -> Any:
    """The column of ids of a list of ids, or of ids with scores.

    Raises NotImplementedError for other records, MisuseError if the column has no metadata.
    """
    if almost_equal_schemas(record, IdList):
        name = "values"
    elif almost_equal_schemas(record, IdScoreList, check_field_types=False):
        name = "values:keys"
    else:
        raise NotImplementedError(f"Not implemented for {record}")
    require(record[name].metadata is not None, f"blob {record[name]()} has no metadata.")
    return record[name]


def get_categorical_limit(record: Any) -> Any:
    """The number that ids of the record are below."""
    return get_key(record).metadata.categorical_limit


def get_avg_length(record: Any) -> Any:
    """The typical number of ids in a row."""
    return record["lengths"].metadata.expected_value


def set_request_only(field: Any) -> None:
    """Mark every column as a feature of the request alone."""
    for column in field.all_scalars():
        known = column.metadata or schema.Metadata()
        specs = (known.feature_specs or schema.FeatureSpec())._replace(
            feature_is_request_only=True, feature_to_index=None
        )
        require(
            np.issubdtype(column.field_type(), np.integer) or known.categorical_limit is None,
            f"categorical_limit is for fields of integers; this one is {column.field_type()}.",
        )
        column.set_metadata(known._replace(feature_specs=specs))


def is_request_only_scalar(scalar: Any) -> bool:
    """True if the column is marked as a feature of the request alone."""
    metadata = scalar.field_metadata()
    return len(metadata) > 0 and all(
        data and data.feature_specs and getattr(data.feature_specs, "feature_is_request_only", False)
        for data in metadata
    )


# --- the table ----------------------------------------------------------------------------------------


class InstantiationContext:
    """What the net is for that a layer's operators are added to."""

    ACCUMULATE_PRED = "accumulate_pred"
    EVAL = "eval"
    PREDICTION = "prediction"
    TRAINING = "training"


_LAYER_REGISTRY: dict[str, Any] = {}


def register_layer(name: str, layer: Any) -> None:
    """Enter a layer's class; MisuseError if the name is taken."""
    require(name not in _LAYER_REGISTRY, f"layer {name} already exists.")
    _LAYER_REGISTRY[name] = layer


def layer_exists(name: str) -> bool:
    """True if there is a layer of that name."""
    return name in _LAYER_REGISTRY


def get_layer_class(name: str) -> Any:
    """The layer's class; KeyError if there is none."""
    return _LAYER_REGISTRY[name]


def create_layer(layer_name: str, *args: Any, **kwargs: Any) -> Any:
    """A new layer of that name; KeyError if there is none."""
    return _LAYER_REGISTRY[layer_name](*args, **kwargs)


# --- parameters ---------------------------------------------------------------------------------------


class LayerPsParam(NamedTuple):
    """What a server of parameters is told of one."""

    sparse_key: Any
    average_length: Any


class AccessedFeatures(NamedTuple):
    """The ids of features of one type that a layer reads."""

    type: Any
    ids: Any


class LayerParameter:
    """A parameter of a layer: its blob, the operator that fills it, its optimizer and regularizer."""

    def __init__(
        self,
        parameter: Any = None,
        optimizer: Any = None,
        initializer: Any = None,
        ps_param: Any = None,
        regularizer: Any = None,
    ) -> None:
        require(
            isinstance(parameter, core.BlobReference),
            f"a parameter must be a BlobReference; got {type(parameter).__name__} {parameter}.",
        )
        self._shape: Any = None
        self.parameter = parameter
        self.optimizer = optimizer
        self.initializer = initializer
        self.ps_param = ps_param
        self.regularizer = regularizer

    @property
    def initializer(self) -> Any:
        """The operator that fills the parameter, or None."""
        return self._initializer

    @initializer.setter
    def initializer(self, op: Any) -> None:
        require(
            op is None or core.IsOperator(getattr(op, "type", "")),
            f"an initializer must be an operator; got {type(op).__name__}.",
        )
        self._initializer = op
        if op is not None:
            self.shape = self._shape_made_by(op)

    @property
    def shape(self) -> Any:
        """The shape as a list, or None where it is not known; once known, it cannot change."""
        return self._shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        require(
            self._shape is None or self._shape == shape,
            f"parameter {self} has shape {self._shape}; it cannot have {shape}.",
        )
        self._shape = shape

    def _shape_made_by(self, op: Any) -> list[int] | None:
        for arg in op.arg:
            if arg.name == "shape":
                return list(arg.ints)
        with workspace.WorkspaceGuard("model_init_by_loading_params"):
            try:
                net = core.Net("shape_checker")
                net.Proto().op.extend([op])
                blob = net.Shape([self.parameter], net.NextScopedBlob(self.parameter + "_shape"))
                workspace.RunNetOnce(net)
                return workspace.FetchBlob(blob).tolist()
            except (RuntimeError, FreshpotError) as error:
                logger.warning("the shape that %s makes of %s is not known: %s", op.type, self, error)
                return None
            finally:
                workspace.ResetWorkspace()

    def __str__(self) -> str:
        return str(self.parameter)


# --- layers -------------------------------------------------------------------------------------------


class ModelLayer:
    """Base of layers. One has at least ``output_schema``, set when it is made, and `add_ops`.

    ``input_record``: what it takes. ``predict_input_record_fields``: the names of those columns that prediction
    needs. ``tags``: see `Tags`; those in force are added.
    """

    def __init__(
        self,
        model: Any,
        prefix: str,
        input_record: Any,
        predict_input_record_fields: Any = None,
        tags: Any = None,
        **kwargs: Any,
    ) -> None:
        self.name: str = model.next_layer_name(prefix)
        self.model = model
        self.kwargs = kwargs
        self._input_record = input_record
        self._predict_input_record: Any = None
        if predict_input_record_fields:
            fields = predict_input_record_fields
            self._predict_input_record = input_record[fields if isinstance(fields, list) else [fields]]
        columns = input_record.all_scalars()
        self.request_only = len(columns) > 0 and all(is_request_only_scalar(column) for column in columns)
        self.precomputation_request_only = False
        self.precomputation_object_only = False
        self._output_schema: Any = None
        self._predict_output_schema: Any = None
        self.eval_output_schema: Any = None
        self.tags: set[str] = set(tags or []) | set(TagContext.current().tags)
        self.params: list[Any] = []
        self._export_output_for_metrics = False
        self._export_params_for_metrics = False

    def get_type(self) -> str:
        """The layer's name in the table."""
        return type(self).__name__

    @property
    def input_record(self) -> Any:
        """What the layer takes."""
        return self._input_record

    @property
    def predict_input_record(self) -> Any:
        """What it takes in prediction."""
        return self._predict_input_record or self._input_record

    def _check_output_schema(self) -> None:
        require(self._output_schema is not None, f"layer {self.name} has no output_schema.")
        require(
            self._predict_output_schema is None
            or schema.is_schema_subset(self._predict_output_schema, self._output_schema),
            f"predict_output_schema of layer {self.name} is not part of its output_schema.",
        )

    @property
    def output_schema(self) -> Any:
        """What the layer gives; it is set once."""
        if self.request_only:
            set_request_only(self._output_schema)
        self._check_output_schema()
        return self._output_schema

    @output_schema.setter
    def output_schema(self, output_schema: Any) -> None:
        require(self._output_schema is None, f"output_schema of layer {self.name} was set already.")
        self._output_schema = output_schema

    @property
    def predict_output_schema(self) -> Any:
        """What it gives in prediction; it is set once."""
        self._check_output_schema()
        return self._predict_output_schema or self._output_schema

    @predict_output_schema.setter
    def predict_output_schema(self, output_schema: Any) -> None:
        require(
            self._predict_output_schema is None,
            f"predict_output_schema of layer {self.name} was set already.",
        )
        self._predict_output_schema = output_schema

    def get_parameters(self) -> list[Any]:
        """The layer's `LayerParameter` objects."""
        return self.params

    def get_fp16_compatible_parameters(self) -> list[Any]:
        """Blobs that may be kept in half precision."""
        return []

    def get_memory_usage(self) -> int:
        """Bytes of its tables."""
        return 0

    def get_accessed_features(self) -> dict[str, list[AccessedFeatures]]:
        """Field -> the features that the layer reads there."""
        return {}

    def add_init_params(self, init_net: Any) -> None:
        """Add the operators that fill the parameters, unless the net has the same ones."""
        device = scope.CurrentDeviceScope()
        for param in self.params:
            op = param.initializer
            if not op:
                continue
            if device and not op.HasField("device_option"):
                op = caffe2_pb2.OperatorDef()
                op.CopyFrom(param.initializer)
                op.device_option.CopyFrom(device)
            if not any(utils.OpAlmostEqual(known, op, "debug_info") for known in init_net.Proto().op):
                init_net.Proto().op.extend([op])

    def create_param(
        self,
        param_name: str,
        shape: Any,
        initializer: Any,
        optimizer: Any,
        ps_param: Any = None,
        regularizer: Any = None,
    ) -> Any:
        """The blob of a new parameter of the layer, in its scope.

        ``initializer``: ``(type,)`` or ``(type, arguments)`` of the operator that fills it.
        """
        with scope.NameScope(self.name, reset=True):
            param = self.model.create_param(
                param_name=param_name,
                shape=shape,
                initializer=initializer,
                optimizer=optimizer,
                ps_param=ps_param,
                regularizer=regularizer,
            )
        require(
            all(param.parameter != known.parameter for known in self.params),
            f"layer {self.name} has a parameter {param} already.",
        )
        self.params.append(param)
        return param.parameter

    def get_next_blob_reference(self, name: str) -> Any:
        """A new blob in the layer's scope."""
        with scope.NameScope(self.name, reset=True):
            return self.model.net.NextScopedBlob(name)

    def add_operators(
        self, net: Any, init_net: Any = None, context: str = InstantiationContext.TRAINING
    ) -> None:
        """Add the layer to a net, and what fills its parameters to ``init_net``, which training needs."""
        makers = {
            InstantiationContext.TRAINING: self.add_train_ops,
            InstantiationContext.EVAL: self.add_eval_ops,
            InstantiationContext.ACCUMULATE_PRED: self.add_ops_to_accumulate_pred,
            InstantiationContext.PREDICTION: self.add_ops,
        }
        require(
            init_net or (context in makers and context != InstantiationContext.TRAINING),
            f"layer {self.name} needs an init_net in context {context}: only prediction and evaluation do not.",
        )
        with scope.NameScope(self.name):
            if init_net:
                self.add_init_params(init_net)
            makers.get(context, self.add_ops)(net)
            measured = context in {InstantiationContext.TRAINING, InstantiationContext.EVAL}
            if measured and self._export_params_for_metrics:
                self.add_param_copy_operators(net)

    def add_ops(self, net: Any) -> None:
        """Add what prediction runs, and all else that does not say otherwise."""
        raise NotImplementedError

    def add_eval_ops(self, net: Any) -> None:
        """Add what evaluation runs: as in prediction, unless a layer says otherwise."""
        self.add_ops(net)

    def add_train_ops(self, net: Any) -> None:
        """Add what training runs: as in evaluation, unless a layer says otherwise."""
        self.add_eval_ops(net)

    def add_ops_to_accumulate_pred(self, net: Any) -> None:
        """Add what collects predictions: as in evaluation, unless a layer says otherwise."""
        self.add_eval_ops(net)

    def add_param_copy_operators(self, net: Any) -> None:
        """Copy the parameters to the blobs of the model's metrics."""
        for param in self.params:
            copy = self.model.metrics_schema[str(param.parameter)]
            net.Copy([param.parameter], copy.field_blobs())

    def export_output_for_metrics(self) -> None:
        """Make the output one of the model's metrics."""
        self._export_output_for_metrics = True
        self.model.add_metric_field(self.name + "/output", self.output_schema)

    def export_params_for_metrics(self) -> None:
        """Make copies of the parameters metrics of the model."""
        self._export_params_for_metrics = True
        for param in self.params:
            copy = self.get_next_blob_reference(str(param).split("/")[-1] + "_copy")
            self.model.add_metric_field(str(param.parameter), copy)
