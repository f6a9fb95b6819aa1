"""Random features times learned ones. Source: caffe2/python/layers/semi_random_features.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_columns
from caffe2.python.layers.arc_cosine_feature_map import ArcCosineFeatureMap


class SemiRandomFeatures(ArcCosineFeatureMap):
    """``random``: H(z) z^s of a random z; ``full``: that times a learned X W^T + b. Source: arXiv:1702.08882.

    The input is a Scalar, or the output of such a layer, whose ``random`` goes to z and whose ``full`` to the rest.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dims: int,
        s: int = 1,
        scale_random: float = 1.0,
        scale_learned: float = 1.0,
        weight_init_random: Any = None,
        bias_init_random: Any = None,
        weight_init_learned: Any = None,
        bias_init_learned: Any = None,
        weight_optim: Any = None,
        bias_optim: Any = None,
        set_weight_as_global_constant: bool = False,
        name: str = "semi_random_features",
        **kwargs: Any,
    ) -> None:
        if isinstance(input_record, schema.Struct):
            require_columns(input_record, "full", "random")
            self.input_record_full = input_record.full
            self.input_record_random = input_record.random
        else:
            self.input_record_full = self.input_record_random = input_record
        super().__init__(
            model,
            self.input_record_full,
            output_dims,
            s=s,
            scale=scale_random,
            weight_init=weight_init_random,
            bias_init=bias_init_random,
            set_weight_as_global_constant=set_weight_as_global_constant,
            initialize_output_schema=False,
            name=name,
            **kwargs,
        )
        self.output_schema = schema.Struct(
            *(
                (
                    part,
                    schema.Scalar(
                        (np.float32, output_dims), model.net.NextScopedBlob(f"{name}_{part}_output")
                    ),
                )
                for part in ("full", "random")
            )
        )
        require(scale_learned > 0.0, f"scale_learned must be positive; got {scale_learned}.")
        self.stddev = scale_learned * np.sqrt(1.0 / self.input_dims)
        inits = {"w_init": weight_init_learned, "b_init": bias_init_learned}
        optims = {"w_optim": weight_optim, "b_optim": bias_optim}
        self.learned_w, self.learned_b = self._initialize_params("learned_w", "learned_b", **inits, **optims)

    def add_ops(self, net: Any) -> None:
        """Map."""
        inputs = [*self.input_record_full.field_blobs(), self.learned_w, self.learned_b]
        learned = net.FC(inputs, net.NextScopedBlob("learned_features"))
        features = self._random_features(net, self.input_record_random)
        output = self.output_schema
        random = self._heaviside_with_power(net, features, output.random.field_blobs(), self.s)
        net.Mul([random, learned], output.full.field_blobs())
