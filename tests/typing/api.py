"""The public surface as its users write it. Type-checked by mypy and pyright, never run.

An annotated assignment says what a call must be; a line that must be refused carries an ignore, and both checkers
complain of one that is not needed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import redis
import redis.asyncio

import mneme
from mneme import (
    AsyncEmbedder,
    AsyncEncryptedStore,
    AsyncPostgresStore,
    AsyncRedisStore,
    AsyncSemanticCache,
    AsyncStore,
    CacheInfo,
    Candidate,
    Certificate,
    CertificateStatus,
    Checkpoint,
    Codec,
    Decisions,
    Embedder,
    EncryptedStore,
    Entry,
    Explanation,
    Forgotten,
    Health,
    Hit,
    Index,
    KeyRing,
    Labels,
    MemoryStore,
    PostgresStore,
    RedisStore,
    ReembedProgress,
    ReembedReport,
    Repair,
    RepairReport,
    SemanticCache,
    Shortage,
    SQLiteStore,
    Stats,
    Store,
    ValueContrast,
    Watch,
    as_embedder,
    half_life,
    to_async_embedder,
    to_sync_embedder,
)
from mneme.adapters import compose
from mneme.adapters.opentelemetry import OTelMetricsHook
from mneme.adapters.prometheus import PrometheusMetricsHook
from mneme.embedders import LocalEmbedder
from mneme.guards import DEFAULT_GUARDS, NUMBERS, Guard, Rule, Uncertain, opposites
from mneme.indexes import ExactIndex
from mneme.ports import (
    Clock,
    MarkedStore,
    Matrix,
    MetricsHook,
    ReembeddingStore,
    ScrubbingStore,
    SearchingStore,
    SwappingStore,
    Vector,
)
from mneme.stores import salvage
from mneme.testing import (
    AsyncTwin,
    FailingEmbedder,
    FakeClock,
    Faults,
    FlakyIndex,
    FlakyStore,
    HashEmbedder,
    ScriptedEmbedder,
    SlowEmbedder,
    SlowStore,
)
from mneme.tools.calibrate import CalibrationResult, CurvePoint, certify, find_threshold, precision_recall_curve
from mneme.tools.migrate import areembed, reembed

version: str = mneme.__version__


# --- what users write themselves -------------------------------------------------------------------------------------


class Mine:
    """A plain class is an embedder; nothing of mneme's is inherited."""

    dim = 3
    fingerprint = "mine-1"

    def embed(self, text: str) -> Vector:
        return np.zeros(self.dim, np.float32)

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        return np.zeros((len(texts), self.dim), np.float32)


class Awaited:
    @property
    def dim(self) -> int:
        return 3

    @property
    def fingerprint(self) -> str:
        return "awaited-1"

    async def embed(self, text: str) -> Vector:
        return np.zeros(self.dim, np.float32)


class Complex:
    name = "complex-1"

    def encode(self, value: Any) -> bytes:
        return repr(value).encode()

    def decode(self, payload: bytes) -> complex:
        return complex(payload.decode())


def count(event: str, fields: Mapping[str, Any]) -> None:
    print(event, fields["namespace"])


embedder: Embedder = Mine()
awaited: AsyncEmbedder = Awaited()
codec: Codec = Complex()
hook: MetricsHook = count
clock: Clock = FakeClock(1.0)
decay: Callable[[float, float], float] = half_life(24)
stores: list[Store] = [MemoryStore(), SQLiteStore("a.db"), SQLiteStore(Path("a.db"), durability="full", busy_timeout=1)]
on_a_network: Store = PostgresStore("postgresql:///", schema="cache", statement_timeout=1, max_size=2)
on_a_loop: AsyncStore = AsyncPostgresStore("postgresql:///", prepare_threshold=5, connect_timeout=0.5)
marked: MarkedStore = PostgresStore("postgresql:///")
ring: KeyRing = KeyRing.from_json(KeyRing.generate("a").with_key("b").without("a").to_json())
sealed: Store = EncryptedStore(SQLiteStore("x.db"), ring)
rotated: int = EncryptedStore(MemoryStore(), ring).rotate(batch=10, progress=print)
in_use: dict[str, int] = EncryptedStore(MemoryStore(), ring).keys_in_use()
async_sealed: AsyncStore = AsyncEncryptedStore(AsyncPostgresStore("postgresql:///"), ring)
EncryptedStore(AsyncPostgresStore("postgresql:///"), ring)  # type: ignore[arg-type]
swapping: tuple[SwappingStore, ...] = (SQLiteStore("x.db"), MemoryStore())
scrubbing: tuple[ScrubbingStore, ...] = (SQLiteStore("x.db"), MemoryStore())
searching: SearchingStore = PostgresStore("postgresql:///", search_type="vector", search_ef=200)
network_stores: list[Store] = [RedisStore("redis://localhost"), RedisStore(client=redis.Redis(), prefix="a", timeout=1)]
awaited_stores: list[AsyncStore] = [
    AsyncRedisStore("redis://localhost", max_connections=3),
    AsyncRedisStore(client=redis.asyncio.Redis()),
    AsyncRedisStore(client=redis.asyncio.RedisCluster(host="localhost")),
]
RedisStore(client=redis.asyncio.Redis())  # type: ignore[arg-type]
index: Index = ExactIndex()


