"""Finding out in the background whether answers are right: hits by computing them again, misses by their neighbours.

Nobody waits for it, and nobody gets its exceptions. One audit runs at a time; what comes while too many wait is let go.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mneme._engine import denial, watch
from mneme._engine.core import Core, logger
from mneme._engine.eras import EraChangedError
from mneme._engine.nearest import ANY, nearest
from mneme._rules.answers import are_equal
from mneme._rules.expiry import is_expired
from mneme.errors import StoreBackendError
from mneme.log import log_fields
from mneme.ports import Record
from mneme.types import Hit

if TYPE_CHECKING:
    from mneme._engine.compute import Order

Store = Callable[[Any, float], Awaitable[object]]
"""Stores a computed value that took so many seconds under the query that was asked."""

_NEIGHBOURS = 4


def hit(core: Core, order: Order, served: Hit, record: Record, store: Store) -> None:
    """Compute what a hit on the semantic layer answered, if chance wants it: `audit_rate` of all."""
    if core.draw() >= core.options.audit_rate:
        return

    async def flow() -> None:
        await _safely(core, order.ask.namespace, _audit(core, order, served, record, store))

    if not core.background.take(flow):
        core.events.send("audit", order.ask.namespace, outcome="dropped", similarity=served.similarity)


async def _audit(core: Core, order: Order, served: Hit, record: Record, store: Store) -> None:
    namespace = order.ask.namespace
    # A decorated function does not count what nobody called.
    again = getattr(order.compute, "_mneme_audit", order.compute)
    started = core.clock.now()
    try:
        value = await core.runtime.call(again, order.ask.query)
    except Exception as error:  # noqa: BLE001 -- a caller's function may raise anything
        extra = log_fields("audit_failure", namespace=namespace, error=error, reason="compute")
        logger.info("an audit came to nothing: compute raised", exc_info=True, extra=extra)
        await watch.failed(core, namespace)
        core.events.send("audit", namespace, outcome="failed", similarity=served.similarity)
        return
    took = core.clock.now() - started
    # The response that was handed out may have been changed since.
    wrong = not are_equal(core.response_of(record), value, core.options.value_eq)
    if wrong:
        normalize = core.options.normalize
        pair = denial.pair_name(namespace, normalize(order.ask.query), normalize(record.query))
        await denial.deny(core, namespace, pair)
        await store(value, took)
    await watch.audited(core, namespace, wrong=wrong, threshold=order.ask.threshold)
    core.events.send("audit", namespace, outcome="wrong" if wrong else "right", similarity=served.similarity)


def miss(core: Core, order: Order, value: Callable[[], Any], stored: Record | None) -> None:
    """Take a label from a miss that was computed: whether the neighbour that was nearest to it has the same answer.

    It may have been *stored* since: then what came later is no neighbour of it.
    """
    if order.ask.vector is None:
        return

    async def flow() -> None:
        await _safely(
            core, order.ask.namespace, _label(core, order, value(), math.inf if stored is None else stored.seq)
        )

    core.background.take(flow)


async def _label(core: Core, order: Order, value: Any, before: float) -> None:
    ask = order.ask
    if ask.vector is None:
        return
    try:
        [(candidates, _)] = await nearest(core, ask.partition, ask.vector[None], floor=ANY, k=_NEIGHBOURS, era=ask.era)
    except EraChangedError:
        return  # the vector is of an embedder that is no longer the cache's
    now = core.clock.now()
    for record, similarity in candidates:
        if record.key == ask.key or record.seq > before or is_expired(record.expires_at, now):
            continue
        if similarity >= ask.threshold:
            return  # it was refused for another reason than its similarity
        same = are_equal(core.response_of(record), value, core.options.value_eq)
        await watch.labelled(core, ask.namespace, similarity, same=same)
        core.events.send("label", ask.namespace, similarity=similarity, same=same)
        return


async def _safely(core: Core, namespace: str, flow: Awaitable[None]) -> None:
    try:
        await flow
    except StoreBackendError as error:
        core.store_failed(namespace, "auditing", error)
    except Exception as error:  # noqa: BLE001 -- a caller's codec or validator may raise anything
        extra = log_fields("audit_failure", namespace=namespace, error=error, reason="cache")
        logger.warning("an audit could not be carried out", exc_info=True, extra=extra)
