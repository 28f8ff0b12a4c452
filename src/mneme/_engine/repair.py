"""Putting right what `check` finds: in the store, where it can, in the saved index, and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mneme._engine import follow, maintain, saved, sync
from mneme._engine.core import Core
from mneme._runtime import leftovers
from mneme.types import Repair, RepairReport

if TYPE_CHECKING:
    from typing import Protocol

    class _RepairingStore(Protocol):
        async def repair(self, *, apply: bool) -> list[Repair]: ...


async def repair(core: Core, *, apply: bool) -> RepairReport:
    """The verb."""
    if not isinstance(apply, bool):
        raise TypeError(f"apply must be a bool, not {type(apply).__name__}")
    await maintain.ready(core)
    await follow.check_if_due(core)
    async with core.writer:
        return await core.runtime.finish(_repair(core, apply=apply))


async def _repair(core: Core, *, apply: bool) -> RepairReport:
    repairs: list[Repair] = []
    if hasattr(core.store, "repair"):
        repairs += await cast("_RepairingStore", core.store).repair(apply=apply)
    if repairs and apply:
        core.hot.clear()
        core.mark_dirty()
        await sync.catch_up(core)
    repairs += await _saved_index(core, apply=apply)
    differences = await maintain.differences(core)
    repairs += [Repair(problem, "memory is filled anew from the store") for problem in differences]
    if differences and apply:
        await sync.load_counts(core)
        await sync.refill_index(core, core.index.dtype)
        differences = await maintain.differences(core)
    return RepairReport(apply, tuple(repairs), tuple(await core.store.check() + differences))


async def _saved_index(core: Core, *, apply: bool) -> list[Repair]:
    """A damaged one is removed, and saved anew if that is worth while. The caller holds `writer`."""
    path = core.index_path
    why = None if path is None else core.damage_of_index(path)
    if path is None or why is None:
        return []
    if apply:
        leftovers.remove(path)
        if core.embedder is not None and not core.store_searches:
            await sync.refill_index(core, core.index.dtype)
            await saved.save(core)
    return [Repair(f"The saved index {path!r} is damaged: {why}.", "it is removed, and made anew from the store")]
