"""One solver step of LeNet on MNIST-shaped data: freshpot's Caffe door beside PyTorch.

Caffe's own example net (examples/mnist/lenet_train_test: conv 20x5x5, pool, conv 50x5x5, pool, fc 500, relu,
fc 10, softmax loss) and solver (SGD, momentum 0.9, weight decay 0.0005, lr policy inv, biases at twice the
rate); the batch is in memory, the number of threads is the same, the jobs alternate.

    python bench/caffe_lenet_step.py [--batch 64] [--threads 2] [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from compare import alternate, mnist_like, table
from lenet_step import LeNet

_LAYER = """layer { name: "%s" type: "%s" bottom: "%s" top: "%s" param { lr_mult: 1 } param { lr_mult: 2 }
  %s { num_output: %d %s weight_filler { type: "xavier" } bias_filler { type: "constant" } } }
"""
_POOL = """layer { name: "%s" type: "Pooling" bottom: "%s" top: "%s"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
"""


def net_text(batch: int) -> str:
    """The net as a prototxt, fed from memory."""
    conv, fc = "convolution_param", "inner_product_param"
    return "".join(
        [
            'name: "LeNet"\nlayer { name: "mnist" type: "MemoryData" top: "data" top: "label"\n',
            f"  memory_data_param {{ batch_size: {batch} channels: 1 height: 28 width: 28 }} }}\n",
            _LAYER % ("conv1", "Convolution", "data", "conv1", conv, 20, "kernel_size: 5"),
            _POOL % ("pool1", "conv1", "pool1"),
            _LAYER % ("conv2", "Convolution", "pool1", "conv2", conv, 50, "kernel_size: 5"),
            _POOL % ("pool2", "conv2", "pool2"),
            _LAYER % ("ip1", "InnerProduct", "pool2", "ip1", fc, 500, ""),
            'layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }\n',
            _LAYER % ("ip2", "InnerProduct", "ip1", "ip2", fc, 10, ""),
            'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }\n',
        ]
    )


def caffe_step(images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """The step through `caffe.SGDSolver`: step(1)."""
    import caffe

    with tempfile.TemporaryDirectory() as folder:
        net, path = os.path.join(folder, "net.prototxt"), os.path.join(folder, "solver.prototxt")
        with open(net, "w") as file:
            file.write(net_text(len(images)))
        with open(path, "w") as file:
            file.write(
                f'train_net: "{net}" base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" '
                "gamma: 0.0001 power: 0.75 max_iter: 1000000 snapshot_after_train: false"
            )
        solver = caffe.SGDSolver(path)
    solver.net.set_input_arrays(images, labels.astype(np.float32))
    return lambda: solver.step(1)


def torch_step(images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """The step in PyTorch: forward, cross-entropy, backward, SGD; the loss is read, as a solver does."""
    net = LeNet()
    weights = [p for p in net.parameters() if p.dim() > 1]
    biases = [p for p in net.parameters() if p.dim() == 1]
    update = torch.optim.SGD(
        [{"params": weights}, {"params": biases, "lr": 0.02}], lr=0.01, momentum=0.9, weight_decay=0.0005
    )
    x, y = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> None:
        update.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        update.step()
        loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args, images, labels = mnist_like(parser)
    jobs = {
        "PyTorch eager": torch_step(images, labels),
        "freshpot (Caffe door)": caffe_step(images, labels),
    }
    title = f"LeNet solver step, batch {args.batch}, {args.threads} threads, torch {torch.__version__}"
    print(table(title, alternate(jobs, args.rounds, 10), "PyTorch eager"))


if __name__ == "__main__":
    main()
