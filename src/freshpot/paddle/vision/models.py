"""Networks."""

from __future__ import annotations

from typing import Any, NoReturn

from freshpot.paddle import tensor as ops
from freshpot.paddle._missing import missing
from freshpot.paddle.nn import activations, container, windows
from freshpot.paddle.nn.common import Linear
from freshpot.paddle.nn.layer import Layer

__all__ = ["LeNet"]


class LeNet(Layer):
    """LeNet-5 on pictures of 28 x 28: two convolutions with pooling, three full layers (LeCun and others 1998).

    Shapes: (N, 1, 28, 28) -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        made: Any = windows
        relu: Any = activations
        self.num_classes = num_classes
        self.features = container.Sequential(
            made.Conv2D(1, 6, 3, stride=1, padding=1),
            relu.ReLU(),
            made.MaxPool2D(2, 2),
            made.Conv2D(6, 16, 5, stride=1, padding=0),
            relu.ReLU(),
            made.MaxPool2D(2, 2),
        )
        if num_classes > 0:
            self.fc = container.Sequential(Linear(400, 120), Linear(120, 84), Linear(84, num_classes))

    def forward(self, inputs: Any) -> Any:
        """Pictures -> scores."""
        x = self.features(inputs)
        return self.fc(ops.flatten(x, 1)) if self.num_classes > 0 else x


def __getattr__(name: str) -> NoReturn:
    raise missing("vision.models", name, __all__)
