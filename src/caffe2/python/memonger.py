"""Sharing of memory among a net's blobs, for programs that ask for it: freshpot's plans reuse memory by themselves.

Results never depended on it. The net comes back as it is, so all its blobs stay there to be fetched.

Source: caffe2/python/memonger.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from freshpot.errors import MissingBlobError

__all__ = ["share_grad_blobs"]

log = logging.getLogger(__name__)


def share_grad_blobs(
    net: Any,
    losses: Sequence[Any],
    param_grads: Collection[Any],
    namescope: str | None,
    dont_share_blobs: Collection[str] | None = None,
    share_activations: bool = False,
    blob_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Any:
    """The net's message, as it is: gradients keep their own names, and plans let them share memory.

    Args:
        net: a net with gradients.
        losses: its losses, each written by one of its operators.
        param_grads, namescope, dont_share_blobs, share_activations, blob_shapes: taken for programs' sake.

    Raises:
        MissingBlobError: no operator of the net writes a loss.
    """
    proto = net.Proto()
    written = {name for op in proto.op for name in op.output}
    for loss in map(str, losses):
        if loss not in written:
            raise MissingBlobError(
                "no operator of the net writes this loss", net=proto.name or None, blob=loss
            )
    log.warning("Memonger memory optimization is part of freshpot's plans: the net stays as it is.")
    return proto
