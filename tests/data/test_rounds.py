"""Reading a database round and round in blocks: order, what stays in memory, damage."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshpot.data import datum_batches, image_list, memory
from freshpot.data.blocks import Block, Record
from freshpot.data.datum import file_to_datum
from freshpot.data.datum_batches import DatumBatches
from freshpot.data.image_list import ImageLine, ImageListBatches
from freshpot.data.images import encode_image
from freshpot.data.memory import BUDGET, VARIABLE, Kept, Share
from freshpot.data.reader import Cursor, DBReader, Mode, open_db
from freshpot.data.rounds import Rounds
from freshpot.data.transforms import ImageTransform
from freshpot.errors import DataError, FormatError

STORES = ["lmdb", "minidb"]


@pytest.fixture(autouse=True)
def budget_for_these_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()  # nets of other tests may hold a part of it yet
    monkeypatch.setattr(BUDGET, "_taken", 0)


def records(count: int, sizes: Any = (800,)) -> list[Record]:
    """Values of these sizes in turn, all different."""
    rng = np.random.default_rng(0)
    return [(b"%08d" % k, rng.bytes(sizes[k % len(sizes)])) for k in range(count)]


def written(db_type: str, path: Path, content: list[Record]) -> Path:
    with open_db(db_type, path, Mode.NEW) as database:
        for begin in range(0, len(content), 500):  # as the originals' tools commit: pages lie out of order
            with database.transaction() as transaction:
                for key, value in content[begin : begin + 500]:
                    transaction.put(key, value)
    return path


CONTENTS = {
    "one size": records(3000),
    "small": records(5000, (1,)),
    "two sizes": records(900, (700, 701)),
    "one other": [*records(700), (b"00000700", b"short"), *[(b"1" + k, v) for k, v in records(700)]],
    "overflow": records(200, (3073,)),
    "mixed": records(300, (10, 3000, 500)),
    "few": records(3),
}


@pytest.mark.parametrize("db_type", STORES)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("budget", ["0", "1", "512"])
def test_all_records_come_in_order_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db_type: str, content: list[Record], budget: str
) -> None:
    monkeypatch.setenv(VARIABLE, budget)
    before = BUDGET._taken
    database = open_db(db_type, written(db_type, tmp_path / "db", content))
    restarts: list[int] = []
    rounds = Rounds(database.cursor(), "db", on_restart=lambda: restarts.append(taken))
    taken = 0
    for count in (1, 64, 7, len(content), 999, 64, len(content), 2 * len(content), 1):
        wanted = [content[(taken + k) % len(content)] for k in range(count)]
        taken += count
        assert rounds.take(count).records() == wanted
        assert rounds.key() == content[taken % len(content)][0]
    assert len(restarts) == taken // len(content)
    size = sum(len(key) + len(value) for key, value in content)
    assert (rounds.count == len(content)) == (size <= int(budget) << 20)
    assert BUDGET._taken - before == (size if rounds.count else 0)
    del rounds
    assert BUDGET._taken == before


@pytest.mark.parametrize("budget", ["0", "512"])
@pytest.mark.parametrize(("start", "count"), [(0, 0), (0, 5), (0, 100), (3, 250), (90, 1000), (250, 12_345)])
def test_skipping_and_starting_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str, start: int, count: int
) -> None:
    monkeypatch.setenv(VARIABLE, budget)
    content = records(100)
    database = open_db("lmdb", written("lmdb", tmp_path / "db", content))
    rounds = Rounds(database.cursor(), "db")
    for _ in range(2):
        rounds.take(start)
        rounds.skip(count)
        assert rounds.take(1).records() == [content[(start + count) % 100]]
        rounds.seek_to_first()
        assert rounds.position == 0


@pytest.mark.parametrize("db_type", STORES)
@pytest.mark.parametrize("budget", ["0", "512"])
@pytest.mark.parametrize(("shards", "shard"), [(2, 1), (3, 0), (1000, 999)])
def test_shards_begin_anew_in_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db_type: str, budget: str, shards: int, shard: int
) -> None:
    monkeypatch.setenv(VARIABLE, budget)
    content = records(1000)
    own = content[shard::shards]
    reader = DBReader(db_type, written(db_type, tmp_path / "db", content), shards, shard)
    assert [r for _ in range(7) for r in reader.read_many(len(own) // 2 + 1)] == (own * 8)[
        : 7 * (len(own) // 2 + 1)
    ]


def test_a_reader_that_starts_at_a_key_goes_on_from_the_first(tmp_path: Path) -> None:
    content = records(1000)
    path = written("lmdb", tmp_path / "db", content)
    reader = DBReader("lmdb", path, key=b"00000990")
    assert reader.read_many(2020) == [*content[990:], *content, *content, *content[:10]]
    assert DBReader("lmdb", path, key=b"x").read() == content[0]


def test_what_is_handed_out_is_the_callers(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 5, 5), np.uint8)
    from freshpot.data.image_db import write_image_db
    from freshpot.data.tensor_protos import TensorProtosInput

    write_image_db("lmdb", tmp_path / "db", images, np.arange(10))
    batches = TensorProtosInput(DBReader("lmdb", tmp_path / "db"), 10)
    for _ in range(3):
        pixels, labels = batches.next_batch()
        np.testing.assert_array_equal(pixels, images)
        pixels[:], labels[:] = 7, 7


# ------------------------------------------------------------------------------------ damage


def everything(cursor: Cursor, step: int) -> tuple[list[Record], str | None]:
    """All records in blocks, and the error that ended them."""
    found: list[Record] = []
    try:
        while cursor.valid:
            block = cursor.take_block(step)
            found += block.records()
            if block.error is not None:
                raise block.error
    except FormatError as error:
        return found, str(error)
    return found, None


@pytest.mark.parametrize("db_type", STORES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_found_and_what_comes_before_it_is_kept(
    tmp_path_factory: pytest.TempPathFactory, db_type: str, data: st.DataObject
) -> None:
    content = records(300)
    path = written(db_type, tmp_path_factory.mktemp("damaged") / "db", content)
    file = path / "data.mdb" if db_type == "lmdb" else path
    raw = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(8192 if db_type == "lmdb" else 0, len(raw) - 1))] ^= 1 << data.draw(
            st.integers(0, 7)
        )
    file.write_bytes(raw)
    step = data.draw(st.sampled_from([1, 10, 1000]))
    try:
        database = open_db(db_type, path)
        one_by_one = database.cursor()
    except (FormatError, DataError):
        return
    wanted, found = everything_singly(one_by_one), everything(database.cursor(), step)
    assert found[0] == wanted[0]
    assert (found[1] is None) == (wanted[1] is None)


def everything_singly(cursor: Cursor) -> tuple[list[Record], str | None]:
    found: list[Record] = []
    try:
        while cursor.valid:
            found.append((cursor.key(), cursor.value()))
            cursor.next()
    except FormatError as error:
        return found, str(error)
    return found, None


class Failing(Cursor):
    """Records, then an error."""

    def __init__(self, content: list[Record]) -> None:
        self.content, self.place = content, 0

    @property
    def valid(self) -> bool:
        return True

    def key(self) -> bytes:
        return self.content[self.place][0]

    def value(self) -> bytes:
        return self.content[self.place][1]

    def next(self) -> None:
        self.place += 1
        if self.place == len(self.content):
            raise FormatError("broken here")

    def seek_to_first(self) -> None:
        self.place = 0


def test_an_error_comes_after_the_records_before_it_and_stays() -> None:
    content = records(100)
    rounds = Rounds(Failing(content), "db")
    assert rounds.take(99).records() == content[:99]
    assert rounds.take(1).records() == content[99:]
    for _ in range(2):
        with pytest.raises(FormatError, match="broken here"):
            rounds.take(1)
    rounds.seek_to_first()
    assert rounds.take(2).records() == content[:2]


# ------------------------------------------------------------------------------------ blocks


def test_blocks_join_whatever_they_are_made_of() -> None:
    even, odd = Block.of(records(4)), Block.of(records(3, (1, 2, 3)))
    assert not isinstance(even.values, list)
    assert isinstance(odd.values, list)
    for parts in ([even], [even, even], [even, odd], [odd, odd], [even, Block.of(records(2, (5,)))]):
        assert Block.joined(parts).records() == [r for part in parts for r in part.records()]
    assert Block.of([]).records() == []
    assert (even.key(1), even.value(1)) == records(4)[1]
    assert even.part(1, 4, 2).records() == records(4)[1::2]
    assert even.nbytes == 4 * 808
    assert odd.nbytes == 3 * 8 + 6


# ------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("given", ["-1", "lots", "1.5", "9" * 30])
def test_the_budget_must_be_a_number_of_megabytes(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(
        DataError, match=rf"FRESHPOT_DATA_CACHE is '{given}': expected a whole number of mega"
    ):
        Share().take(1)


def test_what_stays_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "_WORTH_A_WORD", 1 << 20)
    monkeypatch.setattr(BUDGET, "_announced", False)
    for name, count in (("small", 10), ("large", 2000), ("larger", 3000)):
        content = records(count)
        DBReader("lmdb", written("lmdb", tmp_path / name, content)).read_many(count)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert (
        f"freshpot: {tmp_path / 'large'} stays in memory between epochs (1 MB; FRESHPOT_DATA_CACHE=N" in said
    )


def of_records(folder: Path, files: list[bytes]) -> DatumBatches:
    content = [(b"%d" % k, file_to_datum(data, k)) for k, data in enumerate(files)]
    database = open_db("lmdb", written("lmdb", folder / "db", content))
    return DatumBatches(database, 3, ImageTransform(mirror=True, seed=1))


def of_a_list(folder: Path, files: list[bytes]) -> ImageListBatches:
    lines = [ImageLine(f"{k}.png", k) for k in range(len(files))]
    for line, data in zip(lines, files, strict=True):
        (folder / line.name).write_bytes(data)
    return ImageListBatches(lines, f"{folder}/", 3, ImageTransform(mirror=True, seed=1))


@pytest.mark.parametrize("make", [of_records, of_a_list])
@pytest.mark.parametrize(("budget", "decoded"), [("0", 18), ("1", 12), ("512", 6)])
def test_compressed_images_are_decoded_once_if_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, budget: str, decoded: int
) -> None:
    monkeypatch.setenv(VARIABLE, budget)
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 300, 300), np.uint8)  # 270,000 bytes each
    calls: list[Any] = []
    for module, name in ((image_list, "read_image"), (datum_batches, "decode_image")):
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, plain=plain, **k: calls.append(a) or plain(*a, **k))
    wanted = ImageTransform(mirror=True, seed=1)
    for k, batch in zip(range(6), make(tmp_path, [encode_image(i, "png") for i in images]), strict=False):
        first = 3 * (k % 2)
        np.testing.assert_array_equal(batch.images, wanted(images[first : first + 3]))
        assert batch.labels.tolist() == [first, first + 1, first + 2]
    # a budget of 1 MB has room for three images
    assert len(calls) == decoded


def test_keys_that_repeat_are_kept_once() -> None:
    kept: Kept[int] = Kept("test")
    arrays = kept.get([1, 1, 2], lambda places: [[np.array([place])] for place in places])
    assert [array.tolist() for (array,) in arrays] == [[0], [1], [2]]
    again = kept.get([2, 1], lambda places: [])
    assert [array.tolist() for (array,) in again] == [[2], [0]]
