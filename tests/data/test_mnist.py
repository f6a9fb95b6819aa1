"""Where MNIST comes from, what is said when it is not there, and what happens on the way. No network."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from freshpot.data import download, mnist
from freshpot.data.cache import cache_folder
from freshpot.data.download import RemoteFile
from freshpot.data.mnist import load_mnist
from freshpot.errors import DataError, FormatError
from freshpot.formats.idx import write_idx

IMAGES = np.arange(3 * 784, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], dtype=np.uint8)


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no mirrors, and a process that has tried nothing yet."""
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FRESHPOT_DATA", raising=False)
    monkeypatch.delenv("FRESHPOT_OFFLINE", raising=False)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setattr(mnist, "_download_failed", None)
    monkeypatch.setattr(mnist, "_announced", False)
    monkeypatch.setattr(download, "PROBE_SECONDS", 300.0)  # threads of a busy machine take long


def write_mnist(folder: Path, suffix: str = ".gz", dot: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem in ("train", "t10k"):
        separator = "." if dot else "-"
        write_idx(folder / f"{stem}-images{separator}idx3-ubyte{suffix}", IMAGES)
        write_idx(folder / f"{stem}-labels{separator}idx1-ubyte{suffix}", LABELS)
    return folder


@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize(("suffix", "dot"), [(".gz", False), ("", False), ("", True)])
def test_named_folder(tmp_path: Path, below: str, suffix: str, dot: bool) -> None:
    write_mnist(tmp_path / "d" / below, suffix, dot)
    for split in ("train", "test"):
        found = load_mnist(tmp_path / "d", split)
        np.testing.assert_array_equal(found.images, IMAGES)
        np.testing.assert_array_equal(found.labels, LABELS)
        assert (found.split, found.synthetic, found.title) == (split, False, "MNIST")
        assert Path(found.source) == tmp_path / "d" / below


def test_limit_keeps_file_order(tmp_path: Path) -> None:
    found = load_mnist(write_mnist(tmp_path / "d"), limit=2)
    np.testing.assert_array_equal(found.images, IMAGES[:2])
    assert len(found) == 2


@pytest.mark.parametrize("below", ["", "mnist"])
def test_environment_comes_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path / "cache" / "mnist")
    write_mnist(tmp_path / "env" / below)
    assert Path(load_mnist().source) == tmp_path / "cache" / "mnist"
    monkeypatch.setenv("FRESHPOT_DATA", str(tmp_path / "env"))
    assert Path(load_mnist().source) == tmp_path / "env" / below
    assert capsys.readouterr().err == ""


def _wrong(tmp_path: Path, **arrays: np.ndarray) -> Path:
    folder = write_mnist(tmp_path / "d")
    for name, array in arrays.items():
        axes = {"images": 3, "labels": 1}[name]
        write_idx(folder / f"train-{name}-idx{axes}-ubyte.gz", array)
    return folder


def test_complaints_about_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no such folder: .*nowhere\. Put MNIST's four files"):
        load_mnist(tmp_path / "nowhere")
    folder = write_mnist(tmp_path / "d")
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"missing train-labels-idx1-ubyte\[.gz\]$"):
        load_mnist(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"missing t10k-images-idx3-ubyte\[.gz\] and t10k-labels"):
        load_mnist(tmp_path / "empty", "test")
    monkeypatch.setenv("FRESHPOT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"FRESHPOT_DATA names .*nowhere, which is not a folder"):
        load_mnist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS[:2]}, "3 images in .*, 2 labels in"),
        ({"labels": LABELS + 10}, "labels up to 19, expected 0 to 9"),
        ({"labels": LABELS[:, None]}, r"uint8 of shape \(3, 1\), expected uint8 of N, N > 0"),
        ({"images": IMAGES[:, :8]}, r"shape \(3, 8, 28\), expected uint8 of N x 28 x 28"),
        ({"images": IMAGES.astype(np.float32)}, "holds float32"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "N > 0"),
    ],
)
def test_complaints_about_contents(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_mnist(_wrong(tmp_path, **arrays))


def test_complaints_about_requests() -> None:
    with pytest.raises(DataError, match="no split 'valid'; choose 'train' or 'test'"):
        load_mnist(split="valid")
    with pytest.raises(DataError, match="limit must be at least 1 image, got 0"):
        load_mnist(limit=0)


def test_broken_files_are_not_replaced_by_synthetic_digits(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "cache" / "mnist")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"half a file")
    with pytest.raises(FormatError, match="not an IDX file"):
        load_mnist()


