"""Embeddings of lists of ids, pooled. Source: caffe2/python/layers/sparse_lookup.py."""

from __future__ import annotations

import collections
import logging
import math
from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import MisuseError, require
from caffe2.python.helpers.arg_scope import get_current_scope
from caffe2.python.layers._parts import uniform
from caffe2.python.layers.layers import (
    IdList,
    IdListWithEvicted,
    IdScoreList,
    IdScoreListWithEvicted,
    LayerPsParam,
    ModelLayer,
    almost_equal_schemas,
    get_categorical_limit,
    get_key,
)
from caffe2.python.optimizer import FP16_ENGINES, Optimizer

logger = logging.getLogger(__name__)

#: Version of the table -> suffix of the operators that pool its rows, operator that makes a row float again.
_QUANTIZED = {
    "uint8rowwise": ("8BitsRowwise", "Rowwise8BitQuantizedToFloat"),
    "fused_uint8rowwise": ("Fused8BitRowwise", "Fused8BitRowwiseQuantizedToFloat"),
    "fused_uint4rowwise": ("Fused4BitRowwise", "Fused4BitRowwiseQuantizedToFloat"),
}


def get_trainer_version_based_on_optim(optim_def: Any) -> str:
    """fp16 if the optimizer's engine works in half precision, else fp32."""
    half = isinstance(optim_def, Optimizer) and getattr(optim_def, "engine", None) in FP16_ENGINES
    return "fp16" if half else "fp32"


def get_sparse_lookup_predictor_version(
    version: str,
    blob_size: int | None = None,
    min_blob_size_4bits: int | None = None,
    embedding_dim: int | None = None,
    sparse_feature_name: Any = None,
) -> str:
    """The form of the table in prediction; set it with `arg_scope`.

    A small table, or one of rows of odd length, has 8 bits instead of 4; to tell, all sizes must be given
    (ValueError).
    """
    require(
        version in {"fp32", "fp16", *_QUANTIZED},
        f"SparseLookup's version must be fp32, fp16, {', '.join(_QUANTIZED)}; got {version}.",
    )
    if version != "fused_uint4rowwise":
        return version
    if blob_size is None or min_blob_size_4bits is None or embedding_dim is None:
        raise ValueError(
            f"4 bits for {sparse_feature_name} need blob_size, min_blob_size_4bits and embedding_dim;"
            f" got {blob_size}, {min_blob_size_4bits}, {embedding_dim}."
        )
    if blob_size < min_blob_size_4bits or embedding_dim % 2 == 1:
        logger.info("the table of %s has 8 bits: it is small, or its rows are odd.", sparse_feature_name)
        return "fused_uint8rowwise"
    return version


def get_sparse_lookup_trainer_version(version: str) -> str:
    """The form of the table in training: fp32 or fp16."""
    require(version in {"fp32", "fp16"}, f"SparseLookup trains in fp32 or fp16; got {version}.")
    return version


def _is_id_list(input_record: Any) -> bool:
    return almost_equal_schemas(input_record, IdList)


def _is_id_score_list(input_record: Any) -> bool:
    return almost_equal_schemas(input_record, IdScoreList, check_field_types=False)


