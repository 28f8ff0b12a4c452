"""`plan`: what it reckons is what a cache of that size takes."""

import importlib
import tempfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import store_sizes
from mneme import SemanticCache
from mneme.testing import HashEmbedder

DIM = 384
COUNT = 12_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache of one partition that is large enough for sketches; what it takes by dtype, and its files."""
    path = tmp_path_factory.mktemp("plan") / "cache.db"
    random = np.random.default_rng(5)
    with SemanticCache(path, HashEmbedder(DIM)) as cache:
        for start in range(0, COUNT, 2000):
            cache.put_many(
                {
                    "query": f"{start + number:080d}",
                    "response": "y" * 1000,
                    "embedding": random.standard_normal(DIM, dtype=np.float32),
                }
                for number in range(2000)
            )
        memory = {}
        for dtype in ("float32", "float16", "int8"):
            cache.requantize(dtype)
            for _ in range(300):  # until every row has its sketch
                cache.get("nobody stored this", embedding=random.standard_normal(DIM, dtype=np.float32))
            memory[dtype] = cache.stats().index_memory_bytes
        cache.requantize("float32")
        cache.compact()
    return memory, path.stat().st_size, path.with_name("cache.db-index").stat().st_size


def test_what_it_reckons_is_near_what_a_cache_takes(mneme, filled):
    memory, database, saved = filled
    document = mneme("plan", "--entries", "12k", "--dim", DIM, "--response-bytes", "1000", "--json").document
    assert (document["entries"], document["partitions"], document["query_bytes"]) == (COUNT, 1, 80)
    for plan in document["plans"]:
        # The real one has room to grow into, which is most where there is little.
        assert 0.6 < plan["memory_bytes"] / memory[plan["vector_dtype"]] < 1.1
        assert plan["database_bytes"] == pytest.approx(database, rel=0.05)
        assert plan["saved_index_bytes"] == pytest.approx(saved, rel=0.05)
        assert plan["lookup_bytes"] == COUNT * 40 * 4
        assert 0 < plan["lookup_seconds"] < plan["scan_seconds"]


def test_small_partitions_have_no_sketches(mneme):
    document = mneme("plan", "--entries", "1k", "--dim", "8", "--partitions", "10", "--json").document
    sizes = {plan["vector_dtype"]: plan["lookup_bytes"] for plan in document["plans"]}
    assert sizes == {"float32": 100 * 32, "float16": 100 * 20, "int8": 100 * 16}


def test_it_is_a_table_for_people(mneme):
    ran = mneme("plan", "--entries", "1.5m", "--dim", "768")
    assert ran.code == 0
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert lines[0] == ["vector_dtype", "memory", "saved index", "database", "lookup", "worst case"]
    assert [line[0] for line in lines[1:4]] == ["float32", "float16", "int8"]
    assert lines[4][0].startswith("an entry: ")
    assert lines[1][1].endswith("GiB")


@pytest.mark.parametrize("number", ["ten", "0", "-5", "1kk", ""])
def test_what_is_no_number_is_wrong_usage(mneme, number):
    ran = mneme("plan", "--entries", number, "--dim", "8")
    assert ran.code == 2
    assert "is no number; write 250000, 250k, 10m or 1.5b" in ran.err


# --- other stores ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["memory", "redis", "postgres", "dynamodb"])
def test_what_it_reckons_for_other_stores_is_near_what_their_servers_say(mneme, kind, monkeypatch, server_of):
    monkeypatch.setattr(store_sizes, "COUNT", 1000)
    monkeypatch.setattr(store_sizes, "FEW", 200)
    server, measure = store_sizes.KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="mneme-sizes-") as directory:
        if kind == "redis":  # of its own: all that it holds counts
            with importlib.import_module("servers.redis").serving(Path(directory, "redis")) as address:
                taken = measure(address, (DIM, 80, 1000))
        else:
            taken = measure(None if server is None else server_of(server), (DIM, 80, 1000))
    said = mneme(
        "plan", "--entries", "1k", "--dim", DIM, "--response-bytes", "1000", "--store", kind, "--json"
    ).document
    assert said["entry_bytes"] == pytest.approx(taken, rel=0.12)
    assert {plan["database_bytes"] for plan in said["plans"]} == {said["entry_bytes"] * 1000}


@pytest.mark.parametrize(("kind", "adds"), [("postgres", 5.4), ("redis", 12), ("memory", None), ("dynamodb", None)])
def test_it_says_what_a_searching_server_takes(mneme, kind, adds):
    arguments = ("plan", "--entries", "1m", "--dim", DIM, "--store", kind)
    more = mneme(*arguments, "--json").document["server_search_bytes"]
    assert more == (None if adds is None else pytest.approx(adds * DIM * 1_000_000, rel=0.02))
    assert ("index_backend='store': " in mneme(*arguments).out) is (adds is not None)


def test_a_month_on_dynamodb_is_units_times_prices(mneme):
    arguments = ("plan", "--entries", "1m", "--dim", DIM, "--response-bytes", "1000", "--store", "dynamodb")
    said = mneme(*arguments, "--json").document
    assert said["request_units"] == {"exact_hit": 2, "semantic_hit": 3, "miss": 1, "put": 7, "put_in_batch": 3}
    assert said["month"] is None
    priced = (*arguments, "--gets", "10m", "--puts", "2m", "--prices", "0.2,1,0.5")
    gigabytes = said["entry_bytes"] * 1_000_000 / 2**30
    expected = 10 * 3 * 0.2 + 2 * 7 * 1 + gigabytes * 0.5
    assert mneme(*priced, "--json").document["month"] == pytest.approx(expected)
    assert f"at the most: {expected:,.2f}" in mneme(*priced).out


@pytest.mark.parametrize(
    "more",
    [
        ["--gets", "1m"],
        ["--store", "redis", "--prices", "1,2,3"],
        ["--store", "dynamodb", "--prices", "1,2,3"],
        ["--store", "dynamodb", "--gets", "1", "--puts", "1", "--prices", "1,2"],
        ["--store", "dynamodb", "--gets", "1", "--puts", "1", "--prices", "1,2,-3"],
        ["--store", "dynamodb", "--gets", "1", "--puts", "1", "--prices", "1,2,nan"],
        ["--store", "oracle"],
    ],
)
def test_what_belongs_to_another_store_or_is_no_price_is_wrong_usage(mneme, more):
    assert mneme("plan", "--entries", "1k", "--dim", "8", *more).code == 2
