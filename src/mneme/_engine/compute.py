"""Computing what is not there: once for all who ask at the same time, and with something stale meanwhile if allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from mneme._engine import audit, guarding, lookup, write
from mneme._engine.ask import Ask
from mneme._engine.core import Core, logger
from mneme._engine.lookup import Found
from mneme._engine.write import Lifetime
from mneme._rules.arguments import check_cost
from mneme._rules.codec import decode_response, encode_response
from mneme._rules.expiry import seconds
from mneme._rules.matching import confidence_of
from mneme._rules.similarity import RESOLUTION
from mneme._runtime.flights import Flight, Offer, Outcome
from mneme.errors import StoreBackendError
from mneme.log import log_fields
from mneme.ports import Record, Vector
from mneme.types import Hit

SingleFlight: TypeAlias = Literal["exact", "semantic"]
Cost: TypeAlias = "float | Callable[[Any], float]"
"""What a value cost to compute, or a function that tells it by the value."""

_LOOKS = 3
"""How often a leader looks, because it waited for a twin or another flight landed while it looked; then it computes."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request for a value, whatever it takes."""

    ask: Ask
    compute: Callable[[str], Any]
    metadata: Mapping[str, Any] | None
    tags: Sequence[str]
    lifetime: Lifetime
    single_flight: SingleFlight
    stale_on_error: bool
    cost: Cost = 0.0

    def check(self) -> None:
        """Raise `TypeError` or `ValueError` for what cannot be carried out."""
        self.lifetime.check()
        if not callable(self.compute):
            raise TypeError(f"compute must be callable with the query, not {type(self.compute).__name__}")
        if not callable(self.cost):
            check_cost(self.cost)
        if self.single_flight not in ("exact", "semantic"):
            raise ValueError(f"single_flight must be 'exact' or 'semantic', got {self.single_flight!r}")
        if self.stale_on_error and self.lifetime.stale_ttl is None:
            raise ValueError("stale_on_error needs stale_ttl=, which says how long an expired entry is kept")


@dataclass(frozen=True, slots=True)
class Got:
    """The value, and whether it had to be computed by this caller."""

    value: Any
    computed: bool


async def get_or_compute(core: Core, order: Order) -> Got:
    """The stored value, or what `compute` returns, which is then stored.

    Raises whatever `compute` raises, in every caller that waited for it; nothing is stored then.
    """
    while True:
        flight, leads = core.flights.join(order.ask.key, order.ask.partition, order.ask.query)
        if not leads:
            try:
                got = await _follow(core, order, flight)
            finally:
                core.flights.leave(flight)
            if got is not None:
                return got
            continue
        outcome = None  # what a leader that is cancelled or killed leaves behind
        try:
            got, outcome = await _lead(core, order, flight)
        except Exception as error:
            outcome = Outcome(error=error)
            raise
        finally:
            core.flights.land(flight, outcome)
        return got


async def refresh(core: Core, order: Order) -> Any:
    """Compute and store without looking, and without waiting for anybody else's computation."""
    value, took = await _timed(core, order)
    await _store(core, order, value, took)
    return value


async def _follow(core: Core, order: Order, flight: Flight) -> Got | None:
    """Wait for another's flight; `None` if nothing came of it that this caller accepts."""
    if order.ask.certify is not None:
        await order.ask.certify(order.ask)
    if order.lifetime.stale_ttl is not None:
        await flight.looked.wait()
        if flight.stale is not None and _accepts_stale(core, order, flight.stale):
            return _serve_stale(core, order, flight.stale)
    await flight.landed.wait()
    outcome = flight.outcome
    if outcome is None:
        return None
    if outcome.error is not None:
        if order.stale_on_error and flight.stale is not None and _accepts_stale(core, order, flight.stale):
            return _serve_stale(core, order, flight.stale)
        core.count_miss(order.ask.namespace, "compute_failed")
        raise outcome.error
    offer = outcome.offer
    if offer is None or not _accepts(core, order, offer):
        return None
    if offer.record is None:
        core.count_miss(order.ask.namespace, "not_stored")
        return Got(offer.value(), computed=False)
    response = offer.value()
    confidence = confidence_of(offer.similarity, 0.0, core.options)
    hit = core.hit(
        offer.record,
        response,
        layer=offer.layer,
        similarity=offer.similarity,
        confidence=confidence,
        asked=order.ask.query,
        score=offer.score,
    )
    core.count_hit(hit, offer.record)
    return Got(response, computed=False)


