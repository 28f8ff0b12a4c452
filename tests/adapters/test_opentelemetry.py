"""Metrics and spans as OpenTelemetry's own SDK collects them."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mneme import AsyncSemanticCache, MemoryStore, SemanticCache
from mneme.adapters._measures import METRICS
from mneme.adapters.opentelemetry import OTelMetricsHook
from mneme.testing import ScriptedEmbedder

SCRIPT = {"rain": [1, 0], "drizzle": [0.96, 0.28], "sun": [0, 1]}


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def meters(reader):
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracers(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def make(meters, tracers):
    return lambda **options: OTelMetricsHook(meter_provider=meters, tracer_provider=tracers, **options)


def collected(reader):
    """Every data point, by the name of its metric and its attributes but that of the cache."""
    data = reader.get_metrics_data()
    points = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            assert scope.scope.name == "mneme"
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    attributes = sorted(f"{k}={v}" for k, v in point.attributes.items() if k != "mneme.cache")
                    points[(metric.name, *attributes)] = point
    return points


def test_what_happened_is_there_to_be_collected(make, reader, clock):
    hook = make(cache="faq")
    with SemanticCache(":memory:", ScriptedEmbedder(SCRIPT), metrics_hook=hook, clock=clock) as cache:
        hook.watch(cache)

        def compute(query):
            clock.advance(2)
            return "water"

        cache.get_or_compute("rain", compute, cost=0.5)
        cache.get("rain")
        cache.get("drizzle")
        cache.get("sun")
        found = collected(reader)
    assert found["mneme.hits", "mneme.layer=exact"].value == 1
    assert found["mneme.hits", "mneme.layer=exact"].attributes["mneme.cache"] == "faq"
    assert found["mneme.hits", "mneme.layer=semantic"].value == 1
    assert found["mneme.misses", "mneme.reason=no_match"].value == 2
    assert found["mneme.saved",].value == 4
    assert found["mneme.saved.cost",].value == 1
    assert found["mneme.lookup.duration", "mneme.layer=none"].count == 2
    assert found["mneme.compute.duration", "mneme.outcome=ok"].sum == 2
    similarity = found["mneme.similarity",]
    assert (similarity.count, round(similarity.sum, 4)) == (1, 0.96)
    assert 0.97 in similarity.explicit_bounds
    assert found["mneme.entries",].value == 1
    assert found["mneme.memory",].value > 0


def test_units_and_descriptions_are_those_of_the_table(make, reader):
    hook = make()
    hook("miss", {"namespace": "n", "reason": "no_match", "seconds": 0.5})
    hook("certificate", {"namespace": "n", "usable": True, "reason": "valid", "threshold": 0.9})
    known = {metric.name: metric for metric in METRICS}
    metrics = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    assert {"mneme.misses", "mneme.lookup.duration", "mneme.certificates"} <= {each.name for each in metrics}
    for each in metrics:
        assert (each.unit, each.description) == (known[each.name].unit or "1", known[each.name].help)


def test_certificates_are_counted_by_what_they_are_worth(make, reader):
    hook = make()
    for namespace, reason, threshold in (("a", "valid", 0.91), ("b", "none", None)):
        fields = {"namespace": namespace, "usable": threshold is not None, "reason": reason, "threshold": threshold}
        hook("certificate", fields)
    found = collected(reader)
    assert found["mneme.certificates", "mneme.state=valid"].value == 1
    assert found["mneme.certificates", "mneme.state=none"].value == 1
    assert found["mneme.certificate.threshold",].value == 0.91


def test_what_took_time_becomes_a_span_with_its_times_under_the_current_one(make, exporter, tracers, clock):
    hook = make(cache="faq")
    with (
        tracers.get_tracer("test").start_as_current_span("request"),
        SemanticCache(":memory:", ScriptedEmbedder(SCRIPT), metrics_hook=hook, clock=clock) as cache,
    ):
        cache.get_or_compute("rain", lambda _: clock.advance(2) or "water")
        cache.get("drizzle")
    *spans, request = exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        "mneme.embed",
        "mneme.lookup",
        "mneme.compute",
        "mneme.embed",
        "mneme.lookup",
    ]
    assert all(span.parent.span_id == request.context.span_id for span in spans)
    assert all(span.end_time - span.start_time > 0 for span in spans)
    missed, hit = spans[1].attributes, spans[4].attributes
    assert (missed["mneme.hit"], missed["mneme.layer"], missed["mneme.reason"]) == (False, "none", "no_match")
    assert (hit["mneme.hit"], hit["mneme.layer"]) == (True, "semantic")
    assert round(hit["mneme.similarity"], 4) == 0.96
    assert {span.attributes["mneme.cache"] for span in spans} == {"faq"}
    assert spans[2].end_time - spans[2].start_time == 2_000_000_000
    assert [event.name for event in request.events] == ["mneme.put"]


def test_computing_that_fails_is_a_span_with_an_error_type(make, exporter):
    with SemanticCache(":memory:", None, metrics_hook=make()) as cache, pytest.raises(ZeroDivisionError):
        cache.get_or_compute("rain", lambda _: 1 / 0)
    span = exporter.get_finished_spans()[-1]
    assert span.name == "mneme.compute"
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert span.status.status_code is trace.StatusCode.ERROR


def test_no_question_is_ever_recorded(make, exporter, tracers, reader):
    with (
        tracers.get_tracer("test").start_as_current_span("request"),
        SemanticCache(":memory:", None, metrics_hook=make()) as cache,
    ):
        cache.get_or_compute("my own secret", lambda _: "the answer")
        cache.put("my own secret", "")
        cache.get("my own secret")
    assert "secret" not in "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "secret" not in str(collected(reader))


def test_the_words_that_a_guard_quotes_are_not_recorded_but_the_guard_is(make, exporter, tracers):
    with tracers.get_tracer("test").start_as_current_span("request"):
        make()("guard_refusal", {"namespace": "n", "guard": "numbers", "reason": "4711 is not 4712", "entry_id": 3})
    (event,) = exporter.get_finished_spans()[0].events
    assert event.name == "mneme.guard_refusal"
    assert event.attributes["mneme.guard"] == "numbers"
    assert "4711" not in str(dict(event.attributes))


def test_spans_can_be_left_away(make, exporter, tracers):
    with (
        tracers.get_tracer("test").start_as_current_span("request"),
        SemanticCache(":memory:", None, metrics_hook=make(spans=False)) as cache,
    ):
        cache.get_or_compute("rain", lambda _: "water")
    (request,) = exporter.get_finished_spans()
    assert request.events == ()


def test_without_a_current_span_events_go_nowhere_and_nothing_breaks(make, exporter, caplog):
    with SemanticCache(":memory:", None, metrics_hook=make()) as cache:
        cache.put("rain", "water")
    assert exporter.get_finished_spans() == ()
    assert not caplog.records


def test_without_an_sdk_everything_is_accepted_and_goes_nowhere():
    hook = OTelMetricsHook()
    with SemanticCache(":memory:", None, metrics_hook=hook) as cache:
        hook.watch(cache)
        cache.put("rain", "water")
        assert cache.get("rain") is not None


def test_namespaces_are_told_apart_only_if_they_are_named(make, reader):
    hook = make(namespaces=["shop"])
    with SemanticCache(":memory:", None, metrics_hook=hook) as cache:
        hook.watch(cache)
        for number, namespace in enumerate(["shop", "user 1", "user 2"]):
            cache.put(f"question {number}", "answer", namespace=namespace)
        found = collected(reader)
    for name in ("mneme.puts", "mneme.entries"):
        assert found[name, "mneme.namespace=shop"].value == 1
        assert found[name, "mneme.namespace=other"].value == 2


async def test_an_async_cache_is_timed_and_recorded_when_the_program_says(make, reader):
    hook = make()
    async with AsyncSemanticCache(store=MemoryStore(), metrics_hook=hook) as cache:
        with pytest.raises(TypeError, match="AsyncSemanticCache"):
            hook.watch(cache)
        await cache.put("rain", "water")
        await cache.get("rain")
        hook.record(await cache.stats())
    found = collected(reader)
    assert found["mneme.lookup.duration", "mneme.layer=exact"].count == 1
    assert found["mneme.entries",].value == 1


@pytest.mark.parametrize("options", [{"cache": 5}, {"namespaces": "shop"}])
def test_arguments_of_the_wrong_type_are_refused(make, options):
    with pytest.raises(TypeError):
        make(**options)
