"""One training step of LeNet on MNIST-shaped data: freshpot's Caffe2 door beside PyTorch.

The same net (the Caffe2 tutorial's: conv 20x5x5, pool, conv 50x5x5, pool, fc 500, relu, fc 10, softmax,
cross-entropy, accuracy aside), the same batch in memory, plain SGD, the same number of threads, alternating.

    python bench/lenet_step.py [--batch 64] [--threads 2] [--rounds 15] [--no-compile]

Needs nothing beyond freshpot's own dependencies; torch.compile also needs a C++ compiler and is left
out, saying so, where there is none.
"""

from __future__ import annotations

import argparse
import platform
import shutil
from collections.abc import Callable

import numpy as np
import torch
from compare import alternate, mnist_like, table


def freshpot_step(images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """The step through `caffe2.python`: RunNet on a net with gradients and updates."""
    from caffe2.python import brew, model_helper, optimizer, workspace

    model = model_helper.ModelHelper(name="lenet", arg_scope={"order": "NCHW"})
    data = model.StopGradient("data", "data")
    conv1 = brew.conv(model, data, "conv1", dim_in=1, dim_out=20, kernel=5)
    pool1 = brew.max_pool(model, conv1, "pool1", kernel=2, stride=2)
    conv2 = brew.conv(model, pool1, "conv2", dim_in=20, dim_out=50, kernel=5)
    pool2 = brew.max_pool(model, conv2, "pool2", kernel=2, stride=2)
    fc3 = brew.relu(model, brew.fc(model, pool2, "fc3", dim_in=800, dim_out=500), "relu3")
    softmax = brew.softmax(model, brew.fc(model, fc3, "pred", 500, 10), "softmax")
    loss = model.AveragedLoss(model.LabelCrossEntropy([softmax, "label"], "xent"), "loss")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.01, policy="fixed")
    workspace.FeedBlob("data", images)
    workspace.FeedBlob("label", labels.astype(np.int32))
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    name = model.net.Proto().name
    return lambda: workspace.RunNet(name)


class LeNet(torch.nn.Module):
    """The same net in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(1, 20, 5), torch.nn.Conv2d(20, 50, 5)
        self.fc3, self.pred = torch.nn.Linear(800, 500), torch.nn.Linear(500, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(self.conv1(x), 2)
        x = torch.max_pool2d(self.conv2(x), 2)
        return self.pred(torch.relu(self.fc3(x.flatten(1))))


def torch_step(images: np.ndarray, labels: np.ndarray, wrap: Callable = lambda m: m) -> Callable[[], object]:
    """The step in PyTorch: forward, cross-entropy, backward, SGD."""
    net = LeNet()
    run = wrap(net)
    update = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> None:
        update.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(run(x), y).backward()
        update.step()

    return step


def gemm_time(batch: int) -> Callable[[], object]:
    """The step's FLOPs (forward, and twice that backward without conv1's data gradient) as large GEMMs."""
    macs = batch * (20 * 25 * 576 * 2 + 50 * 500 * 64 * 3 + 800 * 500 * 3 + 500 * 10 * 3)
    size = 1024
    a, b = torch.randn(size, size), torch.randn(size, max(1, round(macs / size / size)))
    return lambda: torch.mm(a, b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    args, images, labels = mnist_like(parser)
    jobs = {
        "PyTorch eager": torch_step(images, labels),
        "freshpot (Caffe2 door)": freshpot_step(images, labels),
        "same FLOPs as large GEMMs": gemm_time(args.batch),
    }
    if args.no_compile:
        pass
    elif shutil.which("g++") or shutil.which("clang++"):
        jobs["torch.compile"] = torch_step(images, labels, torch.compile)
    else:
        print("torch.compile left out: it needs a C++ compiler, and there is none here.")
    title = f"LeNet step, batch {args.batch}, {args.threads} threads, torch {torch.__version__}, {platform.machine()}"
    print(table(title, alternate(jobs, args.rounds, 10), "PyTorch eager"))


if __name__ == "__main__":
    main()