class SparseLookup(ModelLayer):
    """The rows of a table (ids, \\*inner_shape) for each list of ids, pooled by ``reducer`` ("None": not pooled).

    The number of ids is in the column's metadata. "PositionWeighted", "RecencyWeighted" and
    ``use_external_weights``: the scores of the list are weights, and gradients flow to them.
    """

    _id_list_supported_reducers = [
        "LogMeanExp", "LogSumExp", "Max", "Mean", "Sum", "WeightedSum", "WeightedMean", "Sqrt", "None",
    ]  # fmt: skip
    _id_score_list_supported_reducers = [
        "PositionWeighted", "RecencyWeighted", "Mean", "Sum", "WeightedSum", "WeightedMean", "None",
    ]  # fmt: skip
    _fp16_compatible_init_op_types = ["Float16UniformFill"]
    _fp16_compatible_reducers = ["Sum", "Mean", "Sqrt", "PositionWeighted", "RecencyWeighted"]

    def __init__(
        self,
        model: Any,
        input_record: Any,
        inner_shape: Any,
        reducer: str,
        weight_init: Any = None,
        weight_optim: Any = None,
        name: str = "sparse_lookup",
        regularizer: Any = None,
        use_external_weights: bool = False,
        uniform_weight_init_scale_numerator: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.sparse_key = get_key(input_record)()
        inner = [inner_shape] if isinstance(inner_shape, int) else inner_shape
        require(
            isinstance(inner, (list, tuple)),
            f"inner_shape must be an int, list or tuple; got {type(inner_shape).__name__}.",
        )
        self.reducer = reducer
        self.use_external_weights = use_external_weights
        if reducer in ("PositionWeighted", "RecencyWeighted") or use_external_weights:
            require(
                _is_id_score_list(input_record),
                f"{reducer} with weights takes ids with scores; {self.sparse_key} has none."
                " PositionWeighted makes weights of positions.",
            )
            self.external_weights = input_record.values()
        require(
            not use_external_weights
            or reducer in ("PositionWeighted", "RecencyWeighted", "Sum", "WeightedSum"),
            f"external weights are for the reducer Sum; got {reducer}.",
        )
        self.input_dim = get_categorical_limit(input_record)
        require(
            self.input_dim and self.input_dim > 0,
            f"the categorical_limit of {self.sparse_key} must be positive; it is {self.input_dim}.",
        )
        self.shape = [self.input_dim, *inner]
        self.trainer_version = get_trainer_version_based_on_optim(weight_optim)
        self.uniform_weight_init_scale_numerator = uniform_weight_init_scale_numerator
        self.weight_init = weight_init or self._get_default_init_op()
        self.evicted_values: Any = None
        forms = ((IdListWithEvicted, True), (IdScoreListWithEvicted, False))
        if any(schema.equal_schemas(input_record, form, check_field_types=check) for form, check in forms):
            self.evicted_values = input_record._evicted_values
        if self.trainer_version == "fp16":
            self._require_half(regularizer)
        lengths = input_record.lengths.metadata
        self.w = self.create_param(
            param_name="w",
            shape=self.shape,
            initializer=self.weight_init,
            optimizer=weight_optim,
            ps_param=LayerPsParam(
                sparse_key=self.sparse_key, average_length=lengths.expected_value if lengths else None
            ),
            regularizer=regularizer,
        )
        if self.evicted_values:
            self.reinit_vec = self.create_param(
                param_name="reinit_vec",
                shape=inner,
                initializer=self.weight_init,
                optimizer=model.NoOptim,
                regularizer=None,
            )
        self.scale_bias_init = ("ConstantFill", {"value": 0.0})
        self.scale_bias = self.create_param(
            param_name="scale_bias", shape=[], initializer=self.scale_bias_init, optimizer=model.NoOptim
        )
        self.output_schema = schema.Scalar((np.float32, inner), self.get_next_blob_reference("output"))

    def _require_half(self, regularizer: Any) -> None:
        """What training in half precision needs."""
        require(
            self.reducer in self._fp16_compatible_reducers or self.use_external_weights,
            f"training in fp16 takes the reducers {self._fp16_compatible_reducers}; got {self.reducer}.",
        )
        if self.weight_init[0] == "UniformFill":
            self.weight_init = ("Float16UniformFill", self.weight_init[1])
        require(
            self.weight_init[0] in self._fp16_compatible_init_op_types,
            f"training in fp16 takes weights from {self._fp16_compatible_init_op_types}; got {self.weight_init[0]}.",
        )
        require(regularizer is None, "training in fp16 takes no regularizer.")

    def get_memory_usage(self) -> int:
        """Bytes of the table in single precision."""
        return math.prod(self.shape) * 4

    def get_fp16_compatible_parameters(self) -> list[Any]:
        """The table."""
        return [self.w]

    def support_8bit(self) -> bool:
        """True if rows are worth 8 bits: one axis, of 8 or more."""
        return len(self.shape) == 2 and self.shape[1] >= 8

    def get_8bits_compatible_parameters(self, fused: bool = True) -> list[Any]:
        """The table, with its scales unless ``fused``, as a named tuple."""
        if not self.support_8bit():
            return []
        fields = ["w"] if fused else ["w", "scale_bias"]
        weight = collections.namedtuple("RowwiseQuantized8BitsWeight", fields)  # type: ignore[misc]
        return [weight(*(getattr(self, field) for field in fields))]

    def _get_default_init_op(self) -> tuple[str, dict[str, float]]:
        kind, arguments = uniform(self.input_dim, self.uniform_weight_init_scale_numerator)
        return ("Float16" + kind if self.trainer_version == "fp16" else kind, arguments)

    def _gather(self, net: Any, version: str, ids: Any, out: Any) -> Any:
        """The rows, as float32."""
        if version == "fp32":
            return net.Gather([self.w, ids], out)
        rows = [net.Gather([self.w, ids], "gathered_w")]
        if version == "fp16":
            return net.HalfToFloat(rows[0], out)
        if version == "uint8rowwise":
            rows.append(net.Gather([self.scale_bias, ids], "gathered_scale_bias"))
        return getattr(net, _QUANTIZED[version][1])(rows if len(rows) > 1 else rows[0], out)

    def _pool(
        self, net: Any, version: str, reducer: str, ids: Any, weights: Any = None, **kwargs: Any
    ) -> None:
        """Pool by one of the SparseLengths operators."""
        inputs = [self.w, *([] if weights is None else [weights]), ids, self.input_record.lengths()]
        kind = f"SparseLengths{reducer}"
        if version in _QUANTIZED:
            kwargs = {}
            kind += _QUANTIZED[version][0]
            if version == "uint8rowwise":
                inputs.append(self.scale_bias)
        elif reducer == "WeightedSum" and version == "fp16":
            kwargs["engine"] = "FP16"
        getattr(net, kind)(inputs, self.output_schema.field_blobs(), **kwargs)

    def _add_ops_id_list(self, net: Any, version: str) -> None:
        require(
            self.reducer in self._id_list_supported_reducers,
            f"reducer {self.reducer} is not for a list of ids ({self.sparse_key}).",
        )
        lengths, ids = self.input_record.lengths(), self.input_record.items()
        output = self.output_schema.field_blobs()
        if self.reducer in ("Sum", "Mean", "WeightedSum", "WeightedMean"):
            self.reducer = self.reducer.removeprefix("Weighted")  # all weights are 1
            self._pool(net, version, self.reducer, ids)
        elif self.reducer == "Sqrt":
            weights = net.LengthsToWeights([lengths], [net.NextScopedBlob("lengths_sqrt")], power=0.5)
            self._pool(net, version, "WeightedSum", ids, weights, grad_on_weights=0)
        elif self.reducer == "None":
            self._gather(net, version, ids, output)
        else:
            rows = self._gather(net, version, ids, "table_rows")
            segments = net.LengthsToSegmentIds(lengths, net.NextScopedBlob(lengths + "_sid"))
            getattr(net, "SortedSegmentRange" + self.reducer)([rows, segments], output)

    def _add_ops_id_score_list(self, net: Any, version: str) -> None:
        require(
            self.reducer in self._id_score_list_supported_reducers,
            f"reducer {self.reducer} is not for ids with scores ({self.sparse_key}).",
        )
        ids = self.input_record.keys()
        if self.reducer in ("WeightedSum", "WeightedMean"):
            self._pool(net, version, self.reducer, ids, self.input_record.values(), grad_on_weights=0)
        elif self.reducer in ("PositionWeighted", "RecencyWeighted") or self.use_external_weights:
            self._pool(net, version, "WeightedSum", ids, self.external_weights, grad_on_weights=1)
        elif self.reducer in ("Sum", "Mean"):
            self._pool(net, version, self.reducer, ids)
        else:
            self._gather(net, version, ids, self.output_schema.field_blobs())

    def _add_ops(self, net: Any, version: str = "fp32", is_train: bool = True) -> None:
        if self.evicted_values and is_train:
            net.CopyRowsToTensor([self.w, self.evicted_values.get(), self.reinit_vec], [self.w])
        if _is_id_list(self.input_record):
            self._add_ops_id_list(net, version)
        elif _is_id_score_list(self.input_record):
            self._add_ops_id_score_list(net, version)
        else:
            raise MisuseError(
                f"SparseLookup takes lists of ids, or of ids with scores; got {self.input_record!r}"
            )

    def add_train_ops(self, net: Any) -> None:
        """Look up in the table that is trained."""
        self._add_ops(net, self.trainer_version, is_train=True)

    def add_ops(self, net: Any) -> None:
        """Look up in the table in the form in force."""
        in_force = get_current_scope().get(get_sparse_lookup_predictor_version.__name__, {"version": "fp32"})
        version = get_sparse_lookup_predictor_version(
            in_force["version"],
            blob_size=self.shape[0] * self.shape[1],
            min_blob_size_4bits=in_force.get("min_blob_size_4bits"),
            embedding_dim=self.shape[1],
            sparse_feature_name=self.sparse_key,
        )
        if version in _QUANTIZED and not self.support_8bit():
            version = "fp16"
        self._add_ops(net, version, is_train=False)
