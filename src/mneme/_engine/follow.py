"""Following what others write to the same store: asking it now and then, before memory is believed.

One caller at a time asks, inline; whoever comes meanwhile is served from memory. So what memory answers with was true
no longer ago than the interval, and the time that one such question takes. Nothing waits for a writer unless there is
something to apply. Where processes share one index every caller asks for itself.
"""

from __future__ import annotations

from mneme._engine import saved, sync
from mneme._engine.core import NEVER, Core
from mneme.errors import StoreBackendError


async def check_if_due(core: Core) -> None:
    """Before memory is believed: ask whether others wrote, if it is time."""
    if core.clock.now() >= core.next_check:
        await check(core)


async def check(core: Core) -> None:
    """Ask whether others wrote, and make memory follow; nothing if it is not time, or somebody else is at it.

    A store that fails is only told of: reading from memory goes on.
    """
    core.overdue = False
    if core.following.shares is not None:
        await _ask(core)
        return
    now = due = core.clock.now()
    if not core.following.take_turn():
        return
    try:
        if now < core.next_check:
            due = core.next_check
            return
        core.next_check = NEVER  # until this is over
        failed = not await _ask(core)
        due = now + core.following.interval if core.following.polls or failed else NEVER
    finally:
        core.next_check = due
        core.following.give_turn()


async def _ask(core: Core) -> bool:
    """Ask, and make memory follow; whether the store answered."""
    try:
        await _follow(core)
    except StoreBackendError as error:
        core.store_failed("", "asking what others wrote", error)
        return False
    return True


async def news(core: Core) -> bool:
    """Whether the store has seen something that memory has not."""
    return await core.store.changes(core.applied_seq, limit=1) != []


async def _follow(core: Core) -> None:
    if core.dirty or await news(core):
        async with core.writer:
            await core.runtime.finish(_apply(core))


async def _apply(core: Core) -> None:
    # What was new may have been this cache's own write, on its way from the store to memory.
    if core.dirty or await news(core):
        await sync.replay(core)
        await saved.share_if_due(core)
