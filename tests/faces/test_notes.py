"""Notes: what the cache keeps in its store for itself is durable, and invisible to every verb."""

from collections import Counter

import pytest

from faces.adapter import Blocking, assert_sound
from mneme import StoreBackendError
from mneme._engine import notes
from mneme._rules.reserved import NOTES, subject_of
from mneme._runtime.drive import complete
from mneme.ports import Selection
from mneme.testing import Faults, FlakyStore

ALL = Selection()


@pytest.fixture
def write(face):
    def write_(cache, kind, name, text):
        flow = notes.write(cache._core, kind, name, text)
        face.run(flow) if face.name == "async" else complete(flow)

    return write_


def test_a_note_outlives_the_cache_and_can_be_replaced_and_removed(open_cache, make_store, cache_path, write):
    cache = open_cache(cache_path)
    write(cache, "certificate", "default", "one")
    write(cache, "certificate", "other", "two")
    write(cache, "alarm", "default", "three")
    write(cache, "certificate", "default", "four")
    write(cache, "certificate", "other", None)
    write(cache, "certificate", "nobody", None)
    for _ in range(2):
        held = cache._core.notes
        assert dict(held.of("certificate")) == {"default": "four"}
        assert held.get("alarm", "default") == "three"
        assert held.get("alarm", "other") is None
        assert held.get("nothing", "default") is None
        cache.close()
        cache = open_cache(cache_path)


def test_no_verb_sees_a_note(cache, clock, write):
    write(cache, "alarm", "default", "text")
    cache.put("rain @0", "water")
    write(cache, "alarm", "other", "text")
    assert cache.list_namespaces() == ["default"]
    assert [entry.query for entry in cache.entries()] == ["rain @0"]
    assert [entry.query for entry in cache.entries(contains="a")] == ["rain @0"]
    assert cache.stats().entries == 1
    health = cache.health()
    assert (health.healthy, health.entries, health.namespaces, health.oldest_entry_age_seconds) == (True, 1, 1, 0.0)
    assert cache.get("alarm") is None
    assert [hit.query for hit in cache.lookup("alarm", k=9)] == ["rain @0"]
    clock.advance(10)
    assert cache.vacuum() == 0
    assert_sound(cache)


@pytest.mark.parametrize(
    "remove",
    [
        lambda cache: cache.clear(),
        lambda cache: cache.clear_namespace("default"),
        lambda cache: cache.invalidate(older_than=5),
        lambda cache: cache.invalidate(namespace="default"),
        lambda cache: cache.invalidate(tags=["t"]),
    ],
)
def test_notes_stay_when_answers_go(cache, clock, write, remove):
    write(cache, "alarm", "default", "text")
    cache.put("rain @0", "water", tags=["t"])
    cache.put("snow @90", "ice", tags=["t"])
    clock.advance(10)
    assert remove(cache) == 2
    assert cache.entries() == []
    assert cache._core.notes.get("alarm", "default") == "text"
    assert len(cache._core.store._port.scan(ALL)) == 1


def test_notes_are_neither_counted_nor_evicted(open_cache, make_store, clock, write):
    cache = open_cache(store=make_store(), max_entries=2)
    for number in range(4):
        write(cache, "alarm", str(number), "text")
    for number in range(5):
        clock.advance(1)
        cache.put(f"query {number}", "answer")
    assert [entry.query for entry in cache.entries()] == ["query 3", "query 4"]
    assert len(cache._core.notes.of("alarm")) == 4
    assert cache.stats().evictions == 3


def test_a_follower_sees_the_notes_of_others_after_the_interval(open_cache, cache_path, clock, write):
    first = open_cache(cache_path, multi_process_mode="stale-tolerant")
    second = open_cache(cache_path, multi_process_mode="stale-tolerant")
    write(first, "alarm", "default", "raised")
    assert second._core.notes.get("alarm", "default") is None
    clock.advance(1)
    second.get("anything")
    assert second._core.notes.get("alarm", "default") == "raised"
    assert second.stats().entries == 0
    write(second, "alarm", "default", None)
    clock.advance(1)
    first.get("anything")
    assert first._core.notes.get("alarm", "default") is None


