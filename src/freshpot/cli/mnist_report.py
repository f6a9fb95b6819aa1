"""What the main job shows of itself: one self-contained HTML page.

Owned here: gathering pictures and numbers from the job's workspace. Who calls it: `cli.mnist`.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freshpot.cli.mnist_job import MnistJob, TestResult
from freshpot.viz.graph import net_graph
from freshpot.viz.report import ReportData, write_report

SHOWN_SAMPLES = 48
SHOWN_FEATURES = 20


def write(job: MnistJob, result: TestResult, train: Any, test: Any, seconds: float) -> Path:
    """Write `report.html` into the job's folder; returns its path.

    Args:
        result: of the test run. train, test: the splits (images, labels). seconds: that training took.
    """
    from caffe2.python import workspace

    settings = job.settings
    path = settings.out / "report.html"
    data = ReportData(
        title=f"{settings.model.replace('lenet', 'LeNet').replace('mlp', 'MLP')} on {test.title}",
        subtitle=f"{job.history.steps} steps of {settings.batch_size} images through the Caffe2 door",
        synthetic=test.synthetic,
        headline=[
            ("test accuracy", f"{result.accuracy:.2%}"),
            ("final training loss", f"{job.history.loss[-1]:.4f}"),
            ("training", f"{seconds:.1f} s"),
        ],
        loss=np.array(job.history.loss),
        accuracy=np.array(job.history.accuracy),
        test_accuracy=[(job.history.steps, result.accuracy)],
        samples=train.images[:SHOWN_SAMPLES],
        sample_labels=train.labels[:SHOWN_SAMPLES],
        digit=test.images[0],
        digit_label=int(test.labels[0]),
        softmax=result.softmax[0],
        test_images=test.images[: len(result.labels)],
        test_labels=result.labels,
        test_softmax=result.softmax,
        graph=net_graph(job.train_model.net.Proto().op, settings.model, rankdir="TB"),
        numbers=_numbers(job, test),
        **_inside(workspace, settings.model, test.images[:1]),
    )
    write_report(path, data)
    return path


def _inside(workspace: Any, model: str, image: np.ndarray) -> dict[str, Any]:
    """LeNet's conv1 filters, and what they see in one digit."""
    if model != "lenet":
        return {}
    filters, bias = workspace.FetchBlob("conv1_w"), workspace.FetchBlob("conv1_b")
    seen = torch.conv2d(
        torch.from_numpy(np.float32(image[:, None]) / 256), torch.from_numpy(filters), torch.from_numpy(bias)
    )
    return {
        "filters": ("conv1", filters),
        "features": [("conv1", seen[0, :SHOWN_FEATURES].numpy())],
    }


def _numbers(job: MnistJob, test: Any) -> list[tuple[str, str]]:
    from caffe2.python import workspace

    parameters = sum(workspace.FetchBlob(str(p)).size for p in job.train_model.params)
    return [
        ("data", f"{test.title} ({test.source})"),
        ("parameters", f"{parameters:,}"),
        ("batch size", str(job.settings.batch_size)),
        ("steps", str(job.history.steps)),
        ("seed", str(job.settings.seed)),
        ("device", job.settings.device),
        ("PyTorch", torch.__version__),
        ("Python", platform.python_version()),
    ]
