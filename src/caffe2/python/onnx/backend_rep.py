"""A model that is ready to run.

Source: caffe2/python/onnx/backend_rep.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffe2.python import core
from caffe2.python.onnx.helper import namedtupledict
from caffe2.python.onnx.workspace import Workspace
from freshpot.errors import ArityError

__all__ = ["Caffe2Rep"]


class Caffe2Rep:
    """A pair of nets in a workspace of its own.

    Attributes:
        init_net, predict_net: the NetDefs.
        workspace: where they run.
        uninitialized: names of the inputs that `run` wants.
    """

    def __init__(
        self, init_net: Any, predict_net: Any, workspace: Workspace, uninitialized: Sequence[str]
    ) -> None:
        self.init_net = init_net
        self.predict_net = predict_net
        self.workspace = workspace
        self.uninitialized = list(uninitialized)
        self.nets_created = False
        self.ran_init_net = False

    def run(self, inputs: Any, **kwargs: Any) -> Any:
        """The model's outputs, a named tuple of arrays.

        Args:
            inputs: arrays by name, in order, or the only one.
            kwargs: taken for programs' sake.

        Raises:
            ArityError: another number of inputs than the model has.
        """
        if not isinstance(inputs, Mapping):
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(given) != len(self.uninitialized):
                raise ArityError(
                    f"Expected {len(self.uninitialized)} values for uninitialized graph inputs "
                    f"({', '.join(self.uninitialized)}), but got {len(given)}."
                )
            inputs = dict(zip(self.uninitialized, given, strict=True))
        with core.DeviceScope(self.predict_net.device_option):
            for name, value in inputs.items():
                self.workspace.FeedBlob(name, value)
            if not self.nets_created:
                self.workspace.CreateNet(self.init_net)
                self.workspace.RunNet(self.init_net.name)
                self.workspace.CreateNet(self.predict_net)
                self.nets_created = self.ran_init_net = True
            self.workspace.RunNet(self.predict_net.name)
        names = list(self.predict_net.external_output)
        return namedtupledict("Outputs", names)(*(self.workspace.FetchBlob(name) for name in names))
