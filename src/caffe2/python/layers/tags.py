"""Tags of layers: the nets a layer is left out of, and hints for whoever distributes a model.

Source: caffe2/python/layers/tags.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from caffe2.python import context
from caffe2.python._errors import require


class TagContext(context.DefaultManaged):
    """The tags that layers made now get."""

    def __init__(self, tags: list[str] | None = None) -> None:
        self.tags: list[str] = tags or []

    def add_tags(self, tags: list[str]) -> None:
        """Add tags behind those in force."""
        self.tags.extend(tags)

    def remove_tags(self, tags: list[str]) -> None:
        """Take back the latest `add_tags`; MisuseError if these are not the last ones."""
        first = len(self.tags) - len(tags)
        require(self.tags[first:] == tags, f"tags {tags} are not the last of {self.tags}.")
        del self.tags[first:]


class Tags:
    """``with Tags(tag):`` or ``@Tags([tag, …])``: layers made inside get the tags."""

    EXCLUDE_FROM_TRAIN = "exclude_from_train"
    EXCLUDE_FROM_EVAL = "exclude_from_eval"
    EXCLUDE_FROM_PREDICTION = "exclude_from_prediction"
    EXCLUDE_FROM_ACCUMULATE_PRED = "exclude_from_accumulate_pred"
    PREPROCESSING = "preprocessing"
    HANDLE_AS_SPARSE_LAYER = "handle_as_sparse_layer"
    PREFER_GPU = "prefer_gpu"
    CPU_ONLY = "cpu_only"
    LOCAL = "local"
    SPARSE_SHARDED = "sparse_sharded"
    SPARSE_DONT_SHARD = "sparse_dont_shard"
    COMPONENT = "component:"
    PIPELINE = "pipeline:"
    HOGWILD_DENSE = "hogwild_dense"
    EXTRA_INFO = "extra_info:"
    EMPTY_TAG = "empty_tag"
    PREDICTION_SCHEMA = "prediction_schema"
    FEATURE_TRANSFORM = "feature_transform"
    FEATURE_TRANSFORM_SCHEMA = "feature_transform_schema"

    DT_TAGS = (SPARSE_SHARDED, SPARSE_DONT_SHARD, COMPONENT, HOGWILD_DENSE)
    TRAIN_ONLY = [EXCLUDE_FROM_PREDICTION, EXCLUDE_FROM_EVAL, EXCLUDE_FROM_ACCUMULATE_PRED]
    EVAL_ONLY = [EXCLUDE_FROM_PREDICTION, EXCLUDE_FROM_TRAIN, EXCLUDE_FROM_ACCUMULATE_PRED]
    PREDICTION_ONLY = [EXCLUDE_FROM_TRAIN, EXCLUDE_FROM_EVAL, EXCLUDE_FROM_ACCUMULATE_PRED]

    def __init__(self, tags: str | list[str]) -> None:
        self.tags = tags if isinstance(tags, list) else [tags]

    def __enter__(self) -> Tags:
        TagContext.current().add_tags(self.tags)
        return self

    def __exit__(self, *unused: object) -> None:
        TagContext.current().remove_tags(self.tags)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return wrapper
