"""An exact index is saved and opened from its file; what is damaged or foreign is found out before it is used."""

import json
import os
import stat
import sys
import zlib

import numpy as np
import pytest

from indexes.made import check, queries, similarities, vectors
from indexes.small import PIECES, small
from mneme.errors import CorruptCacheError
from mneme.indexes import ExactIndex, _saved
from mneme.indexes._verify import damage_of

DIM = 8
NAMES = (b"a", b"b")
DTYPES = ("float32", "float16", "int8")


@pytest.fixture(autouse=True)
def small_pieces():
    with small(**PIECES):
        yield


def filled(dtype, count=90):
    """Two partitions in several pieces with sketches, of which some rows are gone; and what is left of each."""
    rng = np.random.default_rng(3)
    rows = vectors("falling", rng, count, DIM)
    index = ExactIndex()
    index.open(DIM, dtype)
    names = [NAMES[at % 3 == 0] for at in range(count)]
    index.add(range(count), names, rows)
    index.remove(range(5, 20))
    held = {name: {at: rows[at] for at in range(count) if names[at] == name and not 5 <= at < 20} for name in NAMES}
    return index, held


def loaded(path, dtype="float32"):
    index = ExactIndex()
    assert index.load(str(path), DIM, dtype) == "stamp é"
    return index


def assert_finds(index, held):
    rng = np.random.default_rng(5)
    for name in NAMES:
        ids = np.array(list(held[name]), np.int64)
        rows = np.stack(list(held[name].values()))
        for query in queries(rng, rows, 6):
            for floor, k in ((0.8, 3), (-1.0, 5)):
                (found,) = index.search(name, query[None], floor=floor, k=k)
                check(found, ids, similarities(rows, query), floor, k)
    assert index.size() == sum(map(len, held.values()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_saved_comes_back_and_goes_on(tmp_path, dtype):
    path = tmp_path / "index"
    index, held = filled(dtype)
    index.save(str(path), "stamp é")
    assert_finds(index, held)
    again = loaded(path, dtype)
    assert again.dtype == dtype
    assert_finds(again, held)
    assert_finds(loaded(path, "float32"), held)  # a file serves every dtype
    rng = np.random.default_rng(9)
    for number, new in enumerate(vectors("falling", rng, 60, DIM)):
        entry_id, name = (number, 500 + number)[number % 2], NAMES[number % 5 == 0]
        again.add([entry_id], [name], new[None])
        for other in NAMES:
            held[other].pop(entry_id, None)
        held[name][entry_id] = new
    gone = [*list(held[b"a"])[::4], *list(held[b"b"])[::3]]
    assert again.remove([*gone, 10_000]) == len(gone)
    for name in NAMES:
        held[name] = {at: row for at, row in held[name].items() if at not in gone}
    assert_finds(again, held)
    again.save(str(path), "stamp é")  # in place of the file that it is read from
    assert_finds(again, held)
    assert_finds(loaded(path, dtype), held)
    again.close()
    index.close()


def test_what_lies_in_the_file_takes_no_memory(tmp_path):
    with small(COPIED=4096, _NUMBERS=2**24):  # or what is around the pieces would weigh more than the rows
        index, held = filled("float32", 3000)
    index.save(str(tmp_path / "index"), "stamp é")
    assert loaded(tmp_path / "index").memory_bytes() < index.memory_bytes() / 4
    assert_finds(loaded(tmp_path / "index"), held)


def test_an_empty_index_is_saved_too(tmp_path):
    index = ExactIndex()
    index.open(DIM, "float32")
    index.save(str(tmp_path / "index"), "stamp é")
    assert loaded(tmp_path / "index").size() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="modes are a matter of POSIX")
def test_only_its_owner_may_read_the_file(tmp_path):
    before = os.umask(0)
    try:
        filled("int8")[0].save(str(tmp_path / "index"), "stamp é")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o600


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "index"
    index, held = filled("float32")
    index.save(str(path), "stamp é")
    before = path.read_bytes()
    write = _saved._write_section
    for position in (1, 2, 7):
        calls = []

        def failing(file, array, calls=calls, position=position):
            calls.append(array)
            if len(calls) == position:
                raise OSError(28, "No space left on device")
            return write(file, array)

        monkeypatch.setattr(_saved, "_write_section", failing)
        with pytest.raises(OSError, match="No space left"):
            index.save(str(path), "other")
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
    assert_finds(index, held)


def _use(path, held):
    """Load and use everything; whether it was found to be damaged."""
    try:
        index = loaded(path)
        assert_finds(index, held)
        index.remove([0])
    except CorruptCacheError:
        return True
    return False


def test_a_byte_that_changed_anywhere_is_found_before_it_can_lead_to_a_wrong_answer(tmp_path):
    path = tmp_path / "index"
    index, held = filled("float32")
    index.save(str(path), "stamp é")
    good = path.read_bytes()
    found = 0
    places = [*range(0, 64, 3), *range(64, len(good), 61)]
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x41]) + good[place + 1 :])
        found += _use(path, held)  # or it is a byte of padding
    assert found > 0.7 * len(places)
    path.write_bytes(good)
    assert not _use(path, held)


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "index"
    index, _ = filled("float32")
    index.save(str(path), "stamp é")
    good = path.read_bytes()
    for length in [*range(0, 64, 7), *range(64, len(good), 97)]:
        path.write_bytes(good[:length])
        with pytest.raises(CorruptCacheError, match="index"):
            loaded(path)


