"""Random features of the arc-cosine kernel. Source: caffe2/python/layers/arc_cosine_feature_map.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class ArcCosineFeatureMap(ModelLayer):
    """H(z) z^s of z = X W^T + b, with W and b random and not trained. Source: Cho, Saul, NIPS 2009.

    ``scale``: factor of W's deviation sqrt(1 / D). ``set_weight_as_global_constant``: W and b are drawn here, so that
    all copies of the model have the same.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dims: int,
        s: int = 1,
        scale: float = 1.0,
        weight_init: Any = None,
        bias_init: Any = None,
        weight_optim: Any = None,
        bias_optim: Any = None,
        set_weight_as_global_constant: bool = False,
        initialize_output_schema: bool = True,
        name: str = "arc_cosine_feature_map",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_scalar(input_record, type(self).__name__)
        self.set_weight_as_global_constant = set_weight_as_global_constant
        self.input_dims = input_record.field_type().shape[0]
        require(self.input_dims >= 1, f"the input's rows must not be empty; their size is {self.input_dims}.")
        if initialize_output_schema:
            blob = model.net.NextScopedBlob(name + "_output")
            self.output_schema = schema.Scalar((np.float32, (output_dims,)), blob)
        require(output_dims >= 1, f"output_dims must be positive; got {output_dims}.")
        self.output_dims = output_dims
        require(isinstance(s, int) and s >= 0, f"s must be a whole number from 0 on; got {s!r}.")
        self.s = s
        require(scale > 0.0, f"scale must be positive; got {scale}.")
        self.stddev = scale * np.sqrt(1.0 / self.input_dims)
        if set_weight_as_global_constant:
            half = 0.5 * self.stddev
            w = np.random.normal(scale=self.stddev, size=(output_dims, self.input_dims))
            b = np.random.uniform(low=-half, high=half, size=output_dims)
            self.random_w = model.add_global_constant(name=self.name + "_fixed_rand_W", array=w)
            self.random_b = model.add_global_constant(name=self.name + "_fixed_rand_b", array=b)
        else:
            inits = {"w_init": weight_init, "b_init": bias_init}
            optims = {"w_optim": weight_optim, "b_optim": bias_optim}
            self.random_w, self.random_b = self._initialize_params("random_w", "random_b", **inits, **optims)

    def _initialize_params(
        self,
        w_name: str,
        b_name: str,
        w_init: Any = None,
        b_init: Any = None,
        w_optim: Any = None,
        b_optim: Any = None,
    ) -> list[Any]:
        """Weights and biases; without an optimizer they are not trained."""
        half = 0.5 * self.stddev
        w = self.create_param(
            param_name=w_name,
            shape=(self.output_dims, self.input_dims),
            initializer=w_init or ("GaussianFill", {"mean": 0.0, "std": self.stddev}),
            optimizer=w_optim or self.model.NoOptim,
        )
        b = self.create_param(
            param_name=b_name,
            shape=[self.output_dims],
            initializer=b_init or ("UniformFill", {"min": -half, "max": half}),
            optimizer=b_optim or self.model.NoOptim,
        )
        return [w, b]

    def _heaviside_with_power(self, net: Any, features: Any, output: Any, s: int) -> Any:
        """H(z) z^s; for s = 0 the step is softened to z / (1 + z)."""
        if s == 0:
            return net.Relu(net.Softsign([features], net.NextScopedBlob("softsign")), output)
        if s == 1:
            return net.Relu([features], output)
        first = net.Relu([features], net.NextScopedBlob("relu_rand"))
        rest = net.Pow([features], net.NextScopedBlob("pow_rand"), exponent=float(s - 1))
        return net.Mul([first, rest], output)

    def _random_features(self, net: Any, record: Any) -> Any:
        inputs = [*record.field_blobs(), self.random_w, self.random_b]
        return net.FC(inputs, net.NextScopedBlob("random_features"))

    def add_ops(self, net: Any) -> None:
        """Map."""
        features = self._random_features(net, self.input_record)
        self._heaviside_with_power(net, features, self.output_schema.field_blobs(), self.s)
