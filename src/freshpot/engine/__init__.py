"""The engine: workspaces, plans, devices."""

from freshpot.engine.blob import EMPTY, Blob
from freshpot.engine.infer import infer_shapes
from freshpot.engine.plan import Plan
from freshpot.engine.workspace import Workspace

__all__ = ["EMPTY", "Blob", "Plan", "Workspace", "infer_shapes"]
