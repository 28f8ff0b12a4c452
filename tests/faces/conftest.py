import pytest

from faces.adapter import FACES, Compass, Events, assert_sound, on
from mneme import MemoryStore, SQLiteStore


@pytest.fixture(params=list(FACES))
def face(request):
    with on(request.param) as face:
        yield face


@pytest.fixture
def compass():
    return Compass()


@pytest.fixture
def events():
    return Events()


@pytest.fixture(params=["memory", "sqlite"])
def make_store(request, cache_path):
    """Makes the store that is to be used; for SQLite always the same file."""
    return MemoryStore if request.param == "memory" else lambda: SQLiteStore(cache_path)


@pytest.fixture
def open_cache(face, compass, events, clock):
    """Opens caches, and at the end asks each that is still open whether it is sound, and closes it."""
    opened = []

    def open_(*args, **options):
        if not args and "store" not in options:
            options["store"] = MemoryStore()
        defaults = {"embedder": compass, "metrics_hook": events, "clock": clock} if len(args) < 2 else {}
        cache = face.open(*args, **{**defaults, **options})
        opened.append(cache)
        return cache

    yield open_
    for cache in opened:
        try:
            if not cache._core.closed:
                assert_sound(cache)
        finally:
            cache.close()


@pytest.fixture
def cache(open_cache, make_store):
    """A cache with default options, on either store."""
    return open_cache(store=make_store())
