"""Removing entries and what is left of them: in files, in free space, in logs and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mneme._engine import maintain, removal, saved, sync
from mneme._engine.core import Core
from mneme._rules.arguments import check_seconds
from mneme._rules.keys import Scope
from mneme._rules.reserved import NOTES, subject_of
from mneme._rules.selecting import selection_of
from mneme._rules.where import Where, matcher
from mneme._runtime import leftovers
from mneme.errors import StoreBackendError
from mneme.ports import Record, Removed, Selection
from mneme.types import Forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    class _ScrubbingStore(Protocol):
        async def scrub(self, timeout: float) -> list[str]: ...


PAGE = 1000


async def forget(
    core: Core,
    *,
    namespace: str | None,
    tags: Sequence[str] | None,
    scope: Scope,
    where: Where,
    timeout: float,
) -> Forgotten:
    """The verb."""
    await maintain.ready(core)
    if namespace is None and tags is None and scope is None and where is None:
        raise ValueError(
            "forget needs at least one of namespace, tags, scope and where; to forget all, delete the file"
        )
    patience = check_seconds(timeout, "timeout")
    matches = None if where is None else matcher(where)
    return await remove_and_scrub(core, selection_of(namespace, tags, scope), matches, patience)


async def remove_and_scrub(
    core: Core, selection: Selection, matches: Callable[[Record], bool] | None, timeout: float
) -> Forgotten:
    """Remove what *selection* means and *matches*, then everything that is left of it and of what went before.

    Whatever ends it half-way, the same again finishes it: what is left is looked for however few entries are removed.
    """
    async with core.writer:
        return await core.runtime.finish(_forget(core, selection, matches, timeout))


async def _forget(
    core: Core, selection: Selection, matches: Callable[[Record], bool] | None, timeout: float
) -> Forgotten:
    removed = await removal.remove_held(core, selection) if matches is None else []
    if matches is not None:
        removed = await _remove_matching(core, selection, matches)
    if matches is None and selection == Selection(namespace=selection.namespace):
        await _remove_notes(core, selection.namespace)
    await _empty_index(core)
    remains = await _remove_saved(core)
    try:
        remains += await _scrub(core, timeout)
    except StoreBackendError as error:
        remains.append(f"the entries are removed, but not what is left of them ({error}): forget again")
    return Forgotten(len(removed), tuple(remains))


async def _remove_notes(core: Core, namespace: str | None) -> None:
    """What the cache knows of the namespace, beside its entries."""
    after = 0
    while records := await core.store.scan(Selection(namespace=NOTES), after=after, limit=PAGE):
        after = records[-1].id
        if ids := [record.id for record in records if subject_of(record) == namespace]:
            await removal.remove_held(core, Selection(refs=ids))


async def _remove_matching(core: Core, selection: Selection, matches: Callable[[Record], bool]) -> list[Removed]:
    """Page by page, so that no more than a page is in memory."""
    removed: list[Removed] = []
    after = 0
    while records := await core.store.scan(selection, after=after, limit=PAGE):
        after = records[-1].id
        if ids := [record.id for record in records if matches(record)]:
            removed += await removal.remove_held(core, Selection(refs=ids))
        if len(records) < PAGE:
            break
    return removed


async def _empty_index(core: Core) -> None:
    """Fill the index anew: what was removed may lie in it, and in the file that it was loaded from.

    Always, for nothing tells for certain that there is nothing: others may have removed it, a file stays mapped for
    the rows that are left, and a sample of what was there may be in use.
    """
    if core.embedder is None or core.store_searches:
        return
    await sync.replay(core)
    await sync.refill_index(core, core.index.dtype)


async def _remove_saved(core: Core) -> list[str]:
    """Save the index anew, if that is worth while; what could not be removed of the old one."""
    beside = getattr(core.store, "path", None)
    paths = {core.index_path, f"{beside}-index" if isinstance(beside, str) else None} - {None}
    remains = [sentence for path in sorted(cast("set[str]", paths)) for sentence in leftovers.remove(path)]
    core.saved_seq = None
    await saved.save(core)
    return remains


async def _scrub(core: Core, timeout: float) -> list[str]:
    if hasattr(core.store, "scrub"):
        return await cast("_ScrubbingStore", core.store).scrub(timeout)
    await core.store.compact()
    left = "what its logs, replicas and backups still hold is up to whoever runs it"
    return [f"the entries are deleted in the store ({core.store.name}); {left}"]
