"""`dumps` and `loads`, on both faces: what goes into an archive comes out, and a failure leaves nothing behind."""

import io
import stat
from pathlib import Path

import pytest

from faces.adapter import UNGUARDED, Blocking, Compass, assert_sound
from mneme import CheckpointError, EmbedderMismatchError, MemoryStore, SQLiteStore
from mneme._engine import notes
from mneme._runtime.drive import complete
from mneme.ports import Selection


@pytest.fixture
def load(face, clock):
    """Call `loads` on the face; every cache it gives is checked and closed at the end."""
    opened = []

    def load_(source, *args, **options):
        cache = face.run(face.cls.loads(source, *args, **{"clock": clock, **UNGUARDED, **options}))
        opened.append(cache)
        return cache if face.name == "sync" else Blocking(face, cache)

    yield load_
    for cache in opened:
        wrapped = cache if face.name == "sync" else Blocking(face, cache)
        if not cache._core.closed:
            assert_sound(wrapped)
        wrapped.close()


@pytest.fixture
def filled(cache, clock):
    """A cache with a bit of everything in it."""
    cache.put("rain @10", "yes", tags=("weather", "w"), metadata={"by": "me", "n": 1.5})
    clock.advance(1.25)
    cache.put("sun @80", {"deep": [1, None, "x"]}, namespace="shop", scope={"model": "m"}, ttl=60)
    cache.put("bytes @120", bytes(range(256)), namespace="shop", scope="s")
    cache.put("too @long", "exact alone", namespace="ünïcode 名")
    cache.get_or_compute("costly @200", lambda _: "done", ttl="1h", stale_ttl="2h", cost=2.5)
    clock.advance(2)
    assert cache.get("rain @11") is not None
    assert cache.get("sun @80", namespace="shop", scope={"model": "m"}) is not None
    assert cache.get("nothing @300") is None
    return cache


def contents(store):
    """Everything in a store but ids and sequence numbers, vectors bit by bit."""
    records = store.scan(Selection(), limit=10_000, vectors=True)
    rows = [
        (*record._replace(id=0, seq=0, vector=None), None if record.vector is None else record.vector.tobytes())
        for record in records
    ]
    counters = {part.namespace: part.counters for part in store.summary()}
    return sorted(rows, key=lambda row: row[0]), counters


def counted(stats):
    """What of the statistics does not depend on what is in memory."""
    names = ("entries", "hits_exact", "hits_semantic", "misses", "seconds_saved", "cost_saved", "embedder_fingerprint")
    return [getattr(stats, name) for name in names]


def store_of(cache):
    return cache._core.store._port


def archive_of(cache, **options):
    stream = io.BytesIO()
    cache.dumps(stream, **options)
    return stream.getvalue()


def test_everything_comes_back_as_it_was(filled, load, tmp_path, clock):
    done = filled.dumps(tmp_path / "a.mneme")
    clock.advance(10)
    loaded = load(tmp_path / "a.mneme", tmp_path / "new.db", Compass())
    assert contents(store_of(loaded)) == contents(store_of(filled))
    assert (done.entries, done.namespaces) == (5, ("default", "shop", "ünïcode 名"))
    assert done.bytes == (tmp_path / "a.mneme").stat().st_size
    assert counted(loaded.stats()) == counted(filled.stats())
    hit = loaded.get("rain @12")
    assert (hit.response, hit.metadata, hit.layer) == ("yes", {"by": "me", "n": 1.5}, "semantic")
    assert loaded.get("bytes @120", namespace="shop", scope="s").response == bytes(range(256))
    clock.advance(60)
    assert loaded.get("sun @80", namespace="shop", scope={"model": "m"}) is None


def test_an_archive_is_private_and_replaces_an_older_one_whole(filled, load, tmp_path):
    path = tmp_path / "a.mneme"
    filled.dumps(path)
    filled.put("another @250", "more")
    filled.dumps(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir() if "mneme" in file.name] == ["a.mneme"]
    assert load(path, ":memory:", Compass()).stats().entries == 6


