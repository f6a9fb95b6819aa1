"""One epoch of the PyTorch tutorial: under ``freshpot run`` with its stand-in for torchvision, beside plain PyTorch.

Both run the tutorial's own loop (its net, SGD, batch 64, shuffled, its printed lines and its saving every ten
batches) with torch's own DataLoader. The plain side reads its pictures as torchvision does: a PIL image a picture,
ToTensor, Normalize, collated by the loader. The loop's steps on batches that are
made already say how far a faster loader can bring it. Epochs may be parts of one (``--batches``); the jobs alternate.

    python bench/torch_epoch.py [--batches 100] [--threads N] [--rounds 7] [--data DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from compare import alternate, table
from PIL import Image
from torch import nn, optim

from freshpot.data.mnist import load_mnist
from freshpot.legacy.surroundings import Surroundings

MEAN, STD = 0.1307, 0.3081


class PlainMNIST(torch.utils.data.Dataset[Any]):
    """Pictures the way torchvision's MNIST with ToTensor and Normalize makes them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.data, self.targets = torch.from_numpy(images), torch.from_numpy(labels).long()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture, target = self.data[index], int(self.targets[index])
        return _normalize(_to_tensor(Image.fromarray(picture.numpy(), mode="L"))), target


def _to_tensor(picture: Image.Image) -> torch.Tensor:
    made = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    made = (
        made.view(picture.size[1], picture.size[0], len(picture.getbands())).permute((2, 0, 1)).contiguous()
    )
    return made.to(dtype=torch.get_default_dtype()).div(255)


def _normalize(picture: torch.Tensor) -> torch.Tensor:
    picture = picture.clone()
    mean = torch.as_tensor((MEAN,), dtype=picture.dtype, device=picture.device)
    std = torch.as_tensor((STD,), dtype=picture.dtype, device=picture.device)
    if (std == 0).any():
        raise ValueError("a standard deviation of 0")
    return picture.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


class Net(nn.Module):
    """The tutorial's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = x.view(-1, 320)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


def epoch(loader: Any, batches: int, losses: list[float]) -> Callable[[], None]:
    """The tutorial's ``train(1)`` on so many batches; the losses it prints are appended."""
    torch.manual_seed(1)
    network = Net()
    optimizer = optim.SGD(network.parameters(), lr=0.01, momentum=0.5)

    def train() -> None:
        network.train()
        for batch, (data, target) in enumerate(itertools.islice(loader, batches)):
            optimizer.zero_grad()
            output = network(data)
            loss = F.nll_loss(output, target)
            loss.backward()
            optimizer.step()
            if batch % 10 == 0:
                losses.append(loss.item())
                print(f"Train Epoch: 1 [{batch * len(data)}/{len(loader.dataset)}]\tLoss: {loss.item():.6f}")
                torch.save(network.state_dict(), "./model.pth")
                torch.save(optimizer.state_dict(), "./optimizer.pth")

    return train


class FromMemory:
    """Batches made before the clock starts: what is left is the loop's own steps, which are PyTorch's."""

    def __init__(self, loader: Any, batches: int) -> None:
        self.dataset = loader.dataset
        self._made = list(itertools.islice(loader, batches))

    def __iter__(self) -> Any:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def reading(loader: Any, batches: int) -> Callable[[], None]:
    """Going through the loader, and nothing else."""

    def read() -> None:
        for _ in itertools.islice(loader, batches):
            pass

    return read


def same_batches(ours: Any, plain: Any) -> bool:
    """True if both loaders give the same bits in the same order from the same seed."""
    given = []
    for loader in (ours, plain):
        torch.manual_seed(5)
        given.append(list(itertools.islice(loader, 5)))
    return all(
        torch.equal(a, b) for one, other in zip(*given, strict=True) for a, b in zip(one, other, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", help="folder with MNIST; default as freshpot finds it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train = load_mnist(args.data, "train")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.callback(os.chdir, os.getcwd())
        os.chdir(folder)
        if Path(train.source).is_dir():
            os.environ.setdefault("FRESHPOT_DATA", train.source)
        around = Surroundings(Path("tutorial.py"), Path(folder) / "shown", "torchvision")
        with around.installed():
            import torchvision
            from torchvision import transforms

            picture = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
            mine = torchvision.datasets.MNIST("./data/", train=True, download=True, transform=picture)
            loaders = {
                "plain PyTorch": PlainMNIST(train.images, train.labels),
                f"freshpot run ({torchvision.__name__})": mine,
            }
            by_name = {
                name: torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
                for name, data in loaders.items()
            }
            looped: dict[str, Any] = {
                **by_name,
                "its steps alone, from memory": FromMemory(by_name["plain PyTorch"], args.batches),
            }
            losses: dict[str, list[float]] = {name: [] for name in looped}
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                reads = alternate(
                    {n: reading(loader, args.batches) for n, loader in by_name.items()}, args.rounds, 1
                )
                epochs = alternate(
                    {n: epoch(loader, args.batches, losses[n]) for n, loader in looped.items()},
                    args.rounds,
                    1,
                )
            plain, ours = by_name.values()
            print(f"same batches from the same seed: {same_batches(ours, plain)}")
            what = f"{args.batches} of 938 batches, {args.threads} threads, torch {torch.__version__}"
            print(table(f"The tutorial's training loop, {what}", epochs, "plain PyTorch"))
            print(table("Its data loader alone", reads, "plain PyTorch"))
            print(f"({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