def test_a_note_that_cannot_be_written_is_not_in_memory(open_cache, make_store, write):
    faults = Faults()
    cache = open_cache(store=FlakyStore(make_store(), faults))
    write(cache, "alarm", "default", "before")
    for verb, text in (("write", "after"), ("delete", None)):
        faults.arm(lambda _, name, failing=f"store.{verb}": name == failing)
        with pytest.raises(StoreBackendError):
            write(cache, "alarm", "default", text)
        faults.lift()
        assert cache._core.notes.get("alarm", "default") == "before"
    with pytest.raises(ValueError, match="more than 65536"):
        write(cache, "alarm", "default", "x" * 65_537)
    assert cache._core.notes.get("alarm", "default") == "before"


@pytest.mark.parametrize("namespace", ["mneme:", "mneme:notes", "mneme:mine"])
def test_namespaces_of_the_caches_own_are_refused_on_reading_and_writing(cache, namespace):
    for use in (
        lambda: cache.get("rain @0", namespace=namespace),
        lambda: cache.put("rain @0", "water", namespace=namespace),
        lambda: cache.entries(namespace=namespace),
        lambda: cache.clear_namespace(namespace),
        lambda: cache.stats(namespace),
    ):
        with pytest.raises(ValueError, match="begin with 'mneme:' are the cache's own"):
            use()
    assert cache.put("rain @0", "water", namespace="mneme")


def test_a_semantic_hit_says_what_was_asked(cache):
    cache.put("rain @0", "water")
    assert cache.get("mist @1").asked == "mist @1"
    assert cache.get("Rain @0").asked == ""
    assert cache.lookup("mist @1")[0].asked == "mist @1"


@pytest.fixture
def two_namespaces(open_cache, write):
    """A cache that knows something beside its entries of the namespaces a and b."""
    cache = open_cache()
    for namespace in ("a", "b"):
        cache.put("rain @0", "water", namespace=namespace)
        cache.reject(("mist @1", "rain @0"), namespace=namespace)
        write(cache, "raised", namespace, "0.95")
        write(cache, "certificate", f"={namespace}", "{}")
    write(cache, "certificate", "*", "{}")
    return cache


def known(cache):
    """How many notes there are of each namespace, and of none in particular."""
    return Counter(subject_of(record) for record in cache._core.store._port.scan(Selection(namespace=NOTES)))


def test_forgetting_a_namespace_removes_what_is_known_of_it(two_namespaces):
    assert two_namespaces.forget(namespace="a").entries == 1
    assert known(two_namespaces) == {"b": 4, NOTES: 1}
    assert len(two_namespaces._core.notes.denied) == 1
    assert dict(two_namespaces._core.notes.raised) == {"b": "0.95"}
    two_namespaces.put("rain @0", "water", namespace="a")
    assert two_namespaces.get("mist @1", namespace="a").response == "water"
    assert two_namespaces.forget(namespace="b", tags=["t"]).entries == 0
    assert known(two_namespaces) == {"b": 4, NOTES: 1}


def test_an_archive_of_a_namespace_holds_what_is_known_of_it(two_namespaces, face, compass, tmp_path):
    two_namespaces.dumps(tmp_path / "a.mneme", namespace="a")
    loaded = face.run(face.cls.loads(tmp_path / "a.mneme", tmp_path / "a.db", compass))
    with Blocking(face, loaded) if face.name == "async" else loaded as copy:
        assert known(copy) == {"a": 4}
        assert [entry.namespace for entry in copy.entries()] == ["a"]
        assert copy.get("mist @1", namespace="a") is None
        assert copy.check() == []
