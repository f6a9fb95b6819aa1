"""Branches and loops over models."""

from __future__ import annotations

from typing import Any

from caffe2.python.control_ops_util import add_if_op, add_while_op


def cond(model: Any, cond_blob: Any, external_blobs: Any, then_model: Any, else_model: Any = None) -> None:
    """Run ``then_model`` if the blob is true, else ``else_model``."""
    add_if_op(model.net, cond_blob, external_blobs, then_model.net, else_model and else_model.net)


def loop(model: Any, cond_blob: Any, external_blobs: Any, loop_model: Any, cond_model: Any = None) -> None:
    """Run ``loop_model`` while the blob is true; ``cond_model`` computes it before each round."""
    add_while_op(model.net, cond_blob, external_blobs, loop_model.net, cond_model and cond_model.net)