def _accepts(core: Core, order: Order, offer: Offer) -> bool:
    """Callers of one query may ask for different thresholds; what was found for another need not do for this one."""
    return offer.layer == "exact" or _would_answer(core, order.ask, offer.similarity, offer.score)


def _accepts_stale(core: Core, order: Order, offer: Offer) -> bool:
    """The entry was stored with a stale window; a caller may ask for a shorter one."""
    window = seconds(order.lifetime.stale_ttl, "stale_ttl")
    if window is None or offer.expired_at is None:
        return False
    return core.clock.now() - offer.expired_at < window and _accepts(core, order, offer)


def _serve_stale(core: Core, order: Order, offer: Offer) -> Got:
    core.events.send("stale", order.ask.namespace, layer=offer.layer, similarity=offer.similarity)
    return Got(offer.value(), computed=False)


async def _lead(core: Core, order: Order, flight: Flight) -> tuple[Got, Outcome]:
    found = await _look(core, order, flight)
    if found.hit is not None and found.record is not None:
        core.count_hit(found.hit, found.record)
        offer = _offer(core, found.hit, found.record)
        if core.options.audit_rate and found.hit.layer == "semantic":
            audit.hit(core, order, found.hit, found.record, partial(_store, core, order))
        return Got(found.hit.response, computed=False), Outcome(offer)
    core.count_miss(order.ask.namespace, found.reason)
    try:
        with core.flights.leading(flight):
            value, took = await _timed(core, order)
    except Exception as error:
        if not order.stale_on_error or flight.stale is None or not _accepts_stale(core, order, flight.stale):
            raise
        extra = log_fields("compute_failure", namespace=order.ask.namespace, error=error)
        logger.warning("compute failed; an expired response is served instead", exc_info=True, extra=extra)
        return _serve_stale(core, order, flight.stale), Outcome(error=error)
    if found.reason in _NOT_TO_BE_STORED:
        extra = log_fields("not_stored", namespace=order.ask.namespace, reason=found.reason)
        logger.warning("the response is not stored: %s", _NOT_TO_BE_STORED[found.reason], extra=extra)
        record = None
    else:
        record = await _store(core, order, value, took)
    copies = _copier(core, value)
    if core.options.audit_rate:
        audit.miss(core, order, copies, record)
    return Got(value, computed=True), Outcome(Offer(copies, record=record))


_NOT_TO_BE_STORED = {
    # Without a vector the entry would stay invisible to the semantic layer for as long as it lives.
    "embedder_failure": "the embedder failed",
    # It would most likely fail once more, after as long a wait.
    "store": "the store failed",
}


async def _look(core: Core, order: Order, flight: Flight) -> Found:
    """Look in the cache and, if asked to, among what is being computed, until there is nothing to wait for.

    A twin's value is not taken from its flight: once it is stored, looking again finds it, with every verdict.
    """
    ask = order.ask
    looks = 0
    refused: set[Flight] = set()
    while True:
        looks += 1
        landings = core.flights.landings()
        found = await _find(core, ask)
        ask.vector, ask.era = found.vector, found.era
        if found.stale is not None:
            stale = found.stale
            flight.stale = Offer(
                _copier(core, stale.response), stale.layer, stale.similarity, None, found.expired_at, stale.score
            )
        flight.looked.set()
        if found.hit is not None or found.vector is None:
            return found
        if order.single_flight == "exact" or looks == _LOOKS:
            flight.vector = found.vector  # it waits for no twin, but may be one
            return found
        twin, holds = await _twin(core, ask, flight, found.vector, landings=landings, refused=refused)
        if twin is not None:
            try:
                await twin.landed.wait()
            finally:
                core.flights.leave(twin, flight)
        elif holds:
            return found


