"""The main job through each door: one class a dialect, behind the interface in :mod:`job`.

Who calls it: `cli.mnist`.
"""

from __future__ import annotations

import importlib

from freshpot.cli._mnist.job import Job

__all__ = ["DIALECTS", "job_class"]

#: dialect -> class in the module of that name, in the order in which ``all`` runs them
DIALECTS = {"caffe2": "Caffe2Job", "caffe": "CaffeJob", "paddle": "PaddleJob", "torch": "TorchJob"}


def job_class(dialect: str) -> type[Job]:
    """The class of a dialect; only its door is loaded."""
    found: type[Job] = getattr(importlib.import_module(f"{__name__}.{dialect}"), DIALECTS[dialect])
    return found
