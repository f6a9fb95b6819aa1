"""State files: written and read back, exchanged with the original; never executed."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import paddle_replay as replay
import pytest

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, FormatError, FreshpotError, NotSupportedError

RECORDED = Path(__file__).parent / "recorded"


class Reduced:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


MALICIOUS = {
    "a command": (lambda mark: Reduced(os.system, f"touch {mark}"), "system"),
    "a folder": (lambda mark: Reduced(os.mkdir, mark), "mkdir"),
    "eval": (lambda mark: Reduced(eval, f"open({mark!r}, 'w')"), "eval"),
    "in a list": (lambda mark: [1, {"w": Reduced(os.mkdir, mark)}], "mkdir"),
    "as a key": (lambda mark: {Reduced(os.getpid): 1}, "getpid"),
    "numpy that executes": (lambda mark: Reduced(np.load, mark), "load"),
    "a class": (lambda mark: {"w": subprocess.Popen}, "Popen"),
    "an object": (lambda mark: {"w": random.Random(1)}, "Random"),
    "an array of objects": (lambda mark: {"w": np.array([Reduced(os.mkdir, mark)], object)}, "elements 'O8'"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", MALICIOUS)
def test_nothing_is_executed(tmp_path: Path, name: str, protocol: int) -> None:
    make, said = MALICIOUS[name]
    path, mark = tmp_path / "bad.pdparams", tmp_path / "executed"
    path.write_bytes(pickle.dumps(make(str(mark)), protocol))
    with pytest.raises(FormatError, match=said):
        paddle.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_round_trip(tmp_path: Path, protocol: int) -> None:
    values = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 3), np.int64),
        "zero": np.array(5.0),
        "n": np.float64(2.5),
        "x": [1, None, "é", (True, -(2**70))],
        "o": OrderedDict(k=b"bytes"),
    }
    path = tmp_path / "a.pdopt"
    path.write_bytes(pickle.dumps(values, protocol))
    found = paddle.load(path, return_numpy=True)
    for key in ("a", "f", "big", "empty", "zero"):
        np.testing.assert_array_equal(found[key], values[key])
        assert found[key].shape == values[key].shape  # type: ignore[attr-defined]
    assert (found["n"], found["x"], found["o"]) == (2.5, values["x"], {"k": b"bytes"})


def saved(tmp_path: Path) -> bytes:
    path = tmp_path / "a.pdparams"
    paddle.save(paddle.nn.Linear(3, 2).state_dict(), path)
    return path.read_bytes()


def test_every_truncation_is_a_format_error(tmp_path: Path) -> None:
    whole, path = saved(tmp_path), tmp_path / "cut"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            paddle.load(path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_damage_is_an_error_or_data(tmp_path: Path, protocol: int) -> None:
    """Bytes changed, cut out and doubled at random: never anything but a typed error, or data."""
    chance, path = random.Random(protocol), tmp_path / "damaged"
    whole = pickle.dumps({"w": np.arange(4, dtype=np.float32), "n": [1, "two", 3.0]}, protocol)
    errors = 0
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            kind = chance.randrange(3)
            data[at : at + kind] = bytes([chance.randrange(256)]) if kind < 2 else data[at : at + 2] * 2
        path.write_bytes(data)
        try:
            paddle.load(path)
        except FreshpotError:
            errors += 1
    assert errors > 500


DAMAGED = {
    "nothing": (b"", "cut off"),
    "text": (b"not a pickle at all", "offset"),
    "a huge array": (
        pickle.dumps({"w": np.zeros(2, np.float32)}, 2).replace(b"K\x02\x85", b"J\xff\xff\xff\x7f\x85", 1),
        "expected",
    ),
    "a huge text": (b"\x80\x04X\xff\xff\xff\x7fabc.", "offset"),
    "a missing memo": (b"\x80\x02h\x07.", "corrupt"),
    "an empty stack": (b"\x80\x02a.", "corrupt"),
    "a list as a key": (b"\x80\x02}](K\x01s.", "corrupt"),
    "marks without end": (b"\x80\x02" + b"(" * 100_000 + b"l.", "corrupt"),
    "deep nests": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "deep"),
    "a list in itself": (b"\x80\x02]q\x00h\x00a.", "in itself"),
    "a persistent id": (b"\x80\x02K\x01Q.", "PERSID"),
    "an extension": (b"\x80\x02\x82\x01.", "EXT1"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(tmp_path: Path, name: str) -> None:
    data, said = DAMAGED[name]
    path = tmp_path / "damaged.pdparams"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"(?s){path}.*{said}"):
        paddle.load(path)


def test_a_missing_file_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        paddle.load(tmp_path / "none.pdparams")


def test_only_data_is_saved(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="Linear is no data"):
        paddle.save(paddle.nn.Linear(3, 2), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pdparams"
    paddle.save({"a": 1}, path)

    def broken(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        paddle.save({"a": 2}, path)
    monkeypatch.undo()
    assert paddle.load(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pdparams"]


def test_layer_round_trip(tmp_path: Path) -> None:
    first, second = paddle.nn.Linear(3, 2), paddle.nn.Linear(3, 2)
    paddle.save(first.state_dict(), tmp_path / "new" / "a.pdparams")
    second.set_state_dict(paddle.load(tmp_path / "new" / "a.pdparams"))
    np.testing.assert_array_equal(first.weight.numpy(), second.weight.numpy())


def test_a_state_of_other_shapes_changes_nothing() -> None:
    layer = paddle.nn.Linear(3, 2)
    before = layer.bias.numpy()
    state = {"bias": np.ones(2, np.float32), "weight": np.zeros((2, 2), np.float32)}
    with pytest.raises(ArgumentError, match=r"weight: \[2, 2\], the layer has \[3, 2\]"):
        layer.set_state_dict(state)
    np.testing.assert_array_equal(layer.bias.numpy(), before)


# ---- the original's files, and ours for the original ----------------------------------------------------
@pytest.mark.parametrize("protocol", [2, 4])
def test_files_of_the_original(protocol: int) -> None:
    values = np.load(RECORDED / "linear.npz")
    layer = paddle.nn.Linear(3, 2)
    missing, unexpected = layer.set_state_dict(paddle.load(RECORDED / f"linear_{protocol}.pdparams"))
    assert (missing, unexpected) == ([], [])
    np.testing.assert_array_equal(layer.weight.numpy(), values["weight"])
    state = paddle.load(RECORDED / f"linear_{protocol}.pdopt")
    assert state["LR_Scheduler"]["last_epoch"] == 2
    name = next(key for key in state if key.endswith("w_0_moment1_0")).removesuffix("_moment1_0")
    layer.weight.name, layer.bias.name = name, name.replace("w_0", "b_0")
    schedule = paddle.optimizer.lr.StepDecay(0.1, 1)
    adam = paddle.optimizer.Adam(schedule, parameters=layer.parameters())
    adam.set_state_dict(state)
    assert adam.get_lr() == pytest.approx(0.001)
    made = adam.state_dict()
    np.testing.assert_array_equal(made[f"{name}_moment1_0"].numpy(), values["moment1"])
    np.testing.assert_allclose(made[f"{name}_beta1_pow_acc_0"].numpy(), [0.9**3], rtol=1e-6)


def test_other_objects_of_the_original() -> None:
    found = paddle.load(RECORDED / "mixed.pd")
    assert (found["epoch"], found["names"]) == (3, ["a", "b"])
    np.testing.assert_array_equal(found["tensor"].numpy(), replay.ARRAYS["x"])


def test_the_original_reads_ours(tmp_path: Path) -> None:
    """Needs a Python with paddlepaddle, named in FRESHPOT_PADDLE_PYTHON."""
    python = os.environ.get("FRESHPOT_PADDLE_PYTHON")
    if not python:
        pytest.skip("name a Python with paddlepaddle in FRESHPOT_PADDLE_PYTHON")
    with paddle.utils.unique_name.guard():
        layer = paddle.nn.Linear(3, 2)
    adam = paddle.optimizer.Adam(paddle.optimizer.lr.StepDecay(0.1, 1), parameters=layer.parameters())
    layer(paddle.to_tensor(replay.ARRAYS["x"])).sum().backward()
    adam.step()
    adam._learning_rate.step()
    paddle.save(layer.state_dict(), tmp_path / "linear.pdparams")
    paddle.save(adam.state_dict(), tmp_path / "linear.pdopt")
    script = Path(__file__).parents[2] / "scripts" / "record_paddle.py"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, script, "--check", tmp_path], capture_output=True, text=True, env=environment, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["missing"], found["unexpected"]) == ([], [])
    assert found["weight"] == layer.weight.numpy().ravel().tolist()
    assert set(adam.state_dict()) <= set(found["state"])
    assert found["rate"] == pytest.approx(0.01)
    assert found["power"] == pytest.approx(0.81)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((3, 2), r"weight receives a shape \[3, 2\], but the expected shape is \[4, 2\]"),
        (None, r"m\.pdparams: weight is not found in the providing file\. Did you mean 0\.weight"),
    ],
)
def test_the_model_of_another_net(tmp_path: Path, sizes: tuple[int, int] | None, words: str) -> None:
    """As in the original it is an error, unless what does not fit shall be skipped: that is said."""
    other = paddle.nn.Linear(*sizes) if sizes else paddle.nn.Sequential(paddle.nn.Linear(4, 2))
    paddle.save(other.state_dict(), str(tmp_path / "m.pdparams"))
    model = paddle.Model(paddle.nn.Linear(4, 2))
    before = model.network.weight.numpy().copy()
    with pytest.raises(ValueError, match=words):
        model.load(str(tmp_path / "m"))
    with pytest.warns(UserWarning, match="Skip loading for"):
        model.load(str(tmp_path / "m"), skip_mismatch=True)
    np.testing.assert_array_equal(model.network.weight.numpy(), before)
