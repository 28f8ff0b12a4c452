"""An HNSW index is saved and comes back as it was; what is damaged, cut off or foreign is refused whole."""

import json
import stat
import sys
import zlib

import numpy as np
import pytest

from indexes.hnsw_graphs import SHAPES, clustered, is_graph, near, partition_of, recall, scan_up_to
from mneme.errors import CacheClosedError, CorruptCacheError
from mneme.indexes import HnswIndex, _hnsw_file

DIM = 24


def made(backend="usearch", dtype="float32", **options):
    index = HnswIndex(backend=backend, **{"threads": 1, **options})
    index.open(DIM, dtype)
    return index


def filled(backend="usearch", dtype="float32"):
    """A large partition with dead weight and equal vectors, and a small one."""
    index = made(backend, dtype)
    rows = clustered(1600, DIM)
    index.add(range(1600), [b"large"] * 1500 + [b"small"] * 100, rows)
    index.add([2000, 2001, 2002], [b"large"] * 3, rows[[5, 5, 6]])
    index.remove(range(100, 300))
    return index, rows


def answers(index, rows):
    return [
        (found.ids.tolist(), found.similarities.tolist(), None if found.errors is None else found.errors.tolist())
        for name in (b"large", b"small", b"none")
        for found in index.search(name, rows[:40], floor=0.2, k=7)
    ]


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_what_was_saved_comes_back_and_goes_on(tmp_path, backend, dtype):
    path = str(tmp_path / "index")
    index, rows = filled(backend, dtype)
    index.save(path, "sequence 7, é")
    again = HnswIndex(backend=backend)
    assert again.load(path, DIM, dtype) == "sequence 7, é"
    assert again.dtype == dtype
    assert answers(again, rows) == answers(index, rows)
    assert again.size() == index.size() == 1403
    assert again.tombstones() == index.tombstones() == 200
    assert is_graph(again, b"large")
    assert not is_graph(again, b"small")
    held = {at: rows[at] for at in range(1500) if not 100 <= at < 300}
    for each in (index, again):
        each.add([0, 3000], [b"large", b"small"], -rows[:2])  # replaced, and new
        each.add([2003, 2000], [b"large"] * 2, rows[[5, 150]])  # equal to a living one, and to a dead one
        assert each.tombstones() == 200
        assert each.remove([2001, 2002, 1]) == 3
        assert each.search(b"large", -rows[:1], floor=0.99, k=1)[0].ids.tolist() == [0]
        found = each.search(b"large", near(rows[400:420], seed=1), floor=-2.0, k=5)
        assert all(set(matches.ids.tolist()) <= set(held) | {2000, 2003} for matches in found)
        each.close()


def test_an_index_half_way_through_a_rebuild_is_saved_too(tmp_path):
    path = str(tmp_path / "index")
    index = made()
    rows = clustered(2600, DIM)
    index.add(range(2400), [b"p"] * 2400, rows[:2400])
    index.remove(range(900))
    for at in range(2400, 2600):
        index.add([at], [b"p"], rows[at : at + 1])
    assert partition_of(index)._coming is not None
    index.save(path, "")
    again = HnswIndex()
    again.load(path, DIM, "float32")
    held = dict(enumerate(rows[900:], 900))
    assert recall(again, held, near(rows[1000:1060], seed=3)) > 0.97
    again.add([1, 2], [b"p"] * 2, rows[1:3])
    assert partition_of(again)._coming is not None
    index.close()
    again.close()


def test_an_empty_index_is_saved_too(tmp_path):
    path = str(tmp_path / "index")
    index = made()
    index.save(path, "nothing")
    assert index.load(path, DIM, "float32") == "nothing"
    assert index.size() == 0
    index.close()


@(
    pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes there")
    if sys.platform == "win32"
    else (lambda test: test)
)
def test_only_its_owner_may_read_the_file(tmp_path):
    path = tmp_path / "index"
    path.write_text("of somebody else")
    path.chmod(0o644)
    index, _ = filled()
    index.save(str(path), "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    index.close()


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "index"
    index, _ = filled()
    index.save(str(path), "first")
    before = path.read_bytes()
    monkeypatch.setattr(json, "dumps", _no_space)
    with pytest.raises(OSError, match="no space"):
        index.save(str(path), "second")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="No such"):
        index.save(str(tmp_path / "nowhere" / "index"), "")
    index.close()