async def _twin(
    core: Core, ask: Ask, flight: Flight, vector: Vector, *, landings: int, refused: set[Flight]
) -> tuple[Flight | None, bool]:
    """As `Flights.twin`, of those that no guard refuses, which are asked while no lock is held."""
    while True:
        twin, holds = core.flights.twin(
            flight, vector, lambda similarity: _would_answer(core, ask, similarity), landings=landings, refused=refused
        )
        if twin is None or not core.options.guards:
            return twin, holds
        keep = False
        try:
            similarity = float(vector @ twin.vector) if twin.vector is not None else -1.0
            keep = await guarding.refusal(core, ask.query, twin.query, similarity=similarity) is None
        finally:
            if not keep:
                core.flights.leave(twin, flight)
        if keep:
            return twin, holds
        refused.add(twin)


async def _find(core: Core, ask: Ask) -> Found:
    """Look the request up; a store that fails is a miss, because the value can be computed without it."""
    try:
        core.check_reached()
        [found] = await lookup.find(core, [ask])
        await lookup.tidy(core, [found])
    except StoreBackendError as error:
        core.store_failed(ask.namespace, "looking up a query", error)
        return Found(reason="store")
    return found


def _offer(core: Core, hit: Hit, record: Record) -> Offer:
    return Offer(_copier(core, hit.response), hit.layer, hit.similarity, record, score=hit.score)


def _would_answer(core: Core, ask: Ask, similarity: float, score: float | None = None) -> bool:
    """Without a score by the similarity alone, which is no higher: what is in flight has no neighbours yet."""
    if ask.exact_only or (similarity if score is None else score) < ask.threshold - RESOLUTION:
        return False
    least = core.options.min_confidence
    return least is None or confidence_of(similarity, 0.0, core.options) >= least


async def _timed(core: Core, order: Order) -> tuple[Any, float]:
    started = core.clock.now()
    try:
        value = await core.runtime.call(order.compute, order.ask.query)
    except Exception as error:
        _tell_computed(core, order, core.clock.now() - started, error=repr(error))
        raise
    took = core.clock.now() - started
    _tell_computed(core, order, took)
    return value, took


def _tell_computed(core: Core, order: Order, took: float, **fields: Any) -> None:
    if core.events.timed:
        core.events.send("compute", order.ask.namespace, seconds=took, **fields)


async def _store(core: Core, order: Order, value: Any, took: float) -> Record | None:
    """Store a computed value if that is possible: it was too dear to be lost to the cache's troubles."""
    namespace = order.ask.namespace
    try:
        core.check_reached()
        one = write.draft(
            core,
            order.ask,
            value,
            metadata=order.metadata,
            tags=order.tags,
            lifetime=order.lifetime,
            now=core.clock.now(),
            compute_seconds=took,
            cost=_cost(order, value),
        )
        if one is not None:
            [written] = await write.put(core, [one])
            return write.stored(one.record, written)
    except StoreBackendError as error:
        core.store_failed(namespace, "storing a computed response", error)
    except Exception as error:  # noqa: BLE001 -- a caller's validator, codec or embedder may raise anything
        extra = log_fields("put_rejected", namespace=namespace, error=error)
        logger.warning("a computed response could not be stored", exc_info=True, extra=extra)
        core.events.send("put_rejected", namespace, query=order.ask.query, error=repr(error))
    return None


def _cost(order: Order, value: Any) -> float:
    """What the value cost; 0.0 where the caller's function fails: the value is too dear to be lost for that."""
    if not callable(order.cost):
        return order.cost
    try:
        return check_cost(order.cost(value), "what the cost function returns")
    except Exception as error:  # noqa: BLE001 -- a caller's function may raise anything
        extra = log_fields("cost_failure", namespace=order.ask.namespace, error=error)
        logger.warning("the cost function failed; the value is stored without a cost", exc_info=True, extra=extra)
        return 0.0


def _copier(core: Core, value: Any) -> Callable[[], Any]:
    """Makes copies of *value*, or hands out the thing itself where it cannot be encoded."""
    try:
        codec, payload = encode_response(value, core.options.codec)
    except Exception:  # noqa: BLE001 -- a caller's codec may raise anything
        return lambda: value
    return lambda: decode_response(codec, payload, core.options.codec)