def test_what_is_no_checkpoint_is_not_overwritten(filled, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear all")
    with pytest.raises(CheckpointError, match=r"letter\.txt.* is no checkpoint"):
        filled.dumps(path)
    assert path.read_text() == "dear all"


def test_the_database_of_the_cache_is_not_overwritten(face, open_cache, cache_path):
    cache = open_cache(cache_path, Compass())
    cache.put("rain @10", "yes")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        cache.dumps(cache_path)
    assert cache.get("rain @10").response == "yes"


class OneWay(io.RawIOBase):
    """A stream as a pipe is one: neither seekable nor willing to take or give much at a time."""

    def __init__(self, data=b""):
        self.data = bytearray(data)

    def writable(self):
        return True

    def readable(self):
        return True

    def write(self, data):
        taken = bytes(data[:1000])
        self.data += taken
        return len(taken)

    def readinto(self, buffer):
        part = bytes(self.data[: min(len(buffer), 77)])
        del self.data[: len(part)]
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("to_a_store", [True, False])
def test_streams_need_not_be_seekable(filled, load, tmp_path, to_a_store):
    pipe = OneWay()
    done = filled.dumps(pipe)
    assert len(pipe.data) == done.bytes
    target = {"store": MemoryStore()} if to_a_store else {"path": tmp_path / "new.db"}
    loaded = load(OneWay(pipe.data), embedder=Compass(), **target)
    assert contents(store_of(loaded)) == contents(store_of(filled))


def test_a_stream_is_read_from_where_it_stands(filled, load):
    stream = io.BytesIO(b"before" + archive_of(filled))
    stream.seek(6)
    assert load(stream, store=MemoryStore(), embedder=Compass()).stats().entries == 5


def test_namespaces_can_be_chosen_on_both_ways(filled, load):
    assert filled.dumps(io.BytesIO(), namespace="shop").entries == 2
    two = io.BytesIO()
    done = filled.dumps(two, namespace=["shop", "default"])
    assert (done.entries, done.namespaces) == (4, ("default", "shop"))
    one = load(io.BytesIO(two.getvalue()), ":memory:", Compass(), namespace=("shop", "nobody's"))
    assert one.list_namespaces() == ["shop"]
    assert counted(one.stats()) == counted(filled.stats("shop"))


@pytest.mark.parametrize("namespace", [b"shop", [], 5, [5], ""])
def test_what_is_no_namespace_is_refused(filled, namespace):
    with pytest.raises((TypeError, ValueError), match="namespace"):
        filled.dumps(io.BytesIO(), namespace=namespace)


def test_another_embedder_is_refused_and_nothing_is_made(filled, load, tmp_path):
    archive = archive_of(filled)
    with pytest.raises(EmbedderMismatchError, match=r"compass-1.*other"):
        load(io.BytesIO(archive), tmp_path / "new.db", Compass("other"))
    other = Compass()
    other.dim = 33
    with pytest.raises(EmbedderMismatchError, match="33"):
        load(io.BytesIO(archive), tmp_path / "new.db", other)
    assert not (tmp_path / "new.db").exists()
    bound = SQLiteStore(tmp_path / "bound.db")
    bound.open("other", 32)
    with pytest.raises(EmbedderMismatchError):
        load(io.BytesIO(archive), store=bound)


def test_without_an_embedder_the_store_is_bound_to_that_of_the_archive(filled, load, tmp_path):
    path = tmp_path / "new.db"
    first = load(io.BytesIO(archive_of(filled)), path)
    assert first.stats().embedder_fingerprint == "compass-1"
    first.close()
    with pytest.raises(EmbedderMismatchError):
        load(io.BytesIO(archive_of(filled)), path, Compass("other"), merge=True)


def test_a_file_that_exists_is_refused(filled, load, tmp_path):
    path = tmp_path / "there.db"
    path.write_bytes(b"something")
    with pytest.raises(CheckpointError, match="there is a file"):
        load(io.BytesIO(archive_of(filled)), path, Compass())
    assert path.read_bytes() == b"something"


def test_a_store_with_entries_is_refused_and_left_as_it_was(filled, load, open_cache, tmp_path):
    with open_cache(tmp_path / "there.db", Compass()) as there:
        there.put("own @90", "mine")
    with pytest.raises(CheckpointError, match="holds entries"):
        load(io.BytesIO(archive_of(filled)), store=Foreign(tmp_path / "there.db"))
    assert open_cache(tmp_path / "there.db", Compass()).stats().entries == 1


class Foreign:
    """A store that is none of ours: it has the verbs, and no more is known of it."""

    def __init__(self, path):
        held = SQLiteStore(path)
        self.name = "foreign"
        for verb in [
            "open",
            "read",
            "write",
            "delete",
            "record",
            "scan",
            "vectors",
            "changes",
            "summary",
            "check",
            "compact",
            "close",
        ]:
            setattr(self, verb, getattr(held, verb))


def test_merging_keeps_the_later_of_two(filled, load, open_cache, clock, tmp_path):
    archive = archive_of(filled)
    with open_cache(tmp_path / "there.db", Compass()) as there:
        there.put("rain @10", "newer", metadata={"kept": True})
        there.put("own @90", "mine")
    merged = load(io.BytesIO(archive), tmp_path / "there.db", Compass(), merge=True)
    assert merged.stats().entries == 6
    assert merged.get("rain @10").response == "newer"
    assert merged.get("own @90").response == "mine"
    assert merged.get("costly @200").response == "done"
    again = archive_of(merged)
    merged.close()
    older = load(io.BytesIO(archive), tmp_path / "other.db", Compass())
    older.close()
    both = load(io.BytesIO(again), tmp_path / "other.db", Compass(), merge=True)
    assert both.get("rain @10").response == "newer"


def test_wrong_options_are_found_before_anything_is_made(filled, load, tmp_path):
    archive = archive_of(filled)
    for options, error in (
        ({"similarity_threshold": 2}, ValueError),
        ({"no_such_option": 1}, TypeError),
        ({"merge": 1}, TypeError),
        ({"max_archive_bytes": 0}, ValueError),
        ({"progress": 1}, TypeError),
        ({"store": MemoryStore()}, TypeError),
    ):
        with pytest.raises(error):
            load(io.BytesIO(archive), tmp_path / "new.db", Compass(), **options)
    for source in (io.StringIO("text"), 5, None):
        with pytest.raises(TypeError, match="source"):
            load(source, tmp_path / "new.db", Compass())
    for dest in (io.StringIO(), 5, None):
        with pytest.raises(TypeError, match="dest"):
            filled.dumps(dest)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("new.db")] == []


