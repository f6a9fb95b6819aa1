"""An embedding with sparse gradients, every optimizer that takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python import brew, model_helper, optimizer
from programs.common import Program, train


def embedding(dense: bool, build: Callable[..., Any], *args: Any, **kwargs: Any) -> Program:
    def make() -> Any:
        m = model_helper.ModelHelper(name="sparse")
        table = m.param_init_net.XavierFill([], "emb", shape=[10, 4])
        m.AddParameter(table)
        x = m.net.Gather([table, "indices"], "gathered")
        if dense:
            x = brew.fc(m, x, "fc", 4, 3)
        return train(m, x, build, *args, **kwargs)

    return make


_FTRL = {"engine": "", "alpha": 0.1, "beta": 0.1, "lambda1": 0.01, "lambda2": 0.01}
PROGRAMS: dict[str, Program] = {
    "sparse_sgd_fixed": embedding(True, optimizer.build_sgd, 0.1),
    "sparse_sgd_momentum": embedding(True, optimizer.build_sgd, 0.1, momentum=0.9, nesterov=False),
    "sparse_adagrad": embedding(True, optimizer.build_adagrad, 0.1),
    "sparse_adagrad_rowwise": embedding(False, optimizer.build_adagrad, 0.1, rowWise=True),
    "sparse_adam": embedding(True, optimizer.build_adam, 0.001),
    "sparse_adam_rowwise": embedding(False, optimizer.build_adam, 0.1, rowWise=True),
    "sparse_adadelta": embedding(True, optimizer.build_adadelta, 0.5),
    "sparse_wngrad": embedding(True, optimizer.build_wngrad, 0.1),
    "sparse_storm": embedding(True, optimizer.build_storm, 0.1),
    "sparse_ftrl": embedding(True, optimizer.build_ftrl, **_FTRL),
}
