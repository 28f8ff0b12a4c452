"""A part of the store contract: many threads at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mneme.errors import CacheClosedError
from mneme.ports import Counters, Selection, Store, Usage
from mneme.testing._store_suite import DIM, FINGERPRINT, StoreSuite, a_record, history

__all__ = ["StoreThreads"]


class StoreThreads(StoreSuite):
    """Many threads at once."""

    def test_writers_and_readers_do_not_disturb_each_other(self, store: Store) -> None:
        """Four threads write pairs while four read: a pair is seen whole or not at all."""
        done = threading.Event()

        def write(worker: int) -> list[int]:
            numbers: list[int] = []
            for step in range(40):
                base = 1000 * worker + 2 * step
                numbers.extend(each.seq for each in store.write([a_record(base), a_record(base + 1)]))
                store.record(Usage({}, {"main": Counters(misses=1)}))
            return numbers

        def read() -> None:
            seen = 0
            while not done.is_set():
                for worker in range(4):
                    pair = store.read([a_record(1000 * worker + step).key for step in (78, 79)])
                    assert (pair[0] is None) == (pair[1] is None)
                changes = history(store, 0, limit=1000)
                assert len(changes) % 2 == 0
                assert len(changes) >= seen
                seen = len(changes)

        with ThreadPoolExecutor(8) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            try:
                writers = [pool.submit(write, worker) for worker in range(4)]
                numbers = [number for writer in writers for number in writer.result()]
            finally:
                done.set()
            for reader in readers:
                reader.result()
        assert len(set(numbers)) == 320
        assert [each.counters.misses for each in store.summary()] == [160]

    def test_closing_while_others_use_it_ends_them_with_closed_errors(self) -> None:
        store = self.make_store()
        store.open(FINGERPRINT, DIM)
        store.write([a_record(number) for number in range(500)])
        running = threading.Barrier(5)

        def use_for_ever(worker: int) -> None:
            while True:
                if worker % 2:
                    assert len(store.scan(Selection(), vectors=True)) >= 500
                    assert store.read([a_record(1).key])[0] is not None
                else:
                    store.write([a_record(worker)])

        def use(worker: int) -> None:
            running.wait(timeout=30)
            with pytest.raises(CacheClosedError):
                use_for_ever(worker)

        with ThreadPoolExecutor(4) as pool:
            users = [pool.submit(use, worker) for worker in range(4)]
            try:
                running.wait(timeout=30)
            finally:
                store.close()
            for user in users:
                user.result()
