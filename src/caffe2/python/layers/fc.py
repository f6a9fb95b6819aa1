"""Fully connected layers. Source: caffe2/python/layers/fc.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.helpers.arg_scope import get_current_scope
from caffe2.python.layers._parts import clip_arguments, clipped, inner_shape, uniform
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.sampling_trainable_mixin import SamplingTrainableMixin


def get_fc_predictor_version(fc_version: str) -> str:
    """The precision in prediction, fp32 or fp16; set it with `arg_scope`."""
    require(fc_version in ("fp32", "fp16"), f"FC predicts in fp32 or fp16; got {fc_version}.")
    return fc_version


class FC(SamplingTrainableMixin, ModelLayer):
    """Y = X W^T + b. W is (output_dims, D), with ``transposed`` (D, output_dims); D is all from ``axis`` on.

    ``clip_param``: (min, max) of W and b where they are used. ``max_fc_size``: W is made in pieces of at most so
    many numbers, whose outputs are joined.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dims: int,
        weight_init: Any = None,
        bias_init: Any = None,
        weight_optim: Any = None,
        bias_optim: Any = None,
        name: str = "fc",
        weight_reg: Any = None,
        bias_reg: Any = None,
        clip_param: Any = None,
        max_fc_size: int | None = None,
        axis: int = 1,
        transposed: bool = False,
        uniform_weight_init_scale_numerator: float | None = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        shape = inner_shape(input_record, "FC")
        require(axis >= 1, f"FC takes an axis from 1 on; got {axis}.")
        self.axis = axis
        size = int(np.prod(shape[axis - 1 :]))
        require(size > 0, f"FC must know the size of its input's rows; it is {shape} from axis {axis} on.")
        self.clip_args = clip_arguments(clip_param)
        weight_init = weight_init or uniform(size, uniform_weight_init_scale_numerator or 1.0)
        bias_init = bias_init or uniform(size, uniform_weight_init_scale_numerator or 1.0)
        self.output_dim_vec = FC.calculate_fc_output_dims(max_fc_size, size, output_dims)
        self.transposed = transposed

        def pair(suffix: str, count: int, bias: tuple[Any, Any, Any]) -> tuple[Any, Any]:
            w = self.create_param(
                param_name="w" + suffix,
                shape=[size, count] if transposed else [count, size],
                initializer=weight_init,
                optimizer=weight_optim,
                regularizer=weight_reg,
            )
            init, optim, reg = bias
            made = {"initializer": init, "optimizer": optim, "regularizer": reg}
            return w, self.create_param(param_name="b" + suffix, shape=[count], **made)

        if self._whole:
            self.w, self.b = pair("", output_dims, (bias_init, bias_optim, bias_reg))
        else:
            # the biases of pieces are made as their weights are
            pieces = [
                pair(f"_sub_{i}", count, (weight_init, weight_optim, weight_reg))
                for i, count in enumerate(self.output_dim_vec or [])
            ]
            self.w_vec, self.b_vec = [w for w, _ in pieces], [b for _, b in pieces]
        self.output_schema = schema.Scalar(
            (np.float32, (*shape[: axis - 1], output_dims)), self.get_next_blob_reference("output")
        )

    @property
    def _whole(self) -> bool:
        return self.output_dim_vec is None or len(self.output_dim_vec) == 1

    @staticmethod
    def calculate_fc_output_dims(
        max_fc_size: int | None, input_dim: Any, output_dim: int
    ) -> list[int] | None:
        """The numbers of outputs of the pieces; None if the size is not limited."""
        if not max_fc_size or max_fc_size < 0:
            return None
        require(max_fc_size >= input_dim, f"max_fc_size {max_fc_size} is below the input's size {input_dim}.")
        most = int(max_fc_size // input_dim)
        full, rest = divmod(output_dim - 1, most)
        return [most] * full + [rest + 1]

    def _insert_fc_ops(self, net: Any, params: list[Any], outputs: Any, version: str) -> Any:
        kinds = {"fp32": "FCTransposed" if self.transposed else "FC", "fp16": "FbFCPacked"}
        require(version in kinds, f"FC computes in fp32 or fp16; got {version}.")
        make = getattr(net, kinds[version])
        return make(self.input_record.field_blobs() + params, outputs, axis=self.axis, **self.kwargs)

    def _add_ops(self, net: Any, params: list[Any], version: str = "fp32") -> None:
        params = clipped(net, params, self.clip_args)
        outputs = self.output_schema.field_blobs()
        if self._whole:
            self._insert_fc_ops(net, params, outputs, version)
            return
        half = len(params) // 2
        pieces = [
            self._insert_fc_ops(net, [w, b], [net.NextScopedBlob(f"output_sub_{i}")], version)
            for i, (w, b) in enumerate(zip(params[:half], params[half:], strict=True))
        ]
        net.Concat(pieces, [*outputs, outputs[0] + "_concat_dims"])

    def add_ops(self, net: Any) -> None:
        """In prediction and evaluation, with the precision in force."""
        in_force = get_current_scope().get(get_fc_predictor_version.__name__, {"fc_version": "fp32"})
        self._add_ops(net, self.param_blobs, in_force["fc_version"])

    def add_train_ops(self, net: Any) -> None:
        """In training, with the sampled parameters if there are any."""
        self._add_ops(net, self.train_param_blobs, "fp32")

    def get_fp16_compatible_parameters(self) -> list[Any]:
        """The weights."""
        return [self.w] if self._whole else self.w_vec

    @property
    def param_blobs(self) -> list[Any]:
        """Weights, and then biases."""
        return [self.w, self.b] if self._whole else self.w_vec + self.b_vec
