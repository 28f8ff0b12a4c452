"""From every store to every store, on both faces, with real servers: what is in the one is in the other."""

import io

import pytest

from checkpoints.archives import records, usage
from checkpoints.conftest import STORES
from mneme import (
    AsyncDynamoDBStore,
    AsyncPostgresStore,
    AsyncRedisStore,
    AsyncSemanticCache,
    CheckpointError,
    SemanticCache,
)
from mneme.ports import Selection, Usage
from stores.dynamodb_tables import REGION, TABLE

DIM = 8
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def sources(make_store):
    """A store of the kind asked for with some entries in it, and what they are."""

    def filled(kind):
        store = make_store(kind)
        store.open("hash", DIM)
        store.write(records(25))
        store.delete(Selection(refs=[records(25)[3].key]))
        store.write([records(25)[5]._replace(payload=b"replaced")])
        store.record(usage())
        store.record(Usage({store.scan(Selection(), limit=1)[0].id: 1.9e9}, {}))
        return store

    return filled


def contents(store):
    """Everything in a store but ids and sequence numbers, vectors bit by bit."""
    rows = [
        (*record._replace(id=0, seq=0, vector=None), None if record.vector is None else record.vector.tobytes())
        for record in store.scan(Selection(), limit=10_000, vectors=True)
    ]
    return sorted(rows, key=lambda row: row[0]), {part.namespace: part.counters for part in store.summary()}


@pytest.mark.parametrize("target", STORES)
@pytest.mark.parametrize("source", STORES)
def test_from_any_store_to_any_store(source, target, sources, make_store):
    store = sources(source)
    expected = contents(store)
    stream = io.BytesIO()
    with SemanticCache(store=store) as cache:
        assert cache.dumps(stream).entries == 24
    filled = make_store(target)
    with SemanticCache.loads(io.BytesIO(stream.getvalue()), store=filled) as cache:
        assert contents(filled) == expected
        assert cache.stats().entries == 24
        assert cache.check() == []
        again = io.BytesIO()
        cache.dumps(again)
    # Nor does anything change on a second journey.
    third = make_store("memory")
    with SemanticCache.loads(io.BytesIO(again.getvalue()), store=third):
        assert contents(third) == expected


@pytest.mark.parametrize("kind", STORES)
async def test_the_async_face_moves_any_store(kind, sources, make_store):
    store = sources(kind)
    expected = contents(store)
    stream = io.BytesIO()
    async with AsyncSemanticCache(store=store) as cache:
        await cache.dumps(stream)
    filled = make_store(kind)
    cache = await AsyncSemanticCache.loads(io.BytesIO(stream.getvalue()), store=filled)
    async with cache:
        assert contents(filled) == expected


@pytest.mark.parametrize("kind", ["postgres", "redis", "dynamodb"])
async def test_native_async_stores_are_read_and_filled(kind, sources, make_store, server_of):
    def make(place):
        if kind == "postgres":
            return AsyncPostgresStore(server_of(kind), schema=place)
        if kind == "redis":
            return AsyncRedisStore(server_of(kind), prefix=place)
        return AsyncDynamoDBStore(
            table=TABLE,
            prefix=place,
            region_name=REGION,
            endpoint_url=server_of(kind),
            create_table=True,
            timeout=60,
            retry_seconds=60,
        )

    stream, again = io.BytesIO(), io.BytesIO()
    store = sources("memory")
    expected = contents(store)
    with SemanticCache(store=store) as cache:
        cache.dumps(stream)
    async with await AsyncSemanticCache.loads(io.BytesIO(stream.getvalue()), store=make("filled_async")) as cache:
        assert (await cache.dumps(again)).entries == 24
    copy = make_store("memory")
    with SemanticCache.loads(io.BytesIO(again.getvalue()), store=copy):
        assert contents(copy) == expected


@pytest.mark.parametrize("kind", STORES)
def test_any_store_refuses_what_is_no_checkpoint_and_stays_empty(kind, sources, make_store):
    stream = io.BytesIO()
    with SemanticCache(store=sources("memory")) as cache:
        cache.dumps(stream)
    place = f"refusing_{kind}"
    for damaged in (stream.getvalue()[:-1], b"PK\3\4"):
        with pytest.raises(CheckpointError):
            SemanticCache.loads(io.BytesIO(damaged), store=make_store(kind, place))
    store = make_store(kind, place)
    store.open(None, None)
    assert store.summary() == []


@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "memory"])  # which is gone when it is closed
def test_any_store_is_emptied_again_if_loading_fails_and_can_be_merged_into(kind, sources, make_store):
    stream = io.BytesIO()
    with SemanticCache(store=sources("memory")) as cache:
        cache.dumps(stream)
    archive = stream.getvalue()
    place = f"emptied_{kind}"

    def stop(done, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        SemanticCache.loads(io.BytesIO(archive), store=make_store(kind, place), progress=stop)
    with SemanticCache.loads(io.BytesIO(archive), store=make_store(kind, place)) as cache:
        assert cache.stats().entries == 24
    with pytest.raises(CheckpointError, match="holds entries"):
        SemanticCache.loads(io.BytesIO(archive), store=make_store(kind, place))
    with SemanticCache.loads(io.BytesIO(archive), store=make_store(kind, place), merge=True) as cache:
        assert cache.stats().entries == 24
        assert cache.check() == []
