"""State files: written and read back; never executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import FormatError, NotSupportedError


class Malicious:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


def test_nothing_is_executed(tmp_path: Path) -> None:
    path, mark = tmp_path / "bad.pdparams", tmp_path / "executed"
    path.write_bytes(pickle.dumps({"w": Malicious(str(mark))}))
    with pytest.raises(FormatError, match="mkdir, which is not data"):
        paddle.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_round_trip(tmp_path: Path, protocol: int) -> None:
    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.float64(2.5), "x": [1, None, "é"]}
    path = tmp_path / "a.pdopt"
    path.write_bytes(pickle.dumps(values, protocol))
    found = paddle.load(path, return_numpy=True)
    np.testing.assert_array_equal(found["a"], values["a"])
    assert (found["n"], found["x"]) == (2.5, [1, None, "é"])


def test_every_truncation_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    paddle.save(paddle.nn.Linear(3, 2).state_dict(), path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            paddle.load(path)


def test_only_data_is_saved(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="Linear is no data"):
        paddle.save(paddle.nn.Linear(3, 2), tmp_path / "a")


def test_layer_round_trip(tmp_path: Path) -> None:
    first, second = paddle.nn.Linear(3, 2), paddle.nn.Linear(3, 2)
    paddle.save(first.state_dict(), tmp_path / "a.pdparams")
    second.set_state_dict(paddle.load(tmp_path / "a.pdparams"))
    np.testing.assert_array_equal(first.weight.numpy(), second.weight.numpy())
    with pytest.raises(AttributeError, match="Did you mean Conv2"):
        paddle.nn.Conv2  # noqa: B018
