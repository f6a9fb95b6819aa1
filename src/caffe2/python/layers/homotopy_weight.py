"""A weight that moves from one column to another. Source: caffe2/python/layers/homotopy_weight.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import constant
from caffe2.python.layers.layers import ModelLayer


class HomotopyWeight(ModelLayer):
    """a X + b Y of two columns: a falls from ``max_weight`` towards ``min_weight`` with the steps, b rises.

    Halfway at step ``half_life``, at a quarter at ``quad_life``. ``atomic_iter``: a counter of steps; without it the
    layer has one.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "homotopy_weight",
        min_weight: float = 0.0,
        max_weight: float = 1.0,
        half_life: float = 1e6,
        quad_life: float = 3e6,
        atomic_iter: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("homotopy_weight"))
        data = input_record.field_blobs()
        require(len(data) == 2, f"HomotopyWeight takes two columns; got {len(data)}.")
        self.x, self.y = data
        self.use_external_iter = atomic_iter is not None
        self.atomic_iter = atomic_iter if self.use_external_iter else self.create_atomic_iter()
        require(max_weight > min_weight, f"max_weight {max_weight} is not above min_weight {min_weight}.")
        self.scale = float(max_weight - min_weight)
        self.offset = model.add_global_constant(f"{self.name}_offset_1dfloat", float(min_weight))
        self.gamma, self.power = self.solve_inv_lr_params(half_life, quad_life)

    def solve_inv_lr_params(self, half_life: float, quad_life: float) -> tuple[float, Any]:
        """Gamma and power of (1 + gamma step) ** -power, which is about 1/2 and 1/4 at the two steps."""
        require(half_life > 0, f"half_life must be positive; got {half_life}.")
        require(
            quad_life > 2 * half_life, f"quad_life {quad_life} must be above twice half_life {half_life}."
        )
        ratio = float(quad_life) / float(half_life)
        base = ratio * (1.0 + np.sqrt(2.0)) / 2.0 - np.sqrt(2.0)
        return (base - 1.0) / float(half_life), np.log(2.0) / np.log(base)

    def create_atomic_iter(self) -> Any:
        """A counter of steps, from 0."""
        self.mutex = self.create_param(
            param_name=f"{self.name}_mutex",
            shape=None,
            initializer=("CreateMutex",),
            optimizer=self.model.NoOptim,
        )
        return self.create_param(
            param_name=f"{self.name}_atomic_iter",
            shape=[1],
            initializer=constant(0, core.DataType.INT64),
            optimizer=self.model.NoOptim,
        )

    def update_weight(self, net: Any) -> tuple[Any, Any]:
        """The two weights of this step."""
        names = ("alpha", "beta", "lr", "complementary_lr", "scaled_lr", "scaled_complementary_lr")
        alpha, beta, falling, rising, scaled_falling, scaled_rising = map(net.NextScopedBlob, names)
        if not self.use_external_iter:
            net.AtomicIter([self.mutex, self.atomic_iter], [self.atomic_iter])
        schedule = {"policy": "inv", "gamma": self.gamma, "power": self.power, "base_lr": 1.0}
        net.LearningRate([self.atomic_iter], [falling], **schedule)
        net.Sub([self.model.global_constants["ONE"], falling], [rising])
        net.Scale([falling], [scaled_falling], scale=self.scale)
        net.Scale([rising], [scaled_rising], scale=self.scale)
        net.Add([scaled_falling, self.offset], [alpha])
        net.Add([scaled_rising, self.offset], [beta])
        return alpha, beta

    def add_ops(self, net: Any) -> None:
        """Move the weights, and add up."""
        alpha, beta = self.update_weight(net)
        net.WeightedSum([self.x, alpha, self.y, beta], self.output_schema())
