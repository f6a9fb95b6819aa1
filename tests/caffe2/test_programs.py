"""Every recorded program, built again: the same messages, parameter lists and numbers as the original's."""

from __future__ import annotations

import json
import warnings
from difflib import unified_diff
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from programs import PROGRAMS

from caffe2.proto import caffe2_pb2
from caffe2.python import core, optimizer, workspace


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    """Names of nets, optimizers and blobs as in a new process."""
    core.Net._net_names_used = set()
    optimizer._optimizer_instance_count.clear()
    workspace.ResetWorkspace()


def build(name: str) -> tuple[Any, Any, Any]:
    """The program's model (or None), init net and net."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = PROGRAMS[name]()
    return (None, *made) if isinstance(made, tuple) else (made, made.param_init_net, made.net)


@pytest.fixture
def programs(shared: Path) -> Path:
    return shared / "reference" / "caffe2" / "programs"


def described(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def comparable(net: Any, sort: bool) -> list[str]:
    """The net as lines of text, without debugging notes; ``sort``: without what has no fixed order."""
    copied = caffe2_pb2.NetDef()
    copied.CopyFrom(net)
    _strip(copied, sort)
    lines = str(copied).splitlines()
    return sorted(lines) if sort else lines


def _strip(net: Any, sort: bool) -> None:
    for op in net.op:
        op.debug_info = ""
        for arg in op.arg:
            if arg.HasField("n"):
                _strip(arg.n, sort)
        if sort and op.type == "Do":
            _name_bindings(op)


def _name_bindings(op: Any) -> None:
    """Say by name which outer blob each blob inside a Do operator is; the last blobs are workspaces."""
    args = {arg.name: arg for arg in op.arg}
    outer = [*op.input[:-1], *op.output[:-1]]
    places = args["outer_blobs_idx"].ints
    bound = [f"{a.decode()} is {outer[i]}" for a, i in zip(args["inner_blobs"].strings, places, strict=True)]
    args["outer_blobs_idx"].ClearField("ints")
    args["outer_blobs_idx"].strings.extend(text.encode() for text in sorted(bound))


def test_every_recorded_program_has_a_builder(programs: Path) -> None:
    recorded = {path.name.removesuffix(".net.pbtxt") for path in programs.glob("*.net.pbtxt")}
    assert recorded == set(PROGRAMS)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_nets_are_the_recorded_ones(name: str, programs: Path) -> None:
    _, init, net = build(name)
    sort = "order_varies" in described(programs, name)
    for part, made in (("init", init), ("net", net)):
        recorded = caffe2_pb2.NetDef()
        text_format.Parse((programs / f"{name}.{part}.pbtxt").read_text(), recorded)
        wanted, got = comparable(recorded, sort), comparable(made.Proto(), sort)
        changes = unified_diff(wanted, got, "original", "ours", lineterm="", n=6)
        assert wanted == got, f"{name}.{part}:\n" + "\n".join(list(changes)[:80])


def _named(value: Any) -> Any:
    if isinstance(value, core.GradientSlice):
        return {"indices": str(value.indices), "values": str(value.values)}
    return str(value)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_parameter_lists_are_the_recorded_ones(name: str, programs: Path) -> None:
    model, _, _ = build(name)
    wanted = described(programs, name)
    if model is None:
        assert not wanted
        return
    lists = {
        "params": model.params,
        "weights": model.weights,
        "biases": model.biases,
        "computed_params": model.GetComputedParams(),
        "all_params": model.GetAllParams(),
    }
    for what, params in lists.items():
        assert [str(p) for p in params] == wanted[what], what
    assert {str(p): _named(g) for p, g in model.param_to_grad.items()} == wanted["param_to_grad"]


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_numbers_are_the_recorded_ones(name: str, programs: Path) -> None:
    numbers = described(programs, name).get("numerics")
    if numbers is None:
        pytest.skip(
            "no numbers were recorded: the net reads a database, draws random numbers, or needs a GPU"
        )
    _, init, net = build(name)
    arrays = np.load(programs / f"{name}.npz")
    workspace.RunNetOnce(init)
    for key in arrays.files:
        if key.startswith(("init/", "in/")):
            workspace.FeedBlob(key.split("/", 1)[1], arrays[key])
    workspace.CreateNet(net)
    for run in range(1, numbers["runs"] + 1):
        workspace.RunNet(net.Name())
        for key in arrays.files:
            if key.startswith(f"run{run}/"):
                got = workspace.FetchBlob(key.split("/", 1)[1])
                wanted = arrays[key]
                assert got.shape == wanted.shape, key
                np.testing.assert_allclose(got, wanted, err_msg=key, **numbers["tol"])