def test_what_is_too_much_for_the_new_cache_is_evicted_by_its_next_write(filled, load):
    small = load(io.BytesIO(archive_of(filled)), ":memory:", Compass(), max_entries=3)
    assert small.stats().entries == 5
    small.put("one more @350", "x")
    assert small.stats().entries == 3
    assert small.get("one more @350") is not None


def test_a_class_of_ones_own_is_made_with_its_own_options(face, filled, clock):
    class Labelled(face.cls):
        def __init__(self, *args, label, **options):
            super().__init__(*args, **options)
            self.label = label

    loading = Labelled.loads(
        io.BytesIO(archive_of(filled)), ":memory:", Compass(), label="mine", similarity_threshold=0.7, clock=clock
    )
    cache = face.run(loading)
    assert (cache.label, cache.similarity_threshold) == ("mine", 0.7)
    face.run(cache.close())


def test_a_cache_that_cannot_be_opened_in_the_new_file_leaves_no_file(filled, load, tmp_path):
    class Unopenable:
        name, dtype = "none", "float32"

        def open(self, *_):
            raise RuntimeError("no index today")

        def close(self):
            pass

        add = remove = search = size = tombstones = memory_bytes = close

    with pytest.raises(RuntimeError, match="no index today"):
        load(io.BytesIO(archive_of(filled)), tmp_path / "new.db", Compass(), index_backend=Unopenable())
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("new.db")] == []


def test_entries_larger_than_the_cache_allows_are_refused(filled, load, tmp_path):
    for option in ("max_query_bytes", "max_response_bytes", "max_metadata_bytes"):
        with pytest.raises(CheckpointError, match=option):
            load(io.BytesIO(archive_of(filled)), tmp_path / "new.db", Compass(), **{option: 4})
    with pytest.raises(CheckpointError, match="max_archive_bytes=100"):
        load(io.BytesIO(archive_of(filled)), tmp_path / "new.db", Compass(), max_archive_bytes=100)
    assert not (tmp_path / "new.db").exists()


