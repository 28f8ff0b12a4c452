"""Admission: what says no more than an entry nearby is stored for the exact layer alone, without a vector.

Only what a caller put or computed becomes an alias, never what the cache itself served: errors would breed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mneme._engine import guarding, sync
from mneme._engine.core import Core
from mneme._engine.nearest import Scored, nearest
from mneme._rules.answers import same_answer
from mneme._rules.expiry import is_expired
from mneme._rules.similarity import RESOLUTION

if TYPE_CHECKING:
    from mneme._engine.write import Draft

_CANDIDATES = 8
"""Looked at for one that is fresh; if none of so many is, the entry gets its vector."""
_AT_ONCE = 256


class Remark(NamedTuple):
    """What an event is to say of a draft, once it is stored."""

    event: str
    draft: Draft
    near: Scored


async def admitted(core: Core, drafts: Sequence[Draft], threshold: float, era: int) -> tuple[list[Draft], list[Remark]]:
    """The drafts, in order, those that are aliases without their vectors; and what there is to tell of them.

    An entry that has a vector already keeps it. The drafts of one batch are not compared with one another.

    Raises:
        StoreBackendError: The store failed. Nothing was stored.
    """
    await sync.catch_up_if_dirty(core)
    result = list(drafts)
    remarks = []
    by_partition: dict[bytes, list[int]] = {}
    for position, one in enumerate(drafts):
        if one.record.vector is not None:
            by_partition.setdefault(one.record.partition, []).append(position)
    for partition, positions in by_partition.items():
        for start in range(0, len(positions), _AT_ONCE):
            part = positions[start : start + _AT_ONCE]
            queries = np.stack([np.asarray(drafts[position].record.vector) for position in part])
            found = await nearest(core, partition, queries, floor=threshold - RESOLUTION, k=_CANDIDATES, era=era)
            for position, (candidates, _) in zip(part, found, strict=True):
                remark = await _judge(core, drafts[position], candidates)
                if remark is None:
                    continue
                remarks.append(remark)
                if remark.event == "alias":
                    one = drafts[position]
                    result[position] = one._replace(record=one.record._replace(vector=None))
    return result, remarks


async def _judge(core: Core, draft: Draft, candidates: Sequence[Scored]) -> Remark | None:
    """What the nearest fresh entry makes of a draft.

    `None` if there is none, if the draft has a vector already, or if a guard says that the two ask different things.
    """
    now = draft.record.created_at
    fresh = [near for near in candidates if not is_expired(near.record.expires_at, now)]
    if not fresh or any(near.record.key == draft.record.key for near in candidates):
        return None
    near = fresh[0]
    if core.options.guards:
        response = core.response_of(near.record)
        asked, stored = draft.record.query, near.record.query
        if await guarding.refusal(core, asked, stored, similarity=near.similarity, response=response, slow=False):
            return None
    same = same_answer(near.record, draft.record, codec=core.options.codec, value_eq=core.options.value_eq)
    return Remark("alias" if same else "conflict", draft, near)


def tell(core: Core, remarks: Sequence[Remark]) -> None:
    """Send the events, when everything is stored and no lock is held."""
    for event, draft, near in remarks:
        core.events.send(
            event,
            draft.record.namespace,
            query=draft.record.query,
            entry_id=near.record.id,
            similarity=near.similarity,
        )