# --- making caches ---------------------------------------------------------------------------------------------------

plain = SemanticCache(":memory:")
on_a_path = SemanticCache(Path("answers.db"), Mine(), similarity_threshold=0.9, default_ttl=timedelta(days=1))
full: SemanticCache = SemanticCache(
    store=MemoryStore(),
    embedder=embedder,
    similarity_threshold=1,
    default_ttl="1h30m",
    max_entries=100_000,
    namespace_quotas={"acme": 1_000},
    confidence_fn=half_life(24),
    min_confidence=0.5,
    validator=bool,
    metrics_hook=count,
    normalize=str.casefold,
    codec=codec,
    index_backend=index,
    index_options={},
    vector_dtype="int8",
    multi_process_mode="single",
    stale_check_interval=1,
    on_store_error="miss",
    hot_bytes=0,
    max_query_bytes=1,
    max_response_bytes=1,
    max_metadata_bytes=1,
    value_eq=lambda one, other: one == other,
    alias_threshold=0.8,
    value_contrast=ValueContrast(floor=0.4, least_similarity=0.6, exact_score=True),
    guards=(*DEFAULT_GUARDS, Rule("mine", lambda asked, stored: None), Uncertain(NUMBERS, below=0.9)),
    clock=clock,
)
SemanticCache("a.db", Mine(), vector_dtype="int4")  # type: ignore[arg-type]
SemanticCache("a.db", Mine(), on_store_error="ignore")  # type: ignore[arg-type]
SemanticCache("a.db", Mine(), max_entries=10, eviction="gdsf")
SemanticCache("a.db", Mine(), eviction="fifo")  # type: ignore[arg-type]
SemanticCache("a.db", Mine(), metrics_hook=compose(PrometheusMetricsHook(namespaces=["a"]), OTelMetricsHook(), count))
SemanticCache("a.db", Awaited())  # type: ignore[arg-type]
SemanticCache("a.db", "all-MiniLM")  # type: ignore[arg-type]
SemanticCache("a.db", Mine(), 0.9)  # type: ignore[call-arg, arg-type]
SemanticCache("a.db", Mine(), treshold=0.9)  # type: ignore[call-arg]
SemanticCache("a.db", Mine(), codec=object())  # type: ignore[arg-type]

from_function: Embedder = as_embedder(lambda text: [0.0, 1.0], fingerprint="f", dim=2)


def vector_of(text: str) -> list[float]:
    return [float(len(text)), 1.0]


async def vector_awaited(text: str) -> list[float]:
    return [float(len(text)), 1.0]


SemanticCache("a.db", as_embedder(vector_of, fingerprint="v"))
SemanticCache("a.db", as_embedder(Mine()))
of_coroutines: AsyncEmbedder = as_embedder(vector_awaited, fingerprint="v", dim=2)
AsyncSemanticCache("a.db", as_embedder(vector_awaited, fingerprint="v", dim=2))
AsyncSemanticCache("a.db", as_embedder(vector_of, fingerprint="v", dim=2))
SemanticCache("a.db", to_sync_embedder(Awaited()))
AsyncSemanticCache("a.db", to_async_embedder(Mine(), max_workers=4))
SemanticCache("a.db", LocalEmbedder())


# --- the blocking face -----------------------------------------------------------------------------------------------


