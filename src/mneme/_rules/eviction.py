"""Which namespaces must give up how many entries, as data. The store knows which those are, by last access."""

from __future__ import annotations

from collections.abc import Mapping


def _surplus(entries: int, cap: int) -> int:
    """How many to evict, none while the cap holds.

    Large caches go a little below the cap, so that the work of an eviction is shared by many writes; below 256 entries
    the cap is met exactly.
    """
    return 0 if entries <= cap else entries - cap + cap // 256


def plan(entries: Mapping[str, int], quotas: Mapping[str, int], cap: int | None) -> list[tuple[str | None, int]]:
    """Pairs of a namespace (`None`: all of them) and how many of its least recently used entries must go.

    Quotas come before the global cap, which counts what they leave.
    """
    if cap is None and not quotas:
        return []
    steps: list[tuple[str | None, int]] = []
    total = sum(entries.values())
    for namespace, quota in quotas.items():
        surplus = _surplus(entries.get(namespace, 0), quota)
        if surplus:
            steps.append((namespace, surplus))
            total -= surplus
    if cap is not None and (surplus := _surplus(total, cap)):
        steps.append((None, surplus))
    return steps
