"""Operator cases recorded from the original Caffe2, and running them on our engine.

Owned here: reading `ops/<Operator>.json/.npz` and judging one case. Who calls it: the test suite and
`freshpot conformance`. The format is described in the README beside the recorded data.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freshpot.engine import Workspace
from freshpot.errors import FreshpotError
from freshpot.net import Device, Net, Op
from freshpot.ops.io.stats import PROCESS
from freshpot.testing.recorded import own_folder, read_cases


@dataclass(slots=True)
class Case:
    """One recorded case: what it says (``spec``) and its arrays, by the names that the format gives."""

    operator: str
    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def id(self) -> str:
        return self.spec["id"]

    @property
    def net(self) -> Net:
        """The operators of the case, as a net."""
        ops = self.spec["ops"] if "ops" in self.spec else [self.spec["op"]]
        return Net("case", [read_op(op) for op in ops])

    def types(self) -> set[str]:
        """Every operator type that the case needs, gradient operators and sub-nets included."""
        ops = [*self.net.ops, *(read_op(op) for op in self.spec.get("gradient", {}).get("ops", []))]
        return set(_types(ops))


def _types(ops: list[Op]) -> Iterator[str]:
    for op in ops:
        yield op.type
        for value in op.args.values():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, Net):
                    yield from _types(inner.ops)


def operators(folder: Path) -> list[str]:
    """Operator types that have recorded cases in ``folder``."""
    return sorted(path.stem for path in (folder / "ops").glob("*.json"))


def load(folder: Path, operator: str) -> list[Case]:
    """The cases of one operator."""
    return [Case(operator, *case) for case in read_cases(folder / "ops" / f"{operator}.json")]


def read_op(spec: Mapping[str, Any]) -> Op:
    """An operator from the format's JSON."""
    device = spec.get("device_option")
    return Op(
        type=spec["type"],
        inputs=list(spec.get("inputs", [])),
        outputs=list(spec.get("outputs", [])),
        args={arg["name"]: _read_arg(arg) for arg in spec.get("args", [])},
        device=Device(device.get("device_type"), random_seed=device.get("random_seed")) if device else None,
        engine=spec.get("engine"),
        is_gradient=spec.get("is_gradient_op"),
    )


def _read_arg(arg: Mapping[str, Any]) -> Any:
    for kind, read in _ARG_READERS.items():
        if kind in arg:
            value = arg[kind]
            return [read(v) for v in value] if kind in ("ints", "floats", "strings", "nets") else read(value)
    return []


def _read_text(value: Any) -> str | bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


def _read_net(value: Mapping[str, Any]) -> Net:
    return Net(
        value.get("name", ""),
        [read_op(op) for op in value.get("op", [])],
        list(value.get("external_input", [])),
        list(value.get("external_output", [])),
        value.get("type", ""),
    )


_ARG_READERS: dict[str, Any] = {
    "i": int,
    "f": float,
    "s": _read_text,
    "n": _read_net,
    "ints": int,
    "floats": float,
    "strings": _read_text,
    "nets": _read_net,
}


def run_case(case: Case) -> str | None:
    """Run a case on our engine, in a folder of its own. None if it passes, else what is wrong, in a line."""
    with own_folder():
        return _judge(case)


def _judge(case: Case) -> str | None:
    spec = case.spec
    if spec.get("raises"):
        return _must_raise(case)
    try:
        if "sweep" in spec:
            return _run_sweep(case)
        statistics = [
            op.outputs[:2] for op in case.net.ops if op.type == "StatRegistryExport" and not op.inputs
        ]
        if statistics:
            PROCESS.clear()  # recorded in a process of its own
        ws = Workspace()
        _feed(ws, case, "in/", spec.get("inputs", {}))
        plan = ws.create_net(case.net)
        plan.run(spec.get("runs", 1))
        if spec.get("random"):
            return _judge_random(ws, spec)
        for names in statistics:
            _sort_by_key(ws, case, names)
        return _compare_all(ws, case, "out/", spec.get("outputs", {})) or _run_gradient(ws, case)
    except FreshpotError as error:
        return f"{type(error).__name__}: {error}"


def _sort_by_key(ws: Workspace, case: Case, names: list[str]) -> None:
    """Statistics have no order: bring those made and those recorded into the same."""
    keys, values = names
    if f"out/{keys}" in case.arrays:
        order = np.argsort(ws.get(keys).astype(bytes))
        ws.feed(keys, ws.get(keys)[order])
        ws.feed(values, to_numpy(ws.get(values))[order])
        order = np.argsort(case.arrays[f"out/{keys}"])
        for name in names:
            case.arrays[f"out/{name}"] = case.arrays[f"out/{name}"][order]


def _must_raise(case: Case) -> str | None:
    ws = Workspace()
    _feed(ws, case, "in/", case.spec.get("inputs", {}))
    try:
        ws.create_net(case.net).run(case.spec.get("runs", 1))
    except FreshpotError:
        return None
    return "must be refused, and ran"


def _feed(ws: Workspace, case: Case, prefix: str, blobs: Mapping[str, Any]) -> None:
    for name, about in blobs.items():
        ws.feed(name, _value(case.arrays, prefix + name, about))


def _value(arrays: Mapping[str, np.ndarray], key: str, about: Mapping[str, Any]) -> Any:
    from freshpot.ops.quantized_tensor import QuantizedTensor

    array = arrays[key]
    if about["dtype"] == "string":
        return array.astype(object)
    if key + ".scale" in arrays:
        scale, zero = float(arrays[key + ".scale"]), int(arrays[key + ".zero_point"])
        return QuantizedTensor(torch.from_numpy(array.copy()), scale, zero)
    return array


