"""Taking entries away, listing them, and giving space back."""

import itertools

import pytest

from faces.adapter import direction


def fill(cache, clock):
    """Eight entries, ten seconds apart: two namespaces, two scopes, and tags a, b."""
    tags = [("a",), ("b",), ("a", "b"), ()]
    degrees = itertools.count(0, 20)
    for namespace in ("default", "other"):
        for number, of_entry in enumerate(tags):
            scope = "s" if number % 2 else None
            cache.put(
                f"{namespace} {number} @{next(degrees)}", str(number), namespace=namespace, scope=scope, tags=of_entry
            )
            clock.advance(10)


def left(cache):
    return {entry.query.split(" @")[0] for entry in cache.entries()}


EVERYTHING = {f"{namespace} {number}" for namespace in ("default", "other") for number in range(4)}

# What is given, and what must go. The last entry is 10 seconds old, the first 80.
SELECTIONS = [
    ({"tags": ["a"]}, {"default 0", "default 2", "other 0", "other 2"}),
    ({"tags": ("a", "b")}, {"default 0", "default 1", "default 2", "other 0", "other 1", "other 2"}),
    ({"tags": {"nobody"}}, set()),
    ({"tags": []}, set()),
    ({"namespace": "other"}, {"other 0", "other 1", "other 2", "other 3"}),
    ({"namespace": "nobody"}, set()),
    ({"scope": "s"}, {"default 1", "default 3"}),
    ({"scope": "s", "namespace": "other"}, {"other 1", "other 3"}),
    ({"scope": {}, "namespace": "other"}, set()),
    ({"older_than": 45}, {"default 0", "default 1", "default 2", "default 3"}),
    ({"older_than": "1m15s"}, {"default 0"}),
    ({"older_than": 80}, set()),
    ({"tags": ["b"], "namespace": "other"}, {"other 1", "other 2"}),
    ({"tags": ["b"], "scope": "s"}, {"default 1"}),
    ({"tags": ["a"], "older_than": 45}, {"default 0", "default 2"}),
    ({"namespace": "other", "older_than": 25}, {"other 0", "other 1"}),
    ({"tags": ["b"], "namespace": "other", "scope": "s", "older_than": 25}, {"other 1"}),
    ({"tags": ["b"], "namespace": "other", "scope": "s", "older_than": 35}, set()),
]


@pytest.mark.parametrize(("criteria", "gone"), SELECTIONS, ids=[str(given) for given, _ in SELECTIONS])
def test_invalidate_removes_what_satisfies_all_that_is_given(cache, clock, criteria, gone):
    fill(cache, clock)
    assert cache.invalidate(**criteria) == len(gone)
    assert left(cache) == EVERYTHING - gone
    assert cache.stats().entries == len(EVERYTHING - gone)
    for position, name in enumerate(["default 0", "default 1", "default 2", "default 3", "other 0"]):
        place = {"namespace": name.split()[0], "scope": "s" if int(name[-1]) % 2 else None}
        for query in (f"{name} @{position * 20}", f"near @{position * 20 + 1}"):
            assert (cache.get(query, similarity_threshold=0.99, **place) is None) == (name in gone)


def test_invalidate_of_nothing_in_particular_is_refused_and_names_clear(cache, clock):
    fill(cache, clock)
    with pytest.raises(ValueError, match=r"at least one of tags, namespace, scope and older_than; clear\(\)"):
        cache.invalidate()
    assert left(cache) == EVERYTHING


def test_delete_by_query_removes_the_entry_of_an_equal_query_there(cache):
    cache.put("Rain @0", "water")
    cache.put("Rain @0", "other", namespace="n")
    assert cache.delete("sun") is False
    assert cache.delete("rain @0", scope="s") is False
    assert cache.delete("  RAIN @0") is True
    assert cache.delete("rain @0") is False
    assert cache.get("rain @0") is None
    assert cache.get("mist @1") is None
    assert cache.get("rain @0", namespace="n").response == "other"


def test_delete_by_hit_removes_where_it_came_from(cache):
    cache.put("rain @0", "water", namespace="n", scope={"a": 1})
    cache.put("rain @0", "other")
    hit = cache.get("mist @1", namespace="n", scope={"a": 1})
    assert cache.delete(hit) is True
    assert cache.delete(hit) is False
    assert cache.get("mist @1", namespace="n", scope={"a": 1}) is None
    assert cache.get("rain @0").response == "other"


def test_clearing_counts_and_keeps_counters(cache, clock):
    fill(cache, clock)
    assert cache.get("default 0 @0")
    assert cache.clear_namespace("other") == 4
    assert cache.clear_namespace("other") == 0
    assert cache.list_namespaces() == ["default"]
    assert cache.clear() == 4
    assert cache.clear() == 0
    assert cache.list_namespaces() == []
    assert cache.get("default 0 @0") is None
    assert cache.get("p @1") is None
    assert cache.stats().hits_exact == 1
    cache.put("new @0", "1")
    assert cache.get("p @1").response == "1"


