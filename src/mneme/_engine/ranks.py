"""Keeping the ranking of an eviction policy, where there is one, true to what the store holds."""

from __future__ import annotations

from collections.abc import Sequence

from mneme._engine.core import Core
from mneme._rules.reserved import is_reserved
from mneme._runtime.ranking import Kept
from mneme.ports import Record, Selection

_PAGE = 1000


async def load(core: Core) -> None:
    """Rank what the store holds, in order of last access, each as if it had been asked for once."""
    if core.ranking is None:
        return
    found: list[tuple[float, Kept]] = []
    after = 0
    while page := await core.store.scan(Selection(), after=after, limit=_PAGE):
        after = page[-1].id
        found.extend((one.accessed_at, _kept(one, one.id)) for one in page if not is_reserved(one.namespace))
    found.sort()
    core.ranking.clear()
    core.ranking.written([kept for _, kept in found])


def wrote(core: Core, records: Sequence[Record], ids: Sequence[int]) -> None:
    """These were written under these ids, by whomever."""
    if core.ranking is not None:
        pairs = zip(records, ids, strict=True)
        core.ranking.written(
            [_kept(record, entry_id) for record, entry_id in pairs if not is_reserved(record.namespace)]
        )


def removed(core: Core, ids: Sequence[int]) -> None:
    """These were removed, by whomever."""
    if core.ranking is not None:
        core.ranking.removed(ids)


def _kept(record: Record, entry_id: int) -> Kept:
    size = len(record.payload) + len(record.query.encode(errors="surrogatepass")) + len(record.metadata)
    return Kept(entry_id, record.namespace, record.cost or record.compute_seconds, size)
