"""What every flow shares: the ports, the options and what is in memory. And the one path that needs no flow at all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from mneme._engine.ask import Ask, Certify, own_vectors
from mneme._rules.arguments import check_namespace, check_text, check_unit
from mneme._rules.codec import decode_metadata, decode_response
from mneme._rules.keys import Scope, canonical_scope, key_of, partition_of
from mneme._rules.matching import age_of, judge
from mneme._rules.options import Options, default_validator
from mneme._rules.similarity import RESOLUTION
from mneme._runtime.certificates import Certificates
from mneme._runtime.contract import Runtime
from mneme._runtime.events import Events
from mneme._runtime.flights import Flights
from mneme._runtime.following import Following
from mneme._runtime.fork import FORKED, Gone
from mneme._runtime.hot import HotEntry, HotLayer
from mneme._runtime.notes import Notes
from mneme._runtime.ranking import RankedUsageLog, ranking_of
from mneme._runtime.seldom import Seldom
from mneme._runtime.usage import UsageLog
from mneme.errors import CacheClosedError, StoreBackendError
from mneme.log import log_fields
from mneme.ports import (
    AsyncEmbedder,
    AsyncIndex,
    AsyncStore,
    Clock,
    Record,
    Removed,
    StoreInfo,
    Written,
)
from mneme.types import Hit, Layer

if TYPE_CHECKING:
    from mneme._engine.choose import Choice

logger = logging.getLogger("mneme")

GONE = Gone()
"""The ports of a cache whose process was forked."""
NEVER = math.inf
"""A moment that does not come."""
_REMEMBERED = 1024
"""Namespaces whose partition need not be worked out again."""


class Core:
    """The shared state of one cache.

    `counts`, `applied_seq`, `own` and `dirty` change only while `writer` is held.
    """

    def __init__(  # noqa: PLR0915 -- a line for each thing that is shared
        self,
        *,
        options: Options,
        similarity_threshold: float,
        store: AsyncStore,
        index: AsyncIndex,
        make_index: Callable[[], AsyncIndex] | None,
        embedder: AsyncEmbedder | None,
        runtime: Runtime,
        clock: Clock,
        events: Events,
        hot_bytes: int,
        choice: Choice | None = None,
        index_path: str | None = None,
        damage_of_index: Callable[[str], str | None] = lambda _: None,
        new_mark: Callable[[], str],
        following: Following,
        draw: Callable[[], float],
    ) -> None:
        self.options = options
        self.served_by: tuple[float, Certify | None] = (similarity_threshold, None)
        """The threshold, and what lets an ask be answered by what is certified instead: changed as one."""
        self.certificates = Certificates()
        self.store = store
        self.index = index
        self.make_index = make_index
        """Makes another index of the same kind; `None` when the caller passed the only one."""
        self.choice = choice
        """By what to change to another kind of index; `None` where that was settled by the caller."""
        self.embedder = embedder
        self.era = 0
        """Counts twice for every other embedder; odd while embedder and index are exchanged. See `eras`."""
        self.reembedding = False
        """Entries are being given vectors of another embedder."""
        self.runtime = runtime
        self.clock = clock
        self.events = events
        self.hot = HotLayer(hot_bytes)
        self.ranking = ranking_of(options.eviction, options.namespace_quotas) if options.capped else None
        """Which entries go first, where that is not for the store to say."""
        self.usage = UsageLog(clock.now()) if self.ranking is None else RankedUsageLog(clock.now(), self.ranking)
        self.flights = Flights(runtime)
        self.notes = Notes()
        """What the cache knows beside its entries; written by `notes.write`."""
        self.draw = draw
        """A number from 0 to below 1, by chance."""
        self.background = runtime.background()
        self.labels: dict[str, dict[int, tuple[int, int]]] = {}
        """What misses said of their neighbours and is not written yet, by namespace."""
        self.watching = runtime.lock()
        self.writer = runtime.lock()
        self.opener = runtime.lock()
        self.openings = 0
        """How often opening the store has failed."""
        self.info: StoreInfo | None = None
        """What opening the store found; `None` before."""
        self.closed = False
        """No verb starts any more."""
        self.released = False
        """Everything was let go of."""
        self.counts: dict[str, int] = {}
        self.counts_behind = False
        """Others wrote since the entries were counted."""
        self.applied_seq = 0
        """Up to which change of the store memory mirrors it."""
        self.index_path = index_path
        """Where the index is saved; `None` if nowhere."""
        self.damage_of_index = damage_of_index
        """Says what is wrong with a saved index; `None` if there is none, or nothing is."""
        self.new_mark = new_mark
        """Makes a text that was never made before."""
        self.saved_seq: int | None = None
        """Up to which change the saved index goes; `None` if there is none that is any good."""
        self.dirty = False
        """Memory lacks something that happened, or may have: it must catch up before it is believed."""
        self.own: set[int] = set()
        """Sequence numbers above `applied_seq` that are this cache's own, and in memory already."""
        self.following = following
        self.next_check = NEVER
        """From when on the store must be asked before memory is believed."""
        self.overdue = False
        """A hit was kept back because it is time to ask."""
        # With these defaults an equal query is confident, and what was valid once still is.
        self._plain_verdict = options.validator is default_validator and options.confidence_fn is None
        if events.timed:  # everybody else pays nothing for it, on the one path where it would be felt
            self.peek = self._timed_peek  # type: ignore[method-assign]  # chosen once, of the same signature
        self._lost = False  # a write of its own may be among what the store knows and memory does not
        self._seldom = Seldom()
        self._plain_partitions: dict[str, bytes] = {}  # of namespaces that need not be checked again, without a scope
        self._surely_short = options.max_query_bytes // 4

    @property
    def threshold(self) -> float:
        return self.served_by[0]

    @property
    def certified(self) -> Certify | None:
        return self.served_by[1]

    @property
    def store_searches(self) -> bool:
        """Whether the search is the store's, and the index holds nothing."""
        return self.make_index is not None and self.index.name == "store"

    @property
    def store_info(self) -> StoreInfo:
        if self.info is None:
            raise CacheClosedError("the cache is not open; await a verb first, or use it in `async with`")
        return self.info

    def check_open(self) -> None:
        if self.closed:
            raise CacheClosedError(FORKED if self.store is GONE else "the cache is closed; open a new one")

    def forked(self) -> object:
        """In the child of a fork: be closed, with locks that nobody holds and no port of the parent's."""
        if self.released:
            return None
        self.closed = self.released = True
        inherited = (self.store, self.index, self.runtime, self.usage, self.flights)
        self.store = cast("AsyncStore", GONE)
        self.index = cast("AsyncIndex", GONE)
        self.hot = HotLayer(0)
        self.usage = UsageLog(0.0)
        self.flights = Flights(self.runtime)
        self.writer, self.opener, self.watching = self.runtime.lock(), self.runtime.lock(), self.runtime.lock()
        self.background = self.runtime.background()
        return inherited

    def check_reached(self) -> None:
        """Raise `StoreBackendError` while the store could not be opened yet."""
        if self.info is None:
            raise StoreBackendError("the store has not been reached yet, and this needs it; try again when it answers")

    def changed(self, done: Sequence[Written] | Sequence[Removed]) -> None:
        """Memory follows a change of its own. If numbers between are missing, it catches up with what others wrote.

        The caller holds `writer`.
        """
        first, last = done[0].seq, done[-1].seq
        if first == self.applied_seq + 1 and last - first < len(done):
            self.applied_seq = last
        elif last > self.applied_seq:
            self.own.update([one.seq for one in done])
            self.dirty = True
            if not self.following.polls:  # or it would be found out by the next lookup that memory does not answer
                self.next_check = -NEVER

    def caught_up(self, *, others: bool) -> None:
        """Memory mirrors the store, having applied what *others* wrote, if they did. The caller holds `writer`."""
        self.own.clear()
        self.dirty = False
        lost, self._lost = self._lost, False
        if others and not lost:
            self.following.tell()

    def mark_dirty(self) -> None:
        """Memory can no longer be trusted to mirror the store."""
        self.mark_behind()
        self.hot.clear()

    def mark_behind(self) -> None:
        """The store may have done what it gave no answer to: memory asks before it is believed. What is hot stays."""
        self.dirty = self.counts_behind = self._lost = True

    def ask(
        self,
        query: str,
        *,
        namespace: str,
        scope: Scope,
        similarity_threshold: float | None = None,
        embedding: Any = None,
    ) -> Ask:
        """Check a request and work out whom it concerns.

        Raises:
            TypeError, ValueError: An argument is of the wrong type, empty, too long or out of range.
            EmbedderDimensionError: *embedding* does not have the cache's dimension.
        """
        query = check_text(query, "query", self.options.max_query_bytes)
        normalized = self.options.normalize(query)
        if not isinstance(normalized, str):
            raise TypeError(f"normalize must return a str, not {type(normalized).__name__}")
        if scope is None and type(namespace) is str and namespace in self._plain_partitions:
            canonical, partition = "", self._plain_partitions[namespace]
        else:
            namespace = check_namespace(namespace)
            canonical = canonical_scope(scope)
            partition = partition_of(namespace, canonical)
            if scope is None and len(self._plain_partitions) < _REMEMBERED:
                self._plain_partitions[namespace] = partition
        threshold, certify = self.served_by
        if similarity_threshold is not None:
            threshold = self.check_threshold(similarity_threshold)
        era = self.era
        vector = None if embedding is None else own_vectors([embedding], self.own_dim)[0]
        key = key_of(partition, normalized)
        ask = Ask(query, normalized, namespace, canonical, partition, key, threshold, vector, era=era, certify=certify)
        if self.notes.raised:
            self.tighten(ask)
        return ask

    def tighten(self, ask: Ask) -> None:
        """Raise the ask's threshold to what an alarm raised its namespace's to, if one did."""
        ask.threshold = max(ask.threshold, self.notes.raised_to(ask.namespace) or 0.0)

    def check_threshold(self, threshold: Any, what: str = "similarity_threshold") -> float:
        """A threshold that something can reach; raises `TypeError` or `ValueError` for another."""
        return check_unit(threshold, what, self.options.highest_threshold)

    def search_floor(self, threshold: float) -> float:
        """Below this similarity nothing answers at that threshold."""
        contrast = self.options.value_contrast
        return threshold - RESOLUTION if contrast is None else contrast.least(threshold)

    @property
    def own_dim(self) -> int | None:
        """How long the callers' own vectors have to be; `None` where there is nothing to compare them with."""
        return None if self.embedder is None else self.embedder.dim if self.info is None else self.info.dim

    def peek(self, query: str, namespace: str, scope: Scope, *, checked: bool = False) -> Hit | None:
        """An exact hit from memory, without waiting for anything; `None` says nothing about other layers.

        A hit is kept back when it is time to ask the store what others wrote, unless that was *checked*.
        Arguments that are not plainly right are left to the flow, which says what is wrong with them.
        """
        if type(query) is not str or len(query) > self._surely_short:
            return None
        hot_key = (namespace, "" if scope is None else canonical_scope(scope), self.options.normalize(query))
        try:
            entry = self.hot.get(hot_key)
        except TypeError:  # not hashable, so not of the right type
            return None
        if entry is None:
            return None
        record = entry.record
        response = entry.value if entry.shareable else self.response_of(record)
        hit = self.serve(record, response, served=True, checked=checked)
        if hit is not None:
            entry.read = True
        return hit

    def _timed_peek(self, query: str, namespace: str, scope: Scope, *, checked: bool = False) -> Hit | None:
        if not checked:  # otherwise it is part of a lookup that began before
            self.events.begin()
        return Core.peek(self, query, namespace, scope, checked=checked)

    def serve(self, record: Record, response: Any, *, served: bool = False, checked: bool = False) -> Hit | None:
        """The entry of an equal query as a hit, counted and told of; `None` if anything speaks against it.

        *served* says that it was served before. Says less than `judge`, and costs a cold hit much less.
        """
        now = self.clock.now()
        if now >= self.next_check and served and not checked:
            self.overdue = True
            return None
        if record.expires_at is not None and now >= record.expires_at:
            return None
        confidence = 1.0
        if self._plain_verdict:
            if not served and not default_validator(response):
                return None
        else:
            verdict = judge(record, response, similarity=1.0, threshold=0.0, now=now, options=self.options)
            if verdict.reason != "accepted":
                return None
            confidence = verdict.confidence
        self.usage.hit_exact(record.namespace, record.id, now, record.compute_seconds, record.cost)
        age = now - record.created_at
        hit = Hit(
            response,
            1.0,
            confidence,
            max(0.0, age),
            "exact",
            record.namespace,
            decode_metadata(record.metadata),
            record.query,
            record.id,
        )
        self.events.hit(hit, record)
        return hit

    def response_of(self, record: Record) -> Any:
        """The response, fresh."""
        return decode_response(record.codec, record.payload, self.options.codec)

    def hit(
        self,
        record: Record,
        response: Any,
        *,
        layer: Layer,
        similarity: float,
        confidence: float,
        age_seconds: float | None = None,
        asked: str = "",
        score: float | None = None,
    ) -> Hit:
        """A hit to hand out, of the age it was judged at, or has now."""
        return Hit(
            response,
            similarity,
            confidence,
            age_of(record, self.clock.now()) if age_seconds is None else age_seconds,
            layer,
            record.namespace,
            decode_metadata(record.metadata),
            record.query,
            record.id,
            asked if layer == "semantic" else "",
            similarity if score is None else score,
        )

    def count_hit(self, hit: Hit, record: Record) -> None:
        """Remember a hit that is handed out, and tell of it."""
        count = self.usage.hit_exact if hit.layer == "exact" else self.usage.hit_semantic
        count(record.namespace, record.id, self.clock.now(), record.compute_seconds, record.cost)
        self.events.hit(hit, record)

    def count_miss(self, namespace: str, reason: str) -> None:
        self.usage.miss(namespace)
        self.events.send("miss", namespace, reason=reason)

    def store_failed(self, namespace: str, doing: str, error: BaseException) -> None:
        """The store failed at something that nobody gets an exception for. Warned of now and then, told every time."""
        untold = self._seldom.untold(doing, self.clock.now())
        if untold is not None:
            more = f" ({untold} more such failures since the last warning)" if untold else ""
            extra = log_fields("store_failure", namespace=namespace, error=error, operation=doing, failures=untold + 1)
            logger.warning("the store failed while %s: %s%s", doing, error, more, extra=extra)
        self.events.send("store_failure", namespace, doing=doing, error=repr(error))

    def keep_hot(self, ask: Ask, record: Record, response: Any, offered_at: int) -> None:
        """Keep in memory what was read from the store since version *offered_at*."""
        self.hot.offer(HotEntry(ask.hot_key, record, response), offered_at)