def blocking(cache: SemanticCache) -> None:
    hit: Hit | None = cache.get("q")
    hit = cache.get("q", embedding=[1.0], namespace="n", scope={"model": "m"}, similarity_threshold=0.5, bypass=False)
    if hit is not None:
        response: Any = hit.response
        numbers: tuple[float, float, float] = (hit.similarity, hit.confidence, hit.age_seconds)
        words: tuple[str, str, str] = (hit.layer, hit.namespace, hit.query)
        metadata: dict[str, Any] = hit.metadata
        entry_id: int = hit.entry_id
        print(response, numbers, words, metadata, entry_id)
        hit.response = "changed"  # type: ignore[misc]
    hits: list[Hit | None] = cache.get_many(("a", "b"), embeddings=[None, np.zeros(3)], scope="s")
    nearest: list[Hit] = cache.lookup("q", k=3)
    explanation: Explanation = cache.explain("q", k=3, similarity_threshold=0.5)
    candidates: tuple[Candidate, ...] = explanation.candidates
    accepted: bool = candidates[0].accepted
    entries: list[Entry] = cache.entries(namespace="n", tags=["t"], contains="x", after=3, limit=10)
    put: bool = cache.put("q", {"a": [1]}, metadata={"k": 1}, ttl="1h", tags={"t"})  # type: ignore[arg-type]
    put = cache.put("q", b"raw", ttl=timedelta(hours=1), tags=("t",), scope=None)
    put = cache.put("q", "r", cost=0.25)
    cache.put("q", "r", cost="dear")  # type: ignore[arg-type]
    cache.get_or_compute("q", str.upper, cost=len)
    saved: float = cache.stats().cost_saved + cache.entries()[0].cost
    print(saved)
    stored: int = cache.put_many([("q", "a"), {"query": "q", "response": "a", "ttl": 5}], namespace="n")
    stored = cache.put_many(((query, query.upper()) for query in ("a", "b")), tags=["t"])
    value: Any = cache.get_or_compute("q", str.upper, ttl=5, jitter=0.1, stale_ttl="1h", stale_on_error=True)
    value = cache.get_or_compute("q", len, single_flight="semantic", bypass=True)
    cache.get_or_compute("q", str.upper, single_flight="never")  # type: ignore[arg-type]
    deleted: bool = cache.delete("q") or cache.delete(nearest[0]) or cache.delete("q", namespace="n", scope="s")
    watch: Watch = cache.watch() if cache.reset_alarm("n") else cache.watch("n")
    known: list[Labels] = list(watch.labels)
    assert known
    deleted = cache.reject(nearest[0]) or cache.reject(("q", "r"), namespace="n") or cache.confirm(("q", "r"))
    removed: int = cache.invalidate(tags=["t"], namespace="n", scope={"a": 1}, older_than="1d")
    forgotten: Forgotten = cache.forget(namespace="n", tags=["t"], scope="s", where={"user": (1, "1")}, timeout=5)
    removed += forgotten.entries if forgotten.clean and not forgotten.remains else 0
    removed += cache.clear() + cache.clear_namespace("n") + cache.vacuum(namespace="n", compact=False) + cache.compact()
    names: list[str] = cache.list_namespaces()
    stats: Stats = cache.stats() if names else cache.stats("n")
    rate: float = stats.hit_rate
    health: Health = cache.health()
    written: Checkpoint = cache.dumps("a.mneme", namespace=["a"], progress=lambda done, total: None)
    again: SemanticCache = SemanticCache.loads(io.BytesIO(), "b.db", embedder, merge=written.entries > 0)
    again = SemanticCache.loads(Path("a.mneme"), store=MemoryStore(), similarity_threshold=0.9)
    again.dumps(io.BytesIO())
    problems: list[str] = cache.check()
    report: RepairReport = cache.repair(apply=True)
    repaired: tuple[Repair, ...] = report.repairs
    removed += repaired[0].lost + salvage("x.db", Path("y.db")).lost
    cache.requantize("float16")
    cache.requantize("float8")  # type: ignore[arg-type]
    threshold: float | Literal["certified"] = cache.similarity_threshold
    cache.similarity_threshold = 0.5  # type: ignore[misc]
    semantic: bool = cache.has_embedder
    print(semantic)
    cache.set_similarity_threshold(threshold)
    with cache as entered:
        same: SemanticCache = entered
    same.close()
    print(hits, accepted, entries, put, stored, value, deleted, removed, rate, health.healthy, problems)


class Special(SemanticCache):
    """A subclass stays one when it is entered."""

    def extra(self) -> int:
        return 1


with Special(":memory:") as special:
    extra: int = special.extra()


@plain.memoize()
def answer(question: str, *, temperature: float = 0.0) -> str:
    return question


