"""Single operators run by Caffe2's door: what tests of rare operators do."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, workspace


def run(type_: str, inputs: list[str], outputs: list[str], **args: Any) -> None:
    workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs, **args))


def feed(blobs: dict[str, tuple[Any, str]]) -> None:
    for name, (value, dtype) in blobs.items():
        workspace.FeedBlob(name, np.array(value, dtype))


def arange(*shape: int, start: int = 0) -> Any:
    return np.arange(start, start + int(np.prod(shape))).reshape(shape)
