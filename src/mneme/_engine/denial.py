"""Pairs of queries that were found not to mean the same, and are never served for one another again.

A pair is one note, named by a digest of namespace and both normalised queries, in either order: what makes the answer
to one wrong for the other makes it wrong the other way round as well. The scope is no part of it, and no text is kept.
"""

from __future__ import annotations

import json
import logging
from hashlib import sha256

from mneme._engine import notes, removal, watch
from mneme._engine.ask import Ask
from mneme._engine.core import Core
from mneme._rules.answers import are_equal
from mneme._rules.arguments import check_namespace, check_text
from mneme._rules.matching import Verdict
from mneme._runtime.notes import DENIED
from mneme.log import log_fields
from mneme.ports import Record, Selection
from mneme.types import Hit

logger = logging.getLogger("mneme")

MAX_PAIRS = 20_000
"""More are not remembered: the oldest is let go for a new one. At about 300 bytes of memory each."""


def pair_name(namespace: str, one: str, other: str) -> str:
    """The name of a pair of normalised queries; the lengths keep the three from running together."""
    parts = [part.encode() for part in (namespace, *sorted((one, other)))]
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:32]


def applied(core: Core, ask: Ask, record: Record, verdict: Verdict) -> Verdict:
    """The verdict on a candidate, if there are denied pairs: `denied`, if it would serve one of them."""
    if record.key == ask.key or verdict.remove:
        return verdict
    name = pair_name(ask.namespace, ask.normalized, core.options.normalize(record.query))
    return verdict._replace(reason="denied", stale=False) if name in core.notes.denied else verdict


async def reject(core: Core, hit_or_pair: Hit | tuple[str, str], namespace: str) -> bool:
    """Never serve this again; whether that is new.

    Raises:
        TypeError, ValueError: It is neither a hit nor a pair of different queries.
        StoreBackendError: The store failed; nothing was remembered.
    """
    if isinstance(hit_or_pair, Hit) and hit_or_pair.layer == "exact":
        done = await _remove_wrong(core, hit_or_pair)
        namespace = hit_or_pair.namespace
    else:
        namespace, name = _checked(core, hit_or_pair, namespace)
        done = await deny(core, namespace, name)
    if done:
        await watch.tell(core, namespace, right=False)
        core.events.send("reject", namespace)
    return done


async def deny(core: Core, namespace: str, name: str) -> bool:
    """Remember a pair; whether that is new."""
    denied = core.notes.denied
    if name in denied:
        return False
    oldest = list(denied)[: max(0, len(denied) + 1 - MAX_PAIRS)]
    if oldest:
        extra = log_fields("rejections_full", namespace=namespace)
        logger.warning("more than %d pairs of queries were rejected; the oldest is let go", MAX_PAIRS, extra=extra)
    await notes.write(core, DENIED, name, json.dumps({"namespace": namespace}))
    await notes.remove(core, DENIED, oldest)
    return True


async def confirm(core: Core, hit_or_pair: Hit | tuple[str, str], namespace: str) -> bool:
    """Say that an answer was right; whether that lifts a rejection.

    Raises: as `reject`.
    """
    if isinstance(hit_or_pair, Hit) and hit_or_pair.layer == "exact":
        namespace, lifted = hit_or_pair.namespace, False
    else:
        namespace, name = _checked(core, hit_or_pair, namespace)
        lifted = name in core.notes.denied
        if lifted:
            await notes.write(core, DENIED, name, None)
    await watch.tell(core, namespace, right=True)
    core.events.send("confirm", namespace)
    return lifted


async def forget(core: Core, namespace: str) -> int:
    """Let go of every rejected pair of a namespace; how many there were."""
    names = [name for name, text in list(core.notes.denied.items()) if json.loads(text)["namespace"] == namespace]
    await notes.remove(core, DENIED, names)
    return len(names)


def _checked(core: Core, given: object, namespace: str) -> tuple[str, str]:
    """The namespace and the name of the pair that is meant."""
    if isinstance(given, Hit):
        if not given.asked:
            raise ValueError("this hit does not say what was asked; pass the pair (asked, stored) and the namespace")
        asked, stored, namespace = given.asked, given.query, given.namespace
    elif isinstance(given, (tuple, list)) and len(given) == 2:
        asked, stored = given
    else:
        raise TypeError(f"pass a Hit, or a pair of the query asked and the one stored, not {type(given).__name__}")
    limit = core.options.max_query_bytes
    one, other = (core.options.normalize(check_text(text, "query", limit)) for text in (asked, stored))
    if one == other:
        raise ValueError(f"both queries of the pair are {one!r}; to remove an answer that is wrong itself use delete")
    return check_namespace(namespace), pair_name(namespace, one, other)


async def _remove_wrong(core: Core, hit: Hit) -> bool:
    """Remove the entry of a hit on the exact layer, unless it has got another answer since; whether it was removed."""
    [record] = await core.store.read([hit.entry_id])
    if record is None or not are_equal(core.response_of(record), hit.response, core.options.value_eq):
        return False
    async with core.writer:
        [now] = await core.store.read([hit.entry_id])
        if now is None or now.seq != record.seq:
            return False
        return bool(await core.runtime.finish(removal.remove_held(core, Selection(refs=[hit.entry_id]))))
