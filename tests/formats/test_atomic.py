"""Atomic writing: the old file or the new one, and nothing left behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from freshpot.formats.atomic import atomic_write, write_bytes


def test_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new.pb", b"abc")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "new.pb").read_bytes() == b"abc"
    assert (tmp_path / "new.pb").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "old.pb"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_bytes(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "old.pb"
    path.write_bytes(b"old")

    def half_written() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        half_written()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old.pb"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    """It names the file that was asked for, not a temporary one."""
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "nowhere" / "x", b"")
    assert caught.value.filename == str(tmp_path / "nowhere" / "x")
