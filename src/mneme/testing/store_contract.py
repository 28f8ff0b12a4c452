"""What every `Store` promises, as a suite that a backend author subclasses. Needs pytest."""

from __future__ import annotations

from mneme.testing._store_entries import StoreEntries
from mneme.testing._store_history import StoreHistory
from mneme.testing._store_lifecycle import StoreLifecycle
from mneme.testing._store_reembed import ReembeddingContract
from mneme.testing._store_search import SearchContract
from mneme.testing._store_selections import StoreSelections
from mneme.testing._store_threads import StoreThreads

__all__ = ["ReembeddingContract", "SearchContract", "StoreContract"]


class StoreContract(StoreLifecycle, StoreEntries, StoreSelections, StoreHistory, StoreThreads):
    """Subclass it, give it `make_store`, and set `durable` to whether what is written outlives the store object.

    A subclass needs nothing else::

        class TestMyStore(StoreContract):
            @pytest.fixture(autouse=True)
            def in_a_directory(self, tmp_path):
                self.path = tmp_path / "store"

            def make_store(self):
                return MyStore(self.path)

    Every store that a test opens is checked at its end with its own `check`, which must find nothing.
    """
