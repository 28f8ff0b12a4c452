"""What one visitor may keep in a cache that others use too."""

from __future__ import annotations

from mneme import SemanticCache

__all__ = ["MOST_KEPT", "make_room"]

MOST_KEPT = 100


def make_room(cache: SemanticCache, namespace: str, most: int = MOST_KEPT) -> int:
    """Remove the oldest entries of a namespace until there is room for one more below *most*; how many.

    A quota cannot do it: quotas are set when a cache is opened, and visitors come later. Two that put at once may both
    find the same room.
    """
    entries = cache.entries(namespace=namespace, limit=2 * most)
    oldest = entries[: max(0, len(entries) - most + 1)]
    return sum(cache.delete(one.query, namespace=namespace, scope=one.scope) for one in oldest)