def test_progress_is_told_of_and_what_it_raises_ends_the_export(filled, load, tmp_path):
    told = []
    filled.dumps(tmp_path / "a.mneme", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)
    told.clear()
    load(tmp_path / "a.mneme", store=MemoryStore(), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)

    def stop(done, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        filled.dumps(tmp_path / "b.mneme", progress=stop)
    with pytest.raises(KeyError, match="enough"):
        load(tmp_path / "a.mneme", tmp_path / "new.db", progress=stop)
    assert sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("cache.db")) == ["a.mneme"]


def test_an_import_that_fails_half_way_empties_the_store_again(filled, load, tmp_path):
    path = tmp_path / "a.mneme"
    filled.dumps(path)
    with pytest.raises(KeyError, match="enough"):
        load(path, store=Foreign(tmp_path / "new.db"), progress=lambda done, total: {}["enough"])
    store = SQLiteStore(tmp_path / "new.db")
    store.open(None, None)
    assert store.summary() == []
    store.close()
    assert load(path, store=Foreign(tmp_path / "new.db")).stats().entries == 5


def test_notes_of_the_cache_travel_and_are_not_counted(filled, face, load, tmp_path):
    face.run(notes_of(filled))
    done = filled.dumps(tmp_path / "a.mneme")
    assert (done.entries, done.namespaces) == (5, ("default", "shop", "ünïcode 名"))
    loaded = load(tmp_path / "a.mneme", tmp_path / "new.db", Compass())
    assert contents(store_of(loaded)) == contents(store_of(filled))
    assert loaded._core.notes.get("kind", "name") == "text"
    assert loaded.stats().entries == 5
    # With a part of the cache go those that are about it; one about nothing may quote what other tenants asked.
    filled.reject(("one", "other"), namespace="shop")
    filled.reject(("this", "that"))
    whole = archive_of(filled)
    for part in (
        load(io.BytesIO(archive_of(filled, namespace="shop")), store=MemoryStore()),
        load(io.BytesIO(whole), store=MemoryStore(), namespace="shop"),
    ):
        assert part._core.notes.get("kind", "name") is None
        assert len(part._core.notes.denied) == 1
        assert part.reject(("other", "one"), namespace="shop") is False
    assert len(load(io.BytesIO(whole), store=MemoryStore())._core.notes.denied) == 2


def notes_of(cache):
    """Write a note; on the blocking face nothing suspends."""
    writing = notes.write(cache._core, "kind", "name", "text")
    return writing if isinstance(cache, Blocking) else complete(writing)


def test_an_empty_cache_makes_an_archive_too(cache, load, tmp_path):
    assert cache.dumps(tmp_path / "a.mneme").entries == 0
    assert load(tmp_path / "a.mneme", tmp_path / "new.db", Compass()).stats().entries == 0


def test_a_cache_without_vectors_can_be_loaded_with_any_embedder(open_cache, load, tmp_path):
    cache = open_cache(tmp_path / "plain.db", None)
    cache.put("rain", "yes")
    cache.dumps(tmp_path / "a.mneme")
    loaded = load(tmp_path / "a.mneme", tmp_path / "new.db", Compass("any"))
    assert loaded.get("rain").response == "yes"
    assert loaded.stats().embedder_fingerprint == "any"


def test_a_device_is_written_to_and_not_replaced(filled):
    assert filled.dumps("/dev/null").entries == 5
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_place_that_cannot_be_written_to_is_told_of(filled, tmp_path):
    for path in (tmp_path / "no such directory" / "a.mneme", tmp_path):
        with pytest.raises(CheckpointError, match=tmp_path.name):
            filled.dumps(path)


def test_an_archive_that_is_not_there_is_told_of(load, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path / "missing.mneme", tmp_path / "new.db")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path, tmp_path / "new.db")
    assert list(tmp_path.iterdir()) == []
