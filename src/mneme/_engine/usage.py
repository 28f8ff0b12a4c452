"""Writing down what reads left in memory: access times and counters."""

from __future__ import annotations

from mneme._engine.core import Core
from mneme.errors import StoreBackendError


async def flush(core: Core) -> None:
    """Write what is pending; on failure it stays pending. The caller holds `writer`."""
    usage = core.usage.take(core.clock.now())
    if usage is None:
        return
    try:
        await core.store.record(usage)
    except BaseException:
        core.usage.give_back(usage)
        raise


async def flush_if_due(core: Core) -> None:
    """Write what is pending if enough has gathered. Nobody asked for it, so a failing store is only told of."""
    if not core.usage.is_due(core.clock.now()):
        return
    try:
        async with core.writer:
            await core.runtime.finish(flush(core))
    except StoreBackendError as error:
        core.store_failed("", "recording access times", error)
