"""A net as a module trains in PyTorch's DistributedDataParallel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from several import in_processes

PROGRAM = """
import json, sys
import torch
import torch.distributed as dist
import freshpot.torch as ft

rank, size, file, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
x, y = torch.linspace(-1, 1, 24).reshape(4, 6), torch.tensor([0, 1, 2, 0])

def gradients(module, part):
    torch.nn.functional.cross_entropy(module(x[part]), y[part]).backward()
    return {name.removeprefix("module."): p.grad.tolist() for name, p in module.named_parameters()}

def made():
    torch.manual_seed(rank + 1)
    net = ft.module(file)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    return net

dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=size)
module = torch.nn.parallel.DistributedDataParallel(made())
together = gradients(module, slice(2 * rank, 2 * rank + 2))
alone = made()
alone.load_state_dict(module.module.state_dict())
print(json.dumps([together, gradients(alone, slice(None))]))
dist.destroy_process_group()
"""

NET = """
input: "data" input_shape { dim: 2 dim: 6 }
layer { name: "hidden" type: "InnerProduct" bottom: "data" top: "hidden" inner_product_param { num_output: 5 } }
layer { name: "relu" type: "ReLU" bottom: "hidden" top: "hidden" }
layer { name: "out" type: "InnerProduct" bottom: "hidden" top: "out" inner_product_param { num_output: 3 } }
"""


def test_two_processes_have_the_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(NET)
    first, second = in_processes(PROGRAM, 2, str(file), str(tmp_path / "place"))
    together, alone = first
    assert together == second[0]
    assert together.keys() == {
        f"{layer}.{kind}" for layer in ("hidden", "out") for kind in ("weight", "bias")
    }
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
