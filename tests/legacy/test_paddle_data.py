"""Drawn stand-ins for the data of Paddle's tutorials: made where none is found, read as the originals are, noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import DataError
from freshpot.legacy import paddle_data
from freshpot.legacy.notes import Notes
from freshpot.legacy.routes import Routes

T = paddle.text

MADE: dict[str, tuple[str, Callable[[], Any], int]] = {
    "houses": ("housing.data: 506 drawn rows", lambda: T.UCIHousing(), 404),
    "ratings": ("ml-1m.zip: 6,000 drawn ratings", lambda: T.Movielens(), 5402),
    "translations": ("wmt16.tar.gz: 2,400 pairs", lambda: T.WMT16(None, "test", 300, 300), 200),
    "others": ("wmt14.tgz: 2,300 pairs", lambda: T.WMT14(None, "gen", 303), 100),
}


@pytest.mark.parametrize("name", MADE)
def test_stand_ins(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, make, count = MADE[name]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FRESHPOT_DATA", raising=False)
    notes = Notes()
    with paddle_data.installed(tmp_path / "files", notes):
        first, second = make(), make()
    assert len(first) == count
    assert all(np.array_equal(a, b) for a, b in zip(first[3], second[3], strict=True))
    assert [said in line for line in notes.lines] == [True]
    with pytest.raises(DataError, match="is not there, and is not downloaded"):
        make()


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    notes = Notes()
    routes = Routes(notes)
    houses = (
        routes.answer("https://archive.ics.uci.edu/ml/machine-learning-databases/housing/housing.data") or b""
    )
    book = (
        routes.answer("https://ocw.mit.edu/ans7870/6/6.006/s08/lecturenotes/files/t8.shakespeare.txt") or b""
    )
    assert (len(houses.splitlines()), len(houses.split()), len(book.splitlines())) == (506, 506 * 14, 4000)
    assert len(notes.lines) == 2