@plain.memoize(
    query="text",
    namespace="n",
    scope={"model": "m"},
    ttl="1d",
    tags=("t",),
    ignore=("client",),
    similarity_threshold=0.9,
    jitter=0.1,
    stale_ttl=60,
    stale_on_error=True,
    single_flight="semantic",
)
def classify(client: object, text: str) -> list[int]:
    return [len(text)]


answered: str = answer("q", temperature=0.5)
classified: list[int] = classify(None, text="t")
refreshed: str = answer.refresh("q")
was_there: bool = answer.invalidate("q", temperature=0.5)
info: CacheInfo = answer.cache_info()
hits: int = info.hits + info.misses
unwrapped: str = answer.__wrapped__("q")
answer(5)  # type: ignore[arg-type]
answer("q", temprature=0.5)  # type: ignore[call-arg]
wrong: int = answer("q")  # type: ignore[assignment]


# --- the async face --------------------------------------------------------------------------------------------------


async def awaiting(cache: AsyncSemanticCache, ready: Callable[[str], Awaitable[str]]) -> None:
    hit: Hit | None = await cache.get("q", scope={"model": "m"})
    hits: list[Hit | None] = await cache.get_many(["a", "b"])
    nearest: list[Hit] = await cache.lookup("q", k=3)
    explanation: Explanation = await cache.explain("q")
    entries: list[Entry] = await cache.entries(limit=5)
    put: bool = await cache.put("q", "a", ttl=5, tags=["t"])
    stored: int = await cache.put_many([("q", "a")])
    value: Any = await cache.get_or_compute("q", ready) or await cache.get_or_compute("q", str.upper)
    deleted: bool = await cache.delete("q")
    deleted = await cache.reject(("q", "r")) or await cache.confirm(("q", "r"))
    removed: int = await cache.invalidate(tags=["t"]) + await cache.clear() + await cache.clear_namespace("n")
    removed += (await cache.forget(where={"user": 1})).entries
    removed += await cache.vacuum(compact=False) + await cache.compact()
    names: list[str] = await cache.list_namespaces()
    stats: Stats = await cache.stats()
    health: Health = await cache.health()
    written: Checkpoint = await cache.dumps("a.mneme", namespace=["a"], progress=lambda done, total: None)
    again: AsyncSemanticCache = await AsyncSemanticCache.loads("a.mneme", "b.db", awaited, namespace="a")
    sizes: list[int] = [written.bytes, (await again.dumps(io.BytesIO())).bytes]
    print(sizes)
    problems: list[str] = await cache.check()
    report: RepairReport = await cache.repair()
    problems += report.problems
    await cache.requantize("int8")
    threshold: float | Literal["certified"] = cache.similarity_threshold
    cache.set_similarity_threshold(threshold)
    async with cache as entered:
        same: AsyncSemanticCache = entered
    await same.close()
    forgotten: Hit | None = cache.get("q")  # type: ignore[assignment]
    print(hit, hits, nearest, explanation, entries, put, stored, value)
    print(deleted, removed, names, stats, health, problems)
    print(forgotten)


twin = AsyncSemanticCache(store=MemoryStore(), embedder=Awaited())


@twin.memoize(namespace="n")
async def answer_awaited(question: str, temperature: float = 0.0) -> str:
    return question


@twin.memoize()
def answer_in_a_thread(question: str) -> bytes:
    return question.encode()


async def memoized() -> None:
    first: str = await answer_awaited("q", temperature=1.0)
    second: bytes = await answer_in_a_thread("q")
    third: str = await answer_awaited.refresh("q")
    gone: bool = await answer_awaited.invalidate("q")
    info: CacheInfo = answer_awaited.cache_info()
    await answer_awaited(5)  # type: ignore[arg-type]
    print(first, second, third, gone, info)


def any_store(store: AsyncStore) -> AsyncSemanticCache:
    return AsyncSemanticCache(store=store, embedder=Mine())


# --- tools -----------------------------------------------------------------------------------------------------------

moved: ReembedReport = reembed("a.db", Path("b.db"), embedder, batch_size=8, progress=lambda now: print(now.total))


changed: ReembedReport = SemanticCache("a.db", embedder).reembed(embedder, similarity_threshold=0.9, concurrency=2)
SemanticCache("a.db", embedder).reembed(awaited)  # type: ignore[arg-type]
beside: list[ReembeddingStore] = [MemoryStore(), SQLiteStore("a.db")]


async def change(cache: AsyncSemanticCache) -> ReembedReport:
    await cache.reembed(embedder, progress=print)
    return await cache.reembed(awaited, retries=1)


