"""The main job through the PyTorch door: a module, a loop over a DataLoader, the stand-in for torchvision."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from freshpot.cli._mnist import data
from freshpot.cli._mnist.job import TEST_BATCH, Job, OnStep, Settings, TestResult
from freshpot.data.mnist import MnistSplit
from freshpot.errors import FormatError
from freshpot.formats.atomic import atomic_write
from freshpot.torchvision import datasets, transforms
from freshpot.viz.dot import Dot
from freshpot.viz.graph import Operator, net_graph

__all__ = ["TorchJob"]

MEAN, STD = 0.1307, 0.3081  # of MNIST's training pictures, as PyTorch's tutorials have them


class LeNet(nn.Module):
    """Caffe's LeNet: (N, 1, 28, 28) -> logarithms of probabilities (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return F.log_softmax(self.fc2(x), dim=1)


class TorchJob(Job):
    """The loop that PyTorch's tutorials write, with SGD."""

    dialect = "torch"
    title = "PyTorch"

    def __init__(self, settings: Settings, train: MnistSplit, test: MnistSplit) -> None:
        super().__init__(settings, train, test)
        self._device = torch.device("cpu" if settings.gpu is None else f"cuda:{settings.gpu}")
        torch.manual_seed(settings.seed)
        self._train, self._test = (_pictures(split) for split in (train, test))
        self.net = LeNet().to(self._device)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

    def train(self, steps: int, on_step: OnStep) -> None:
        self.net.train()
        size = self.settings.batch_size
        while self.history.steps < steps:
            epoch, done = divmod(self.history.steps, -(-len(self._train) // size))
            order = torch.Generator().manual_seed(self.settings.seed + epoch)
            loader = torch.utils.data.DataLoader(self._train, size, shuffle=True, generator=order)
            batches = itertools.islice(loader, done, None)  # a resumed run goes on in the middle of an epoch
            for images, labels in itertools.islice(batches, steps - self.history.steps):
                images, labels = images.to(self._device), labels.to(self._device)
                self.optimizer.zero_grad()
                output = self.net(images)
                loss = F.nll_loss(output, labels)
                loss.backward()
                self.optimizer.step()
                accuracy = (output.detach().argmax(1) == labels).float().mean()
                self.history.add(loss.item(), accuracy.item())
                on_step(self.history.loss[-1], self.history.accuracy[-1])

    @torch.no_grad()
    def test(self) -> TestResult:
        self.net.eval()
        softmax, labels = [], []
        for images, answers in torch.utils.data.DataLoader(self._test, TEST_BATCH):
            softmax.append(self.net(images.to(self._device)).exp().cpu().numpy())
            labels.append(answers.numpy())
        return TestResult.of(np.concatenate(softmax), np.concatenate(labels))

    # ---- keeping -------------------------------------------------------------------------------
    def snapshot(self) -> Path:
        path = self.settings.out / "snapshot.pth"
        _save({"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}, path)
        self._describe()
        return path

    def resume(self) -> int:
        self._described("snapshot.pth")
        path = self.settings.out / "snapshot.pth"
        state = _load(path)
        try:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FormatError(f"not a snapshot of this net: {error}", path=path) from error
        return self.history.steps

    def save(self) -> Path:
        path = self.settings.out / "lenet.pth"
        _save(self.net.state_dict(), path)
        return path

    @torch.no_grad()
    def predict(self, path: Path, images: np.ndarray) -> np.ndarray:
        """By a module of its own that loads the file."""
        net = LeNet()
        net.load_state_dict(_load(path))
        return net.eval()(torch.from_numpy(self.prepared(images))).exp().numpy()

    # ---- to look at ----------------------------------------------------------------------------
    def prepared(self, images: np.ndarray) -> np.ndarray:
        bright = np.float32(images[:, None]) / np.float32(255)
        return (bright - np.float32(MEAN)) / np.float32(STD)

    def parameters(self) -> int:
        return sum(p.numel() for p in self.net.parameters())

    def conv1(self) -> tuple[np.ndarray, np.ndarray] | None:
        state = self.net.state_dict()
        return state["conv1.weight"].cpu().numpy(), state["conv1.bias"].cpu().numpy()

    def graph(self) -> Dot | None:
        """The module as a net of operators."""
        from freshpot.torch import capture

        net = capture(LeNet().eval(), torch.zeros(2, 1, 28, 28), "LeNet").net
        operators = [Operator(op.name or "", op.type, op.inputs, op.outputs) for op in net.ops]
        return net_graph(operators, "LeNet", rankdir="TB")


def _pictures(split: MnistSplit) -> Any:
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    return datasets.MNIST(data.idx_folder(split), train=split.split == "train", transform=change)


def _save(state: Any, path: Path) -> None:
    with atomic_write(path) as file:
        torch.save(state, file)


def _load(path: Path) -> Any:
    """Tensors and plain values; nothing is unpickled beyond them.

    Raises:
        FormatError: a damaged file.
    """
    import pickle

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"cannot be read as a PyTorch file: {first}", path=path) from error
