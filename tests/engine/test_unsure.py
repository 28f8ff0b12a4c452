"""A store that does not know whether its change was made: memory asks it before it is believed again."""

import pytest

from mneme import MemoryStore, SemanticCache, StoreBackendError
from mneme.testing import Faults, FlakyStore, HashEmbedder


def unsure(message):
    error = StoreBackendError(message)
    error.unsure = True
    return error


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def cache(faults):
    with SemanticCache(store=FlakyStore(MemoryStore(), faults), embedder=HashEmbedder()) as cache:
        cache.put("what is the capital of france", "Lyon")
        yield cache


def test_an_error_is_sure_unless_it_says_otherwise():
    assert StoreBackendError("disk full").unsure is False


@pytest.mark.parametrize("made", [True, False])
def test_a_write_that_may_have_been_made_is_looked_for(cache, faults, made):
    faults.arm(lambda _, name: name == "store.write", error=unsure("the answer was lost"), after=made)
    with pytest.raises(StoreBackendError, match="lost"):
        cache.put("what is the capital of france", "Paris")
    faults.lift()
    assert cache.get("what is the capital of france").response == ("Paris" if made else "Lyon")
    assert cache.check() == []


@pytest.mark.parametrize("made", [True, False])
def test_a_deletion_that_may_have_been_made_is_looked_for(cache, faults, made):
    faults.arm(lambda _, name: name == "store.delete", error=unsure("the answer was lost"), after=made)
    with pytest.raises(StoreBackendError, match="lost"):
        cache.delete("what is the capital of france")
    faults.lift()
    assert (cache.get("what is the capital of france") is None) == made
    assert cache.stats().entries == (0 if made else 1)
    assert cache.check() == []
