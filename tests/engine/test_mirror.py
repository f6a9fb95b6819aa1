"""Mirrored blobs: which side is newer, views that are kept, what is copied; and the far device of the tests itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from far_device import FAR, FarTensor, Traffic
from freshpot.engine import Plan, Workspace
from freshpot.engine.blob import Blob, Deferred, PinnedBlob
from freshpot.engine.mirror import MirroredBlob, move, settle
from freshpot.net import Net, Op
from freshpot.net.op import CUDA, Device

CPU = torch.device("cpu")


def far_blob(*values: float) -> Blob:
    blob = Blob("x")
    blob.value = torch.tensor(values, dtype=torch.float32).to(FAR)
    return blob


def counted(traffic: Traffic) -> tuple[int, int]:
    found = (traffic.uploads, traffic.downloads)
    traffic.reset()
    return found


# ---- who is newer ----------------------------------------------------------------------------------
def test_nothing_is_copied_until_somebody_looks(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    traffic.reset()
    blob.value = blob.value * 2
    assert counted(traffic) == (0, 0)
    assert blob.share().tolist() == [2, 4]
    assert counted(traffic) == (0, 1)
    assert blob.share().tolist() == [2, 4]
    assert counted(traffic) == (0, 0)


def test_what_the_user_wrote_is_uploaded_once_when_it_is_read(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    blob.share()[0] = 7
    traffic.reset()
    assert blob.value.tolist() == [7, 2]
    assert traffic.uploads == 1
    assert blob.value.tolist() == [7, 2]
    assert traffic.uploads == 1


def test_what_is_overwritten_before_it_is_read_is_not_uploaded(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    blob.share()[0] = 7
    traffic.reset()
    blob.value = torch.tensor([3.0, 4.0], device=FAR)
    assert blob.share().tolist() == [3, 4]
    assert counted(traffic) == (0, 1)


def test_a_change_in_place_is_seen(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    blob.share()
    blob.writable.mul_(3)
    assert blob.share().tolist() == [3, 6]


def test_shape_and_device_are_asked_for_without_a_copy(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    blob.share()
    traffic.reset()
    assert (blob.peek.shape, blob.peek.device) == ((2,), FAR)
    assert counted(traffic) == (0, 0)


def test_reading_on_the_cpu_leaves_the_user_the_last_word(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    view = blob.share()
    assert blob.on_cpu().tolist() == [1, 2]
    view[0] = 9
    assert blob.value.tolist() == [9, 2]


def test_a_deferred_value_is_computed(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    blob.share()
    blob.allow_deferred()
    blob.value = Deferred(lambda x: (x, x + 1), 1, (blob.value,))
    assert blob.share().tolist() == [2, 3]


# ---- views that are kept ---------------------------------------------------------------------------
@pytest.mark.parametrize("part", [np.s_[...], np.s_[1:], np.s_[::-1]])
def test_a_view_that_is_kept_shows_and_takes_values(traffic: Traffic, part: Any) -> None:
    blob = far_blob(1, 2, 3)
    view = blob.share()[part]
    for _ in range(2):
        blob.value = blob.value + 10
        settle([blob])
        assert view.tolist() == blob.on_cpu().numpy()[part].tolist()
        view[0] = 5
        assert blob.value.cpu().numpy()[part][0] == 5


def test_a_view_that_was_dropped_costs_nothing(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    blob.share()
    blob.value = blob.value + 1
    traffic.reset()
    settle([blob])
    assert counted(traffic) == (0, 0)


def test_what_was_written_before_a_kept_view_was_dropped_counts(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    view = blob.share()
    blob.value = blob.value + 1
    settle([blob])
    view[...] = 8
    del view
    assert blob.value.tolist() == [8, 8]


@pytest.mark.parametrize("dims", [(2, 3), (3, 2), (6,)])
def test_a_reshape_of_the_same_count_keeps_views(traffic: Traffic, dims: tuple[int, ...]) -> None:
    blob = far_blob(1, 2, 3, 4, 5, 6)
    view = blob.share()
    view[5] = 60
    blob.reshape(dims)
    assert blob.share().tolist() == np.reshape([1, 2, 3, 4, 5, 60], dims).tolist()
    blob.value = blob.value + 1
    settle([blob])
    assert view.tolist() == [2, 3, 4, 5, 6, 61]


def test_a_reshape_of_another_count_makes_zeros(traffic: Traffic) -> None:
    blob = far_blob(1, 2)
    view = blob.share()
    blob.reshape((3, 1))
    blob.value = blob.value + 1
    settle([blob])
    assert blob.share().tolist() == [[1], [1], [1]]
    assert view.tolist() == [1, 2]


def test_two_shapes_of_one_memory(traffic: Traffic) -> None:
    blob = far_blob(1, 2, 3, 4)
    other = blob.viewed_as((2, 2))
    blob.value = torch.tensor([5.0, 6, 7, 8], device=FAR)
    assert other.share().tolist() == [[5, 6], [7, 8]]
    other.share()[0, 0] = 50
    assert blob.value.tolist() == [50, 6, 7, 8]


# ---- moving ----------------------------------------------------------------------------------------
def test_a_view_stays_true_there_and_back(traffic: Traffic) -> None:
    blob = Blob("x")
    blob.value = torch.tensor([1.0, 2.0])
    view = blob.share()
    for device, kind in ((FAR, MirroredBlob), (CPU, PinnedBlob), (FAR, MirroredBlob)):
        move([blob], device)
        assert type(blob) is kind
        assert blob.peek.device == device
        view[0] = 3
        blob.value = blob.value * 2
        settle([blob])
        assert view.tolist() == blob.on_cpu().tolist()
        assert view[0] == 6


def test_blobs_of_one_memory_stay_so(traffic: Traffic) -> None:
    blob = Blob("x")
    blob.value = torch.tensor([1.0, 2.0, 3.0, 4.0])
    other = blob.viewed_as((2, 2))
    for device in (FAR, CPU, FAR):
        move([blob, other], device)
        blob.writable.add_(1)
        assert other.on_cpu().flatten().tolist() == blob.on_cpu().tolist()
    assert blob.share().tolist() == [4, 5, 6, 7]
    other.share()[1, 1] = 0
    assert blob.value.tolist() == [4, 5, 6, 0]


def test_a_blob_that_is_not_shown_is_only_moved(traffic: Traffic) -> None:
    blob, empty, text = Blob("x"), Blob("empty"), Blob("text")
    blob.value, text.value = torch.ones(2), np.array([b"a"], object)
    traffic.reset()
    move([blob, empty, text], FAR)
    assert counted(traffic) == (1, 0)
    assert isinstance(blob.value, FarTensor)
    assert type(blob) is Blob


def test_a_plan_reads_what_was_written_and_rebinds(traffic: Traffic) -> None:
    ws = Workspace()
    for name in ("x", "y"):
        ws.create(name).value = torch.tensor([1.0, -2.0]).to(FAR)
    plan = Plan(Net("n", [Op("Relu", ["x"], ["y"])], device=Device(CUDA, 0)), ws)
    x, y = (ws.create(name).share() for name in "xy")
    for k in range(3):
        x[...] = [k, -k]
        plan.run()
        settle(ws.blobs())
        assert y.tolist() == [k, 0]


# ---- the device of the tests -----------------------------------------------------------------------
WRONG = {
    "two sides": lambda x: x + torch.ones(2),
    "an array": lambda x: x.numpy(),
    "another side's index": lambda x: x.index_select(0, torch.tensor([0])),
    "another side's generator": lambda x: x.uniform_(generator=torch.Generator()),
    "a kernel of CPUs": lambda x: torch.ops.mkldnn._linear_pointwise(x[None], x[None], None, "none", [], ""),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_far_device_refuses(traffic: Traffic, what: str) -> None:
    with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
        WRONG[what](torch.ones(2, device=FAR))


def test_the_far_device_takes_what_cuda_takes(traffic: Traffic) -> None:
    x = torch.ones(3, device=FAR)
    assert (x * torch.tensor(2.0) + 1)[torch.tensor([0])].tolist() == [3]
    assert torch.where(x > 0, x, 0.0).sum().item() == 3
    assert traffic.reads == 1
