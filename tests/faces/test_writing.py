"""Storing answers: what is kept, what is refused, and that nothing is shared with the caller."""

import pytest

from mneme import MemoryStore, SQLiteStore, half_life


def test_an_equal_query_replaces_keeps_its_id_and_starts_anew(cache, clock):
    cache.put("rain @0", "old", tags=("a",), metadata={"v": 1}, ttl=10)
    first = cache.get("rain @0").entry_id
    clock.advance(9)
    assert cache.put("RAIN  @0", "new", tags=("b",)) is True
    hit = cache.get("rain @0")
    assert (hit.response, hit.entry_id, hit.metadata, hit.age_seconds) == ("new", first, {}, 0.0)
    [entry] = cache.entries()
    assert (entry.tags, entry.expires_at, entry.query) == (("b",), None, "RAIN  @0")
    clock.advance(100)
    assert cache.get("mist @1").response == "new"


RESPONSES = {
    "text": "täxt \U0001f327",
    "surrogate": "broken \ud800",
    "bytes": bytes(range(256)),
    "no bytes": b"",
    "none": None,
    "false": False,
    "zero": 0,
    "float": 0.1,
    "whole float": 1.0,
    "big": 10**50,
    "list": [1, 1.0, True, None, "x", [], {}],
    "dict": {"b": 1, "a": {"c": [1.5]}, "": ""},
    "empty list": [],
}


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
def test_a_response_comes_back_as_it_went_in_from_memory_store_and_computation(cache, response):
    assert cache.put("rain @0", response)
    again = [cache.get("rain @0").response, cache.get("mist @1").response, cache.entries()[0].response]
    again += [cache.get_or_compute("rain @0", str), cache.get_many(["rain @0"])[0].response]
    again.append(cache.get_or_compute("sun @90", lambda query: response))
    again.append(cache.get("sun @90").response)
    for found in again:
        assert repr(found) == repr(response)


def test_nothing_is_shared_with_the_caller(cache):
    response, metadata, tags = {"list": [1]}, {"deep": {"a": 1}}, ["x"]
    cache.put("rain @0", response, metadata=metadata, tags=tags)
    response["list"].append(2)
    metadata["deep"]["a"] = 2
    tags.append("y")
    for query in ("rain @0", "rain @0", "mist @1", "mist @1"):
        hit = cache.get(query)
        assert (hit.response, hit.metadata) == ({"list": [1]}, {"deep": {"a": 1}})
        hit.response["list"].append(3)
        hit.metadata["deep"]["a"] = 3
    value = cache.get_or_compute("rain @0", str)
    value["list"].append(4)
    for entry in [*cache.entries(), *cache.entries()]:
        assert (entry.response, entry.metadata, entry.tags) == ({"list": [1]}, {"deep": {"a": 1}}, ("x",))
        entry.response["list"].append(5)
    assert cache.lookup("rain @0")[0].response == {"list": [1]}


def test_a_computed_value_is_not_shared_with_the_cache(cache):
    mine = [1]
    value = cache.get_or_compute("rain @0", lambda query: mine)
    value.append(2)
    mine.append(3)
    assert cache.get("rain @0").response == [1]


def test_metadata_may_be_any_mapping_of_json_values(cache):
    from types import MappingProxyType

    cache.put("rain @0", "water", metadata=MappingProxyType({"a": [1, None]}))
    assert cache.get("rain @0").metadata == {"a": [1, None]}
    cache.put("rain @0", "water", metadata={})
    assert cache.get("rain @0").metadata == {}


class Fractions:
    """A codec for complex numbers."""

    name = "complex-1"

    def encode(self, value):
        if not isinstance(value, complex):
            raise TypeError(f"{type(value).__name__} is no complex number")
        return repr(value).encode()

    def decode(self, payload):
        return complex(payload.decode())


def test_a_codec_carries_what_json_cannot(open_cache, cache_path, compass, clock):
    cache = open_cache(cache_path, codec=Fractions())
    cache.put("rain @0", 1 + 2j)
    cache.put("sun @90", "text")
    assert cache.get("rain @0").response == 1 + 2j
    assert cache.get("mist @1").response == 1 + 2j
    with pytest.raises(TypeError, match="set is no complex number"):
        cache.put("rain @0", {1})
    cache.close()
    again = open_cache(cache_path, codec=Fractions())
    assert again.get("rain @0").response == 1 + 2j
    again.close()
    without = open_cache(cache_path)
    assert without.get("sun @90").response == "text"
    with pytest.raises(TypeError, match=r"complex-1.*same codec="):
        without.get("rain @0")


