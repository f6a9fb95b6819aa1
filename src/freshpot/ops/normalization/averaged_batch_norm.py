"""Batch normalisation with factor, addend and moving averages in one, as branches of Caffe have it."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.normalization._channels import along_channels, reduced
from freshpot.ops.normalization.batch_norm import normalised, of_batch, through_statistics

_ARGS = (
    Arg("eps", float, 1e-5, "added to the variance"),
    Arg("momentum", float, 0.9, "share of the averages that stays when a batch is added"),
    Arg("use_averages", int, 0, "1: normalise by the averages, and leave them"),
)


def _rule(g: GradientMaker) -> list[Op]:
    used = [g.O(1), g.O(2)]
    return [g.new("AveragedBatchNormGradient", [g.I(0), g.I(1), *used, g.GO(0)], [g.GI(0), g.GI(1), g.GI(2)])]


class AveragedBatchNorm(Operator):
    """Y = slope * (X - mean) / sqrt(variance + eps) + bias, channel by channel.

    Mean and (biased) variance are the batch's, and momentum * average + (1 - momentum) * batch become the averages;
    with use_averages they are the averages.

    Shapes:   X: (N, C, …); slope, bias, average, average_variance: C elements -> Y: as X; mean, variance used:
              (1, C, 1, 1); the averages, which the outputs of these names must overwrite
    Raises:   ShapeError if X has no channels, or the others not as many elements.
    Source:   the layer BN of SegNet's branch of Caffe (no averages) and of PSPNet's
    """

    inputs = (
        Port("X", FLOAT),
        Port("slope", FLOAT),
        Port("bias", FLOAT),
        Port("average", FLOAT, optional=True),
        Port("average_variance", FLOAT, optional=True),
    )
    outputs = (
        Port("Y"),
        Port("mean"),
        Port("variance"),
        Port("average", optional=True),
        Port("average_variance", optional=True),
    )
    args = _ARGS
    must_inplace = ((3, 3), (4, 4))
    gradient_rule = staticmethod(_rule)

    def check(self, X: Tensor, *others: Tensor) -> None:
        if X.dim() < 2 or any(other.numel() != X.shape[1] for other in others):
            self.refuse(
                f"X {tuple(X.shape)} must be (N, C, …), and the others have C elements, got "
                f"{[tuple(other.shape) for other in others]}."
            )
        if self.use_averages and self.num_inputs < 5:
            self.refuse("use_averages needs the averages as inputs.")

    def infer(self, X: Tensor, slope: Tensor, bias: Tensor, *averages: Tensor) -> tuple[Tensor, ...]:
        used = slope.new_empty(1, slope.numel(), 1, 1)
        return X, used, used, *averages

    def kernel(self, X: Tensor, slope: Tensor, bias: Tensor, *averages: Tensor) -> tuple[Tensor, ...]:
        if self.use_averages:
            mean, variance = (average.flatten().clone() for average in averages)
            kept = tuple(average.clone() for average in averages)
        else:
            mean, variance = of_batch(X)
            kept = tuple(
                average * self.momentum + batch.view(average.shape) * (1 - self.momentum)
                for average, batch in zip(averages, (mean, variance), strict=False)
            )
        Y = normalised(X, mean, variance, self.eps, slope.flatten(), bias.flatten())[0]
        return Y, mean.view(1, -1, 1, 1), variance.view(1, -1, 1, 1), *kept


class AveragedBatchNormGradient(Operator):
    """dX, dslope, dbias of AveragedBatchNorm: through the batch's statistics, or (use_averages) past constant ones.

    Source:   the layer BN of SegNet's and PSPNet's branches of Caffe
    """

    inputs = (
        Port("X", FLOAT),
        Port("slope", FLOAT),
        Port("mean", FLOAT, "1 C 1 1"),
        Port("variance", FLOAT, "1 C 1 1"),
        Port("dY", FLOAT),
    )
    outputs = (Port("dX"), Port("dslope", optional=True), Port("dbias", optional=True))
    args = _ARGS
    no_gradient = "it is itself a gradient"

    def infer(self, X: Tensor, slope: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (X, slope, slope)[: self.num_outputs]

    def kernel(
        self, X: Tensor, slope: Tensor, mean: Tensor, variance: Tensor, dY: Tensor
    ) -> tuple[Tensor, ...]:
        mean, variance, factor = mean.flatten(), variance.flatten(), slope.flatten()
        deviation = (variance + self.eps).double().sqrt_().float()
        if not self.use_averages:
            dX, *rest = through_statistics(X, mean, deviation, self.eps, dY, factor)
        else:
            dims = reduced(X)
            normal = (X - along_channels(mean, X)).div_(along_channels(deviation, X))
            dX, rest = dY * along_channels(factor / deviation, X), [(dY * normal).sum(dims), dY.sum(dims)]
        return (dX, *(part.view(slope.shape) for part in rest))[: self.num_outputs]
