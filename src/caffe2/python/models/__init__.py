"""Trained models by name: ``from caffe2.python.models import squeezenet``, then ``squeezenet.init_net``.

A model is a folder with ``init_net.pb`` and ``predict_net.pb``. It is looked for in this package, in
``$CAFFE2_MODELS``, in ``$CAFFE2_HOME/models`` and in ``~/.caffe2/models``.
"""

from __future__ import annotations

import sys
from types import ModuleType

from caffe2.python.models import _local


def __getattr__(name: str) -> ModuleType:
    if name.startswith("__"):
        raise AttributeError(name)
    folder = _local.find(name)
    if folder is None:
        raise AttributeError(
            f"there is no model '{name}'. Put its init_net.pb and predict_net.pb into"
            f" {_local.folders()[-1] / name}."
        )
    made = ModuleType(f"{__name__}.{name}")
    made.init_net, made.predict_net = _local.read(folder)  # type: ignore[attr-defined]
    sys.modules[made.__name__] = made
    globals()[name] = made
    return made
