"""Several fully connected layers, each on a sample of the batch. Source: caffe2/python/layers/fc_with_bootstrap.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.helpers.arg_scope import get_current_scope
from caffe2.python.layers._parts import clip_arguments, clipped, inner_shape, uniform
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.sampling_trainable_mixin import SamplingTrainableMixin


def get_fc_predictor_version(fc_version: str) -> str:
    """The precision in prediction: fp32."""
    require(fc_version in ("fp32",), f"FCWithBootstrap predicts in fp32; got {fc_version}.")
    return fc_version


class FCWithBootstrap(SamplingTrainableMixin, ModelLayer):
    """``num_bootstrap`` layers Y = X W^T + b; in training each is given rows drawn with replacement.

    Gives, for each, ``bootstrap_iteration_i/indices`` (the rows drawn) and ``bootstrap_iteration_i/preds``.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dims: int,
        num_bootstrap: int,
        weight_init: Any = None,
        bias_init: Any = None,
        weight_optim: Any = None,
        bias_optim: Any = None,
        name: str = "fc_with_bootstrap",
        weight_reg: Any = None,
        bias_reg: Any = None,
        clip_param: Any = None,
        axis: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        shape = inner_shape(input_record, "FCWithBootstrap")
        require(axis >= 1, f"FCWithBootstrap takes an axis from 1 on; got {axis}.")
        self.axis = axis
        self.input_dims = int(np.prod(shape[axis - 1 :]))
        require(
            self.input_dims > 0, f"FCWithBootstrap must know the size of its input's rows; it is {shape}."
        )
        self.clip_args = clip_arguments(clip_param)
        self.num_bootstrap = num_bootstrap
        self.bootstrapped_FCs: list[Any] = []
        self.batch_size: Any = None
        self.lower_bound: Any = None
        self.upper_bound: Any = None
        columns = []
        for i in range(num_bootstrap):
            scope = f"bootstrap_iteration_{i}/"
            for part in ("indices", "preds"):
                columns.append((scope + part, self.get_next_blob_reference(scope + part)))
            w = self.create_param(
                param_name=scope + "w",
                shape=[output_dims, self.input_dims],
                initializer=weight_init or uniform(self.input_dims),
                optimizer=weight_optim,
                regularizer=weight_reg,
            )
            b = self.create_param(
                param_name=scope + "b",
                shape=[output_dims],
                initializer=bias_init or uniform(self.input_dims),
                optimizer=bias_optim,
                regularizer=bias_reg,
            )
            self.bootstrapped_FCs += [w, b]
        self.output_schema = schema.Struct(*columns)

    def _draw(self, net: Any, i: int) -> Any:
        """Indices of as many rows as the batch has."""
        with core.NameScope(f"bootstrap_iteration_{i}"):
            if i == 0:
                shape = net.Shape(self.input_record.field_blobs()[0], "input_shape")
                first = net.Const(np.array([0]), "batch_size_index")
                self.batch_size = net.Gather([shape, first], "batch_size")
                self.lower_bound = net.Const(np.array([0]), "lower_bound", dtype=np.int32)
                one = net.Const(np.array([1]), "offset", dtype=np.int32)
                count = net.Cast([self.batch_size], "int_batch_size", to=core.DataType.INT32)
                self.upper_bound = net.Sub([count, one], "upper_bound")
            bounds = [self.batch_size, self.lower_bound, self.upper_bound]
            return net.UniformIntFill(bounds, self.output_schema.field_blobs()[2 * i], input_as_shape=1)

    def _add_ops(self, net: Any, param_blobs: list[Any], sampled: bool = False) -> None:
        data = self.input_record.field_blobs()[0]
        for i in range(self.num_bootstrap):
            indices = self._draw(net, i)
            rows = data
            if sampled:
                rows = net.Gather([data, indices], net.NextScopedBlob(f"bootstrapped_features_{i}"))
            params = clipped(net, param_blobs[2 * i : 2 * i + 2], self.clip_args)
            output = self.output_schema.field_blobs()[2 * i + 1]
            net.FC([rows, *params], [output], axis=self.axis, **self.kwargs)

    def add_ops(self, net: Any) -> None:
        """All layers on all rows; the indices mean nothing."""
        in_force = get_current_scope().get(get_fc_predictor_version.__name__, {"fc_version": "fp32"})
        get_fc_predictor_version(in_force["fc_version"])
        self._add_ops(net, self.param_blobs)

    def add_train_ops(self, net: Any) -> None:
        """Each layer on the rows drawn for it."""
        self._add_ops(net, self.train_param_blobs, sampled=True)

    def get_fp16_compatible_parameters(self) -> list[Any]:
        """The weights."""
        return self.bootstrapped_FCs[::2]

    @property
    def param_blobs(self) -> list[Any]:
        """Weights and biases in turn."""
        return self.bootstrapped_FCs
