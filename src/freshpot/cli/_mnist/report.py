"""What the main job shows of itself: one self-contained HTML page.

Owned here: gathering pictures and numbers from the job. Who calls it: `cli.mnist`.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freshpot.cli._mnist.job import Job, TestResult
from freshpot.viz.report import ReportData, write_report

SHOWN_SAMPLES = 48
SHOWN_FEATURES = 20


def write(job: Job, result: TestResult, train: Any, test: Any, seconds: float, trained: int) -> Path:
    """Write `report.html` into the job's folder; returns its path.

    Args:
        result: of the test run. train, test: the splits (images, labels). seconds: that the last ``trained`` steps
            took, which are all of them unless the job was resumed.
    """
    settings = job.settings
    path = settings.out / "report.html"
    data = ReportData(
        title=f"{settings.model.replace('lenet', 'LeNet').replace('mlp', 'MLP')} on {test.title}",
        subtitle=f"{job.history.steps} steps of {settings.batch_size} images through the {job.title} door",
        synthetic=test.synthetic,
        headline=[
            ("test accuracy", f"{result.accuracy:.2%}"),
            ("final training loss", f"{job.history.loss[-1]:.4f}"),
            *_pace(job, seconds, trained),
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
        graph=job.graph(),
        numbers=_numbers(job, test),
        **_inside(job, test.images[:1]),
    )
    write_report(path, data)
    return path


def _pace(job: Job, seconds: float, trained: int) -> list[tuple[str, str]]:
    if not trained:
        return []
    what = (
        "training" if trained == job.history.steps else f"for the last {trained} of {job.history.steps} steps"
    )
    return [(what, f"{seconds:.1f} s")]


def _inside(job: Job, image: np.ndarray) -> dict[str, Any]:
    """The filters of the first convolution, and what they see in one digit."""
    found = job.conv1()
    if found is None:
        return {}
    filters, bias = found
    seen = torch.conv2d(
        torch.from_numpy(job.prepared(image)), torch.from_numpy(filters), torch.from_numpy(bias)
    )
    return {
        "filters": ("conv1", filters),
        "features": [("conv1", seen[0, :SHOWN_FEATURES].numpy())],
    }


def _numbers(job: Job, test: Any) -> list[tuple[str, str]]:
    return [
        ("data", f"{test.title} ({test.source})"),
        ("parameters", f"{job.parameters():,}"),
        ("batch size", str(job.settings.batch_size)),
        ("steps", str(job.history.steps)),
        ("seed", str(job.settings.seed)),
        ("device", job.settings.device),
        ("PyTorch", torch.__version__),
        ("Python", platform.python_version()),
    ]
