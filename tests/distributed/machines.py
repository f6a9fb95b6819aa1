"""A Caffe2 training on several machines, one of them; prints the parameters."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np
from test_data_parallel import layers, parallel

from caffe2.python import core, workspace
from caffe2.python import data_parallel_model as dpm
from caffe2.python._data_parallel import worlds

worlds.DEFAULT_TIMEOUT_SEC = 300  # on a busy machine the processes come one after the other
rank, count, folder, devices = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
workspace.RunOperatorOnce(core.CreateOperator("FileStoreHandlerCreate", [], ["store"], path=folder))
model = parallel(
    [*range(devices)],
    rendezvous={"kv_handler": "store", "num_shards": count, "shard_id": rank, "engine": "GLOO"},
    forward_pass_builder_fun=layers,
)
random = np.random.RandomState(0)
data, labels = random.rand(12, 3, 8, 8).astype("f"), random.randint(0, 2, 12).astype("i")
for device in range(devices):
    part = slice(rank * devices + device, None, count * devices)
    workspace.FeedBlob(f"cpu_{device}/data", data[part])
    workspace.FeedBlob(f"cpu_{device}/label", labels[part])
for net in model._data_parallel_model_init_nets:
    workspace.RunNetOnce(net)
for name in sorted(model._param_names):
    shape = workspace.FetchBlob(f"cpu_0/{name}").shape
    workspace.FeedBlob(f"cpu_0/{name}", (random.rand(*shape).astype("f") - 0.5) * (rank == 0))
dpm.CreateNet(model)
dpm.FinalizeAfterCheckpoint(model, cpu_mode=True)
dpm.RunNet(model, 3)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dpm.Synchronize(model, 300)


def fetch(name: str) -> Any:
    return [workspace.FetchBlob(f"cpu_{device}/{name}").tolist() for device in range(devices)]


print(json.dumps({name: fetch(name) for name in model._param_names}))
