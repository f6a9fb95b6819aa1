"""Training steps on a GPU: freshpot's doors, with graphs and without, beside PyTorch eager on the same GPU.

LeNet (batch 64) through the Caffe2 door and the Caffe door, ResNet-50 through the Caffe door. Needs one CUDA GPU and a
PyTorch built for it; says so, and ends well, where there is none. Each line is the median of alternating rounds; the
GPU is waited for before and after each. Both sides compute in float32 without TF32, unless ``--tf32``.

    python bench/gpu.py [--batch 64] [--resnet-batch 32] [--rounds 9] [--steps 50] [--tf32] [--only lenet resnet50]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from compare import table
from nets import NETS
from training import caffe_step
from walkers import TorchNet

from freshpot.bench.programs import caffe_lenet, torch_lenet

Job = Callable[[], object]


def torch_job(loss_of: Callable[[], torch.Tensor], net: torch.nn.Module, momentum: bool) -> Job:
    """PyTorch's step: forward, backward, update; the loss is read, as a program does that shows it."""
    solver = {"momentum": 0.9, "weight_decay": 0.0005} if momentum else {}
    update = torch.optim.SGD(net.parameters(), lr=0.0001, **solver)

    def step() -> None:
        update.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        update.step()
        loss.item()

    return step


def caffe2_job(name: str, batch: int, rng: np.random.Generator) -> Job:
    """The Caffe2 door's step on data that lie on the GPU; the loss is fetched."""
    from caffe2.proto import caffe2_pb2
    from caffe2.python import core, model_helper, optimizer, workspace
    from freshpot.bench.programs import caffe2_lenet

    gpu = core.DeviceOption(caffe2_pb2.CUDA, 0)
    workspace.SwitchWorkspace(name, True)
    model = model_helper.ModelHelper(name=name, arg_scope={"order": "NCHW"})
    with core.DeviceScope(gpu):
        loss = caffe2_lenet.build(model, "data", "label")
        model.AddGradientOperators([loss])
        optimizer.build_sgd(model, base_learning_rate=0.01, policy="fixed")
        workspace.FeedBlob("data", rng.random((batch, 1, 28, 28), np.float32))
        workspace.FeedBlob("label", rng.integers(0, 10, batch).astype(np.int32))
        workspace.RunNetOnce(model.param_init_net)
        workspace.CreateNet(model.net)
    net = model.net.Proto().name

    def step() -> object:
        workspace.SwitchWorkspace(name)
        workspace.RunNet(net)
        return workspace.FetchBlob("loss")

    return step


def with_graphs(on: bool, make: Callable[[], Job]) -> Job:
    """A job that was made, and warmed up, with graphs or without."""
    os.environ["FRESHPOT_GRAPH"] = "1" if on else "0"
    job = make()
    for _ in range(8):
        job()
    return job


def median_times(jobs: dict[str, Job], rounds: int, steps: int) -> dict[str, float]:
    """Seconds a step: the median of rounds that take turns."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                job()
            torch.cuda.synchronize()
            found[name].append((time.perf_counter() - start) / steps)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def lenet(args: argparse.Namespace) -> None:
    """LeNet through both doors."""
    rng = np.random.default_rng(0)
    x, y = torch.rand(args.batch, 1, 28, 28).cuda(), torch.randint(0, 10, (args.batch,)).cuda()
    jobs: dict[str, Job] = {}
    for word in ("SGD", "SGD with momentum"):
        net = torch_lenet.lenet().cuda().train()
        jobs[f"PyTorch eager, {word}"] = torch_job(
            lambda net=net: torch.nn.functional.cross_entropy(net(x), y), net, word != "SGD"
        )
    for on in (True, False):
        word = "graph" if on else "no graph"
        jobs[f"freshpot, Caffe2 door, SGD ({word})"] = with_graphs(
            on, lambda on=on: caffe2_job(f"lenet{on}", args.batch, rng)
        )
        jobs[f"freshpot, Caffe door, SGD with momentum ({word})"] = with_graphs(
            on, lambda: caffe_lenet.make(1, args.batch)
        )
    title = f"LeNet step, batch {args.batch}, {torch.cuda.get_device_name(0)}, torch {torch.__version__}"
    print(table(title, median_times(jobs, args.rounds, args.steps), "PyTorch eager, SGD"))


def resnet50(args: argparse.Namespace) -> None:
    """ResNet-50 through the Caffe door."""
    batch, rng = args.resnet_batch, np.random.default_rng(0)
    text = NETS["resnet50"](batch, train=True)
    images = rng.standard_normal((batch, 3, 224, 224)).astype(np.float32)
    labels = rng.integers(0, 1000, batch)
    parameters: dict[str, list[np.ndarray]] = {}

    def make() -> Job:
        with tempfile.TemporaryDirectory() as folder:
            solver, job = caffe_step(text, folder, images, labels)
        if not parameters:
            found = {layer: [b.data.copy() for b in blobs] for layer, blobs in solver.net.params.items()}
            for layer, blobs in found.items():
                if layer.endswith("_bn"):
                    blobs[2][...] = 1.0
            parameters.update(found)
        return job

    jobs = {
        f"freshpot, caffe.SGDSolver ({'graph' if on else 'no graph'})": with_graphs(on, make)
        for on in (True, False)
    }
    net, x, y = (
        TorchNet(text, parameters).cuda().train(),
        torch.from_numpy(images).cuda(),
        torch.from_numpy(labels).cuda(),
    )
    jobs["PyTorch eager"] = torch_job(lambda: net(x, y), net, True)
    title = f"ResNet-50 step, batch {batch}, {torch.cuda.get_device_name(0)}, torch {torch.__version__}"
    print(table(title, median_times(jobs, args.rounds, max(3, args.steps // 10)), "PyTorch eager"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--resnet-batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--tf32", action="store_true", help="let both sides round to TF32")
    parser.add_argument("--only", nargs="+", choices=("lenet", "resnet50"), default=["lenet", "resnet50"])
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"Left out: it needs a CUDA GPU, and PyTorch {torch.__version__} finds none here.")
        return
    import caffe

    os.environ["FRESHPOT_TF32"] = "1" if args.tf32 else "0"
    caffe.set_mode_gpu()
    for name in args.only:
        {"lenet": lenet, "resnet50": resnet50}[name](args)


if __name__ == "__main__":
    main()
