"""Which operators there are, as Caffe2 programs ask for them.

Owned here: the answers. Who calls it: `core`, `workspace`. The register itself is `freshpot.net.registry`.
"""

from __future__ import annotations

import difflib

from freshpot.net import registry

_ENGINES = frozenset(
    [
        "",
        "DEFAULT",
        "CUDNN",
        "CUDNNHALF",
        "DNNLOWP",
        "EIGEN",
        "IM2COL",
        "MIOPEN",
        "MKLDNN",
        "NNPACK",
        "SIMPLE",
    ]
)


def operator_types() -> list[str]:
    """The types of all operators, sorted."""
    return registry.names()


def is_operator(op_type: str) -> bool:
    """True if there is an operator of that type."""
    return registry.find(op_type) is not None


def serves_engine(engine: str) -> bool:
    """True for the default and for the original's own engines, all of which freshpot's one kernel stands for."""
    return engine in _ENGINES


def nearby_names(op_type: str) -> list[str]:
    """Operator types that look like ``op_type``, the nearest first."""
    lower = {name.lower(): name for name in operator_types()}
    return [lower[n] for n in difflib.get_close_matches(op_type.lower(), lower, n=8, cutoff=0.6)]


def require_operator(op_type: str) -> None:
    """Raise AttributeError, naming near matches, unless there is an operator of that type."""
    if not is_operator(op_type):
        near = ",".join(nearby_names(op_type))
        raise AttributeError(f"Method {op_type} is not a registered operator. Did you mean: [{near}]")
