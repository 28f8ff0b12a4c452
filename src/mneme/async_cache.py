"""The async face: the verbs of `SemanticCache`, awaited, with its documentation, which is copied and cannot differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import FunctionType, TracebackType
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
from mneme._runtime.tasks import TaskRuntime
from mneme.cache import SemanticCache
from mneme.certificates import Certificate, CertificateStatus
from mneme.decorators import AsyncMemoize
from mneme.ports import AsyncEmbedder, AsyncStore, Clock, Codec, Embedder, Guard, Index, MetricsHook, Store, VectorDType
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

C = TypeVar("C", bound="AsyncSemanticCache")


def _documented(twin: type[C]) -> type[C]:
    """Give the class and its public members the docstrings of their namesakes on the blocking face."""
    twin.__doc__ = f"{SemanticCache.__doc__}{_DIFFERENCE}"
    for name, member in vars(twin).items():
        function = member.__func__ if isinstance(member, classmethod) else member
        if not name.startswith("_") and isinstance(function, FunctionType):
            function.__doc__ = getattr(SemanticCache, name).__doc__
    return twin


_DIFFERENCE = """
    On this face every verb is awaited. The cache is opened by `async with` or by the first verb, which then raises
    what opening raises. What blocks runs on worker threads; an exact hit from memory is answered without one. A write
    that has begun is finished even if its task is cancelled.
    """


@_documented
class AsyncSemanticCache:  # noqa: D101 -- its documentation is copied
    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        embedder: AsyncEmbedder | Embedder | None = None,
        *,
        store: AsyncStore | Store | None = None,
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
            TaskRuntime(),
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

    # --- reading -----------------------------------------------------------------------------------------------------

    async def get(
        self,
        query: str,
        *,
        embedding: Any = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
        bypass: bool = False,
    ) -> Hit | None:
        if embedding is None and not bypass:
            if similarity_threshold is not None:
                self._core.check_threshold(similarity_threshold)
            hit = self._core.peek(query, namespace, scope)
            if hit is not None:
                return hit
        return await verbs.get(
            self._core,
            query,
            embedding=embedding,
            namespace=namespace,
            scope=scope,
            similarity_threshold=similarity_threshold,
            bypass=bypass,
        )

    async def get_many(
        self,
        queries: Sequence[str],
        *,
        embeddings: Sequence[Any] | None = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
        bypass: bool = False,
    ) -> list[Hit | None]:
        return await verbs.get_many(
            self._core,
            queries,
            embeddings=embeddings,
            namespace=namespace,
            scope=scope,
            similarity_threshold=similarity_threshold,
            bypass=bypass,
        )

    async def lookup(
        self, query: str, *, k: int = 5, embedding: Any = None, namespace: str = "default", scope: Scope = None
    ) -> list[Hit]:
        return await verbs.nearest(self._core, query, k=k, embedding=embedding, namespace=namespace, scope=scope)

    async def explain(
        self,
        query: str,
        *,
        k: int = 10,
        embedding: Any = None,
        namespace: str = "default",
        scope: Scope = None,
        similarity_threshold: float | None = None,
    ) -> Explanation:
        return await verbs.explain(
            self._core,
            query,
            k=k,
            embedding=embedding,
            namespace=namespace,
            scope=scope,
            similarity_threshold=similarity_threshold,
        )

    async def entries(
        self,
        *,
        namespace: str | None = None,
        tags: Sequence[str] | None = None,
        contains: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Entry]:
        return await upkeep.entries(
            self._core, namespace=namespace, tags=tags, contains=contains, after=after, limit=limit
        )

    # --- writing -----------------------------------------------------------------------------------------------------

    async def put(
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
        return await verbs.put(
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

    async def put_many(
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
        return await verbs.put_many(
            self._core, items, namespace=namespace, scope=scope, metadata=metadata, ttl=ttl, tags=tags, cost=cost
        )

    async def get_or_compute(
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
        if embedding is None and not bypass:
            if similarity_threshold is not None:
                self._core.check_threshold(similarity_threshold)
            hit = self._core.peek(query, namespace, scope)
            if hit is not None:
                return hit.response
        got = await verbs.get_or_compute(
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
        return got.value

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
    ) -> AsyncMemoize:
        return AsyncMemoize(
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

    async def delete(self, query_or_hit: str | Hit, *, namespace: str = "default", scope: Scope = None) -> bool:
        return await verbs.delete(self._core, query_or_hit, namespace=namespace, scope=scope)

    async def reject(self, hit_or_pair: Hit | tuple[str, str], *, namespace: str = "default") -> bool:
        return await upkeep.reject(self._core, hit_or_pair, namespace=namespace)

    async def confirm(self, hit_or_pair: Hit | tuple[str, str], *, namespace: str = "default") -> bool:
        return await upkeep.confirm(self._core, hit_or_pair, namespace=namespace)

    async def watch(self, namespace: str = "default") -> Watch:
        return await upkeep.watch(self._core, namespace)

    async def reset_alarm(self, namespace: str = "default") -> bool:
        return await upkeep.reset_alarm(self._core, namespace)

    async def invalidate(
        self,
        *,
        tags: Sequence[str] | None = None,
        namespace: str | None = None,
        scope: Scope = None,
        older_than: TTL = None,
    ) -> int:
        return await upkeep.invalidate(self._core, tags=tags, namespace=namespace, scope=scope, older_than=older_than)

    async def forget(
        self,
        *,
        namespace: str | None = None,
        tags: Sequence[str] | None = None,
        scope: Scope = None,
        where: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
    ) -> Forgotten:
        return await forgetting.forget(
            self._core, namespace=namespace, tags=tags, scope=scope, where=where, timeout=timeout
        )

    async def clear(self) -> int:
        return await upkeep.clear(self._core, None)

    async def clear_namespace(self, namespace: str) -> int:
        return await upkeep.clear_namespace(self._core, namespace)

    async def vacuum(self, *, namespace: str | None = None, compact: bool = True) -> int:
        return await upkeep.vacuum(self._core, namespace=namespace, compact=compact)

    async def compact(self) -> int:
        return await upkeep.compact(self._core)

    # --- knowing -----------------------------------------------------------------------------------------------------

    async def list_namespaces(self) -> list[str]:
        return await upkeep.list_namespaces(self._core)

    async def stats(self, namespace: str | None = None) -> Stats:
        return await upkeep.stats(self._core, namespace)

    async def health(self) -> Health:
        return await upkeep.health(self._core)

    async def check(self) -> list[str]:
        return await upkeep.check(self._core)

    # --- moving ------------------------------------------------------------------------------------------------------

    async def dumps(
        self,
        dest: Any,
        *,
        namespace: str | Collection[str] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Checkpoint:
        return await dump.dumps(self._core, dest, namespace=namespace, progress=progress)

    @classmethod
    async def loads(
        cls: type[C],
        source: Any,
        path: str | os.PathLike[str] | None = None,
        embedder: AsyncEmbedder | Embedder | None = None,
        *,
        store: AsyncStore | Store | None = None,
        namespace: str | Collection[str] | None = None,
        merge: bool = False,
        max_archive_bytes: int = 64 * 2**30,
        progress: Callable[[int, int], object] | None = None,
        **options: Any,
    ) -> C:
        restore = Restore(
            cls,
            AsyncSemanticCache,
            TaskRuntime(),
            path,
            embedder,
            store=store,
            namespace=namespace,
            merge=merge,
            max_archive_bytes=max_archive_bytes,
            progress=progress,
            options=options,
        )
        await restore.run(source)
        cache = cls(restore.path, embedder, store=restore.store, **options)
        try:
            return await cache.__aenter__()
        except BaseException:
            restore.undo()
            raise

    async def repair(self, *, apply: bool = False) -> RepairReport:
        return await repairing.repair(self._core, apply=apply)

    # --- adjusting ---------------------------------------------------------------------------------------------------

    async def reembed(
        self,
        embedder: Embedder | AsyncEmbedder,
        *,
        similarity_threshold: float | None = None,
        batch_size: int = 64,
        concurrency: int = 1,
        retries: int = 3,
        retry_seconds: float = 1.0,
        progress: Callable[[ReembedProgress], object] | None = None,
    ) -> ReembedReport:
        return await upkeep.reembed(
            self._core,
            embedder,
            similarity_threshold=similarity_threshold,
            batch_size=batch_size,
            concurrency=concurrency,
            retries=retries,
            retry_seconds=retry_seconds,
            progress=progress,
        )

    async def requantize(self, dtype: VectorDType) -> None:
        await upkeep.requantize(self._core, dtype)

    async def certificate(self, namespace: str = "default") -> CertificateStatus:
        return await upkeep.certificate(self._core, namespace)

    async def use_certificate(self, certificate: Certificate) -> CertificateStatus:
        return await upkeep.use_certificate(self._core, certificate)

    async def drop_certificate(self, namespace: str | None = None) -> bool:
        return await upkeep.drop_certificate(self._core, namespace)

    @property
    def has_embedder(self) -> bool:
        """Whether there is a semantic layer; without an embedder there is the exact one alone."""
        return self._core.embedder is not None

    @property
    def similarity_threshold(self) -> Threshold:
        """The least score of a hit on the semantic layer; "certified" where certificates say it."""
        return "certified" if self._core.certified is not None else self._core.threshold

    def set_similarity_threshold(self, threshold: Threshold) -> None:
        self._core.check_open()
        certificates.set_threshold(self._core, threshold)

    async def close(self) -> None:
        await maintain.close(self._core)

    def __repr__(self) -> str:
        return described(type(self).__name__, repr(self._where), self._core)

    async def __aenter__(self: C) -> C:
        try:
            await maintain.begin(self._core)
        except BaseException:
            # A cancellation may come when everything is open already, and then nobody else would close it.
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
