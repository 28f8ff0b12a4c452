"""`plan`: what it reckons is what a cache of that size takes."""

import numpy as np
import pytest

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
    assert [line[0] for line in lines[1:]] == ["float32", "float16", "int8"]
    assert lines[1][1].endswith("GiB")


@pytest.mark.parametrize("number", ["ten", "0", "-5", "1kk", ""])
def test_what_is_no_number_is_wrong_usage(mneme, number):
    ran = mneme("plan", "--entries", number, "--dim", "8")
    assert ran.code == 2
    assert "is no number; write 250000, 250k, 10m or 1.5b" in ran.err
