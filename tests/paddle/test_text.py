"""paddle.text: data sets from files in the originals' formats, what broken ones say, the best path through scores.

Expected values are what paddlepaddle 2.6.2 gave for the same files.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, DataError, FormatError, FreshpotError, ShapeError

T, D = paddle.text, paddle.vision.datasets


def tar(path: Path, files: dict[str, bytes], mode: Any = "w:gz") -> str:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return str(path)


def lists(sample: Any) -> list[Any]:
    return [part.tolist() for part in sample]


# ---- files of the originals' formats -----------------------------------------------------------------------
def imdb(folder: Path) -> str:
    reviews = {"train/pos/0_9": b"Good, good film!\n", "train/neg/1_1": b"bad film", "test/pos/0_8": b"good odd",
               "test/neg/0_2": b"Bad. Bad."}  # fmt: skip
    return tar(folder / "imdb.tgz", {f"aclImdb/{name}.txt": text for name, text in reviews.items()})


def ptb(folder: Path) -> str:
    text = {"train": " the cat sat \n the dog \n", "valid": " the cat \n", "test": " a cat \n"}
    return tar(folder / "p.tgz", {f"./simple-examples/data/ptb.{k}.txt": v.encode() for k, v in text.items()})


def houses(folder: Path) -> str:
    path = folder / "housing.data"
    path.write_text("\n".join(" ".join(f"{(i * 7 + j * 3) % 11:.1f}" for j in range(14)) for i in range(5)))
    return str(path)


def ratings(folder: Path) -> str:
    with zipfile.ZipFile(folder / "ml.zip", "w") as archive:
        archive.writestr(
            "ml-1m/movies.dat", "1::Caf\xe9 (1990)::Drama\n3::Big Caf\xe9 (1991)::War|Drama\n".encode("latin")
        )
        archive.writestr("ml-1m/users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n")
        rows = "".join(f"{1 + n % 2}::{(1, 3)[n // 2 % 2]}::{1 + n % 5}::0\n" for n in range(20))
        archive.writestr("ml-1m/ratings.dat", rows)
    return str(folder / "ml.zip")


def wmt14(folder: Path) -> str:
    words = b"<s>\n<e>\n<unk>\na\nb\nc\n"
    files = {f"wmt14/{side}.dict": words for side in ("src", "trg")}
    return tar(
        folder / "w14.tgz",
        {**files, "wmt14/train/train": b"a b\tc c d\nno pair\n", "wmt14/test/test": b"b\ta\n"},
    )


def wmt16(folder: Path) -> str:
    files = {"wmt16/train": b"a a b\tx y y\n", "wmt16/test": b"b c\ty z\n", "wmt16/val": b"a\tx\n"}
    return tar(folder / "w16.tgz", files)


def conll(folder: Path) -> list[str]:
    words = b"The\ncat\nsat\n\nDogs\nrun\nand\nbark\n\n"
    props = b"-  (A0*\n-  *)\nsit (V*)\n\n-  (A0*) (A0*\nrun (V*) *)\n-  * *\nbark * (V*)\n\n"
    base = "conll05st-release/test.wsj"
    data = tar(folder / "c.tgz", {f"{base}/words/test.wsj.words.gz": gzip.compress(words),
                                  f"{base}/props/test.wsj.props.gz": gzip.compress(props)})  # fmt: skip
    made = [data]
    for name, text in (("words", "UNK\nThe\ncat\nsat\nbos\neos\nDogs\n"), ("verbs", "sit\nrun\nbark\n"),
                       ("roles", "B-A0\nI-A0\nB-V\nI-V\nO\n"), ("emb", "")):  # fmt: skip
        (folder / name).write_text(text)
        made.append(str(folder / name))
    return made


CASES: dict[str, tuple[Callable[[Path], Any], list[Any]]] = {
    "imdb": (lambda f: T.Imdb(imdb(f), cutoff=1), [[[1, 1, 2], [0]], [[0, 2], [1]]]),
    "imdb test": (lambda f: T.Imdb(imdb(f), mode="TEST", cutoff=1), [[[1, 3], [0]], [[0, 0], [1]]]),
    "ngram": (lambda f: T.Imikolov(ptb(f), window_size=3, min_word_freq=1), [[1, 2, 3], [2, 3, 4],
        [3, 4, 0], [1, 2, 4], [2, 4, 0]]),
    "seq": (lambda f: T.Imikolov(ptb(f), "SEQ", 3, "test", 1), [[[1, 4, 3], [4, 3, 0]]]),
    "wmt14": (lambda f: T.WMT14(wmt14(f), dict_size=5), [[[0, 3, 4, 1], [0, 2, 2, 2], [2, 2, 2, 1]]]),
    "wmt14 test": (lambda f: T.WMT14(wmt14(f), "test", 5), [[[0, 4, 1], [0, 3], [3, 1]]]),
    "wmt16": (lambda f: T.WMT16(wmt16(f), "test", 4, 5), [[[0, 2, 2, 1], [0, 3, 2], [3, 2, 1]]]),
    "wmt16 from German": (lambda f: T.WMT16(wmt16(f), "val", 4, 4, "de"), [[[0, 2, 1], [0, 3], [3, 1]]]),
    "conll": (lambda f: T.Conll05st(*conll(f)), [
        [[1, 2, 3], [1] * 3, [2] * 3, [3] * 3, [5] * 3, [5] * 3, [0] * 3, [1, 1, 1], [0, 1, 2]],
        [[6, 0, 0, 0], [4] * 4, [6] * 4, [0] * 4, [0] * 4, [0] * 4, [1] * 4, [1, 1, 1, 1], [0, 2, 4, 4]],
        [[6, 0, 0, 0], [0] * 4, [0] * 4, [0] * 4, [5] * 4, [5] * 4, [2] * 4, [0, 1, 1, 1], [0, 1, 4, 2]]]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_samples(name: str, tmp_path: Path) -> None:
    make, samples = CASES[name]
    data = make(tmp_path)
    assert [lists(data[i]) for i in range(len(data))] == samples


def test_houses(tmp_path: Path) -> None:
    path = houses(tmp_path)
    train, test = T.UCIHousing(path), T.UCIHousing(path, mode="test")
    assert (len(train), len(test), train[0][0].dtype, train[0][0].shape, train[1][1].tolist()) == (
        4,
        1,
        np.float32,
        (13,),
        [2.0],
    )
    np.testing.assert_allclose(train[0][0][:3], [-0.52, -0.375, 0.175], rtol=1e-5)


def test_ratings(tmp_path: Path) -> None:
    path = ratings(tmp_path)
    parts = [T.Movielens(path, mode=mode, test_ratio=0.3) for mode in ("train", "test")]
    after = np.random.random()  # the original, too, leaves numpy's numbers where the file ends
    np.random.seed(0)
    drawn = np.random.random(20) < 0.3
    assert (len(parts[0]), len(parts[1]), after) == (
        int((~drawn).sum()),
        int(drawn.sum()),
        np.random.random(),
    )
    assert lists(parts[0][0]) == [[1], [1], [0], [10], [1], [0], [0], [-3.0]]
    assert repr(parts[0].movie_info[3]) == "<MovieInfo id(3), title(Big Café ), categories(['War', 'Drama'])>"
    assert repr(parts[0].user_info[2]) == "<UserInfo id(2), gender(M), age(56), job(16)>"


def test_dictionaries(tmp_path: Path) -> None:
    data = T.WMT16(wmt16(tmp_path), src_dict_size=4, trg_dict_size=5)
    assert data.get_dict("en") == {"<s>": 0, "<e>": 1, "<unk>": 2, "a": 3}
    assert data.get_dict("de", reverse=True) == {0: "<s>", 1: "<e>", 2: "<unk>", 3: "y", 4: "x"}
    assert T.WMT14(wmt14(tmp_path), dict_size=4).get_dict(True)[0] == {0: "<s>", 1: "<e>", 2: "<unk>", 3: "a"}
    roles = T.Conll05st(*conll(tmp_path))
    assert roles.get_dict()[2] == {"B-A0": 0, "I-A0": 1, "B-V": 2, "I-V": 3, "O": 4}
    assert roles.get_embedding().endswith("emb")


def test_photographs(tmp_path: Path) -> None:
    def image(mode: str, kind: str) -> bytes:
        made = io.BytesIO()
        Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).convert(mode).save(made, kind)
        return made.getvalue()

    base = "VOCdevkit/VOC2012"
    files = {f"{base}/ImageSets/Segmentation/{part}.txt": b"2007_1\n" for part in ("train", "trainval")}
    files |= {
        f"{base}/JPEGImages/2007_1.jpg": image("RGB", "JPEG"),
        f"{base}/SegmentationClass/2007_1.png": image("L", "PNG"),
    }
    path = tar(tmp_path / "voc.tar", files, "w:")
    pil, arrays = D.VOC2012(path), D.VOC2012(path, mode="test", backend="cv2")
    assert (len(pil), pil[0][0].size, pil[0][1].mode) == (1, (6, 4), "L")
    assert (arrays[0][0].shape, arrays[0][0].dtype, arrays[0][1].shape) == ((4, 6, 3), np.float32, (4, 6))
    with pytest.raises(FormatError, match=r"val\.txt is not in it"):
        D.VOC2012(path, mode="valid")


def test_flowers(tmp_path: Path) -> None:
    io_ = pytest.importorskip("scipy.io")
    made = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).save(made, "JPEG")
    io_.savemat(tmp_path / "l.mat", {"labels": [[5, 7]]})
    io_.savemat(tmp_path / "s.mat", {"tstid": [[2]], "trnid": [[1]], "valid": [[3]]})
    path = tar(tmp_path / "f.tgz", {f"jpg/image_0000{n}.jpg": made.getvalue() for n in (1, 2)})
    files = [path, str(tmp_path / "l.mat"), str(tmp_path / "s.mat")]
    data = D.Flowers(*files, backend="cv2")
    assert (
        len(data),
        data[0][0].shape,
        data[0][1].tolist(),
        lists([D.Flowers(*files, mode="test")[0][1]]),
    ) == (1, (4, 6, 3), [7], [[5]])
    with pytest.raises(FormatError, match=r"image_00003\.jpg"):
        D.Flowers(*files, mode="valid")


# ---- where files are looked for, and what broken ones say ----------------------------------------------------
def test_a_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(DataError, match=r"housing\.data is not there, and is not downloaded"):
        T.UCIHousing()
    houses(tmp_path)
    assert len(T.UCIHousing()) == 4
    (tmp_path / "imdb").mkdir()
    Path(imdb(tmp_path)).rename(tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    assert len(T.Imdb(cutoff=1)) == 2
    (tmp_path / "home/.cache/paddle/dataset/wmt14").mkdir(parents=True)
    Path(wmt14(tmp_path)).rename(tmp_path / "home/.cache/paddle/dataset/wmt14/wmt14.tgz")
    assert len(T.WMT14(dict_size=9)) == 1
    with pytest.raises(ArgumentError, match="download=False wants"):
        T.Imdb(download=False)


def test_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_DATA", str(tmp_path))
    for path, name in ((imdb(tmp_path), "aclImdb_v1.tar.gz"), (ptb(tmp_path), "simple-examples.tgz"),
                       (ratings(tmp_path), "ml-1m.zip"), (wmt14(tmp_path), "wmt14.tgz"),
                       (wmt16(tmp_path), "wmt16.tar.gz"), (houses(tmp_path), "housing.data")):  # fmt: skip
        Path(path).rename(tmp_path / name)
    for path, name in zip(conll(tmp_path), ("conll05st-tests.tar.gz", "wordDict.txt", "verbDict.txt", "targetDict.txt",
                                            "emb"), strict=True):  # fmt: skip
        Path(path).rename(tmp_path / name)
    tar(
        tmp_path / "cifar-10-python.tar.gz",
        {"test_batch": pickle.dumps({"data": np.full((1, 3072), 51, np.uint8), "labels": [4]}, 2)},
    )
    data = paddle.dataset
    words = data.imdb.word_dict(cutoff=1)
    assert list(data.imdb.test(words)()) == [([1, 3], 0), ([0, 0], 1)]
    known = data.imikolov.build_dict(1)
    assert list(data.imikolov.train(known, 3)()) == [(1, 2, 3), (2, 3, 4), (3, 4, 0), (1, 2, 4), (2, 4, 0)]
    assert list(data.imikolov.test(known, 3, data.imikolov.DataType.SEQ)()) == [([1, 4, 3], [4, 3, 0])]
    assert (data.movielens.max_user_id(), data.movielens.max_movie_id(), data.movielens.max_job_id()) == (
        2,
        3,
        16,
    )
    assert sum(1 for _ in data.movielens.train()()) + sum(1 for _ in data.movielens.test()()) == 20
    assert data.movielens.movie_categories() == {"Drama": 0, "War": 1}
    assert list(data.wmt14.train(5)()) == [([0, 3, 4, 1], [0, 2, 2, 2], [2, 2, 2, 1])]
    assert list(data.wmt16.test(4, 5)()) == [([0, 2, 2, 1], [0, 3, 2], [3, 2, 1])]
    assert data.wmt14.get_dict(4)[0][3] == data.wmt16.get_dict("en", 4, True)[3] == "a"
    assert [len(row) for row in next(data.conll05.test()())] == [3] * 9
    assert [row.shape for row in next(data.uci_housing.test()())] == [(13,), (1,)]
    pixels, label = next(data.cifar.test10()())
    assert (pixels.shape, pixels.dtype, round(float(pixels[0]), 6), label) == ((3072,), np.float32, 0.2, 4)
    with pytest.raises(FreshpotError, match="done here are"):
        _ = data.sentiment


REFUSED: dict[str, tuple[type[FreshpotError], str, Callable[[Path], Any]]] = {
    "mode": (ArgumentError, "mode 'val'; choose 'train' or 'test'", lambda f: T.Imdb(imdb(f), mode="val")),
    "window": (ArgumentError, "window_size", lambda f: T.Imikolov(ptb(f))),
    "kind": (ArgumentError, "data_type 'WORDS'", lambda f: T.Imikolov(ptb(f), "WORDS")),
    "size": (ArgumentError, "must be above 0", lambda f: T.WMT14(wmt14(f))),
    "missing": (DataError, "none is not there", lambda f: T.WMT16(str(f / "none"), src_dict_size=3, trg_dict_size=3)),
    "empty": (FormatError, "no aclImdb", lambda f: T.Imdb(wmt14(f))),
    "no such part": (FormatError, "wmt16/train is not in it", lambda f: T.WMT16(wmt14(f), "train", 3, 3)),
    "no dictionary": (FormatError, "expected one", lambda f: T.WMT14(imdb(f), dict_size=3)),
    "ratings": (FormatError, "no archive", lambda f: T.Movielens(imdb(f))),
    "backend": (ArgumentError, "choose 'pil' or 'cv2'", lambda f: D.VOC2012(imdb(f), backend="tensor")),
    "packed": (FormatError, "no archive", lambda f: D.VOC2012(imdb(f))),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    kind, said, make = REFUSED[name]
    with pytest.raises(kind, match=said):
        make(tmp_path)


@pytest.mark.parametrize("data", [b"", b"1 2 3", b"a b", b"\xff\xfe\x00", pickle.dumps([1])])
def test_houses_that_are_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(data)
    with pytest.raises(FormatError):
        T.UCIHousing(str(tmp_path / "h"))


@pytest.mark.parametrize(
    "props", ["", "- x\n- *)\nsit (V*)\n\n", "- (A0*\n-\nsit (V*)\n\n", "- (\n- *)\nsit (V*)\n\n"]
)
def test_roles_that_are_none(props: str, tmp_path: Path) -> None:
    files = conll(tmp_path)
    base = "conll05st-release/test.wsj"
    tar(tmp_path / "c.tgz", {f"{base}/words/test.wsj.words.gz": gzip.compress(b"The\ncat\nsat\n\n"),
                             f"{base}/props/test.wsj.props.gz": gzip.compress(props.encode())})  # fmt: skip
    if not props:
        assert len(T.Conll05st(*files)) == 0
        return
    with pytest.raises(FormatError):
        T.Conll05st(*files)


# ---- paths ---------------------------------------------------------------------------------------------------
def test_the_best_path() -> None:
    scores = np.array([[[0.5, 1.0, 0.1], [0.2, 0.1, 0.9]], [[0.3, 0.2, 0.8], [0.6, 0.5, 0.4]]], np.float32)
    steps = np.array([[0.1, 0.9, 0.2], [0.7, 0.3, 0.5], [0.4, 0.6, 0.8]], np.float32)
    given = [paddle.to_tensor(value) for value in (scores, steps, np.array([2, 1]))]
    for ends, best, tags in ((True, [3.5, 2.1], [[1, 2], [2, 0]]), (False, [2.4, 0.8], [[1, 2], [2, 0]])):
        found, path = T.ViterbiDecoder(given[1], ends)(given[0], given[2])
        np.testing.assert_allclose(found.numpy(), best, rtol=1e-6)
        assert path.numpy().tolist() == tags
    with pytest.raises(ShapeError, match=r"must be \(N, T, K\) and \(K, K\)"):
        T.viterbi_decode(given[0], given[0], given[2])
    with pytest.raises(ShapeError, match="lengths"):
        T.viterbi_decode(given[0], given[1], given[1])
