"""LeNet."""

from __future__ import annotations

from typing import Any

from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops

__all__ = ["LeNet"]


class LeNet(Layer):
    """LeNet-5 on pictures of 28 x 28: two convolutions with pooling, three full layers (LeCun and others 1998).

    Shapes: (N, 1, 28, 28) -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.features = nn.Sequential(
            nn.Conv2D(1, 6, 3, stride=1, padding=1),
            nn.ReLU(),
            nn.MaxPool2D(2, 2),
            nn.Conv2D(6, 16, 5, stride=1, padding=0),
            nn.ReLU(),
            nn.MaxPool2D(2, 2),
        )
        if num_classes > 0:
            self.fc = nn.Sequential(nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, num_classes))

    def forward(self, inputs: Any) -> Any:
        """Pictures -> scores."""
        x = self.features(inputs)
        return self.fc(ops.flatten(x, 1)) if self.num_classes > 0 else x