def _no_space(*_):
    raise OSError("no space left")


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_damage_anywhere_is_noticed(tmp_path, backend, dtype):
    path = tmp_path / "index"
    index, _ = filled(backend, dtype)
    index.save(str(path), "stamp")
    index.close()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    edges = [0, 5, len(_hnsw_file.HEAD), len(whole) - 1, len(whole) - 9, len(whole) - 13, len(whole) - 21]
    for at in [*edges, *range(len(whole) - 400, len(whole) - 20, 37), *rng.integers(0, len(whole), 60).tolist()]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        refused(path, bytes(damaged), backend, dtype)
    path.write_bytes(whole)
    again = HnswIndex(backend=backend)
    assert again.load(str(path), DIM, dtype) == "stamp"
    again.close()


def test_a_file_that_was_cut_off_or_is_another_is_refused(tmp_path):
    path = tmp_path / "index"
    index, _ = filled()
    index.save(str(path), "stamp")
    index.close()
    whole = path.read_bytes()
    for length in (0, 1, 13, 30, 1000, len(whole) // 2, len(whole) - 40, len(whole) - 1):
        refused(path, whole[:length])
    refused(path, whole + b"\0")
    refused(path, whole + whole)
    refused(path, b"SQLite format 3\0" + bytes(1000))
    refused(path, _hnsw_file.HEAD + bytes(1000))
    with pytest.raises(FileNotFoundError):
        HnswIndex().load(str(tmp_path / "nowhere"), DIM, "float32")
    with pytest.raises(OSError, match=r"directory|denied"):
        HnswIndex().load(str(tmp_path), DIM, "float32")


def refused(path, data, backend="usearch", dtype="float32"):
    path.write_bytes(data)
    index = HnswIndex(backend=backend)
    with pytest.raises(CorruptCacheError, match="is not a usable hnsw index"):
        index.load(str(path), DIM, dtype)
    with pytest.raises(RuntimeError, match="call open"):
        index.size()  # nothing was loaded
    assert path.read_bytes() == data
    index.close()


def test_an_index_of_another_kind_is_refused_and_named(tmp_path):
    path = str(tmp_path / "index")
    index, _ = filled()
    index.save(path, "stamp")
    index.close()
    for options, shape, says in (
        ({}, (DIM + 1, "float32"), "its dim is 24 and not 25"),
        ({}, (DIM, "int8"), "its dtype is 'float32' and not 'int8'"),
        ({"m": 8}, (DIM, "float32"), "its m is 16 and not 8"),
        ({"ef_construction": 8}, (DIM, "float32"), "its ef_construction is 200 and not 8"),
    ):
        other = HnswIndex(**options)
        with pytest.raises(CorruptCacheError, match=says):
            other.load(path, *shape)
        other.close()
    wider = HnswIndex(ef=500)  # how wide a search is has nothing to do with what is saved
    assert wider.load(path, DIM, "float32") == "stamp"
    wider.close()


def test_what_the_library_cannot_load_is_refused_though_the_sums_agree(tmp_path):
    path = tmp_path / "index"
    index, _ = filled()
    index.save(str(path), "stamp")
    index.close()
    data = path.read_bytes()
    length, _, word = _hnsw_file.END.unpack(data[-_hnsw_file.END.size :])
    table = json.loads(data[-_hnsw_file.END.size - length : -_hnsw_file.END.size])
    body = bytearray(data[: -_hnsw_file.END.size - length])
    graph = table["sections"][0]
    arrays = len(_hnsw_file.HEAD) + 16 * graph["rows"] + 8 * graph["nodes"]
    for begins, ends in ((arrays, arrays + 8), (len(_hnsw_file.HEAD) + 8, len(_hnsw_file.HEAD) + 16)):
        changed = body.copy()
        changed[begins:ends] = changed[begins - 8 : ends - 8]  # the graph's head, or an id that is there twice
        graph["crc32"] = zlib.crc32(changed[len(_hnsw_file.HEAD) :][: graph["length"]])
        text = json.dumps(table).encode()
        path.write_bytes(bytes(changed) + text + _hnsw_file.END.pack(len(text), zlib.crc32(text), word))
        with pytest.raises(CorruptCacheError, match="cannot be made an index of"):
            HnswIndex().load(str(path), DIM, "float32")


def test_loading_again_replaces_everything_and_a_closed_index_loads_nothing(tmp_path, monkeypatch):
    scan_up_to(monkeypatch, 0)
    path = str(tmp_path / "index")
    index = made()
    rows = clustered(50, DIM)
    index.add([1], [b"p"], rows[:1])
    index.save(path, "one")
    index.add([2, 3], [b"p", b"q"], rows[1:3])
    assert index.load(path, DIM, "float32") == "one"
    assert index.size() == 1
    assert not len(index.search(b"q", rows[2:3], floor=-2.0, k=1)[0].ids)
    index.close()
    for call in (lambda: index.load(path, DIM, "float32"), lambda: index.save(path, "")):
        with pytest.raises(CacheClosedError):
            call()
