"""Counting in a Prometheus registry, read back as Prometheus would."""

import gc
import math
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mneme import AsyncSemanticCache, MemoryStore, SemanticCache
from mneme.adapters._measures import METRICS
from mneme.adapters.prometheus import PrometheusMetricsHook
from mneme.testing import HashEmbedder, ScriptedEmbedder

SCRIPT = {"rain": [1, 0], "drizzle": [0.96, 0.28], "sun": [0, 1]}


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


def scraped(registry):
    """Every sample, by name and labels that are not empty, from a real scrape over HTTP."""
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return {
        (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items() if value)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_happened_is_there_to_be_scraped(registry, clock):
    hook = PrometheusMetricsHook(registry=registry, cache="faq")
    with SemanticCache(":memory:", ScriptedEmbedder(SCRIPT), metrics_hook=hook, clock=clock) as cache:
        hook.watch(cache)

        def compute(query):
            clock.advance(2)
            return "water"

        cache.get_or_compute("rain", compute, cost=0.5)
        cache.get("rain")
        cache.get("drizzle")
        cache.get("sun")
        cache.put("sun", "")
        cache.put("sun", "light", ttl=1)
        clock.advance(5)
        cache.vacuum()
        found = scraped(registry)
    faq = "cache=faq"
    assert found["mneme_hits_total", faq, "layer=exact"] == 1
    assert found["mneme_hits_total", faq, "layer=semantic"] == 1
    assert found["mneme_misses_total", faq, "reason=no_match"] == 2
    assert found["mneme_puts_total", faq] == 2
    assert found["mneme_put_bytes_total", faq] == len("water") + len("light")
    assert found["mneme_rejected_puts_total", faq, "cause=validator"] == 1
    assert found["mneme_expirations_total", faq] == 1
    assert found["mneme_saved_seconds_total", faq] == 4
    assert found["mneme_saved_cost_total", faq] == 1
    assert found["mneme_similarity_bucket", faq, "le=0.95"] == 0
    assert found["mneme_similarity_bucket", faq, "le=0.97"] == 1
    assert found["mneme_lookup_duration_seconds_count", faq, "layer=exact"] == 1
    assert found["mneme_lookup_duration_seconds_count", faq, "layer=none"] == 2
    assert found["mneme_lookup_duration_seconds_sum", faq, "layer=semantic"] > 0
    assert found["mneme_compute_duration_seconds_sum", faq, "outcome=ok"] == 2
    assert found["mneme_embedded_total", faq] >= 3
    assert found["mneme_entries", faq] == 1
    assert found["mneme_index_memory_bytes", faq] > 0


@pytest.mark.parametrize(
    ("event", "fields", "name", "labels"),
    [
        ("evict", {"count": 3}, "mneme_evictions_total", {}),
        ("stale", {"layer": "exact"}, "mneme_stale_total", {}),
        ("put_rejected", {"query": "q", "error": "X()"}, "mneme_rejected_puts_total", {"cause": "error"}),
        ("embedder_failure", {"error": "X()"}, "mneme_embedder_failures_total", {}),
        ("store_failure", {"doing": "evicting", "error": "X()"}, "mneme_store_failures_total", {"doing": "evicting"}),
        ("guard_refusal", {"guard": "numbers", "reason": "1 2"}, "mneme_guard_refusals_total", {"guard": "numbers"}),
        ("audit", {"outcome": "false"}, "mneme_audits_total", {"outcome": "false"}),
        ("alias", {"similarity": 0.99}, "mneme_aliases_total", {}),
        ("conflict", {"similarity": 0.9}, "mneme_conflicts_total", {}),
        ("label", {"same": True}, "mneme_labels_total", {"verdict": "same"}),
        ("label", {"same": False}, "mneme_labels_total", {"verdict": "different"}),
        ("confirm", {}, "mneme_feedback_total", {"verdict": "confirmed"}),
        ("reject", {}, "mneme_feedback_total", {"verdict": "rejected"}),
        ("alarm", {"rate": 0.1}, "mneme_alarms_total", {}),
    ],
)
def test_every_event_counts_where_it_belongs(registry, event, fields, name, labels):
    PrometheusMetricsHook(registry=registry)(event, {"namespace": "n", **fields})
    assert registry.get_sample_value(name, {"cache": "default", "namespace": "", **labels}) == fields.get("count", 1)


def test_certificates_are_counted_by_what_they_are_worth_and_an_alarm_may_void_one(registry):
    hook = PrometheusMetricsHook(registry=registry)

    def tell(namespace, reason, threshold=None):
        fields = {"namespace": namespace, "usable": threshold is not None, "reason": reason, "threshold": threshold}
        hook("certificate", fields)

    def count(state):
        return registry.get_sample_value("mneme_certificates", {"cache": "default", "namespace": "", "state": state})

    def threshold():
        return registry.get_sample_value("mneme_certificate_threshold", {"cache": "default", "namespace": ""})

    tell("a", "valid", 0.91)
    tell("b", "valid", 0.88)
    tell("c", "none")
    assert (count("valid"), count("none"), count("voided"), threshold()) == (2, 1, 0, 0.88)
    hook("alarm", {"namespace": "b", "certificate_voided": True})
    assert (count("valid"), count("none"), count("voided"), threshold()) == (1, 1, 1, 0.91)
    hook("alarm", {"namespace": "a", "certificate_voided": False})
    tell("c", "valid", 0.5)
    assert (count("valid"), count("none"), count("voided"), threshold()) == (2, 0, 1, 0.5)
    tell("a", "expired")
    tell("c", "expired")
    assert count("expired") == 2
    assert math.isnan(threshold())


def test_what_may_come_to_be_counted_is_there_from_the_start_at_0(registry):
    """Prometheus has no rate of what is not there, and a hit rate without misses would be no number."""
    PrometheusMetricsHook(registry=registry)
    usual = {"cache": "default", "namespace": ""}
    for name, labels in {"hits": {"layer": "exact"}, "misses": {"reason": "no_match"}, "alarms": {}}.items():
        assert registry.get_sample_value(f"mneme_{name}_total", {**usual, **labels}) == 0


def test_an_event_that_is_not_known_is_passed_over(registry):
    hook = PrometheusMetricsHook(registry=registry)
    before = prometheus_client.generate_latest(registry)
    hook("novelty", {"namespace": "n", "count": 1})
    assert prometheus_client.generate_latest(registry) == before


def test_no_question_is_ever_a_label(registry):
    hook = PrometheusMetricsHook(registry=registry, namespaces=["default"])
    with SemanticCache(":memory:", HashEmbedder(), metrics_hook=hook) as cache:
        cache.get_or_compute("my own secret", lambda _: "the answer")
        cache.put("my own secret", "")
        cache.get("my own secret")
    assert b"secret" not in prometheus_client.generate_latest(registry)


def test_namespaces_are_told_apart_only_if_they_are_named(registry):
    hook = PrometheusMetricsHook(registry=registry, namespaces=["shop", "help"])
    with SemanticCache(":memory:", None, metrics_hook=hook) as cache:
        hook.watch(cache)
        for namespace in ("shop", "shop", "help", *(f"user {number}" for number in range(50))):
            cache.put(f"question {cache.stats().entries}", "answer", namespace=namespace)
        found = scraped(registry)
    puts = {key[2]: value for key, value in found.items() if key[0] == "mneme_puts_total"}
    entries = {key[2]: value for key, value in found.items() if key[0] == "mneme_entries"}
    assert puts == entries == {"namespace=shop": 2, "namespace=help": 1, "namespace=other": 50}


def test_several_hooks_share_a_registry_and_several_caches_a_hook(registry):
    hooks = [PrometheusMetricsHook(registry=registry, cache=name) for name in ("one", "two")]
    caches = [SemanticCache(":memory:", None, metrics_hook=hooks[which]) for which in (0, 0, 1)]
    for cache in caches:
        cache.put("a question", "an answer")
        cache.close()
    for name, puts in (("one", 2), ("two", 1)):
        assert registry.get_sample_value("mneme_puts_total", {"cache": name, "namespace": ""}) == puts


def test_caches_that_share_a_hook_are_as_large_as_all_of_them(registry):
    hook = PrometheusMetricsHook(registry=registry, namespaces=["shop"])
    caches = [SemanticCache(":memory:", HashEmbedder(), metrics_hook=hook) for _ in range(3)]
    for number, cache in enumerate(caches):
        hook.watch(cache)
        cache.put_many([(f"question {n}", "answer") for n in range(number + 1)], namespace="shop")
        cache.put("a question", "an answer")
    caches.pop().close()
    found = scraped(registry)
    assert found["mneme_entries", "cache=default", "namespace=shop"] == 3
    assert found["mneme_entries", "cache=default", "namespace=other"] == 2
    assert found["mneme_memory_bytes", "cache=default"] == sum(cache.stats().memory_bytes_estimate for cache in caches)
    for cache in caches:
        cache.close()


def test_a_cache_that_is_closed_or_gone_is_asked_no_more(registry):
    hook = PrometheusMetricsHook(registry=registry)
    closed, gone = (SemanticCache(":memory:", None, metrics_hook=hook) for _ in range(2))
    hook.watch(closed)
    hook.watch(gone)
    closed.put("a question", "an answer")
    closed.close()
    gone.close()
    del gone
    gc.collect()
    scraped(registry)
    assert list(hook._watching.stats()) == []
    assert hook._watching._caches == []


async def test_an_async_cache_is_recorded_when_the_program_says(registry):
    hook = PrometheusMetricsHook(registry=registry)
    async with AsyncSemanticCache(store=MemoryStore(), metrics_hook=hook) as cache:
        with pytest.raises(TypeError, match="AsyncSemanticCache"):
            hook.watch(cache)
        await cache.put("a question", "an answer")
        hook.record(await cache.stats())
    assert registry.get_sample_value("mneme_entries", {"cache": "default", "namespace": ""}) == 1


def test_a_registry_that_has_metrics_of_these_names_is_left_as_it_was(registry):
    prometheus_client.Counter("mneme_puts", "somebody else's", registry=registry)
    before = prometheus_client.generate_latest(registry)
    for _ in range(2):
        with pytest.raises(ValueError, match="mneme_puts"):
            PrometheusMetricsHook(registry=registry)
        assert prometheus_client.generate_latest(registry) == before


@pytest.mark.parametrize("options", [{"cache": 5}, {"namespaces": "shop"}, {"namespaces": [1]}])
def test_arguments_of_the_wrong_type_are_refused(registry, options):
    with pytest.raises(TypeError):
        PrometheusMetricsHook(registry=registry, **options)


def test_the_processes_of_a_server_are_counted_together(tmp_path):
    """Prometheus' multiprocess mode: each process writes files, and whoever is scraped reads all of them."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "from mneme import SemanticCache\n"
        "from mneme.adapters.prometheus import PrometheusMetricsHook\n"
        "hook = PrometheusMetricsHook()\n"
        "with SemanticCache(':memory:', None, metrics_hook=hook) as cache:\n"
        "    cache.put('a question', 'an answer')\n"
        "    cache.get('a question')\n"
        "    hook.record(cache.stats())\n",
        encoding="utf-8",
    )
    files = tmp_path / "files"
    files.mkdir()
    source = Path(__file__).parents[2] / "src"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(files), "PYTHONPATH": str(source)}
    for _ in range(2):
        subprocess.run([sys.executable, str(worker)], env=environment, check=True, timeout=60)
    reader = (
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from prometheus_client.multiprocess import MultiProcessCollector\n"
        "registry = CollectorRegistry()\n"
        "MultiProcessCollector(registry)\n"
        "print(generate_latest(registry).decode())\n"
    )
    text = subprocess.run(
        [sys.executable, "-c", reader], env=environment, check=True, timeout=60, capture_output=True, text=True
    ).stdout
    found = {
        (sample.name, sample.labels.get("layer", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["mneme_puts_total", ""] == found["mneme_hits_total", "exact"] == 2
    assert found["mneme_entries", ""] == 1


def test_names_and_units_are_those_that_prometheus_makes_of_the_other_names():
    for metric in METRICS:
        assert metric.name.startswith("mneme.")
        assert metric.prometheus == metric.name.replace(".", "_") + {"s": "_seconds", "By": "_bytes"}.get(
            metric.unit, ""
        )
        assert metric.buckets == tuple(sorted(metric.buckets))
        assert bool(metric.buckets) == (metric.kind == "histogram")
    assert len({metric.prometheus for metric in METRICS}) == len(METRICS)


def test_the_documentation_lists_every_metric():
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for metric in METRICS:
        name = metric.prometheus + ("_total" if metric.kind == "counter" else "")
        label = f"`{metric.label}`" if metric.label else ""
        assert f"| `{name}` | {metric.kind} | {label} | {metric.help} |" in page


def test_a_cache_counts_once_and_may_be_let_go_of_by_several_scrapes_at_once(registry):
    hook = PrometheusMetricsHook(registry=registry)
    with SemanticCache(":memory:", None) as cache:
        hook.watch(cache)
        hook.watch(cache)
        cache.put("a question", "an answer")
        assert [stats.entries for stats in hook._watching.stats()] == [1]
    first, second = hook._watching.stats, hook._watching.stats
    remembered = list(hook._watching._caches)

    class Twice(list):
        """What one scrape looks at while another lets go of it."""

        def __iter__(self):
            hook._watching._caches = []
            return iter(remembered)

    hook._watching._caches = Twice(remembered)
    assert list(first()) == []
    assert list(second()) == []
