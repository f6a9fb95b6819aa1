"""What a net's persistent blobs are, and what they are called in a module's state_dict.

Owned here: parameter or statistic or data, and readable keys. Who calls it: `_sources`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from freshpot.net import Op, registry
from freshpot.ops._operator import expand

#: a port that takes a parameter, and what PyTorch calls such a parameter
PARAMETER_PORTS = {
    "W": "weight",
    "b": "bias",
    "scale": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "w": "weight",
    "Slope": "weight",
    "slope": "weight",
    "mean": "running_mean",
    "var": "running_var",
    "means": "running_mean",
    "variances": "running_var",
}
#: ends of blob names that only say which parameter of a layer it is
_ENDS = re.compile(r"(_w|_W|_b|_s|_rm|_riv|_gamma|_beta|_scale|_bias|_weight|\.weight|\.bias|\[\d+\])$")
_NUMBERED = re.compile(r"\[(\d+)\]$")


def reads(ops: Iterable[Op]) -> Iterator[tuple[str, Op, int, str]]:
    """Every read: blob, operator, position, port's name."""
    for op in ops:
        for i, (blob, port) in enumerate(
            zip(op.inputs, expand(registry.get(op.type).inputs, len(op.inputs)), strict=False)
        ):
            yield blob, op, i, port.name


def looks_like_parameter(blob: str, ops: Sequence[Op]) -> bool:
    """True if some operator reads the blob as a parameter."""
    return any(name == blob and port in PARAMETER_PORTS for name, _, _, port in reads(ops))


def statistics(ops: Sequence[Op]) -> set[str]:
    """Blobs that are computed, not learnt: operators must overwrite them."""
    found = set()
    for op in ops:
        for i, _ in registry.get(op.type).must_inplace:
            found.update(op.inputs[i : i + 1])
    return found


def state_keys(blobs: Sequence[str], ops: Sequence[Op], as_named: bool = False) -> dict[str, str]:
    """A key for each persistent blob: ``conv1_w`` is ``conv1.weight`` if it is the weight of an operator.

    With ``as_named`` blobs have the names of a module's state already, and keep them.
    """
    roles: dict[str, str] = {}
    for blob, _, _, port in reads(ops):
        if port in PARAMETER_PORTS:
            roles.setdefault(blob, PARAMETER_PORTS[port])
    keys: dict[str, str] = {}
    for blob in blobs:
        key = _tidy(blob if as_named else _key(blob, roles.get(blob)))
        while key in keys.values() or any(_nested(key, other) for other in keys.values()):
            key = _tidy(blob).replace(".", "_") if key != _tidy(blob).replace(".", "_") else key + "_"
        keys[blob] = key
    return keys


def _key(blob: str, role: str | None) -> str:
    stem = _ENDS.sub("", blob)
    if stem == blob or not stem:
        return blob
    if role is None or blob.endswith((".weight", ".bias")):
        return _NUMBERED.sub(r".blob\1", blob)
    return f"{stem}.{role}"


def _nested(key: str, other: str) -> bool:
    return key.startswith(other + ".") or other.startswith(key + ".")


def _tidy(key: str) -> str:
    return ".".join(part or "_" for part in key.split("."))
