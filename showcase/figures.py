"""What the dashboard shows: counters, the latest lookups, and how a threshold sorts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mneme import SemanticCache
from mneme.ui import Series, line_chart
from showcase.recorder import Seen
from showcase.state import State
from showcase.whatif import Near

__all__ = ["live_figures", "threshold_figures", "threshold_of"]

SHOWN = 12


def live_figures(state: State) -> dict[str, Any]:
    """What changes while one looks."""
    latest = state.recorder.latest()
    return {
        "total": state.cache.stats(),
        "spaces": [state.cache.stats(name) for name in state.cache.list_namespaces()],
        "latest": latest[:SHOWN],
        "matched": {seen.number: matched(state.cache, seen) for seen in latest[:SHOWN]},
        "chart": rate_chart(latest),
    }


def threshold_figures(cache: SemanticCache, nears: Sequence[Near], threshold: float | None) -> dict[str, Any]:
    """How the latest questions fall at *threshold*, and where that differs from the live one."""
    now = threshold_of(cache)
    wanted = now if threshold is None else threshold
    return {
        "threshold": wanted,
        "live_threshold": now,
        "nears": nears,
        "sorted_at": Counter(near.at(wanted) for near in nears),
        "sorted_now": Counter(near.at(now) for near in nears),
        "changed": [near for near in nears if near.at(wanted) != near.at(now)],
    }


def threshold_of(cache: SemanticCache) -> float:
    """The live threshold; a cache without certificates has a number."""
    threshold = cache.similarity_threshold
    return 1.0 if isinstance(threshold, str) else float(threshold)


def matched(cache: SemanticCache, seen: Seen) -> str:
    """The stored question that answered one in other words."""
    if seen.outcome != "semantic" or seen.entry_id is None or seen.elsewhere:
        return ""
    found = cache.entries(after=seen.entry_id - 1, limit=1)
    return found[0].query if found and found[0].entry_id == seen.entry_id else ""


def rate_chart(latest: Sequence[Seen]) -> Any:
    """How the share of answers from memory grows with the latest questions."""
    points, hits = [], 0
    for number, seen in enumerate(reversed(latest), start=1):
        hits += seen.outcome != "miss"
        points.append((float(number), 100 * hits / number))
    said = f"{points[-1][1]:.0f} % of the latest {len(points)} came from memory" if points else "Nothing was asked yet"
    return line_chart(
        [Series("answered from memory, %", "exact", points)],
        title="Answered from memory",
        description=said,
        x_label="questions",
        y_label="%",
        y_max=100.0,
    )
