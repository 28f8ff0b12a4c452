"""What notebooks and prompts show of results, caches and their parts."""

import contextlib
import importlib
import inspect
import pkgutil

import pytest
from openai import OpenAI
from prometheus_client import CollectorRegistry

import mneme
from mneme import (
    AsyncDynamoDBStore,
    AsyncPostgresStore,
    AsyncRedisStore,
    AsyncSemanticCache,
    Candidate,
    DynamoDBStore,
    EncryptedStore,
    Explanation,
    Hit,
    HnswIndex,
    KeyRing,
    MemoryStore,
    PostgresStore,
    RedisStore,
    SemanticCache,
    SQLiteStore,
    StoreBackendError,
)
from mneme.adapters.prometheus import PrometheusMetricsHook
from mneme.embedders.openai import OpenAIEmbedder
from mneme.indexes.exact import ExactIndex
from mneme.integrations.instructor import InstructorCache
from mneme.integrations.langchain import LangChainCache
from mneme.integrations.langgraph import LangGraphCache
from mneme.testing import HashEmbedder

PASSWORD = "hunter2"  # noqa: S105 - the secret that must not be shown


def test_results_are_tables_in_a_notebook():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        cache.put("<b>question</b> & more", "<script>alert(1)</script>" + "x" * 1000)
        for shown in (cache.get("<b>question</b> & more"), *cache.lookup("question"), *cache.entries()):
            html = shown._repr_html_()
            assert f"<b>{type(shown).__name__}</b>" in html
            assert "&lt;script&gt;" in html
            assert "<script>" not in html
            assert len(html) < 5000
        html = cache.explain("<b>question</b> & more")._repr_html_()
        assert html.count("<table>") == 2
        assert "accepted" in html
        assert "hits_exact" in cache.stats()._repr_html_()
        assert "healthy" in cache.health()._repr_html_()


def test_an_explanation_without_candidates_is_shown_as_well():
    explanation = Explanation("q", "q", "default", None, 0.85, None, "no_match", ())
    assert explanation._repr_html_().count("<table>") == 1


def test_what_is_shown_takes_no_room_in_what_is_returned():
    for kind in (Hit, Candidate, mneme.Stats):
        assert not hasattr(kind, "__dict__") or "__dict__" not in vars(kind)
        assert "__slots__" in vars(kind)
    hit = Hit("r", 1.0, 1.0, 0.0, "exact", "default", {}, "q", 1)
    assert not hasattr(hit, "__dict__")


def test_a_result_at_a_prompt_shows_the_ends_of_what_is_long():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        cache.put("question " * 300, "r" * 100_000, metadata={str(n): "x" * 1000 for n in range(50)})
        shown = [*cache.lookup("question"), *cache.entries(), cache.explain("question " * 300)]
    for one in shown:
        assert repr(one).startswith(f"{type(one).__name__}(")
        assert len(repr(one)) < 3000
    assert "..." in repr(shown[0])


def test_a_short_result_is_shown_as_what_would_make_it_again():
    hit = Hit({"a": [1, 2]}, 1.0, 1.0, 0.5, "exact", "default", {"by": "me"}, "q", 1)
    assert eval(repr(hit)) == hit  # noqa: S307 - of our own making
    candidate = Candidate(1, "q", 0.9, 0.9, 1.0, True, "accepted")
    for candidates in ((), (candidate,), (candidate, candidate)):
        explanation = Explanation("q", "q", "default", None, 0.85, "exact", "hit_exact", candidates)
        assert eval(repr(explanation)) == explanation  # noqa: S307 - of our own making


def test_a_cache_says_where_its_entries_lie_and_how_many_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = SemanticCache("a.db", HashEmbedder())
    cache.put("q", "r")
    assert repr(cache) == "<SemanticCache 'a.db', 1 entry, embedder 'mneme-testing-hash-1;dim=64', threshold 0.85>"
    cache.close()
    assert repr(cache) == "<SemanticCache 'a.db', closed>"
    with SemanticCache(store=MemoryStore()) as cache:
        assert repr(cache) == "<SemanticCache <MemoryStore 0 entries>, 0 entries, exact layer alone>"
        cache.put("q", "r")
        assert repr(cache) == "<SemanticCache <MemoryStore 1 entry>, 1 entry, exact layer alone>"


async def test_an_awaited_cache_is_not_open_before_it_is_used():
    cache = AsyncSemanticCache(":memory:", HashEmbedder(), similarity_threshold="certified")
    assert repr(cache) == "<AsyncSemanticCache ':memory:', not open yet>"
    async with cache:
        assert repr(cache).endswith("threshold certified>")


def test_stores_indexes_and_embedders_say_what_tells_them_apart(tmp_path):
    ring = KeyRing.generate("2026")
    shown = {
        SQLiteStore(tmp_path / "a.db"): f"<SQLiteStore '{tmp_path / 'a.db'}'>",
        EncryptedStore(MemoryStore(), ring): "<EncryptedStore around <MemoryStore 0 entries>>",
        DynamoDBStore("answers", prefix="p"): "<DynamoDBStore 'p' in table 'answers'>",
        AsyncDynamoDBStore("answers"): "<AsyncDynamoDBStore 'mneme' in table 'answers'>",
        ExactIndex(): "<ExactIndex float32>",
        HnswIndex(m=8, backend="usearch"): "<HnswIndex float32 on usearch, m=8, ef=64>",
        HashEmbedder(8): "<HashEmbedder 'mneme-testing-hash-1;dim=8'>",
    }
    assert [repr(one) for one in shown] == list(shown.values())


