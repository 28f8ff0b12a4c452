"""What is done in a process that is forked while caches are open. Runs outside pytest, which has threads of its own."""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path

import pytest

from faces.adapter import Compass, assert_sound, on
from faces.test_lifecycle import VERBS
from mneme import CacheClosedError, MemoryStore, SemanticCache, SQLiteStore
from mneme.testing import Faults, FlakyStore, SlowStore

PATIENCE = 60
kept = []
STORES = {
    "memory": lambda path: MemoryStore(),
    "sqlite": SQLiteStore,
    "another": lambda path: FlakyStore(SQLiteStore(path), Faults()),
}


def in_child(work, *, leave=os._exit):
    """Run *work* in a forked child; an exception, or a child that hangs, fails the parent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forking with threads, which is the point here
        pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE)
        try:
            work()
        except BaseException:  # noqa: BLE001 -- whatever it is, the parent shall see it
            traceback.print_exc()
            os._exit(1)
        leave(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {status}"


def refuses(call):
    with pytest.raises(CacheClosedError, match="open it again in the child"):
        call()


def every_verb_refuses(face, cache):
    if face.name == "async":
        kept.append(face.loop)  # it is the parent's
        face.loop = asyncio.new_event_loop()
    refuses(lambda: cache.get("rain @0"))  # which is hot in the parent
    refuses(lambda: cache.get_or_compute("rain @0", lambda query: "computed"))
    for verb in VERBS.values():
        refuses(lambda verb=verb: verb(cache))
    for _ in range(2):
        cache.close()
    with contextlib.suppress(LookupError), cache:
        raise LookupError
    refuses(lambda: cache.get("rain @0"))


def fork_with_an_open_cache(path, face_name, store_name, leave):
    """In the child nothing works but opening anew; in the parent all is as before."""
    with on(face_name) as face:
        store = STORES[store_name](path)
        cache = face.open(store=store, embedder=Compass(), stale_check_interval=0)
        closed = face.open(":memory:", Compass())
        closed.close()
        cache.put("rain @0", "water")
        assert cache.get("rain @0").response == "water"
        calls = list(store.faults.calls) if store_name == "another" else []

        def child():
            every_verb_refuses(face, cache)
            if store_name == "another":
                assert store.faults.calls == calls
            if store_name != "memory":
                with SemanticCache(path, Compass(), guards=()) as again:
                    assert again.get("rain @0").response == "water"
                    assert again.get("mist @1").response == "water"
                    again.put("sun @90", "hot")
                    assert_sound(again)
                    in_child(lambda: refuses(lambda: again.get("sun @90")))
            gc.collect()

        in_child(child, leave=getattr(os if leave == "_exit" else sys, leave))
        assert cache.get("rain @0").response == "water"
        assert cache.get("mist @1").response == "water"
        if store_name == "sqlite":
            assert cache.get("warm @91").response == "hot"
            assert Path(f"{path}-wal").exists()
        cache.put("snow @180", "cold")
        in_child(lambda: refuses(lambda: cache.get("snow @180")))
        assert_sound(cache)
        cache.close()
    if store_name != "memory":
        with SemanticCache(path, Compass(), guards=()) as again:
            assert {entry.query for entry in again.entries()} == {"rain @0", "sun @90", "snow @180"}
            assert_sound(again)


def fork_while_other_threads_hold_every_lock(path):
    """One thread is inside a write, and others wait for it, as the process forks."""
    gate = threading.Event()
    store = SlowStore(SQLiteStore(path), gate, verbs=("write", "read"))
    cache = SemanticCache(store=store, embedder=Compass(), guards=())
    core = cache._core
    threads = [
        threading.Thread(target=cache.put, args=("rain @0", "water")),
        threading.Thread(target=cache.put, args=("sun @90", "hot")),
        threading.Thread(target=cache.get_or_compute, args=("snow @180", str.upper)),
    ]
    for thread in threads:
        thread.start()
    store.wait_for_calls(2)

    def child():
        with on("sync") as face:
            every_verb_refuses(face, cache)
        with SemanticCache(path, Compass(), guards=()) as again:
            assert again.put("hail @270", "ice")

    with core.hot._lock, core.usage._lock, core.flights._lock:
        in_child(child)
    gate.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert cache.get("rain @0").response == "water"
    assert cache.get("sun @90").response == "hot"
    assert cache.get("snow @180").response == "SNOW @180"
    assert cache.get("hail @270").response == "ice"
    assert_sound(cache)
    cache.close()


def fork_while_computing(path):
    """The child comes back from `compute` as well: it has its value, and stores nothing."""
    cache = SemanticCache(path, Compass(), guards=())
    parent = os.getpid()

    def compute(query):
        in_child_value.append(os.fork())
        return f"computed by {'the parent' if os.getpid() == parent else 'the child'}"

    in_child_value = []
    value = cache.get_or_compute("rain @0", compute)
    if os.getpid() != parent:
        signal.alarm(PATIENCE)
        refuses(lambda: cache.get("rain @0"))
        os._exit(0 if value == "computed by the child" else 1)
    _, status = os.waitpid(in_child_value[0], 0)
    assert status == 0
    assert value == "computed by the parent"
    assert cache.get("rain @0").response == "computed by the parent"
    assert_sound(cache)
    cache.close()


def work(cache, path, number):
    """What a worker of `multiprocessing` does."""
    refuses(lambda: cache.get("rain @0"))
    cache.close()
    with SemanticCache(path, Compass(), guards=(), multi_process_mode="stale-tolerant") as own:
        assert own.get("rain @0").response == "water"
        own.put(f"work {number} @{90 + number}", number)


def fork_workers(path):
    """Workers of `multiprocessing` by fork, each with a cache of its own."""
    context = multiprocessing.get_context("fork")
    with SemanticCache(
        path, Compass(), guards=(), multi_process_mode="stale-tolerant", stale_check_interval=0
    ) as cache:
        cache.put("rain @0", "water")
        workers = [context.Process(target=work, args=(cache, path, number)) for number in range(4)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for worker in workers:
                worker.start()
        for worker in workers:
            worker.join(PATIENCE)
            assert worker.exitcode == 0
        assert [cache.get(f"work {number} @{90 + number}").response for number in range(4)] == [0, 1, 2, 3]
        assert cache.get("rain @0").response == "water"
        assert_sound(cache)