def test_namespaces_are_listed_in_order(cache):
    for name in ("b", "ä", "a", "B", "default", "日本"):
        cache.put("q", "a", namespace=name)
    assert cache.list_namespaces() == sorted(["b", "ä", "a", "B", "default", "日本"])


def test_vacuum_removes_what_has_expired_and_only_there(cache, clock, events):
    for namespace in "ab":
        cache.put("short @0", "1", ttl=5, namespace=namespace)
        cache.put("long @40", "2", ttl=50, namespace=namespace)
        cache.put("ever @80", "3", namespace=namespace)
    assert cache.vacuum() == 0
    clock.advance(5)
    assert cache.vacuum(namespace="a", compact=False) == 1
    assert [entry.query for entry in cache.entries(namespace="a")] == ["long @40", "ever @80"]
    assert len(cache.entries(namespace="b")) == 3
    clock.advance(45)
    assert cache.vacuum() == 3
    assert cache.stats().expirations == 4
    told = [(fields["namespace"], fields["count"]) for fields in events.of("expire")]
    assert sorted(told) == [("a", 1), ("a", 1), ("b", 2)]
    assert cache.get("ever @80", namespace="b").response == "3"


def test_compacting_gives_space_back(open_cache, cache_path):
    cache = open_cache(cache_path)
    cache.put_many([(f"q{number}", "answer" * 2000) for number in range(200)])
    cache.clear()
    assert cache.compact() > 200 * 6000
    assert cache.compact() == 0
    cache.put("rain @0", "water")
    assert cache.get("rain @0").response == "water"


def test_compacting_a_cache_in_memory_is_harmless(open_cache):
    cache = open_cache()
    cache.put("rain @0", "water")
    assert cache.compact() >= 0
    assert cache.get("rain @0").response == "water"


# --- listing ---------------------------------------------------------------------------------------------------------


def test_entries_are_paged_in_order_of_id(cache):
    cache.put_many([(f"q{number}", str(number)) for number in range(25)])
    pages, after = [], 0
    while page := cache.entries(after=after, limit=10):
        pages.append([entry.response for entry in page])
        after = page[-1].entry_id
    assert [len(page) for page in pages] == [10, 10, 5]
    assert sum(pages, []) == [str(number) for number in range(25)]  # noqa: RUF017 -- three pages


def test_entries_are_filtered_by_all_that_is_given(cache, clock):
    fill(cache, clock)

    def found(**options):
        return {entry.query.split(" @")[0] for entry in cache.entries(**options)}

    assert found() == EVERYTHING
    assert found(namespace="other") == {"other 0", "other 1", "other 2", "other 3"}
    assert found(tags=["b"]) == {"default 1", "default 2", "other 1", "other 2"}
    assert found(tags=["b"], namespace="other", contains="R 2") == {"other 2"}
    assert found(contains="DEFAULT") == {"default 0", "default 1", "default 2", "default 3"}
    assert found(contains="nowhere") == set()
    assert found(tags=[]) == set()
    first = cache.entries(contains="other", limit=2)
    assert [entry.response for entry in first] == ["0", "1"]
    rest = cache.entries(contains="other", after=first[-1].entry_id)
    assert [entry.response for entry in rest] == ["2", "3"]


def test_what_is_contained_is_found_beyond_the_first_page_of_the_store(cache):
    cache.put_many([(f"q{number}", "a") for number in range(1500)] + [("needle", "b")])
    assert [entry.response for entry in cache.entries(contains="NEEDLE")] == ["b"]
    assert len(cache.entries(contains="q1", limit=5)) == 5


def test_an_entry_says_everything(cache, clock):
    cache.put("Rain @0", {"a": 1}, scope={"m": 1}, metadata={"k": "v"}, tags=["x", "y", "x"], ttl=60)
    [entry] = cache.entries()
    assert (entry.namespace, entry.scope, entry.query, entry.response) == ("default", {"m": 1}, "Rain @0", {"a": 1})
    assert (entry.metadata, entry.tags) == ({"k": "v"}, ("x", "y"))
    now = clock.now()
    assert (entry.created_at, entry.accessed_at, entry.expires_at) == (now, now, now + 60)
    assert entry.compute_seconds == 0.0


def test_an_entry_found_by_vector_can_be_deleted_and_put_again(cache):
    cache.put("one", "water", embedding=direction(10))
    assert cache.delete(cache.get("other", embedding=direction(11)))
    assert cache.get("other", embedding=direction(11)) is None
    cache.put("one", "again", embedding=direction(200))
    assert cache.get("other", embedding=direction(11)) is None
    assert cache.get("other", embedding=direction(201)).response == "again"
