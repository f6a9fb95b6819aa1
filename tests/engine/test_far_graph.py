"""The recorder of the tests (`far_graph`): it computes nothing in a capture and refuses what CUDA refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from far_device import FAR, Traffic
from far_graph import FarRecorder, far_graphs


def far(*values: float) -> Tensor:
    return torch.tensor(values).to(FAR)


def test_a_capture_computes_nothing_and_plays_into_the_same_memory(graphs: FarRecorder) -> None:
    x, made, rate = far(1.0, 2.0), [], [10.0]
    state = torch.get_rng_state()

    def work() -> None:
        x.mul_(rate[0])
        y = x + 1
        made.append((y, y.view(2, 1), torch.rand(2, device=FAR), torch.zeros(2, device=FAR)))

    replay = graphs.capture(work, [])
    y, view, drawn, zeros = made[0]
    assert x.cpu().tolist() == [1, 2]
    assert y.cpu().isnan().all()
    assert torch.equal(torch.get_rng_state(), state)
    rate[0] = 100.0
    seen = []
    for k in (1, 2):
        replay()
        assert x.cpu().tolist() == [10**k, 2 * 10**k]  # the host's number is the capture's
        assert (y.cpu().tolist(), view.cpu().tolist()) == (
            [10**k + 1, 2 * 10**k + 1],
            [[10**k + 1], [2 * 10**k + 1]],
        )
        assert zeros.cpu().tolist() == [0, 0]
        seen.append(drawn.cpu().tolist())
    assert seen[0] != seen[1]


REFUSED: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "a condition": lambda x: bool(x.any()),
    "download": lambda x: x.cpu(),
    "upload": lambda x: torch.ones(2).to(FAR),
    "a copy from the host": lambda x: x.copy_(torch.ones(2)),
    "a copy to the host": lambda x: torch.ones(2).copy_(x),
    "a constant": lambda x: torch.tensor([1.0, 2.0], device=FAR),
    "a mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_capture_refuses_what_cuda_refuses(
    name: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    with far_graphs(monkeypatch, traffic) as graphs:
        x = far(1.0, 2.0)
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            graphs.capture(lambda: REFUSED[name](x.mul_(5)), [])
        assert graphs.lost == 1
        assert x.cpu().tolist() == [1, 2]
