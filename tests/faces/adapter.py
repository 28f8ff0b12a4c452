"""Both faces behind one blocking manner of speaking, so that one suite runs on both; and an embedder to aim with."""

import asyncio
import contextlib
import inspect
import re
import threading
import zlib

import numpy as np

from mneme import AsyncSemanticCache, InputTooLongError, SemanticCache

DIM = 32


def direction(degrees):
    """A unit vector in a plane; two of them have the cosine of the angle between them as their similarity."""
    vector = np.zeros(DIM, np.float32)
    vector[0], vector[1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


class Compass:
    """Texts say in what direction their vectors point: "rain @30" has 30 degrees. All others are far from everything.

    "@long" is too long, "@fail" raises, "@nan", "@zero" and "@flat" give what is no vector.
    """

    def __init__(self, fingerprint="compass-1"):
        self.dim = DIM
        self.fingerprint = fingerprint
        self.calls = []
        """The texts of every call, a batch as a tuple."""

    def embed(self, text):
        self.calls.append(text)
        return self._vector(text)

    def embed_many(self, texts):
        self.calls.append(tuple(texts))
        if any("@flat" in text for text in texts):
            return np.ones((len(texts), DIM - 1), np.float32)
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text):
        found = re.search(r"@(-?[\w.]+)", text)
        if found is None:
            vector = np.random.default_rng(zlib.crc32(text.casefold().encode())).standard_normal(DIM)
            vector[:2] = 0.0
            return (vector / np.linalg.norm(vector)).astype(np.float32)
        word = found[1]
        if word == "long":
            raise InputTooLongError("too long")
        if word == "fail":
            raise RuntimeError("the embedder failed")
        if word == "nan":
            return np.full(DIM, np.nan, np.float32)
        if word == "zero":
            return np.zeros(DIM, np.float32)
        if word == "flat":
            return np.ones(DIM - 1, np.float32)
        return direction(float(word))


class Events(list):
    """A metrics hook that remembers."""

    def __call__(self, event, fields):
        assert type(event) is str
        assert "namespace" in fields
        self.append((event, dict(fields)))

    def of(self, event):
        """The fields of every event of this name."""
        return [fields for name, fields in self if name == event]

    def names(self):
        return [name for name, _ in self]


UNGUARDED = {"guards": ()}
"""Unless a test says otherwise: the numbers in the queries of a `Compass` are directions, not what is asked."""


class SyncFace:
    name = "sync"
    cls = SemanticCache

    def open(self, *args, **options):
        return SemanticCache(*args, **{**UNGUARDED, **options})

    def run(self, result):
        return result

    def end(self):
        pass


class AsyncFace:
    """Runs every verb to its end on one event loop."""

    name = "async"
    cls = AsyncSemanticCache

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def open(self, *args, **options):
        """A cache that is open, as the blocking one is."""
        cache = self.run(self._opened(args, options))
        return Blocking(self, cache)

    async def _opened(self, args, options):
        return await AsyncSemanticCache(*args, **{**UNGUARDED, **options}).__aenter__()

    def run(self, result):
        return self.loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def end(self):
        async def tasks():
            return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

        left = self.run(tasks())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        assert not left


class Blocking:
    """An `AsyncSemanticCache` whose verbs are run to their end."""

    def __init__(self, face, cache):
        self._face = face
        self.cache = cache

    def __getattr__(self, name):
        attribute = getattr(self.cache, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute
        return lambda *args, **options: self._face.run(attribute(*args, **options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


FACES = {"sync": SyncFace, "async": AsyncFace}


@contextlib.contextmanager
def on(name):
    """One of the faces; no task and no thread outlives it."""
    face = FACES[name]()
    try:
        yield face
    finally:
        face.end()


def mneme_threads():
    """Names of the worker threads that are there and do not end by themselves."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("mneme")]
    for thread in threads:  # one that was told to end may do so
        thread.join(2)
    return [thread.name for thread in threads if thread.is_alive()]


def index_contents(cache):
    """The ids of the stored vectors, those of them that a search finds, and how many vectors the index holds."""
    core = cache._core
    index, store = core.index._port, core.store._port
    block = store.vectors(limit=100_000)
    found = set()
    for entry_id, partition, vector in zip(block.ids.tolist(), block.partitions, block.vectors, strict=True):
        [matches] = index.search(partition, vector[None], floor=0.999, k=100)
        if entry_id in matches.ids.tolist():
            found.add(entry_id)
    return set(block.ids.tolist()), found, index.size()


def assert_mirrored(cache):
    """The index holds what the store holds, no more and no less."""
    if cache._core.embedder is not None and not cache._core.store_searches:
        stored, found, held = index_contents(cache)
        assert found == stored
        assert held == len(stored)


def assert_sound(cache):
    """Store and memory are sound, and agree."""
    assert cache.check() == []
    assert_mirrored(cache)
