"""A training step of CaffeNet and ResNet-50: freshpot's Caffe door beside PyTorch.

The same prototxt, solver (SGD, momentum 0.9, weight decay 0.0005) and batch, in memory; the jobs take turns.

    python bench/training.py [--net caffenet resnet50] [--batch 16 8] [--threads 2] [--rounds 7] [--clock wall|cpu]

``--clock cpu`` is what `inference.py` says of it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from compare import table
from inference import timed
from nets import NETS
from walkers import TorchNet, TorchNetLast

Job = Callable[[], object]


def caffe_step(text: str, folder: str, images: np.ndarray, labels: np.ndarray) -> tuple[object, Job]:
    """The solver, and its step."""
    import caffe

    net, path = os.path.join(folder, "net.prototxt"), os.path.join(folder, "solver.prototxt")
    with open(net, "w") as file:
        file.write(text)
    with open(path, "w") as file:
        file.write(
            f'train_net: "{net}" base_lr: 0.0001 momentum: 0.9 weight_decay: 0.0005 lr_policy: "fixed" '
            "max_iter: 1000000 snapshot_after_train: false"
        )
    solver = caffe.SGDSolver(path)
    solver.net.set_input_arrays(images, labels.astype(np.float32))
    return solver, lambda: solver.step(1)


def torch_step(module: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> Job:
    """Forward, backward, update; the loss is read, as a solver does."""
    module.train()
    update = torch.optim.SGD(module.parameters(), lr=0.0001, momentum=0.9, weight_decay=0.0005)

    def step() -> None:
        update.zero_grad(set_to_none=True)
        loss = module(x, y)
        loss.backward()
        update.step()
        loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="+", choices=NETS, default=["caffenet", "resnet50"])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 8])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    args = parser.parse_args()
    if args.clock == "cpu" and args.threads != 1:
        parser.error("--clock cpu goes with --threads 1: it sees one thread.")
    torch.set_num_threads(args.threads)
    clock = time.perf_counter if args.clock == "wall" else time.thread_time
    for i, name in enumerate(args.net):
        batch = args.batch[min(i, len(args.batch) - 1)]
        text = NETS[name](batch, train=True)
        rng = np.random.default_rng(0)
        size = 227 if name != "resnet50" else 224
        images = rng.standard_normal((batch, 3, size, size)).astype(np.float32)
        labels = rng.integers(0, 1000, batch)
        with tempfile.TemporaryDirectory() as folder:
            solver, ours = caffe_step(text, folder, images, labels)
        parameters = {layer: [b.data.copy() for b in blobs] for layer, blobs in solver.net.params.items()}
        for layer, blobs in parameters.items():
            if layer.endswith("_bn"):
                blobs[2][...] = 1.0
        x, y = torch.from_numpy(images), torch.from_numpy(labels)
        last = x.contiguous(memory_format=torch.channels_last)
        jobs = {
            "freshpot, caffe.SGDSolver": ours,
            "PyTorch eager": torch_step(TorchNet(text, parameters), x, y),
            "PyTorch eager, channels last": torch_step(TorchNetLast(text, parameters), last, y),
        }
        medians = timed(jobs, args.rounds, clock)
        title = f"{name} step, batch {batch}, {args.threads} threads, {args.clock} time, torch {torch.__version__}"
        print(table(title, medians, "PyTorch eager, channels last"))


if __name__ == "__main__":
    main()