def _run_sweep(case: Case) -> str | None:
    """Feed one slice a run to the same bound net; the outputs are compared as one stack."""
    ws = Workspace()
    swept = case.spec["sweep"]
    _feed(ws, case, "in/", {k: v for k, v in case.spec["inputs"].items() if k not in swept})
    outputs: dict[str, list[Any]] = {name: [] for name in case.spec["outputs"]}
    plan = None
    for k in range(len(case.arrays["in/" + swept[0]])):
        for name in swept:
            ws.feed(name, case.arrays["in/" + name][k])
        plan = plan or ws.create_net(case.net)
        plan.run()
        for name, made in outputs.items():
            made.append(to_numpy(ws.get(name)))
    for name, made in outputs.items():
        if wrong := compare(np.stack(made), case.arrays["out/" + name], **case.spec["tol"]):
            return f"{name}: {wrong}"
    return None


def _run_gradient(ws: Workspace, case: Case) -> str | None:
    """Our rule must make the recorded gradient operators; run, they must give the recorded gradients."""
    spec = case.spec.get("gradient")
    if not spec:
        return None
    _feed(ws, case, "grad_in/", spec["fed"])
    if "op" in case.spec and (wrong := _compare_gradient_ops(case, spec)):
        return wrong
    ws.run_once(Net("gradient", [read_op(op) for op in spec["ops"]]))
    return _compare_all(ws, case, "grad_out/", spec["outputs"])


def _compare_gradient_ops(case: Case, spec: Mapping[str, Any]) -> str | None:
    from freshpot.net.gradient import gradient_of

    op = read_op(case.spec["op"])
    fed = set(spec["fed"])
    result = gradient_of(op, [f"{o}_grad" if f"{o}_grad" in fed else None for o in op.outputs])
    wanted = [read_op(o) for o in spec["ops"]]
    if [_plain(o) for o in result.ops] != [_plain(o) for o in wanted]:
        ours = "; ".join(f"{o} {o.args}" for o in result.ops)
        return f"gradient operators differ: {ours} instead of {'; '.join(f'{o} {o.args}' for o in wanted)}"
    grads = [
        None if g is None else g if isinstance(g, str) else {"indices": g.indices, "values": g.values}
        for g in result.input_grads
    ]
    return (
        None if grads == spec["input_grads"] else f"input gradients {grads} instead of {spec['input_grads']}"
    )


def _plain(op: Op) -> tuple[Any, ...]:
    return (op.type, op.inputs, op.outputs, op.args, op.engine or None)


def _compare_all(ws: Workspace, case: Case, prefix: str, blobs: Mapping[str, Any]) -> str | None:
    for name, about in blobs.items():
        if name.endswith((".scale", ".zero_point")) and name.rpartition(".")[0] in blobs:
            continue  # compared with the quantised tensor that it is a part of
        wanted = _value(case.arrays, prefix + name, about)
        tol = case.spec.get("tol") or {"rtol": 1e-4, "atol": 1e-5}
        if wrong := compare(ws.get(name), wanted, **tol):
            return f"{name}: {wrong}"
    return None


def to_numpy(value: Any) -> Any:
    """A blob's value as numpy, if it is a tensor."""
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value


def compare(got: Any, wanted: Any, rtol: float = 0.0, atol: float = 0.0) -> str | None:
    """What differs between two blob values (type, shape, values), in a line; None if nothing does."""
    from freshpot.ops.quantized_tensor import QuantizedTensor

    if isinstance(wanted, QuantizedTensor):
        if not isinstance(got, QuantizedTensor):
            return f"a quantised tensor is wanted, got {type(got).__name__}"
        if not np.isclose(got.scale, wanted.scale, rtol=1e-5) or got.zero_point != wanted.zero_point:
            return f"scale and zero point {got.scale}, {got.zero_point} instead of {wanted.scale}, {wanted.zero_point}"
        return compare(got.values, to_numpy(wanted.values), rtol, atol)
    got = np.asarray(to_numpy(got))
    if got.shape != wanted.shape:
        return f"shape {got.shape} instead of {wanted.shape}"
    if wanted.dtype == object or got.dtype == object:
        # recorded text lost the zero bytes at its end
        texts = [[bytes(t).rstrip(b"\0") for t in each.ravel()] for each in (got, wanted)]
        return None if texts[0] == texts[1] else "other text"
    if got.dtype != wanted.dtype:
        return f"type {got.dtype} instead of {wanted.dtype}"
    if rtol == 0 and atol == 0:
        return (
            None
            if np.array_equal(got, wanted, equal_nan=got.dtype.kind == "f")
            else "values differ (must be exact)"
        )
    if got.dtype.kind in "fc":
        ok = np.isclose(got.astype(np.float64), wanted.astype(np.float64), rtol, atol, equal_nan=True)
    else:
        ok = np.isclose(got.astype(np.float64), wanted.astype(np.float64), rtol, atol)
    return None if ok.all() else f"{(~ok).sum()} of {ok.size} values differ"


def _judge_random(ws: Workspace, spec: Mapping[str, Any]) -> str | None:
    """Shape, type, bounds and (loosely: 6 standard errors) mean and deviation of random outputs."""
    for name, about in spec.get("stats", {}).items():
        got = np.asarray(to_numpy(ws.get(name)))
        if list(got.shape) != list(about["shape"]):
            return f"{name}: shape {got.shape} instead of {about['shape']}"
        if "dtype" in about and got.dtype != np.dtype(about["dtype"]):
            return f"{name}: type {got.dtype} instead of {about['dtype']}"
        if got.size > 1 and about.get("std"):
            error = 6 * about["std"] / np.sqrt(got.size)
            if abs(got.mean(dtype=np.float64) - about["mean"]) > 2 * error:
                return f"{name}: mean {got.mean():.4g} instead of {about['mean']:.4g}"
    return None
