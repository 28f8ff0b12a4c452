"""Durable small texts of the cache's own: rejected pairs, alarms, certificates. `core.notes` has them in memory.

Each is one entry of a reserved namespace, written in one transaction of its own, so all stores keep them, followers
see those of others after the interval, and copies of a store contain them. Removing answers does not remove them.
"""

from __future__ import annotations

from collections.abc import Sequence

from mneme._engine import removal, sync
from mneme._engine.core import Core
from mneme._rules.reserved import note, note_key
from mneme._runtime.breaker import NotAskedError
from mneme.errors import StoreBackendError
from mneme.ports import Record, Selection

MAX_BYTES = 65_536
"""A note is short: all of them are held in memory, and read when the cache opens."""


async def write(core: Core, kind: str, name: str, text: str | None) -> None:
    """Keep *text* under this kind and name, in place of what was there; `None` removes it. One transaction.

    Raises:
        StoreBackendError: The store failed; memory is as it was, and asks the store before it is believed.
        ValueError: The text is too long.
    """
    if text is None:
        await remove(core, kind, [name])
    else:
        await write_all(core, [(kind, name, text)])


async def write_all(core: Core, given: Sequence[tuple[str, str, str]]) -> None:
    """Keep texts, each of a kind and a name, in one transaction.

    Raises: as `write`.
    """
    records = [note(kind, name, text) for kind, name, text in given]
    for record in records:
        if len(record.payload) > MAX_BYTES:
            raise ValueError(f"the note {name_of(record)} has {len(record.payload)} bytes, more than {MAX_BYTES}")
    async with core.writer:
        await core.runtime.finish(_write(core, records))


async def remove(core: Core, kind: str, names: Sequence[str]) -> None:
    """Remove notes of one kind in one transaction; those that are not there are passed over.

    Raises:
        StoreBackendError: The store failed; memory is as it was, and asks the store before it is believed.
    """
    if names:
        await removal.remove(core, Selection(refs=[note_key(kind, name) for name in names]))


def name_of(record: Record) -> str:
    """For messages."""
    return f"{record.scope}/{record.query}"


async def _write(core: Core, records: Sequence[Record]) -> None:
    """The caller holds `writer`."""
    await sync.catch_up(core)
    written = None
    try:
        written = await core.store.write(records)
        core.notes.keep(
            record._replace(id=done.id, seq=done.seq) for record, done in zip(records, written, strict=True)
        )
        core.changed(written)
    except BaseException as error:
        if written is not None or not isinstance(error, StoreBackendError):
            core.mark_dirty()
        elif not isinstance(error, NotAskedError):
            core.mark_behind()
        raise