# --- validation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["", "  \n", "[ERROR] no model", "[LLM Error] no model"])
def test_what_is_no_answer_is_refused_with_an_event_and_not_written(cache, events, response):
    assert cache.put("rain @0", response) is False
    assert cache.put_many([("rain @0", response), ("sun @90", "hot")]) == 1
    assert [entry.query for entry in cache.entries()] == ["sun @90"]
    assert events.of("put_rejected") == [{"namespace": "default", "query": "rain @0"}] * 2
    assert len(events.of("put")) == 1
    assert cache.get_or_compute("mist @2", lambda query: response) == response
    assert cache.get("mist @2") is None


def test_a_refused_replacement_leaves_the_old_answer(cache):
    cache.put("rain @0", "water")
    assert cache.put("rain @0", "[ERROR]") is False
    assert cache.get("rain @0").response == "water"


def test_a_validator_of_the_callers_decides_instead(open_cache):
    cache = open_cache(validator=lambda response: response != "no")
    assert cache.put("rain @0", "no") is False
    assert cache.put("rain @0", "") is True


def test_an_entry_that_the_validator_refuses_later_is_absent_and_removed(open_cache, make_store, events):
    refused = set()
    cache = open_cache(store=make_store(), validator=lambda response: response not in refused)
    cache.put_many([("rain @0", "water"), ("sun @90", "hot"), ("snow @3", "cold")])
    assert cache.get("rain @0").response == "water"
    refused.add("water")
    assert cache.get("mist @1").response == "cold"
    assert [entry.query for entry in cache.entries()] == ["sun @90", "snow @3"]
    assert cache.get("rain @0", similarity_threshold=1) is None
    refused.add("hot")
    assert cache.get("sun @90") is None
    assert events.of("miss")[-1]["reason"] == "rejected"
    assert [entry.query for entry in cache.entries()] == ["snow @3"]


def test_what_a_validator_raises_reaches_the_writer_and_keeps_readers_out(open_cache):
    fails = []

    def validator(response):
        if fails:
            raise LookupError("validator")
        return True

    cache = open_cache(validator=validator)
    cache.put("rain @0", "water")
    fails.append(True)
    with pytest.raises(LookupError):
        cache.put("sun @90", "hot")
    assert cache.get("rain @0") is None
    fails.clear()
    assert cache.get("rain @0").response == "water"
    assert len(cache.entries()) == 1


def test_an_entry_that_is_not_trusted_enough_is_a_miss_and_stays(open_cache, clock, events):
    cache = open_cache(confidence_fn=half_life(1), min_confidence=0.45)
    cache.put("rain @0", "water")
    clock.advance(3600)
    assert cache.get("rain @0").confidence == pytest.approx(0.5)
    assert cache.get("mist @20").confidence == pytest.approx(0.9396926 / 2)
    clock.advance(3600)
    assert cache.get("rain @0") is None
    assert cache.get("mist @20") is None
    assert [fields["reason"] for fields in events.of("miss")] == ["low_confidence"] * 2
    assert len(cache.entries()) == 1
    cache.put("rain @0", "water again")
    assert cache.get("rain @0").confidence == 1.0


def test_a_less_similar_entry_that_is_trusted_more_answers(open_cache, clock):
    cache = open_cache(confidence_fn=half_life(1), min_confidence=0.6)
    cache.put("old @0", "old")
    clock.advance(3600)
    cache.put("new @20", "new")
    assert cache.get("p @1").response == "new"


def test_without_a_gate_confidence_only_rides_along(open_cache, clock):
    cache = open_cache(confidence_fn=half_life(1))
    cache.put("rain @0", "water")
    clock.advance(36_000)
    assert cache.get("rain @0").confidence == pytest.approx(0.5**10)


# --- many ------------------------------------------------------------------------------------------------------------


def test_put_many_takes_pairs_lists_and_mappings_with_one_call_of_the_embedder(cache, compass):
    stored = cache.put_many(
        iter(
            [
                ("a @0", "1"),
                ["b @40", "2"],
                {"query": "c @80", "response": "3", "namespace": "n", "ttl": "1h", "tags": ["t"], "metadata": {"m": 1}},
                {"query": "d @120", "response": "4", "scope": None},
                {"query": "e", "response": "5", "embedding": [0, 1] + [0] * 30},
            ]
        ),
        scope="s",
        tags=("all",),
        metadata={"default": True},
        ttl=60,
    )
    assert stored == 5
    assert compass.calls == [("a @0", "b @40", "c @80", "d @120")]
    entries = {entry.query: entry for entry in cache.entries()}
    now = entries["a @0"].created_at
    seen = {
        query: (entry.namespace, entry.scope, entry.tags, entry.metadata, entry.expires_at - now)
        for query, entry in entries.items()
    }
    assert seen == {
        "a @0": ("default", "s", ("all",), {"default": True}, 60),
        "b @40": ("default", "s", ("all",), {"default": True}, 60),
        "c @80": ("n", "s", ("t",), {"m": 1}, 3600),
        "d @120": ("default", None, ("all",), {"default": True}, 60),
        "e": ("default", "s", ("all",), {"default": True}, 60),
    }
    assert cache.get("p @90", scope="s").response == "5"


