"""Several samples from one distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class WeightedMultiSampling(Operator):
    """Places at random: place i as likely as sampling_cdf[i] is greater than the number before it.

    Shapes:   sampling_cdf: (C,) rising, last number > 0; a tensor whose shape counts -> sampled_indexes:
              (num_samples,) int32, or as the second input; (0,) if C is 0
    Raises:   ArgumentError if the number is given twice.
    Source:   caffe2/operators/weighted_multi_sampling_op.cc
    """

    inputs = (Port("sampling_cdf", FLOAT, "C"), Port("shape_tensor", optional=True))
    outputs = (Port("sampled_indexes"),)
    args = (Arg("num_samples", int, 0, "samples, if no second input says"),)
    no_gradient = "samples have none"

    def setup(self) -> None:
        if self.num_inputs == 2 and self.has("num_samples"):
            self.refuse("the second input says how many samples; leave 'num_samples' out.", ArgumentError)

    def kernel(self, cdf: Tensor, *shape: Any) -> Tensor:
        wanted = shape[0].shape if shape else torch.Size([max(self.num_samples, 0)])
        if not cdf.numel():
            return torch.zeros(0, dtype=torch.int32, device=cdf.device)
        drawn = torch.rand(wanted, generator=self.generator, device=cdf.device) * cdf[-1]
        return torch.searchsorted(cdf, drawn).clamp_(max=len(cdf) - 1).int()

    def infer(self, cdf: Tensor, *shape: Any) -> tuple[Tensor, ...]:
        wanted = shape[0].shape if shape else (max(self.num_samples, 0),)
        return (torch.empty(wanted if cdf.numel() else (0,), dtype=torch.int32, device="meta"),)