@pytest.mark.parametrize(
    ("make", "address", "said"),
    [
        (RedisStore, f"redis://me:{PASSWORD}@cache.example:7000/2", "<RedisStore 'mneme' on cache.example:7000/2>"),
        (AsyncRedisStore, f"rediss://:{PASSWORD}@cache.example", "<AsyncRedisStore 'mneme' on cache.example:6379/0>"),
        (
            PostgresStore,
            f"postgresql://me:{PASSWORD}@db.example/app",
            "<PostgresStore postgres at db.example database app, schema 'mneme'>",
        ),
        (
            AsyncPostgresStore,
            f"host=db.example password={PASSWORD}",
            "<AsyncPostgresStore postgres at db.example, schema 'mneme'>",
        ),
    ],
)
def test_no_password_is_shown(make, address, said):
    store = make(address)
    assert repr(store) == said


@pytest.mark.parametrize(
    "store",
    [
        lambda: RedisStore(f"redis://me:{PASSWORD}@127.0.0.1:1/0"),
        lambda: PostgresStore(f"postgresql://me:{PASSWORD}@127.0.0.1:1/app", connect_timeout=1),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_the_password(store):
    with pytest.raises(StoreBackendError, match=r"127\.0\.0\.1") as failed:
        SemanticCache(store=store())
    assert PASSWORD not in str(failed.value)
    assert PASSWORD not in repr(failed.value.__cause__)


@pytest.mark.parametrize(
    ("make", "address"),
    [
        (RedisStore, f"redis://:{PASSWORD}@cache.example:port/0"),
        (RedisStore, f"http://:{PASSWORD}@cache.example"),
        (PostgresStore, f"postgresql://me:{PASSWORD}@db example/app"),
        (PostgresStore, f"postgresql://me:{PASSWORD}@db/app?frobnicate=1"),
        (PostgresStore, f"host=db password={PASSWORD} frobnicate"),
        (PostgresStore, f"host=db password='{PASSWORD}"),
        (PostgresStore, f"postgresql://me:{PASSWORD}%@db/app"),
        (PostgresStore, f'postgresql://me:"{PASSWORD}%@db/app'),
        (PostgresStore, f"postgresql://me:{PASSWORD} x@db/app"),
        (PostgresStore, f"postgresql://me:@{PASSWORD}@db/app"),
        (PostgresStore, f"postgresql://me:{PASSWORD}/@db/app"),
        (PostgresStore, f"host=db password=one {PASSWORD}"),
        (RedisStore, f"redis://:{PASSWORD}/@cache.example/0"),
        (AsyncRedisStore, f"redis://:{PASSWORD}#@cache.example/0"),
    ],
)
def test_an_address_that_cannot_be_understood_is_refused_without_the_password(make, address):
    with pytest.raises(ValueError, match=r"\w") as refused:
        make(address)
    assert PASSWORD not in str(refused.value)


def test_no_key_is_shown():
    ring = KeyRing.generate("2026")
    keys, lookup = ring._secrets()
    shown = repr(ring) + repr(EncryptedStore(MemoryStore(), ring))
    assert not [secret for secret in (*keys.values(), lookup) if secret.hex() in shown or repr(secret) in shown]
    with OpenAI(api_key=PASSWORD, base_url=f"http://me:{PASSWORD}@localhost/v1") as client:
        embedder = OpenAIEmbedder(client, "m", 4)
        assert repr(embedder) == "<OpenAIEmbedder 'openai:localhost:m;dim=4'>"


def test_what_stands_on_a_cache_names_it_and_its_namespace():
    with SemanticCache(store=MemoryStore()) as cache:
        on = f"on {cache!r}, namespace 'shop'>"
        for kind in (InstructorCache, LangGraphCache, LangChainCache):
            assert repr(kind(cache, namespace="shop")) == f"<{kind.__name__} {on}"
        assert repr(PrometheusMetricsHook(registry=CollectorRegistry(), cache="faq")) == "<PrometheusMetricsHook 'faq'>"


def test_every_public_class_says_more_than_its_address():
    """Frameworks take long to be imported, and are left out."""
    bare = []
    for module in pkgutil.walk_packages(mneme.__path__, "mneme."):
        if any(part.startswith("_") or part == "integrations" for part in module.name.split(".")):
            continue
        with contextlib.suppress(ImportError):
            found = importlib.import_module(module.name)
            for name in getattr(found, "__all__", ()):
                kind = getattr(found, name, None)
                if inspect.isclass(kind) and not getattr(kind, "_is_protocol", False) and not is_told_otherwise(kind):
                    bare += [f"{module.name}.{name}"] if kind.__repr__ is object.__repr__ else []
    assert not bare


def is_told_otherwise(kind):
    """Suites and fakes of `mneme.testing`, transports and parts of sites: nobody looks at those at a prompt."""
    return kind.__module__.startswith(("mneme.testing", "mneme.ui")) or kind.__name__.endswith("Transport")