def test_put_many_of_nothing_is_nothing(cache, events):
    assert cache.put_many([]) == 0
    assert events == []


def test_of_equal_queries_in_one_batch_the_last_stays(cache):
    assert cache.put_many([("rain @0", "1"), ("sun @90", "2"), ("RAIN @0", "3")]) == 3  # all were accepted
    assert cache.get("rain @0").response == "3"
    assert cache.stats().entries == 2


BAD_ITEMS = {
    "no pair": ("text", TypeError, "item 2 must be a"),
    "three": (("a", "b", "c"), TypeError, "item 2 must be a"),
    "unknown key": ({"query": "a", "response": "b", "tag": "t"}, TypeError, "item 2 has the unknown key 'tag'.*tags"),
    "no response": ({"query": "a"}, TypeError, "item 2 lacks 'response'"),
    "empty query": (("", "b"), ValueError, "query is empty"),
    "no text": ((3, "b"), TypeError, "query must be a str, not int"),
    "a tuple for a response": (("a", (1,)), TypeError, "tuple"),
    "bad ttl": ({"query": "a", "response": "b", "ttl": -1}, ValueError, "ttl must be positive"),
    "nan vector": ({"query": "a", "response": "b", "embedding": [float("nan")] * 32}, ValueError, "NaN"),
    "bad tags": ({"query": "a", "response": "b", "tags": "t"}, TypeError, "tags must be a collection"),
    "None": (None, TypeError, "item 2 must be a"),
}


@pytest.mark.parametrize(("item", "error", "says"), BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_one_bad_item_and_nothing_of_the_batch_is_stored(cache, compass, item, error, says):
    cache.put("rain @0", "before")
    compass.calls.clear()
    with pytest.raises(error, match=says):
        cache.put_many([("rain @0", "1"), ("sun @90", "2"), item])
    assert [(entry.query, entry.response) for entry in cache.entries()] == [("rain @0", "before")]
    assert compass.calls == []


def test_what_an_iterator_of_items_raises_reaches_the_caller_and_nothing_is_stored(cache):
    def items():
        yield "rain @0", "water"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        cache.put_many(items())
    assert cache.entries() == []


# --- dtypes ----------------------------------------------------------------------------------------------------------


def test_every_dtype_gives_the_same_answers(open_cache, make_store):
    cache = open_cache(store=make_store())
    cache.put_many([(f"q @{degrees / 7:.3f}", str(degrees)) for degrees in range(0, 300, 3)])

    def answers():
        found = []
        for degrees in (0.05, 1.2, 20.3, 31.8, 42.857, 60, 74.7, 75):
            for threshold in (0.5, 0.85, 0.999999, 1.0):
                hit = cache.get(f"p @{degrees}", similarity_threshold=threshold)
                found.append(hit and (hit.response, hit.similarity))
            found.append([(hit.response, hit.similarity) for hit in cache.lookup(f"p @{degrees}", k=7)])
        return found

    before = answers()
    assert len({str(answer) for answer in before}) > 10
    for dtype in ("float16", "int8", "float32"):
        cache.requantize(dtype)
        assert (cache.stats().vector_dtype, cache.health().vector_dtype) == (dtype, dtype)
        assert answers() == before
        cache.put("new @200", dtype)
        assert cache.get("p @200.1").response == dtype


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_cache_may_be_opened_with_another_dtype(open_cache, cache_path, dtype):
    cache = open_cache(cache_path)
    cache.put_many([(f"q @{degrees}", str(degrees)) for degrees in range(0, 90, 2)])
    before = [cache.get(f"p @{degrees}") for degrees in range(90)]
    cache.close()
    again = open_cache(cache_path, vector_dtype=dtype)
    assert again.stats().vector_dtype == dtype
    assert [again.get(f"p @{degrees}") for degrees in range(90)] == before


def test_stores_may_be_passed_instead_of_a_path(open_cache, cache_path):
    for store in (MemoryStore(), SQLiteStore(cache_path)):
        cache = open_cache(store=store)
        cache.put("rain @0", "water")
        assert cache.health().store_backend == store.name
        cache.close()
