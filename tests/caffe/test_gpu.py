"""GPU mode: nets compute on the device, and what users see of them is what the CPU shows.

Most of this runs on a GPU made of CPU tensors (`far_device`); what needs a real one is at the end, and skipped without.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_nets import (
    CPU,
    FOLDER,
    device_of,
    near,
    same,
    solver,
    traffic_of,
    weights,
)

import caffe
from conftest import SHARED, needs_shared
from far_device import FAR, Traffic
from freshpot.testing import caffe_layers, caffe_nets


# ---- everything recorded from the original -----------------------------------------------------------
@needs_shared
@pytest.mark.parametrize("name", caffe_layers.layer_types(FOLDER) if SHARED else [])
def test_recorded_layers(name: str, far: Traffic) -> None:
    cases = caffe_layers.load(FOLDER, name)
    wrong = [f"{case.id}: {why}" for case in cases if (why := caffe_layers.run_case(case)) is not None]
    assert not wrong, "\n".join(wrong)
    if any(not case.spec.get("aborts") for case in cases):
        assert traffic_of(far) != (0, 0, 0)


@needs_shared
def test_recorded_nets(far: Traffic) -> None:
    wrong = [f"{case.id}: {why}" for case in caffe_nets.load(FOLDER) if (why := caffe_nets.run_case(case))]
    assert not wrong, "\n".join(wrong)


# ---- training --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
@pytest.mark.parametrize("text", ["", "iter_size: 2 clip_gradients: 0.5 regularization_type: 'L1'"])
def test_training_is_the_cpus(folder: Path, far: Traffic, kind: str, text: str) -> None:
    found = []
    for mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
        mode()
        made = solver(folder, text + ("rms_decay: 0.9" if kind == "RMSProp" else ""), kind)
        made.step(4)
        found.append((device_of(made.net), weights(made.net)))
    (before, cpu), (after, gpu) = found
    assert (before, after) == (CPU, FAR)
    assert near(cpu, gpu)


@pytest.mark.parametrize(("display", "reads"), [(0, 0), (1, 3 * 2), (2, 2 * 2)])
def test_a_step_uploads_the_batch_and_reads_losses_that_are_displayed(
    folder: Path, far: Traffic, display: int, reads: int
) -> None:
    made = solver(folder, f"display: {display}")
    made.step(2)
    far.reset()
    made.step(3)
    assert traffic_of(far) == (2 * 3, reads, 0)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_resuming_is_exact(folder: Path, far: Traffic, kind: str) -> None:
    whole = solver(folder, kind=kind)
    whole.step(6)
    first = solver(folder, kind=kind)
    first.step(3)
    first.snapshot()
    second = solver(folder, kind=kind)
    second.restore("s_iter_3.solverstate")
    second.step(3)
    assert same(weights(second.net), weights(whole.net))
    assert device_of(second.net) == FAR


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_snapshot_of_the_gpu_goes_on_on_the_cpu(folder: Path, far: Traffic, form: str) -> None:
    text = f"snapshot_format: {form} snapshot_diff: true"
    whole = solver(folder, text)
    whole.step(5)
    made = solver(folder, text)
    made.step(3)
    made.snapshot()
    caffe.set_mode_cpu()
    other = solver(folder, text)
    other.restore("s_iter_3.solverstate" + (".h5" if form == "HDF5" else ""))
    assert same(weights(other.net), weights(made.net))
    other.step(2)
    assert near(weights(other.net), weights(whole.net))
    assert device_of(other.net) == CPU


def test_test_nets_share_the_weights_of_the_device(folder: Path, far: Traffic) -> None:
    made = solver(folder, every=2)
    made.step(3)
    test = made.test_nets[0]
    assert same(weights(test), weights(made.net))
    made.net.params["ip1"][0].data[...] = 3
    test.forward()
    assert (test.params["ip1"][0].data == 3).all()
    assert device_of(test) == FAR


def test_debug_info_says_the_same(folder: Path, far: Traffic, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
        mode()
        made = solver(folder, "debug_info: true display: 1")
        capsys.readouterr()
        made.step(2)
        said.append([line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()])
    assert said[0] == said[1]
    assert any("[Backward]" in line for line in said[0])


# ---- a real GPU ------------------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("name", caffe_layers.layer_types(FOLDER) if SHARED else [])
def test_recorded_layers_on_cuda(name: str, cuda: None) -> None:
    cases = caffe_layers.load(FOLDER, name)
    wrong = [f"{case.id}: {why}" for case in cases if (why := caffe_layers.run_case(case)) is not None]
    assert not wrong, "\n".join(wrong)


@needs_shared
def test_recorded_nets_on_cuda(cuda: None) -> None:
    wrong = [f"{case.id}: {why}" for case in caffe_nets.load(FOLDER) if (why := caffe_nets.run_case(case))]
    assert not wrong, "\n".join(wrong)


def test_resuming_is_exact_on_cuda(folder: Path, cuda: None) -> None:
    """The dropout's draws, which are the GPU's, go on where they were."""
    whole = solver(folder)
    whole.step(6)
    first = solver(folder)
    first.step(3)
    first.snapshot()
    second = solver(folder)
    second.restore("s_iter_3.solverstate")
    second.step(3)
    assert same(weights(second.net), weights(whole.net))