def test_synthetic_by_choice_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = load_mnist("synthetic", limit=20)
    assert (found.source, found.synthetic, found.title) == ("synthetic", True, "synthetic digits")
    assert found.images.shape == (20, 28, 28)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("offline", ["1", "0"])
def test_synthetic_by_need_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], offline: str
) -> None:
    monkeypatch.setenv("FRESHPOT_OFFLINE", offline)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    assert load_mnist(limit=5).synthetic
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "trying to download" in said[0]
    assert "using SYNTHETIC digits, not MNIST" in said[1]
    why = "switched off (FRESHPOT_OFFLINE is set)" if offline == "1" else "127.0.0.1:9: [Errno"
    assert why in said[1]
    assert "FRESHPOT_DATA" in said[1]
    assert load_mnist(split="test", limit=5).synthetic
    assert capsys.readouterr().err == ""


def test_strict_never_takes_synthetic_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    for _ in range(2):
        with pytest.raises(DataError, match=r"MNIST was not found: downloads are switched off.*four files"):
            load_mnist(strict=True)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A mirror on the loopback interface that serves a three-image MNIST, and its folder."""
    folder = write_mnist(tmp_path / "mirror")
    files = []
    for file in mnist.FILES:
        plain = gzip.decompress((folder / file.name).read_bytes())
        files.append(RemoteFile(file.name, len(plain), hashlib.sha256(plain).hexdigest()))
    monkeypatch.setattr(mnist, "FILES", tuple(files))

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type, misc]

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder
    server.shutdown()
    server.server_close()


def test_download_into_the_cache(
    mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/", mirror[0]))
    found = load_mnist(strict=True)
    np.testing.assert_array_equal(found.images, IMAGES)
    assert Path(found.source) == cache_folder("mnist")
    assert "trying to download" in capsys.readouterr().err
    monkeypatch.setattr(mnist, "MIRRORS", ())
    np.testing.assert_array_equal(load_mnist(split="test", strict=True).labels, LABELS)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("t10k-labels-idx1-ubyte.gz", lambda data: data[:-4], "not gzip data"),
        ("t10k-labels-idx1-ubyte.gz", lambda data: b"<html>no</html>", "not gzip data"),
        ("train-images-idx3-ubyte.gz", lambda data: gzip.compress(b"x" * 2368), "sent other contents"),
        ("train-images-idx3-ubyte.gz", lambda data: b"x" * 99999, "sent more than 2368 bytes"),
        ("train-images-idx3-ubyte.gz", None, "File not found"),
    ],
)
def test_a_bad_download_never_counts(
    mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, damage: object, message: str
) -> None:
    url, folder = mirror
    monkeypatch.setattr(mnist, "MIRRORS", (url,))
    if callable(damage):
        (folder / name).write_bytes(damage((folder / name).read_bytes()))
    else:
        (folder / name).unlink()
    with pytest.raises(DataError, match=message):
        load_mnist(strict=True)
    assert not (cache_folder("mnist") / name).exists()


def test_a_second_mirror_serves_what_the_first_lacks(
    mirror: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = mirror
    part = folder / "part"
    part.mkdir()
    name = mnist.FILES[0].name
    (part / name).write_bytes((folder / name).read_bytes())
    monkeypatch.setattr(mnist, "MIRRORS", (f"{url}part/", url))
    assert not load_mnist(strict=True).synthetic


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, r"no answer|timed out"),
        (b"good day\r\n\r\n", "good day"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhalf", "closed after 4 of 999 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf", "IncompleteRead"),
    ],
    ids=["silent", "nonsense", "half", "half a chunk"],
)
def test_a_mirror_that_misbehaves(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(answer or b"")

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(download, "PROBE_SECONDS", 300.0 if answer else 0.3)
        monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{server.getsockname()[1]}/",))
        with pytest.raises(DataError, match=message):
            load_mnist(strict=True)


def test_the_cache_has_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder("a", "b") == tmp_path / "cache" / "a" / "b"
    monkeypatch.delenv("FRESHPOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("mnist") == tmp_path / "xdg" / "freshpot" / "mnist"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_folder() == Path.home() / ".cache" / "freshpot"


def test_the_checksums_are_of_the_real_files(shared: Path) -> None:
    for file in mnist.FILES:
        plain = gzip.decompress((shared / "mnist" / file.name).read_bytes())
        assert (len(plain), hashlib.sha256(plain).hexdigest()) == (file.size, file.sha256)
