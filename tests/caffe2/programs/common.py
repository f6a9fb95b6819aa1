"""What the families of programs share."""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035 - this text also runs on the original's Python 3.8

from caffe2.python import brew, model_helper, optimizer

Program = Callable[[], Any]


def train(
    model: Any, scores: Any, build: Callable[..., Any] = optimizer.build_sgd, *args: Any, **kwargs: Any
):
    """Softmax loss against ``label``, gradients, and an optimizer (plain SGD at 0.1 by default)."""
    _, loss = model.SoftmaxWithLoss([scores, "label"], ["softmax", "loss"])
    model.AddGradientOperators([loss])
    build(model, *(args or (() if kwargs else (0.1,))), **kwargs)
    return model


def classifier(name: str, body: Callable[[Any], Any], dim: int) -> Program:
    """A program: ``body`` makes the features, ``dim`` of them, and ten scores are trained on top."""

    def make() -> Any:
        model = model_helper.ModelHelper(name=name)
        return train(model, brew.fc(model, body(model), "last", dim, 10))

    return make
