"""Candidates drawn evenly. Source: caffe2/python/layers/uniform_sampling.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import constant, require_scalar
from caffe2.python.layers.layers import ModelLayer


class UniformSampling(ModelLayer):
    """``samples``: the input (int32, unique, at most ``num_samples``) and others below ``num_elements``, together
    ``num_samples``; ``sampling_prob``: the probability of each."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        num_samples: int,
        num_elements: int,
        name: str = "uniform_sampling",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(
            num_elements > num_samples > 0,
            f"UniformSampling draws some of its elements: got {num_samples} of {num_elements}.",
        )
        require_scalar(input_record, "UniformSampling")
        self.num_elements = num_elements
        self.num_samples = self.create_param(
            param_name="num_examples",
            shape=(1,),
            initializer=("GivenTensorInt64Fill", {"values": [num_samples]}),
            optimizer=model.NoOptim,
        )
        self.sampling_prob = self.create_param(
            param_name="prob",
            shape=(num_samples,),
            initializer=constant(float(num_samples) / num_elements, core.DataType.FLOAT),
            optimizer=model.NoOptim,
        )
        self.output_schema = schema.Struct(
            ("samples", schema.Scalar(np.int32, self.get_next_blob_reference("samples"))),
            ("sampling_prob", schema.Scalar(np.float32, self.sampling_prob)),
        )

    def add_ops(self, net: Any) -> None:
        """Draw."""
        given, samples = self.input_record(), self.output_schema.samples()
        net.StopGradient(self.sampling_prob, self.sampling_prob)
        shape = net.Shape([given], net.NextScopedBlob("shape"))
        shape = net.Sub([self.num_samples, shape], shape)
        drawn = net.UniqueUniformFill(
            [shape, given],
            net.NextScopedBlob("samples_before_concat"),
            min=0,
            max=self.num_elements - 1,
            input_as_shape=True,
        )
        net.Concat([given, drawn], [samples, net.NextScopedBlob("split_info")], axis=0)
        net.StopGradient(samples, samples)
