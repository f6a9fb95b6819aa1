"""A layer of operators that a function adds. Source: caffe2/python/layers/functional.py."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, schema, scope, workspace
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer
from freshpot.errors import FreshpotError

logger = logging.getLogger(__name__)

_TYPES: dict[int, Any] = {
    caffe2_pb2.TensorProto.DOUBLE: np.float64,
    caffe2_pb2.TensorProto.FLOAT: np.float32,
    caffe2_pb2.TensorProto.INT32: np.int32,
    caffe2_pb2.TensorProto.INT64: np.int64,
    caffe2_pb2.TensorProto.FLOAT16: np.float16,
}


class Functional(ModelLayer):
    """``function(net, input_record, output_record, **kwargs)`` adds the operators.

    ``output_names_or_num``: number or names of the outputs, or a record. One output is a Scalar (a Struct of one if
    its name is in a list). Their types are ``output_dtypes``, or are inferred from the operators.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_names_or_num: Any,
        function: Any,
        name: str = "functional",
        output_dtypes: Any = None,
        tags: Any = None,
        **kwargs: Any,
    ) -> None:
        input_record = schema.as_record(input_record)
        super().__init__(model, name, input_record, tags=tags, **kwargs)
        self._function = function
        self._kwargs = kwargs
        outputs = output_names_or_num
        if isinstance(outputs, schema.Field):
            self.output_schema = outputs.clone(keep_blobs=True)
            return
        several = isinstance(outputs, list) or (isinstance(outputs, int) and outputs != 1)
        with scope.NameScope(self.name, reset=True):
            if isinstance(outputs, int):
                form = schema.RawTuple(outputs)
            else:
                names = outputs if isinstance(outputs, list) else [outputs]
                form = schema.Struct(*((out, np.void) for out in names))
            record = schema.NewRecord(model.net, form)
        self.output_schema = record if several else record[0]
        columns = self.output_schema.all_scalars()
        if output_dtypes is not None:
            given = output_dtypes if isinstance(output_dtypes, list) else [output_dtypes] * len(columns)
            require(len(given) == len(columns), f"{len(given)} output_dtypes for {len(columns)} outputs.")
            for dtype, column in zip(given, columns, strict=True):
                column.set_type(dtype)
        else:
            self._infer_types(columns)

    def _infer_types(self, columns: list[Any]) -> None:
        """Set the columns' types as far as they can be told from the operators."""
        try:
            net = core.Net("_temp_type_and_shape_inference_net")
            schema.InitEmptyRecord(net, self.input_record, enforce_types=True)
            self._function(net, self.input_record, self.output_schema, **self._kwargs)
            shapes, types = workspace.InferShapesAndTypes([net], {})
        except (TypeError, FreshpotError) as error:
            logger.warning("types of the outputs of layer %s are not known: %s", self.name, error)
            return
        unknown = []
        for column in columns:
            blob = str(column())
            shape = shapes.get(blob)
            # rows are along the first axis, of which there are 0 here
            if blob not in types or shape is None or (shape and shape[0] != 0):
                unknown.append(blob)
            elif types[blob] in _TYPES:
                column.set_type((_TYPES[types[blob]], tuple(shape[1:])))
        if unknown:
            logger.warning("types of %s, outputs of layer %s, are not known.", ", ".join(unknown), self.name)

    def add_ops(self, net: Any) -> None:
        """Call the function."""
        self._function(net, self.input_record, self.output_schema, **self._kwargs)
