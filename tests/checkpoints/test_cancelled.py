"""A task that is cancelled while it exports or imports leaves nothing behind, whenever that happens."""

import asyncio
import contextlib
import io

import pytest

from checkpoints.archives import records, small
from mneme import AsyncSemanticCache, MemoryStore, SQLiteStore, _restore
from mneme.ports import Selection


class Counting(MemoryStore):
    """Calls back before each verb."""

    def __init__(self, told):
        super().__init__()
        for verb in ("open", "scan", "changes", "read", "write", "summary", "record"):
            setattr(self, verb, self._telling(getattr(super(), verb), told))

    @staticmethod
    def _telling(verb, told):
        def call(*args, **options):
            told()
            return verb(*args, **options)

        return call


async def cancelled_at(number, work, told):
    """Run *work* and cancel it at the so many-th call of the store; whether it came so far."""
    loop, task, seen = asyncio.get_running_loop(), None, 0

    def count():
        nonlocal seen
        seen += 1
        if seen == number:
            loop.call_soon_threadsafe(task.cancel)

    told.append(count)
    task = asyncio.ensure_future(work())
    with contextlib.suppress(asyncio.CancelledError):
        await task
    told.clear()
    return task.cancelled()


@pytest.mark.parametrize("number", range(1, 9))
async def test_a_cancelled_export_leaves_no_file(number, tmp_path):
    told = []
    store = Counting(lambda: [tell() for tell in told])
    store.open("hash", 8)
    store.write(records(30))
    async with AsyncSemanticCache(store=store) as cache:
        if await cancelled_at(number, lambda: cache.dumps(tmp_path / "a.mneme"), told):
            assert list(tmp_path.iterdir()) == []
        else:
            assert [path.name for path in tmp_path.iterdir()] == ["a.mneme"]
        await cache.dumps(tmp_path / "b.mneme")


@pytest.mark.parametrize("number", range(1, 7))
async def test_a_cancelled_import_closes_the_store(number):
    told = []
    store = Counting(lambda: [tell() for tell in told])

    async def work():
        cache = await AsyncSemanticCache.loads(io.BytesIO(small()), store=store)
        await cache.close()

    await cancelled_at(number, work, told)
    with pytest.raises(Exception, match="closed"):
        store.summary()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34])
async def test_an_import_into_a_file_that_is_cancelled_leaves_none(turns, tmp_path):
    task = asyncio.ensure_future(AsyncSemanticCache.loads(io.BytesIO(small()), tmp_path / "new.db"))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        cache = await task
    except asyncio.CancelledError:
        assert list(tmp_path.iterdir()) == []
    else:
        await cache.close()
        store = SQLiteStore(tmp_path / "new.db")
        store.open(None, None)
        assert len(store.vectors().ids) == 2
        store.close()


async def test_an_import_that_is_cancelled_when_its_file_is_there_already_takes_it_away_again(tmp_path, monkeypatch):
    loop, published = asyncio.get_running_loop(), _restore.publish

    def cancelling(draft, path):
        published(draft, path)
        asyncio.run_coroutine_threadsafe(cancel(), loop).result()

    async def cancel():
        task.cancel()

    monkeypatch.setattr(_restore, "publish", cancelling)
    task = asyncio.ensure_future(AsyncSemanticCache.loads(io.BytesIO(small()), tmp_path / "new.db"))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_an_import_that_is_cancelled_while_it_writes_to_a_store_leaves_nothing_there(tmp_path):
    loop, path = asyncio.get_running_loop(), tmp_path / "kept.db"
    empty = SQLiteStore(path)
    empty.open(None, None)
    empty.close()

    async def cancel():
        task.cancel()

    class Cancelling(SQLiteStore):
        def write(self, records):
            asyncio.run_coroutine_threadsafe(cancel(), loop).result()
            return super().write(records)

    task = asyncio.ensure_future(AsyncSemanticCache.loads(io.BytesIO(small()), store=Cancelling(path)))
    with pytest.raises(asyncio.CancelledError):
        await task
    store = SQLiteStore(path)
    store.open(None, None)
    assert store.scan(Selection(), limit=10) == []
    store.close()
