"""Small operators around recurrent networks: single time steps of a tensor, and looking into steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError, NotSupportedError
from freshpot.net.schema import INT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe
from freshpot.ops.recurrent.network import LstmSteps, StepWorkspaces

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

_T = Port("timestep", INT, doc="the current time step, one element")


class AccumulateInputGradient(Operator):
    """G[t + offset] += dY[t], where t is what ``timestep`` holds.

    Shapes:   timestep: (1,) int32; dY: (T, ...); G: (T', ...) -> G
    Raises:   ArgumentError if ``offset`` is negative or missing; ShapeError if the step lies outside.
    Source:   caffe2/operators/rnn/recurrent_network_op.h
    """

    type = "rnn_internal_accumulate_gradient_input"
    inputs = (_T, Port("dY"), Port("G"))
    outputs = (Port("G"), Port("unused", many=True, at_least=0))
    args = (Arg("offset", int, -1, "time step of G, from the current one on; at least 0"),)
    must_inplace = ((2, 0),)
    no_gradient = "it is part of a gradient"

    def setup(self) -> None:
        if self.offset < 0:
            self.refuse(f"argument 'offset' must be given and at least 0, got {self.offset}.", ArgumentError)

    def _steps(self, timestep: Tensor, dY: Tensor, G: Tensor) -> tuple[int, int]:
        t = int(timestep[0])
        if t >= dY.shape[0] or t + self.offset >= G.shape[0]:
            self.refuse(
                f"step {t} with offset {self.offset} lies outside dY {tuple(dY.shape)} or G {tuple(G.shape)}."
            )
        return t, t + self.offset

    def kernel(self, timestep: Tensor, dY: Tensor, G: Tensor) -> Tensor:
        return self.kernel_inplace(timestep, dY, G.clone())

    def kernel_inplace(self, timestep: Tensor, dY: Tensor, G: Tensor) -> Tensor:
        t, at = self._steps(timestep, dY, G)
        G[at].add_(dY[t])
        return G

    def infer(self, timestep: Tensor, dY: Tensor, G: Tensor) -> tuple[Tensor]:
        return (G,)


class ApplyLink(Operator):
    """The ``window`` time steps of a tensor from t + offset on, sharing its memory.

    Shapes:   timestep: (1,) int32; X: (T, ...) -> (window, ...), X
    Raises:   ArgumentError if ``offset`` or ``window`` is negative; ShapeError if the steps lie outside.
    Differs:  the original reads past the end of X where the steps lie outside.
    Source:   caffe2/operators/rnn/recurrent_network_op.h
    """

    type = "rnn_internal_apply_link"
    inputs = (_T, Port("X"))
    outputs = (Port("Y"), Port("X"))
    args = (
        Arg("offset", int, -1, "first time step, from the current one on; at least 0"),
        Arg("window", int, -1, "how many time steps; at least 0"),
    )
    must_inplace = ((1, 1),)
    no_gradient = "it is part of a gradient"

    def setup(self) -> None:
        for name in ("offset", "window"):
            if getattr(self, name) < 0:
                self.refuse(f"argument '{name}' must be given and at least 0.", ArgumentError)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        start, X = int(inputs[0].value[0]) + self.offset, inputs[1].value
        if start + self.window > X.shape[0]:
            self.refuse(f"time steps {start} to {start + self.window} lie outside X {tuple(X.shape)}.")
        outputs[0].value = X[start : start + self.window]


class RecurrentNetworkBlobFetcher(Operator):
    """Copy what every step of a RecurrentNetwork holds into blobs "<prefix>_<name><step>"; give their names.

    Shapes:   what RecurrentNetwork left -> (count,) string
    Raises:   DTypeError if the input is something else; NotSupportedError if the network had no backward
              step net, because then nothing is kept.
    Source:   caffe2/operators/rnn/recurrent_network_blob_fetcher_op.h
    """

    inputs = (Port("ScratchWorkspaceBlob"),)
    outputs = (Port("blob_names"),)
    args = (Arg("prefix", str, "rnn", "what the names start with"),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        saved = inputs[0].value
        if not isinstance(saved, (LstmSteps, StepWorkspaces)):
            self.refuse(
                f"blob '{inputs[0].name}' must be the last output of RecurrentNetwork, but is {describe(saved)}.",
                DTypeError,
            )
        if not len(saved):
            raise NotSupportedError(
                f"blob '{inputs[0].name}': steps are kept only for networks with a backward step net."
            )
        names = []
        if isinstance(saved, LstmSteps):
            saved = saved.general()
        for t in range(len(saved)):
            found = saved.blobs(t)
            found[f"{saved.timestep}_rnnexec_t{t}"] = torch.tensor([t], dtype=torch.int32)
            for name in sorted(found):
                names.append(f"{self.prefix}_{name}{t}")
                ws.feed(names[-1], found[name])
        made = np.empty(len(names), dtype=object)
        made[:] = [name.encode() for name in names]
        outputs[0].value = made
