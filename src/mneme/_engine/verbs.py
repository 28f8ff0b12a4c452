"""The verbs that ask and store, one coroutine each: open if need be, check the arguments, run the flow.

Both faces call these with the arguments they were called with, and add nothing but how they wait. The verbs that look
after a cache are in `upkeep`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from mneme._engine import compute, explore, follow, lookup, maintain, removal, write
from mneme._engine.ask import Ask, own_vectors
from mneme._engine.compute import Cost, Got, Order, SingleFlight
from mneme._engine.core import Core
from mneme._engine.write import PLAIN, Draft, Lifetime
from mneme._rules.arguments import check_count, check_tags
from mneme._rules.expiry import TTL
from mneme._rules.keys import Scope
from mneme.errors import StoreBackendError
from mneme.ports import Matrix, Selection
from mneme.types import Explanation, Hit

_PUT_NAMES = frozenset({"query", "response", "embedding", "namespace", "scope", "metadata", "ttl", "tags", "cost"})


async def _begun(core: Core) -> StoreBackendError | None:
    """As `maintain.start`, for a lookup whose time may be measured."""
    if core.events.timed:
        core.events.begin()
    return await maintain.start(core)


async def get_many(
    core: Core,
    queries: Sequence[str],
    *,
    embeddings: Sequence[Any] | None = None,
    namespace: str,
    scope: Scope,
    similarity_threshold: float | None,
    bypass: bool,
) -> list[Hit | None]:
    down = await _begun(core)
    if isinstance(queries, (str, bytes)):
        raise TypeError("queries must be a sequence of strings; for one query use get")
    if not hasattr(queries, "__getitem__"):
        raise TypeError(f"queries must be a sequence of strings, not {type(queries).__name__}")
    if embeddings is not None and not hasattr(embeddings, "__len__"):
        raise TypeError(f"embeddings must be a sequence, with one for each query, not {type(embeddings).__name__}")
    if embeddings is not None and len(embeddings) != len(queries):
        raise ValueError(f"{len(embeddings)} embeddings were given for {len(queries)} queries; give one for each")
    asks = [
        core.ask(
            query,
            namespace=namespace,
            scope=scope,
            similarity_threshold=similarity_threshold,
            embedding=None if embeddings is None else embeddings[position],
        )
        for position, query in enumerate(queries)
    ]
    if bypass:
        for ask in asks:
            core.count_miss(ask.namespace, "bypass")
        return [None] * len(asks)
    if down is None:
        await follow.check_if_due(core)
    cold = [ask for ask in asks if ask.vector is not None or core.hot.get(ask.hot_key) is None]
    found = dict(zip(map(id, cold), await _look_up(core, cold, down) if cold else [], strict=True))
    # What memory holds is served last, so that nothing was counted if the rest fails.
    hits = []
    for ask in asks:
        hit = found[id(ask)] if id(ask) in found else core.peek(ask.query, namespace, scope, checked=True)
        if hit is None and id(ask) not in found:  # it has left the hot layer since
            [hit] = await _look_up(core, [ask], down)
        hits.append(hit)
    return hits


async def _look_up(core: Core, asks: Sequence[Ask], down: StoreBackendError | None) -> list[Hit | None]:
    """The answer to each request; misses, if the store fails and that is what it makes, as it does if it is *down*."""
    if down is None:
        try:
            return await lookup.get_many(core, asks)
        except StoreBackendError as error:
            if not core.options.failing_is_missing:
                raise
            lookup.missed(core, asks, error)
    else:
        lookup.missed(core, asks, down)
    return [None] * len(asks)


async def get(
    core: Core,
    query: str,
    *,
    embedding: Any,
    namespace: str,
    scope: Scope,
    similarity_threshold: float | None,
    bypass: bool,
) -> Hit | None:
    if core.events.timed:
        core.events.begin()
    down = None
    if core.info is None or core.closed or core.overdue:  # asked here as well, because a cold hit feels every call
        down = await maintain.start(core)
        if down is None and core.overdue:
            await follow.check(core)
            hit = core.peek(query, namespace, scope, checked=True) if embedding is None and not bypass else None
            if hit is not None:
                return hit
    ask = core.ask(
        query, namespace=namespace, scope=scope, similarity_threshold=similarity_threshold, embedding=embedding
    )
    if bypass:
        core.count_miss(ask.namespace, "bypass")
        return None
    if down is not None:
        lookup.missed(core, [ask], down)
        return None
    try:
        return await lookup.get(core, ask)
    except StoreBackendError as error:
        if not core.options.failing_is_missing:
            raise
        lookup.missed(core, [ask], error)
        return None


async def nearest(core: Core, query: str, *, k: int, embedding: Any, namespace: str, scope: Scope) -> list[Hit]:
    await maintain.ready(core)
    ask = core.ask(query, namespace=namespace, scope=scope, embedding=embedding)
    return await explore.lookup(core, ask, check_count(k, "k", 1))


async def explain(
    core: Core,
    query: str,
    *,
    k: int,
    embedding: Any,
    namespace: str,
    scope: Scope,
    similarity_threshold: float | None,
) -> Explanation:
    await maintain.ready(core)
    ask = core.ask(
        query, namespace=namespace, scope=scope, similarity_threshold=similarity_threshold, embedding=embedding
    )
    return await explore.explain(core, ask, check_count(k, "k", 1))


async def put(
    core: Core,
    query: str,
    response: Any,
    *,
    embedding: Any,
    namespace: str,
    scope: Scope,
    metadata: Mapping[str, Any] | None,
    ttl: TTL,
    tags: Sequence[str],
    cost: float,
) -> bool:
    down = None
    if core.info is None or core.closed:
        down = await maintain.start(core)
    ask = core.ask(query, namespace=namespace, scope=scope, embedding=embedding)
    lifetime = PLAIN if ttl is None else Lifetime(ttl)
    draft = write.draft(core, ask, response, metadata, tags, lifetime, core.clock.now(), cost=cost)
    return draft is not None and await _store(core, [draft], None, down)


async def _store(core: Core, drafts: Sequence[Draft], matrix: Matrix | None, down: StoreBackendError | None) -> bool:
    """Whether the drafts were stored: a store that fails, or is *down*, may be told of instead of raised."""
    if down is None:
        try:
            await write.put(core, drafts, matrix)
        except StoreBackendError as error:
            if not core.options.failing_is_missing:
                raise
            core.store_failed(drafts[0].record.namespace, "storing a response", error)
            return False
        return True
    if drafts:
        core.store_failed(drafts[0].record.namespace, "storing a response", down)
    return False


async def put_many(
    core: Core,
    items: Iterable[tuple[str, Any] | Mapping[str, Any]],
    *,
    namespace: str,
    scope: Scope,
    metadata: Mapping[str, Any] | None,
    ttl: TTL,
    tags: Sequence[str],
    cost: float,
) -> int:
    down = await maintain.start(core)
    if not hasattr(items, "__iter__"):
        raise TypeError(f"items must be an iterable of (query, response) pairs or mappings, not {type(items).__name__}")
    shapes: set[tuple[Any, ...]] = set()
    given = [_item(position, item, shapes) for position, item in enumerate(items)]
    embeddings = [item.get("embedding") for item in given]
    era = core.era
    # All at once, which takes less time than one by one.
    vectors = own_vectors([embedding for embedding in embeddings if embedding is not None], core.own_dim)
    rows, now = iter(vectors), core.clock.now
    accepted = []
    for item, embedding in zip(given, embeddings, strict=True):
        get = item.get
        ask = core.ask(item["query"], namespace=get("namespace", namespace), scope=get("scope", scope))
        if embedding is not None:
            ask.vector, ask.era = next(rows), era
        own_ttl = get("ttl", ttl)
        lifetime = PLAIN if own_ttl is None else Lifetime(own_ttl)
        # A moment for each: of one batch the first are the least recently used.
        extras = get("metadata", metadata), get("tags", tags)
        draft = write.draft(core, ask, item["response"], *extras, lifetime, now(), 0.0, get("cost", cost))
        if draft is not None:
            accepted.append(draft)
    whole = isinstance(vectors, np.ndarray) and len(vectors) == len(accepted) == len(given)
    stored = await _store(core, accepted, np.asarray(vectors) if whole else None, down)
    return len(accepted) if stored else 0


def _item(position: int, item: Any, shapes: set[tuple[Any, ...]]) -> Mapping[str, Any]:
    """A checked item. *shapes* are the keys, in their order, that were found to be right in this batch."""
    plain = type(item) is dict
    if plain and tuple(item) in shapes:
        return cast("dict[str, Any]", item)
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return {"query": item[0], "response": item[1]}
    if not isinstance(item, Mapping):
        raise TypeError(f"item {position} must be a (query, response) pair or a mapping, not {type(item).__name__}")
    names = item.keys()
    if not names <= _PUT_NAMES:
        raise TypeError(
            f"item {position} has the unknown key {min(map(str, names - _PUT_NAMES))!r}; put has {_PUT_LIST}"
        )
    if not names >= _NEEDED:
        raise TypeError(f"item {position} lacks {min(_NEEDED - names)!r}")
    if plain:
        shapes.add(tuple(names))
    return item


_NEEDED = frozenset({"query", "response"})
_PUT_LIST = ", ".join(sorted(_PUT_NAMES))


async def get_or_compute(
    core: Core,
    query: str,
    compute_fn: Callable[[str], Any],
    *,
    embedding: Any,
    namespace: str,
    scope: Scope,
    similarity_threshold: float | None,
    bypass: bool,
    metadata: Mapping[str, Any] | None,
    tags: Sequence[str],
    lifetime: Lifetime,
    stale_on_error: bool,
    single_flight: SingleFlight,
    cost: Cost,
) -> Got:
    down = await _begun(core)  # a value can be computed without the store
    if down is None and core.overdue:
        await follow.check(core)
        hit = core.peek(query, namespace, scope, checked=True) if embedding is None and not bypass else None
        if hit is not None:
            return Got(hit.response, computed=False)
    write.checked_metadata(core, metadata)  # now: what is wrong with it must not come out after an hour of computing
    order = Order(
        ask=core.ask(
            query, namespace=namespace, scope=scope, similarity_threshold=similarity_threshold, embedding=embedding
        ),
        compute=compute_fn,
        metadata=metadata,
        tags=check_tags(tags),
        lifetime=lifetime,
        single_flight=single_flight,
        stale_on_error=stale_on_error,
        cost=cost,
    )
    order.check()
    if bypass:
        core.count_miss(order.ask.namespace, "bypass")
        return Got(await compute.refresh(core, order), computed=True)
    return await compute.get_or_compute(core, order)


async def delete(core: Core, query_or_hit: str | Hit, *, namespace: str, scope: Scope) -> bool:
    await maintain.ready(core)
    if isinstance(query_or_hit, Hit):
        selection = Selection(refs=[query_or_hit.entry_id])
    else:
        selection = Selection(refs=[core.ask(query_or_hit, namespace=namespace, scope=scope).key])
    return bool(await removal.remove(core, selection))
