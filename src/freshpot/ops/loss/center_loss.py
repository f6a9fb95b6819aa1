"""The loss that draws features to their class's centre."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class CaffeCenterLoss(Operator):
    """loss = sum of |X[i] - centers[label[i]]|^2 / (2 N).

    The centres' gradient is not that of the loss: it is the sum of centre - X over a class's rows / (1 + their number).

    Shapes:   X: (N, …) of N * K elements, label: N floats, centers: (classes, K) -> loss: ()
    Raises:   ShapeError if they do not fit, and for a label that is no class.
    Source:   Wen et al., ECCV 2016; caffe-face's center_loss_layer
    """

    inputs = (Port("X", FLOAT), Port("label", FLOAT), Port("centers", FLOAT, "* K"))
    outputs = (Port("loss"),)

    def check(self, X: Tensor, label: Tensor, centers: Tensor, *_: Tensor) -> None:
        if X.dim() < 1 or X.numel() != len(X) * centers.shape[1] or label.numel() != len(X):
            self.refuse(
                f"X {tuple(X.shape)} must be N rows of {centers.shape[1]} elements as the centers "
                f"{tuple(centers.shape)}, with N labels; got {label.numel()}."
            )

    def _apart(self, X: Tensor, label: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of the classes, and how far each row is from its centre."""
        numbers = label.reshape(-1).long()
        if (
            not X.is_meta
            and len(numbers)
            and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(centers)
        ):
            self.refuse(f"labels must be from 0 to {len(centers) - 1}, got {sorted(set(numbers.tolist()))}.")
        return numbers, X.reshape(len(X), -1) - centers[numbers]

    def kernel(self, X: Tensor, label: Tensor, centers: Tensor) -> Tensor:
        return self._apart(X, label, centers)[1].square_().sum() / (2 * len(X))

    @gradient("X label centers dloss -> dX dcenters")
    def backward(self, X: Tensor, label: Tensor, centers: Tensor, dloss: Tensor) -> tuple[Tensor, Tensor]:
        numbers, apart = self._apart(X, label, centers)
        dcenters = torch.zeros_like(centers).index_add_(0, numbers, apart, alpha=-1)
        counts = torch.bincount(numbers, minlength=len(centers)).add_(1)
        return apart.mul_(dloss / len(X)).view(X.shape), dcenters.div_(counts[:, None])
