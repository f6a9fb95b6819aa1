"""`brew` as cells use it: its helpers are found at run time."""

from __future__ import annotations

import importlib
from typing import Any

brew: Any = importlib.import_module("caffe2.python.brew")
