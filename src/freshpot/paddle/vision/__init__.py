"""``paddle.vision``: data sets, changes of pictures, networks."""

from freshpot.paddle.vision import datasets, models, transforms
from freshpot.paddle.vision.models import LeNet

__all__ = ["LeNet", "datasets", "models", "transforms"]
