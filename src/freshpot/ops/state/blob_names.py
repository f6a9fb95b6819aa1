"""Names of blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class GetAllBlobNames(Operator):
    """blob_names = the names of all blobs.

    Shapes:   -> (blobs,) text
    Source:   caffe2/operators/utility_ops.h
    """

    outputs = (Port("blob_names"),)
    args = (Arg("include_shared", bool, True, "0: without those of the workspaces around this one"),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        found = [n for n in ws.names() if self.include_shared or ws.parent is None or n not in ws.parent]
        names = np.empty(len(found), dtype=object)
        names[:] = [name.encode() for name in found]
        outputs[0].value = names