def test_what_is_no_saved_index_is_refused_and_nothing_is_held(tmp_path):
    path = tmp_path / "index"
    index = ExactIndex()
    with pytest.raises(FileNotFoundError):
        index.load(str(path), DIM, "float32")
    for content in (b"x" * 500, b"SQLite format 3\0" * 40):
        path.write_bytes(content)
        with pytest.raises(CorruptCacheError, match="no saved index"):
            index.load(str(path), DIM, "float32")
        assert index.size() == 0
    filled("float32")[0].save(str(path), "stamp é")
    with pytest.raises(CorruptCacheError, match="8 dimensions, not 9"):
        index.load(str(path), DIM + 1, "float32")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.clear(),
        lambda table: table.pop("stamp"),
        lambda table: table.update(bases=None),
        lambda table: table.update(bases=[]),
        lambda table: table["partitions"][0].update(key="no hex"),
        lambda table: table["partitions"][0]["pieces"][0]["ids"].update(at=-8),
        lambda table: table["partitions"][0]["pieces"][0]["ids"].update(dtype="nothing"),
        lambda table: table["partitions"][0]["pieces"][0]["ids"].update(shape=["x"]),
        lambda table: table["partitions"][0]["pieces"][0]["ids"].update(at=10**9),
        lambda table: table["partitions"][0].update(pieces=7),
    ],
    ids=range(10),
)
def test_contents_that_make_no_sense_are_refused_though_their_checksum_is_right(tmp_path, change):
    path = tmp_path / "index"
    filled("float32")[0].save(str(path), "stamp é")
    good = path.read_bytes()
    magic, at, length, _ = _saved.HEADER.unpack_from(good)
    table = json.loads(good[at : at + length])
    change(table)
    contents = json.dumps(table).encode()
    header = _saved.HEADER.pack(magic, at, len(contents), zlib.crc32(contents))
    path.write_bytes(header + good[len(header) : at] + contents)
    with pytest.raises(CorruptCacheError, match="damaged"):
        loaded(path)


def test_a_header_with_any_bit_flipped_is_told_of(tmp_path):
    index, _ = filled("float32")
    index.save(str(tmp_path / "index"), "stamp é")
    path = tmp_path / "damaged"
    whole = (tmp_path / "index").read_bytes()
    padding = range(8 * len(_saved.MAGIC), 8 * (_saved.HEADER.size - 20))  # before two numbers and a checksum
    for bit in set(range(8 * _saved.HEADER.size)) - set(padding):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert damage_of(str(path)), bit
    assert damage_of(str(tmp_path / "index")) is None
