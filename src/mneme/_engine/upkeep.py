"""The verbs that look after a cache: what is in it, what is to leave it, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mneme._engine import (
    certificates,
    denial,
    explore,
    follow,
    maintain,
    reembed as reembed_flow,
    reembedding,
    removal,
    watch as watching,
)
from mneme._engine.core import Core
from mneme._rules.arguments import check_count, check_namespace, check_tags, check_text
from mneme._rules.expiry import TTL, seconds
from mneme._rules.keys import Scope
from mneme._rules.reserved import BEYOND
from mneme._rules.selecting import selection_of
from mneme.certificates import Certificate, CertificateStatus
from mneme.ports import AsyncEmbedder, Embedder, Selection, VectorDType
from mneme.types import Entry, Health, Hit, ReembedProgress, ReembedReport, Stats, Watch


async def reject(core: Core, hit_or_pair: Hit | tuple[str, str], *, namespace: str) -> bool:
    await maintain.ready(core)
    return await denial.reject(core, hit_or_pair, namespace)


async def confirm(core: Core, hit_or_pair: Hit | tuple[str, str], *, namespace: str) -> bool:
    await maintain.ready(core)
    return await denial.confirm(core, hit_or_pair, namespace)


async def watch(core: Core, namespace: str) -> Watch:
    await maintain.ready(core)
    return await watching.report(core, check_namespace(namespace))


async def reset_alarm(core: Core, namespace: str) -> bool:
    await maintain.ready(core)
    return await watching.reset(core, check_namespace(namespace))


async def invalidate(
    core: Core, *, tags: Sequence[str] | None, namespace: str | None, scope: Scope, older_than: TTL
) -> int:
    await maintain.ready(core)
    if tags is None and namespace is None and scope is None and older_than is None:
        raise ValueError("invalidate needs at least one of tags, namespace, scope and older_than; clear() removes all")
    age = seconds(older_than, "older_than")
    created_before = None if age is None else core.clock.now() - age
    selection = replace(selection_of(namespace, tags, scope), created_before=created_before)
    return len(await removal.remove(core, selection))


async def clear(core: Core, namespace: str | None) -> int:
    await maintain.ready(core)
    return len(await removal.remove(core, Selection(namespace=namespace, created_before=BEYOND)))


async def entries(
    core: Core,
    *,
    namespace: str | None,
    tags: Sequence[str] | None,
    contains: str | None,
    after: int,
    limit: int,
) -> list[Entry]:
    await maintain.ready(core)
    selection = Selection(
        namespace=None if namespace is None else check_namespace(namespace),
        tags=None if tags is None else check_tags(tags),
        created_before=BEYOND if namespace is None and tags is None else None,
    )
    check_count(after, "after", 0)
    check_count(limit, "limit", 1)
    if contains is None:
        return await explore.entries(core, selection, after, limit)
    needle = check_text(contains, "contains", core.options.max_query_bytes).casefold()
    return await explore.entries_containing(core, selection, needle, after, limit)


async def clear_namespace(core: Core, namespace: str) -> int:
    return await clear(core, check_namespace(namespace))


async def list_namespaces(core: Core) -> list[str]:
    await maintain.ready(core)
    return await maintain.list_namespaces(core)


async def vacuum(core: Core, *, namespace: str | None, compact: bool) -> int:
    await maintain.ready(core)
    return await maintain.vacuum(core, None if namespace is None else check_namespace(namespace), compact=compact)


async def compact(core: Core) -> int:
    await maintain.ready(core)
    return await maintain.compact_store(core)


async def stats(core: Core, namespace: str | None) -> Stats:
    await maintain.ready(core)
    return await maintain.stats(core, None if namespace is None else check_namespace(namespace))


async def health(core: Core) -> Health:
    await maintain.start(core)
    return await maintain.health(core)


async def check(core: Core) -> list[str]:
    await maintain.ready(core)
    return await maintain.check(core)


async def reembed(
    core: Core,
    embedder: Embedder | AsyncEmbedder,
    *,
    similarity_threshold: float | None,
    batch_size: int,
    concurrency: int,
    retries: int,
    retry_seconds: float,
    progress: Callable[[ReembedProgress], object] | None,
) -> ReembedReport:
    await maintain.ready(core)
    plan = reembedding.plan(
        core.runtime,
        core.clock,
        batch_size=batch_size,
        concurrency=concurrency,
        retries=retries,
        retry_seconds=retry_seconds,
        progress=progress,
    )
    threshold = None if similarity_threshold is None else core.check_threshold(similarity_threshold)
    return await reembed_flow.reembed(core, reembedding.Embedding(embedder, plan), threshold)


async def requantize(core: Core, dtype: VectorDType) -> None:
    await maintain.ready(core)
    await maintain.requantize(core, dtype)


async def certificate(core: Core, namespace: str) -> CertificateStatus:
    await maintain.ready(core)
    namespace = check_namespace(namespace)
    await follow.check_if_due(core)
    await certificates.count(core)
    return certificates.status(core, namespace)


async def use_certificate(core: Core, certificate: Certificate) -> CertificateStatus:
    await maintain.ready(core)
    if not isinstance(certificate, Certificate):
        raise TypeError(f"certificate must be a Certificate, as certify returns, not {type(certificate).__name__}")
    if certificate.namespace is not None:
        check_namespace(certificate.namespace)
    return await certificates.use(core, certificate)


async def drop_certificate(core: Core, namespace: str | None) -> bool:
    await maintain.ready(core)
    return await certificates.drop(core, None if namespace is None else check_namespace(namespace))
