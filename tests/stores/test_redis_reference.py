"""The Redis store does what the reference does, step by step, on random sequences: ids and numbers are the same too."""

import random

import pytest

from mneme.ports import Counters, Selection, Usage
from mneme.stores import MemoryStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector
from stores.redis_servers import a_prefix, connected, opened

NAMESPACES = ["main", "other", "", "a\0b", "\u00e9"]
SCOPES = ["", "s", "t"]
TAGS = ["red", "blue", "r", ""]
TIMES = [-5.5, -0.0, 0.0, 1e-9, 1.0, 1.5, 2.0, 1e9, float("inf")]


def record(draw):
    return a_record(
        draw.randrange(30),
        namespace=draw.choice(NAMESPACES),
        scope=draw.choice(SCOPES),
        payload=draw.randbytes(draw.randrange(40)),
        metadata=draw.choice(["", '{"a": 1}']),
        tags=tuple(draw.choices(TAGS, k=draw.randrange(4))),
        created_at=draw.choice(TIMES),
        accessed_at=draw.choice(TIMES),
        expires_at=draw.choice([None, *TIMES]),
        removable_at=draw.choice([None, *TIMES]),
        vector=draw.choice([None, a_vector(draw.randrange(1000))]),
    )


def refs(draw, highest):
    return [draw.choice([draw.randrange(-1, highest + 2), a_record(draw.randrange(32)).key]) for _ in range(6)]


def selection(draw, highest, *, least_recent):
    return Selection(
        refs=draw.choice([None, None, refs(draw, highest)]),
        namespace=draw.choice([None, None, *NAMESPACES]),
        partition=draw.choice([None, None, None, record(draw).partition]),
        tags=draw.choice([None, None, draw.choices(TAGS, k=draw.randrange(3))]),
        created_before=draw.choice([None, None, draw.choice(TIMES)]),
        removable_by=draw.choice([None, None, draw.choice(TIMES)]),
        least_recent=draw.choice([None, draw.randrange(-1, 8)]) if least_recent else None,
    )


def usage(draw, highest):
    accessed = {draw.randrange(highest + 2): draw.choice(TIMES) for _ in range(5)}
    saved = [draw.choice([0.0, 0.1, 0.7]) for _ in range(2)]
    counters = Counters(*(draw.randrange(3) for _ in range(5)), *saved)
    return Usage(accessed, {draw.choice(NAMESPACES): counters, "empty": Counters()})


def plain(records):
    return [
        None if each is None else (each._replace(vector=None), None if each.vector is None else each.vector.tobytes())
        for each in records
    ]


def step(draw, highest):
    """A verb as a function of a store, whose results can be compared."""
    after, limit, vectors = draw.randrange(highest + 2), draw.choice([-1, 0, 1, 3, 1000]), draw.choice([True, False])
    batch, named, used = [record(draw) for _ in range(draw.randrange(8))], refs(draw, highest), usage(draw, highest)
    chosen = selection(draw, highest, least_recent=False)
    doomed = selection(draw, highest, least_recent=True)
    verbs = {
        "write": lambda store: store.write(batch),
        "delete": lambda store: store.delete(doomed),
        "record": lambda store: store.record(used),
        "read": lambda store: plain(store.read(named, vectors=vectors)),
        "scan": lambda store: plain(store.scan(chosen, after=after, limit=limit, vectors=vectors)),
        "vectors": lambda store: [
            part if isinstance(part, list) else part.tolist() for part in store.vectors(after=after)
        ],
        "changes": lambda store: store.changes(after, limit=limit),
        "summary": lambda store: store.summary(),
    }
    return verbs[draw.choice([*verbs, "write", "write", "scan"])]


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("server", ["redis", "redis_search"])
def test_it_does_what_the_reference_does(server_of, server, seed):
    """On a server that searches too, where searching is prepared at some time."""
    draw = random.Random(seed)
    url, prefix = server_of(server), a_prefix()
    prepared_at = seed * 3 if server == "redis_search" else None
    reference = MemoryStore()
    reference.open(FINGERPRINT, DIM)
    with opened(url, prefix=prefix) as store:
        for number in range(80):
            if number == prepared_at:
                store.prepare_search(DIM)
            verb = step(draw, reference.open(None, None).seq)
            assert verb(store) == verb(reference), number
        assert store.open(None, None).seq == reference.open(None, None).seq
        assert plain(store.scan(Selection(), vectors=True)) == plain(reference.scan(Selection(), vectors=True))
        assert store.check() == []
        if prepared_at is not None:
            with connected(url) as raw:
                described = sum(1 for _ in raw.scan_iter(f"{{{prefix}}}:search:*", count=1000))
            assert described == len(store.vectors().ids)
    reference.close()
