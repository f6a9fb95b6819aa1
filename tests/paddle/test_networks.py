"""Trained weights of vision.models: from a file, from where the original keeps them, or an error that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, NotSupportedError

NETS = paddle.vision.models


def saved(path: Path, scale: float = 0.25) -> float:
    """A network's weights in a file; one of them."""
    network = NETS.MobileNetV1(scale, num_classes=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    paddle.save(network.state_dict(), path)
    return float(network.fc.weight.numpy()[0, 0])


def test_a_file_of_weights(tmp_path: Path) -> None:
    wanted = saved(tmp_path / "w.pdparams")
    network = NETS.mobilenet_v1(tmp_path / "w.pdparams", scale=0.25, num_classes=2)
    assert float(network.fc.weight.numpy()[0, 0]) == wanted


def test_where_the_original_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        NotSupportedError, match=r"put the original's mobilenetv1_1.0.pdparams into .*weights"
    ):
        NETS.mobilenet_v1(pretrained=True)
    wanted = saved(tmp_path / ".cache/paddle/hapi/weights/mobilenetv1_1.0.pdparams", 1.0)
    network = NETS.mobilenet_v1(pretrained=True, num_classes=2)
    assert float(network.fc.weight.numpy()[0, 0]) == wanted


def test_weights_of_another_size(tmp_path: Path) -> None:
    saved(tmp_path / "w.pdparams")
    with pytest.raises(
        ArgumentError, match=r"shapes do not fit: .*fc.weight: \[256, 2\], the layer has \[256, 3\]"
    ):
        NETS.mobilenet_v1(tmp_path / "w.pdparams", scale=0.25, num_classes=3)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_25", "squeezenet1_1"])
def test_networks_learn(name: str) -> None:
    """One step changes every parameter that learns."""
    network = getattr(NETS, name)(num_classes=4)
    before = {key: value.numpy() for key, value in network.named_parameters() if not value.stop_gradient}
    step = paddle.optimizer.SGD(0.1, parameters=network.parameters())
    paddle.seed(3)
    pictures = paddle.randn([4, 3, 64, 64])
    loss = paddle.nn.functional.cross_entropy(network(pictures), paddle.to_tensor([0, 1, 2, 3]))
    loss.backward()
    step.step()
    same = [
        key
        for key, value in network.named_parameters()
        if key in before and np.all(value.numpy() == before[key])
    ]
    assert same == []
