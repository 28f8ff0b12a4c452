"""The blocking face. Everything it does is written once, in `_engine`; the documentation of both faces is here."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from mneme._assemble import assemble
from mneme._engine import certificates, dump, forget as forgetting, maintain, repair as repairing, upkeep, verbs
from mneme._engine.compute import SingleFlight
from mneme._engine.described import described
from mneme._engine.write import Lifetime
from mneme._restore import Restore
from mneme._rules.confidence import ConfidenceFn
from mneme._rules.contrast import ValueContrast
from mneme._rules.expiry import TTL
from mneme._rules.guards import DEFAULT_GUARDS
from mneme._rules.keys import Scope
from mneme._rules.options import Eviction, OnAlarm, OnStoreError, Threshold
from mneme._runtime.drive import complete
from mneme._runtime.threads import ThreadRuntime
from mneme.certificates import Certificate, CertificateStatus
from mneme.decorators import Memoize
from mneme.ports import Clock, Codec, Embedder, Guard, Index, MetricsHook, Store, VectorDType
from mneme.types import (
    Checkpoint,
    Entry,
    Explanation,
    Forgotten,
    Health,
    Hit,
    ReembedProgress,
    ReembedReport,
    RepairReport,
    Stats,
    Watch,
)

C = TypeVar("C", bound="SemanticCache")


class SemanticCache:
    """Remembers responses, and gives one back for every later query that means the same.

    An exact layer (equal normalised queries) stands on a semantic layer (cosine similarity of embeddings). Entries
    answer only within their namespace and scope.

    Args:
        path: The SQLite file, made if it does not exist; ":memory:" for a `MemoryStore`. Exactly one of *path* and
            *store*.
        embedder: Turns queries into vectors. Without one, the cache has an exact layer alone; a file that was filled
            with an embedder can be read and cleaned that way, but not written.
        store: Any `Store`; it belongs to the cache from then on, which opens and closes it.
        similarity_threshold: The least cosine similarity of a hit on the semantic layer, from 0 to 1; with
            *value_contrast* the least score. "certified": the threshold of the namespace's certificate, see
            `use_certificate`; a namespace without one that holds is served from its exact layer alone, and the embedder
            is not asked. A call's own threshold can then only be stricter.
        default_ttl: How long entries live that are put without a `ttl`: seconds, a timedelta or "1h30m".
        max_entries: Above so many some are evicted, see *eviction*. Large caches are brought slightly below.
        namespace_quotas: The same for single namespaces; a quota of 0 admits nothing.
        confidence_fn: Called with similarity and age in seconds; returns the confidence of a hit. By default the
            similarity. See `half_life`.
        min_confidence: Refuse hits of less confidence.
        validator: Called with a response when it is put and again when it is served; a false result refuses it. By
            default empty or blank text is refused, and text that begins with `[ERROR]` or `[LLM Error]`.
        metrics_hook: Called with the name of an event and its fields. What it raises is logged and goes no further. See
            `mneme.adapters` for Prometheus, OpenTelemetry, and several at once.
        normalize: What makes queries equal on the exact layer: strip, collapse white space and fold case (`True`),
            nothing (`False`), or a function of yours.
        codec: Encodes responses that are not `str`, `bytes` or JSON values.
        index_backend: "numpy" for an exact search, "hnsw" for an approximate one, or an `Index`. "auto" is exact,
            unless that was measured to be slow when the cache was opened or compacted, and an approximate index can be
            built in reasonable time; `health` says which it is. "store" leaves the search to a store that can do it,
            and keeps no vectors in the process.
        index_options: Options of the index: "path", where it is saved; of "auto" the limits "slow" (0.025 seconds) and
            "patience" (60 seconds); of "hnsw" those of `HnswIndex`.
        vector_dtype: In what the index holds vectors in memory: "float32", "float16" or "int8". Decisions and reported
            similarities are the same for all three.
        multi_process_mode: "stale-tolerant": others write to the same store, and are followed. "single": nobody else
            does; if somebody else writes to the same file, that is followed too, with a warning. "mmap-shared": the
            processes of one host share a file and one index in memory, and see at once what any of them writes.
        stale_check_interval: Seconds between questions to the store what others wrote, 0 for every call; memory answers
            with what was true no longer ago than that and the time of one question.
        on_store_error: What `get`, `get_many`, `put` and `put_many` make of a store that fails: an exception ("raise"),
            or a miss and nothing stored ("miss"); then a store that cannot be reached yet is no reason not to open.
        audit_rate: The share, from 0 to 1, of semantic hits in `get_or_compute` and memoized functions that is computed
            again in the background, one at a time, and compared by *value_eq*. A wrong answer is rejected as by
            `reject`, and the new one stored. With any, every computed miss says besides whether its nearest neighbour
            has the same answer. See `watch`.
        max_false_hit_rate: Raise the alarm when the audits show, with a chance of at most 5 % ever to be mistaken, that
            more of the semantic hits of a namespace are wrong. Needs *audit_rate*.
        on_alarm: "tighten": the alarm raises the namespace's threshold halfway to the highest, and near that leaves
            exact answers alone, until `reset_alarm`. "report": the threshold stays.
        hot_bytes: Memory for exact entries that are served without touching the store; 0 for none.
        max_query_bytes: Longer queries raise `ValueError`.
        max_response_bytes: The same for encoded responses.
        max_metadata_bytes: The same for encoded metadata.
        value_eq: Called with two responses, says whether they are the same answer; equality by default. If it raises,
            they are not. It must be an equivalence, and is asked often: make it quick.
        value_contrast: Serve on the semantic layer by how much nearer an entry is than the best one with a different
            answer, see `ValueContrast`. Thresholds mean something else then: begin with 1.0; the highest is 2 less its
            floor. For answers that repeat; where no two are the same, it does harm.
        alias_threshold: What is stored with the answer of an entry that is at least so similar, becomes an alias: an
            entry of the exact layer alone, without a vector. `None` gives every entry its vector.
        clock: Where the time comes from; wall time by default.
        eviction: Which entries go when there are more than *max_entries* or a quota allows: those used longest ago
            ("lru"); those that are cheap, seldom asked for and large ("gdsf"), by the cost they were put with or the
            time they took to compute; or those not asked for since they were last considered ("sieve").
        guards: What refuses a similar question whose answer must be another one: other numbers, a negation, other
            names. By default those of `mneme.guards.DEFAULT_GUARDS`; `()` for none. See `mneme.guards`.

    Raises:
        TypeError, ValueError: An argument does not hold. Nothing was opened.
        EmbedderMismatchError: The store was filled by another embedder.
        CorruptCacheError: The file is damaged or not a mneme cache; it was not altered.
        SchemaMigrationError: A newer version made the file; it was not altered.
        StoreBackendError: The store cannot be opened, and *on_store_error* is "raise".

    Thread safety: all methods may be called from any thread. The embedder and `compute` functions run outside every
    lock. A cache does not survive a fork: in the child every method but `close` raises `CacheClosedError`.

    Example:
        ```python
        with SemanticCache("answers.db", embedder) as cache:
            answer = cache.get_or_compute("What is the capital of France?", ask_model)
        ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        embedder: Embedder | None = None,
        *,
        store: Store | None = None,
        similarity_threshold: Threshold = 0.85,
        default_ttl: TTL = None,
        max_entries: int | None = None,
        namespace_quotas: Mapping[str, int] | None = None,
        confidence_fn: ConfidenceFn | None = None,
        min_confidence: float | None = None,
        validator: Callable[[Any], bool] | None = None,
        metrics_hook: MetricsHook | None = None,
        normalize: bool | Callable[[str], str] = True,
        codec: Codec | None = None,
        index_backend: str | Index = "auto",
        index_options: Mapping[str, Any] | None = None,
        vector_dtype: VectorDType = "float32",
        multi_process_mode: str = "single",
        stale_check_interval: float = 0.5,
        on_store_error: OnStoreError = "raise",
        hot_bytes: int = 64 * 2**20,
        max_query_bytes: int = 32_768,
        max_response_bytes: int = 4 * 2**20,
        max_metadata_bytes: int = 65_536,
        value_eq: Callable[[Any, Any], bool] | None = None,
        value_contrast: bool | ValueContrast = False,
        alias_threshold: float | None = None,
        audit_rate: float = 0.0,
        max_false_hit_rate: float | None = None,
        on_alarm: OnAlarm = "tighten",
        clock: Clock | None = None,
        eviction: Eviction = "lru",
        guards: Sequence[Guard] = DEFAULT_GUARDS,
    ) -> None:
        self._where = path if store is None else store
        self._core = assemble(
            ThreadRuntime(),
            path,
            embedder,
            store=store,
            similarity_threshold=similarity_threshold,
            default_ttl=default_ttl,
            max_entries=max_entries,
            namespace_quotas=namespace_quotas,
            confidence_fn=confidence_fn,
            min_confidence=min_confidence,
            validator=validator,
            metrics_hook=metrics_hook,
            normalize=normalize,
            codec=codec,
            index_backend=index_backend,
            index_options=index_options,
            vector_dtype=vector_dtype,
            multi_process_mode=multi_process_mode,
            stale_check_interval=stale_check_interval,
            on_store_error=on_store_error,
            hot_bytes=hot_bytes,
            max_query_bytes=max_query_bytes,
            max_response_bytes=max_response_bytes,
            max_metadata_bytes=max_metadata_bytes,
            value_eq=value_eq,
            value_contrast=value_contrast,
            alias_threshold=alias_threshold,
            audit_rate=audit_rate,
            max_false_hit_rate=max_false_hit_rate,
            on_alarm=on_alarm,
            clock=clock,
            eviction=eviction,
            guards=guards,
        )
        complete(maintain.begin(self._core))

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(
        self,
        query: str,
        *,
        embedding: Any = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
        bypass: bool = False,
    ) -> Hit | None:
        """The stored answer to *query*: an equal query's, else the most similar one's at or above the threshold.

        Of the candidates, the first that is fresh, valid and confident answers. An embedder that fails makes a miss,
        with a warning and an event; a query too long for it is looked up on the exact layer alone. Expired entries are
        invisible from the moment they expire.

        Args:
            query: Any text that is not blank.
            embedding: The query's vector, shape `(dim,)`, if you have it already.
            namespace: The tenant; entries of others never answer.
            scope: What else must be equal for an entry to answer: a string, or a mapping of JSON values such as
                `{"model": "m", "language": "en"}`. Never part of it: the query.
            similarity_threshold: Instead of the cache's.
            bypass: Miss without looking, and count that.

        Raises:
            TypeError, ValueError: An argument is of the wrong type, empty, too long or out of range.
            EmbedderDimensionError: *embedding* does not have the cache's dimension.
            CacheClosedError: The cache is closed.
            StoreBackendError: The store failed, and *on_store_error* is "raise". Answers from memory are served all the
                same.
        """
        if embedding is None and not bypass:
            if similarity_threshold is not None:
                self._core.check_threshold(similarity_threshold)
            hit = self._core.peek(query, namespace, scope)
            if hit is not None:
                return hit
        return complete(
            verbs.get(
                self._core,
                query,
                embedding=embedding,
                namespace=namespace,
                scope=scope,
                similarity_threshold=similarity_threshold,
                bypass=bypass,
            )
        )

    def get_many(
        self,
        queries: Sequence[str],
        *,
        embeddings: Sequence[Any] | None = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
        bypass: bool = False,
    ) -> list[Hit | None]:
        """What `get` gives for each query, in order, for the price of one batch.

        What memory does not answer takes one read of the exact layer, one embedder batch for what is not there, one
        search and one read of the candidates.

        Raises: as `get`; nothing is looked up if any query is refused.
        """
        return complete(
            verbs.get_many(
                self._core,
                queries,
                embeddings=embeddings,
                namespace=namespace,
                scope=scope,
                similarity_threshold=similarity_threshold,
                bypass=bypass,
            )
        )

    def lookup(
        self, query: str, *, k: int = 5, embedding: Any = None, namespace: str = "default", scope: Scope = None
    ) -> list[Hit]:
        """The nearest *k* entries, best first, below the threshold too. Counts as neither hit nor miss.

        Expired entries, those that the validator refuses and rejected pairs are left out. An embedder that fails leaves
        at most the entry of an equal query.

        Raises: as `get`.
        """
        return complete(verbs.nearest(self._core, query, k=k, embedding=embedding, namespace=namespace, scope=scope))

    def explain(
        self,
        query: str,
        *,
        k: int = 10,
        embedding: Any = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
    ) -> Explanation:
        """What `get` would do and why: the nearest *k* entries, each with the verdict on it.

        Counts nothing, removes nothing and keeps nothing.

        Raises: as `get`.
        """
        return complete(
            verbs.explain(
                self._core,
                query,
                k=k,
                embedding=embedding,
                namespace=namespace,
                scope=scope,
                similarity_threshold=similarity_threshold,
            )
        )

    def entries(
        self,
        *,
        namespace: str | None = None,
        tags: Sequence[str] | None = None,
        contains: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Entry]:
        """Stored entries in order of id, at most *limit* of those with an id above *after*.

        Entries that have expired are listed until they are removed.

        Args:
            namespace: Only this one's.
            tags: Only those that carry any of these.
            contains: Only those whose query contains this text, in any case. Reads every entry.
            after: The last id of the page before.
            limit: How many at the most.
        """
        return complete(
            upkeep.entries(self._core, namespace=namespace, tags=tags, contains=contains, after=after, limit=limit)
        )

    # --- writing -----------------------------------------------------------------------------------------------------

    def put(
        self,
        query: str,
        response: Any,
        *,
        embedding: Any = None,
        namespace: str = "default",
        scope: Scope = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: TTL = None,
        tags: Sequence[str] = (),
        cost: float = 0.0,
    ) -> bool:
        """Store a response; `False` if the validator refuses it, and then nothing is written, or if the store failed.

        An entry of an equal query is replaced, keeps its id and starts its life anew. A reader sees the old entry or
        the new one. When this returns, the entry is durable as the store promises.

        Args:
            query: Any text that is not blank. One too long for the embedder is stored for the exact layer alone.
            response: `str`, `bytes` or JSON values, which come back with the same types; others need a codec.
            embedding: The query's vector, shape `(dim,)`, if you have it already.
            namespace: The tenant.
            scope: What else must be equal for this entry to answer.
            metadata: JSON values that come back with every hit.
            ttl: How long it lives: seconds, a timedelta or "1h30m"; `None` for the cache's default, infinite for ever.
            tags: Names to `invalidate` it by.
            cost: What the response cost, finite and 0 or more, in money or whatever unit you count in. Each hit adds
                it to `Stats.cost_saved`.

        Raises:
            TypeError, ValueError: An argument is of the wrong type, empty, too large, or would not come back as it
                went in; or the embedding holds NaN or an infinity, or is zero.
            EmbedderDimensionError: The embedding does not have the cache's dimension.
            EmbedderMismatchError: The file holds vectors, and the cache was opened without an embedder.
            NamespaceQuotaExceededError: The namespace's quota is 0.
            CacheClosedError: The cache is closed.
            StoreBackendError: The store failed, and *on_store_error* is "raise". Nothing was written; or, if the store
                is on a network and its answer was lost, all of it.
            Exception: Whatever the embedder or the validator raises; nothing was written.
        """
        return complete(
            verbs.put(
                self._core,
                query,
                response,
                embedding=embedding,
                namespace=namespace,
                scope=scope,
                metadata=metadata,
                ttl=ttl,
                tags=tags,
                cost=cost,
            )
        )

    def put_many(
        self,
        items: Iterable[tuple[str, Any] | Mapping[str, Any]],
        *,
        namespace: str = "default",
        scope: Scope = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: TTL = None,
        tags: Sequence[str] = (),
        cost: float = 0.0,
    ) -> int:
        """Store many responses in one embedder batch and one transaction: all of them, or none.

        Args:
            items: Pairs of query and response, or mappings whose keys are the names of `put`'s arguments; what a
                mapping does not say is as given here.
            namespace: For items that do not say.
            scope: For items that do not say.
            metadata: For items that do not say.
            ttl: For items that do not say.
            tags: For items that do not say.
            cost: For each item that does not say.

        Returns:
            How many were stored: all but those that the validator refused; 0 if the store failed.

        Raises: as `put`, for the first item that is not right; nothing was written.
        """
        return complete(
            verbs.put_many(
                self._core, items, namespace=namespace, scope=scope, metadata=metadata, ttl=ttl, tags=tags, cost=cost
            )
        )

    def get_or_compute(
        self,
        query: str,
        compute: Callable[[str], Any],
        *,
        embedding: Any = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
        bypass: bool = False,
        metadata: Mapping[str, Any] | None = None,
        ttl: TTL = None,
        tags: Sequence[str] = (),
        jitter: float = 0.0,
        stale_ttl: TTL = None,
        stale_on_error: bool = False,
        single_flight: SingleFlight = "exact",
        cost: float | Callable[[Any], float] = 0.0,
    ) -> Any:
        """The stored answer, or else what `compute(query)` returns, which is stored.

        However many callers ask for an equal query at the same time, one computes and the others wait for its value;
        callers of different queries do not wait for each other. What `compute` raises reaches every caller that
        waited, and is not stored. A caller that is cancelled or interrupted while it computes leaves the computing to
        one of the others. The computed value is returned even if it cannot be stored.

        Args:
            query: As for `get`.
            compute: Called with the query. On the async face it may be a coroutine function; a plain function runs in
                a thread there, so that it does not hold up the loop.
            embedding: As for `get`.
            namespace: As for `get`.
            scope: As for `get`.
            similarity_threshold: As for `get`.
            bypass: Compute without looking, and replace what is stored.
            metadata: As for `put`.
            ttl: As for `put`.
            tags: As for `put`.
            jitter: Shorten the TTL by up to this share, from 0 to below 1, so that entries written together do not
                expire together.
            stale_ttl: Keep an expired entry for so much longer, and serve it to others while one caller computes anew.
            stale_on_error: If computing fails, serve an entry that expired no longer than *stale_ttl* ago.
            single_flight: "semantic": wait also for a query under way that is similar enough to answer this one.
            cost: As for `put`, or a function that tells it by the value (from the tokens that a model says it used, for
                instance). If that fails, the value is stored without a cost, with a warning.

        Raises: as `get` and whatever `compute` raises.
        """
        if embedding is None and not bypass:
            if similarity_threshold is not None:
                self._core.check_threshold(similarity_threshold)
            hit = self._core.peek(query, namespace, scope)
            if hit is not None:
                return hit.response
        return complete(
            verbs.get_or_compute(
                self._core,
                query,
                compute,
                embedding=embedding,
                namespace=namespace,
                scope=scope,
                similarity_threshold=similarity_threshold,
                bypass=bypass,
                metadata=metadata,
                tags=tags,
                lifetime=Lifetime(ttl, jitter, stale_ttl),
                stale_on_error=stale_on_error,
                single_flight=single_flight,
                cost=cost,
            )
        ).value

    def memoize(
        self,
        *,
        query: str | Callable[..., str] | None = None,
        namespace: str = "default",
        scope: Scope = None,
        ttl: TTL = None,
        tags: Sequence[str] = (),
        ignore: Sequence[str] = (),
        similarity_threshold: float | None = None,
        jitter: float = 0.0,
        stale_ttl: TTL = None,
        stale_on_error: bool = False,
        single_flight: SingleFlight = "exact",
        cost: float | Callable[[Any], float] = 0.0,
    ) -> Memoize:
        """A decorator that answers calls of a function from the cache.

        One argument is the query; **every other argument joins the scope**, with the function's name, so a call is
        answered only by calls that differ in the query alone. Decorated functions have `invalidate(...)` and
        `refresh(...)`, which take the same arguments, `cache_info()`, and `__wrapped__`.

        Args:
            query: The name of the argument that is the query, or a function of all arguments that makes one; by
                default the first argument that is a string.
            namespace: As for `get`.
            scope: Joins the scope too.
            ttl: As for `put`.
            tags: As for `put`.
            ignore: Names of arguments that do not change the result, such as `self` or a client.
            similarity_threshold: As for `get`.
            jitter: As for `get_or_compute`.
            stale_ttl: As for `get_or_compute`.
            stale_on_error: As for `get_or_compute`.
            single_flight: As for `get_or_compute`.
            cost: As for `get_or_compute`.

        Raises:
            TypeError: When decorating: the function is a generator, or of the other face's kind. When calling: there
                is no query among the arguments, or another one is no JSON value and not ignored.
        """
        return Memoize(
            self,
            query=query,
            namespace=namespace,
            scope=scope,
            ignore=ignore,
            ttl=ttl,
            tags=tags,
            similarity_threshold=similarity_threshold,
            jitter=jitter,
            stale_ttl=stale_ttl,
            stale_on_error=stale_on_error,
            single_flight=single_flight,
            cost=cost,
        )

    # --- removing ----------------------------------------------------------------------------------------------------

    def delete(self, query_or_hit: str | Hit, *, namespace: str = "default", scope: Scope = None) -> bool:
        """Remove the entry of an equal query, or the one that a hit came from; whether there was one.

        A hit says itself where it came from; namespace and scope are then not looked at.

        Raises:
            StoreBackendError: The store failed; nothing was removed, or on a network perhaps all of it.
        """
        return complete(verbs.delete(self._core, query_or_hit, namespace=namespace, scope=scope))

    def reject(self, hit_or_pair: Hit | tuple[str, str], *, namespace: str = "default") -> bool:
        """Never serve the stored query's answer for the asked one again, nor the other way round; whether that is new.

        It holds in the whole namespace, whatever the scope, whatever replaces the entry later and whatever is cleared,
        in every process that follows the store, until `confirm` lifts it. The entry stays for other queries. A hit on
        the exact layer has no pair: its own answer is wrong, so its entry is removed, unless it has got another answer
        since. The latest 20,000 pairs are remembered, as digests.

        Args:
            hit_or_pair: A hit; or the query asked and the query stored.
            namespace: Of a pair; a hit says itself where it came from.

        Raises:
            TypeError, ValueError: It is neither, or both queries of the pair are equal.
            StoreBackendError: The store failed; nothing was remembered, or on a network perhaps all of it.
        """
        return complete(upkeep.reject(self._core, hit_or_pair, namespace=namespace))

    def confirm(self, hit_or_pair: Hit | tuple[str, str], *, namespace: str = "default") -> bool:
        """Say that an answer was right; whether that lifts a rejection.

        Args:
            hit_or_pair: As for `reject`.
            namespace: As for `reject`.

        Raises: as `reject`.
        """
        return complete(upkeep.confirm(self._core, hit_or_pair, namespace=namespace))

    def watch(self, namespace: str = "default") -> Watch:
        """What is known of how right the answers of a namespace are: audits, labels, feedback, and the alarm.

        Processes that share a store add to the same figures.

        Raises:
            StoreBackendError: The store failed.
        """
        return complete(upkeep.watch(self._core, namespace))

    def reset_alarm(self, namespace: str = "default") -> bool:
        """Go back to the threshold from before the alarm, and gather evidence anew; whether there was an alarm.

        A certificate that the alarm made void stays void.

        Raises:
            StoreBackendError: The store failed.
        """
        return complete(upkeep.reset_alarm(self._core, namespace))

    def invalidate(
        self,
        *,
        tags: Sequence[str] | None = None,
        namespace: str | None = None,
        scope: Scope = None,
        older_than: TTL = None,
    ) -> int:
        """Remove every entry that satisfies all that is given; how many.

        Args:
            tags: Entries that carry any of these.
            namespace: Entries of this one.
            scope: Entries of this scope, in *namespace* or else in "default".
            older_than: Entries put longer ago than this: seconds, a timedelta or "1h30m".

        Raises:
            ValueError: Nothing was given; `clear` removes everything.
            StoreBackendError: The store failed; nothing was removed, or on a network perhaps all of it.
        """
        return complete(
            upkeep.invalidate(self._core, tags=tags, namespace=namespace, scope=scope, older_than=older_than)
        )

    def forget(
        self,
        *,
        namespace: str | None = None,
        tags: Sequence[str] | None = None,
        scope: Scope = None,
        where: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
    ) -> Forgotten:
        """Remove every entry that satisfies all that is given, and whatever is left of it in files.

        In a SQLite file that are the free pages, the log and the keys of deletions; beside it the saved index, which is
        made anew. What was removed or replaced before goes too. The whole file is rewritten, which takes as long as
        copying it, and writers wait. What others put while this runs may stay. If this is cut short, the same again
        finishes it. A store on a network deletes the entries; its own logs, replicas and backups are not reached, and
        `Forgotten.remains` says so. Names of namespaces, scopes and counters stay.

        Args:
            namespace: Entries of this one.
            tags: Entries that carry any of these.
            scope: Entries of this scope, in *namespace* or else in "default".
            where: Entries whose metadata has these fields with equal values: `{"user_id": 42}`. A tuple means any of
                its values. Reads every entry that the rest selects.
            timeout: Seconds to wait for other processes that use the file. When they are up, the entries are removed
                all the same, and `Forgotten.remains` says what is left and how to finish.

        Raises:
            ValueError: Nothing was given, or a value does not hold.
            TypeError: A value is of the wrong type.
            StoreBackendError: The store failed; nothing was removed, or some. The same again finishes it.
        """
        return complete(
            forgetting.forget(self._core, namespace=namespace, tags=tags, scope=scope, where=where, timeout=timeout)
        )

    def clear(self) -> int:
        """Remove every entry of every namespace; how many. Counters stay."""
        return complete(upkeep.clear(self._core, None))

    def clear_namespace(self, namespace: str) -> int:
        """Remove every entry of one namespace, whatever the scope; how many."""
        return complete(upkeep.clear_namespace(self._core, namespace))

    def vacuum(self, *, namespace: str | None = None, compact: bool = True) -> int:
        """Remove what has expired, and give space back unless *compact* is false; how many entries were removed.

        An entry that is kept to be served stale goes when that time is over too.
        """
        return complete(upkeep.vacuum(self._core, namespace=namespace, compact=compact))

    def compact(self) -> int:
        """Give back the space of removed entries; how many bytes. May take as long as copying the store."""
        return complete(upkeep.compact(self._core))

    # --- knowing -----------------------------------------------------------------------------------------------------

    def list_namespaces(self) -> list[str]:
        """The namespaces that have entries, in order."""
        return complete(upkeep.list_namespaces(self._core))

    def stats(self, namespace: str | None = None) -> Stats:
        """Counters and sizes, of one namespace or of all. Counters survive a restart."""
        return complete(upkeep.stats(self._core, namespace))

    def health(self) -> Health:
        """Whether the cache is fit to serve. Cheap enough to be asked every few seconds; does not read the entries."""
        return complete(upkeep.health(self._core))

    def check(self) -> list[str]:
        """Every inconsistency in the store, or between it and memory, a sentence each. Reads everything."""
        return complete(upkeep.check(self._core))

    # --- moving ------------------------------------------------------------------------------------------------------

    def dumps(
        self,
        dest: Any,
        *,
        namespace: str | Collection[str] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Checkpoint:
        """Write all entries and counters to an archive, which `loads` reads again into any store; what was written.

        The archive is the state of the store at one moment between call and return, however many threads and processes
        write meanwhile; nobody waits for it. Expired entries are part of it until they are removed. Ids are not: they
        belong to the store. Memory is taken for some entries at a time, and for the keys of those that are written
        meanwhile.

        Args:
            dest: A path or a binary file object, which need not be seekable and stays open. The file appears whole or
                not at all, in place of an older checkpoint if there is one, and only its owner may read it. A file
                object is written to when the archive is complete.
            namespace: Only this one's entries and counters, or those of these.
            progress: Called with how many entries were read and about how many there are.

        Raises:
            CheckpointError: The archive cannot be written, or an entry cannot be part of one. Nothing was left behind.
            StoreBackendError: The store failed. Nothing was left behind.
        """
        return complete(dump.dumps(self._core, dest, namespace=namespace, progress=progress))

    @classmethod
    def loads(
        cls: type[C],
        source: Any,
        path: str | os.PathLike[str] | None = None,
        embedder: Embedder | None = None,
        *,
        store: Store | None = None,
        namespace: str | Collection[str] | None = None,
        merge: bool = False,
        max_archive_bytes: int = 64 * 2**30,
        progress: Callable[[int, int], object] | None = None,
        **options: Any,
    ) -> C:
        """A cache that holds what an archive holds, which `dumps` wrote, from whatever store into whatever store.

        A path must be new: the file appears there, whole, when all of the archive was read and found to be right. A
        store must be empty, and is not written to before all of the archive was read. Queries, responses, metadata,
        tags, scopes, times and counters come back as they were; entries get new ids.

        Args:
            source: A path or a binary file object, which is read from where it stands to its end.
            path: As for the constructor.
            embedder: As for the constructor: the one whose vectors the archive holds, or `None` to fill a store that
                is to be opened with it later.
            store: As for the constructor.
            namespace: Only this one's entries and counters, or those of these.
            merge: Add to a file or store that holds entries. Of two entries with the same key the one that was put
                later stays, counters are added up, and what was written before a failure stays; loading again
                completes it.
            max_archive_bytes: An archive that unpacks to more is refused. What a single entry may take is up to
                `max_query_bytes`, `max_response_bytes` and `max_metadata_bytes`.
            progress: Called with how many entries were written and how many there are, as far as that is known.
            **options: As for the constructor.

        Raises:
            TypeError, ValueError: An argument does not hold. Nothing was opened.
            CheckpointError: The archive is damaged, cut off, too large, of a newer version or no archive; or there is
                a file at *path*, or an entry in *store*. Nothing was left behind.
            EmbedderMismatchError: The archive, or the store, holds vectors of another embedder.
            StoreBackendError: The store failed. What was written to it was removed again, if it could be.
        """
        restore = Restore(
            cls,
            SemanticCache,
            ThreadRuntime(),
            path,
            embedder,
            store=store,
            namespace=namespace,
            merge=merge,
            max_archive_bytes=max_archive_bytes,
            progress=progress,
            options=options,
        )
        complete(restore.run(source))
        try:
            return cls(restore.path, embedder, store=restore.store, **options)
        except BaseException:
            restore.undo()
            raise

    def repair(self, *, apply: bool = False) -> RepairReport:
        """Put right what `check` finds; unless *apply*, only say what would be done, and alter nothing.

        In a SQLite file rows are made to fit the entries, broken indexes are built anew, vectors that cannot be used
        are removed, so that their entries answer on the exact layer alone, and entries that cannot stay are moved out
        into the file `-broken.jsonl` beside it, all in one transaction. A damaged saved index is made anew, and so is
        memory that does not agree with the store. Other processes that use the file read it anew. No entry that can be
        kept is lost. A file whose pages are damaged is left alone: `mneme.stores.salvage` copies what can be read out
        of it. Other stores repair nothing by themselves.

        Raises:
            StoreBackendError: The store failed; nothing was altered in it.
        """
        return complete(repairing.repair(self._core, apply=apply))

    # --- adjusting ---------------------------------------------------------------------------------------------------

    def reembed(
        self,
        embedder: Embedder,
        *,
        similarity_threshold: float | None = None,
        batch_size: int = 64,
        concurrency: int = 1,
        retries: int = 3,
        retry_seconds: float = 1.0,
        progress: Callable[[ReembedProgress], object] | None = None,
    ) -> ReembedReport:
        """Give every entry a vector of another embedder, in place, and change over to it; answers go on meanwhile.

        The old vectors serve until every entry has a new one, also those that anybody writes meanwhile. Then one
        transaction of the store changes over, and this cache with it: lookups that are under way are embedded anew, and
        none ever compares vectors of two embedders. Other caches on the same store raise `EmbedderMismatchError` the
        next time they ask it, until they are opened with the new embedder. A run that ends early, killed at any moment,
        is resumed by the next one with the same embedder. Needs a `ReembeddingStore`: SQLite or memory; otherwise see
        `mneme.tools.migrate.reembed`.

        Args:
            embedder: The new embedder. With *concurrency* it may be called from several threads at once.
            similarity_threshold: The cache's from the change on; similarities of two models differ.
            batch_size: Texts for one call of the embedder.
            concurrency: Calls of the embedder at the same time.
            retries: How often a failing batch is tried again, after *retry_seconds*, twice that, and so on.
            retry_seconds: Seconds before the first time.
            progress: Called after every step; what it raises ends the run.

        Raises:
            TypeError, ValueError: An argument does not hold, or the store cannot do this.
            ReembeddingError: The embedder failed for good, or somebody else ended it. The old vectors go on serving.
            StoreBackendError: The store failed. What was done is kept.
        """
        return complete(
            upkeep.reembed(
                self._core,
                embedder,
                similarity_threshold=similarity_threshold,
                batch_size=batch_size,
                concurrency=concurrency,
                retries=retries,
                retry_seconds=retry_seconds,
                progress=progress,
            )
        )

    def requantize(self, dtype: VectorDType) -> None:
        """Hold the index in another dtype from now on. Lookups go on meanwhile; answers do not change.

        Raises:
            QuantizationError: The dtype is unknown.
        """
        complete(upkeep.requantize(self._core, dtype))

    def certificate(self, namespace: str = "default") -> CertificateStatus:
        """What certificates do for a namespace: whether one holds, and if not, why.

        The namespace's own counts, or else the one for all. That it holds means that semantic hits are served by it
        where the threshold is "certified"; with a threshold that is a number nothing is served by it.
        """
        return complete(upkeep.certificate(self._core, namespace))

    def use_certificate(self, certificate: Certificate) -> CertificateStatus:
        """Keep a certificate with the cache, in place of the one before; what it does now.

        It is stored with the entries, so other processes that follow the store see it, and it is there again when the
        cache is opened. It belongs to its namespace, or to every namespace that has none of its own.

        Raises:
            TypeError: It is no `Certificate`.
            EmbedderMismatchError: It was made for another embedder. Nothing was stored.
            ValueError: It was made for other guards, another score, or another `normalize` or confidence. Nothing was
                stored.
            StoreBackendError: The store failed. What was in memory is.
        """
        return complete(upkeep.use_certificate(self._core, certificate))

    def drop_certificate(self, namespace: str | None = None) -> bool:
        """Forget the certificate of a namespace, or with `None` the one for all; whether there was one."""
        return complete(upkeep.drop_certificate(self._core, namespace))

    @property
    def has_embedder(self) -> bool:
        """Whether there is a semantic layer; without an embedder there is the exact one alone."""
        return self._core.embedder is not None

    @property
    def similarity_threshold(self) -> Threshold:
        """The least score of a hit on the semantic layer; "certified" where certificates say it."""
        return "certified" if self._core.certified is not None else self._core.threshold

    def set_similarity_threshold(self, threshold: Threshold) -> None:
        """Change the threshold from the next lookup on; "certified" leaves it to certificates.

        Raises:
            TypeError, ValueError: It is neither a number from 0 to 1 nor "certified".
        """
        self._core.check_open()
        certificates.set_threshold(self._core, threshold)

    def close(self) -> None:
        """Write what is pending and let go of everything. Again is harmless."""
        complete(maintain.close(self._core))

    def __repr__(self) -> str:
        return described(type(self).__name__, repr(self._where), self._core)

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
