"""Which embedder vectors are of. Embedder and index are exchanged together, and nobody compares vectors of two models.

`Core.era` is odd while they are exchanged, under the writer lock, and another even number afterwards. Who embeds notes
the era before and looks again before vectors meet: if it has changed, the vectors are made anew. That costs a lookup
two comparisons of numbers, where a lock would make it wait for every write.
"""

from __future__ import annotations

from mneme._engine.core import Core


class EraChangedError(Exception):
    """The embedder was exchanged in the middle of a lookup, which has to begin again. Never leaves the engine."""


async def settled(core: Core) -> int:
    """The era, when nothing is being exchanged. Not to be called by whoever holds `writer`."""
    while core.era & 1:
        async with core.writer:  # held for as long as it takes
            pass
    return core.era


def require(core: Core, era: int) -> None:
    """Raise if the era is no longer that one."""
    if core.era != era:
        raise EraChangedError
