"""One visitor keeps so much and no more, and takes nothing from another."""

from mneme import SemanticCache
from mneme.testing import HashEmbedder
from showcase.work.room import make_room


def queries(cache, namespace):
    return [entry.query for entry in cache.entries(namespace=namespace)]


def test_the_oldest_make_room_for_one_more_whatever_their_scope():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        for number in range(5):
            cache.put(f"question {number}", "answer", namespace="one", scope={"to": str(number)})
            cache.put(f"question {number}", "answer", namespace="other")
        assert make_room(cache, "one", 3) == 3
        assert queries(cache, "one") == ["question 3", "question 4"]
        assert len(queries(cache, "other")) == 5
        assert make_room(cache, "one", 3) == 0


def test_where_there_is_room_nothing_goes():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        assert make_room(cache, "one", 3) == 0
        cache.put("question", "answer", namespace="one")
        assert make_room(cache, "one", 3) == 0