async def move() -> ReembedReport:
    def tell(now: ReembedProgress) -> None:
        print(now.done / now.total)

    await areembed("a.db", on_a_loop, embedder, progress=tell)
    return await areembed(on_a_network, on_a_loop, awaited, concurrency=8, retries=0, retry_seconds=0.5)


# --- errors and fakes ------------------------------------------------------------------------------------------------

errors: list[type[mneme.MnemeError]] = [
    mneme.CacheClosedError,
    mneme.CalibrationError,
    mneme.CheckpointError,
    mneme.CorruptCacheError,
    mneme.EmbedderBackendError,
    mneme.EmbedderDimensionError,
    mneme.EmbedderMismatchError,
    mneme.IndexBackendUnavailableError,
    mneme.InputTooLongError,
    mneme.MultiProcessLockError,
    mneme.NamespaceQuotaExceededError,
    mneme.QuantizationError,
    mneme.ReembeddingError,
    mneme.SchemaMigrationError,
    mneme.StoreBackendError,
]
values: list[type[ValueError]] = [mneme.EmbedderDimensionError, mneme.InputTooLongError, mneme.QuantizationError]

hashing = HashEmbedder(dim=8)
fakes: list[Embedder] = [
    hashing,
    ScriptedEmbedder({"a": [0.0, 1.0]}),
    SlowEmbedder(hashing, lambda: None),
    FailingEmbedder(hashing, {1, 2}, error=RuntimeError),
]
awaited_fake: AsyncEmbedder = AsyncTwin(hashing)
faults = Faults({3}, error=mneme.StoreBackendError("full"), after=True)
flaky: Store = FlakyStore(MemoryStore(), faults)
flaky_index: Index = FlakyIndex(ExactIndex(), Faults(lambda number, name: name == "index.add"))
SemanticCache(store=flaky, embedder=hashing, index_backend=flaky_index, clock=FakeClock())


def slow(gate: Any) -> Store:
    return SlowStore(MemoryStore(), gate, verbs=("write", "delete"))


def unknown(model: Any) -> None:
    """What a library without types gives is taken for a blocking embedder."""
    SemanticCache("a.db", as_embedder(model, fingerprint="m"))
    AsyncSemanticCache("a.db", as_embedder(model, fingerprint="m"))


# --- calibration -----------------------------------------------------------------------------------------------------

calibrated: CalibrationResult = find_threshold([("a", "b")], [("a", "c")], hashing, target_metric="recall", grid=[0.5])
point: CurvePoint = precision_recall_curve(iter([("a", "b")]), [("a", "c")], awaited_fake, vector_dtype="int8")[0]
figures: tuple[float, float, float, float] = point.threshold, point.precision, point.recall, calibrated.f1
find_threshold([("a", "b")], [("a", "c")], hashing, target_metric="auc")  # type: ignore[arg-type]  # no such metric
outcome: Certificate | Shortage = certify([("a", 1), {"text": "b", "answer": 2}], hashing, valid_for=timedelta(days=1))


def serve_by_certificate(cache: SemanticCache, certificate: Certificate) -> None:
    cache.set_similarity_threshold("certified")
    cache.set_similarity_threshold("sure")  # type: ignore[arg-type]  # no such threshold
    status: CertificateStatus = cache.use_certificate(Certificate.from_json(certificate.to_json()))
    threshold: float | None = status.threshold
    decisions: Decisions | None = cache.certificate("n").decisions
    dropped: bool = cache.drop_certificate()
    print(threshold, decisions, dropped)


# --- guards ----------------------------------------------------------------------------------------------------------


class MyGuard:
    """A guard by its shape alone."""

    name = "mine"
    below = 0.95

    def check(self, asked: str, stored: str, /, *, similarity: float, response: Any) -> str | None:
        return None if asked == stored else f"{similarity}: {response}"


class MyAsyncGuard:
    """The same, awaited."""

    name = "mine, awaited"

    async def check(self, asked: str, stored: str, /, *, similarity: float, response: Any) -> str | None:
        return None


my_guards: list[Guard] = [MyGuard(), MyAsyncGuard(), *DEFAULT_GUARDS]
guard_name: str = DEFAULT_GUARDS[0].name
difference: str | None = NUMBERS.check("in 2023", "in 2024")
wood: Guard = opposites([("oak", "pine", ("beech", "beechwood"))], name="wood")
unguarded = SemanticCache(":memory:", guards=())
guarded_async = AsyncSemanticCache(":memory:", guards=my_guards)
SemanticCache(":memory:", guards=[3])  # type: ignore[list-item]  # 3 is no guard
