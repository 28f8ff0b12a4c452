"""Metrics and spans for OpenTelemetry. Needs its API: `pip install "mneme-cache[otel]"`, and an SDK to send them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from mneme import SemanticCache, Stats, __version__
from mneme.adapters._measures import METRICS, Point, error_type, measured
from mneme.adapters._states import ABOUT_CERTIFICATES, Certificates, Gauges, Namespaces
from mneme.adapters._watching import Watching

try:
    from opentelemetry import metrics, trace
except ImportError as _missing:  # said here: a hook that fails later would fail in somebody's lookup
    raise ImportError('OTelMetricsHook needs opentelemetry-api: pip install "mneme-cache[otel]"') from _missing

__all__ = ["OTelMetricsHook"]

_SPANS = {
    "hit_exact": "mneme.lookup",
    "hit_semantic": "mneme.lookup",
    "stale": "mneme.lookup",
    "miss": "mneme.lookup",
    "compute": "mneme.compute",
    "embed": "mneme.embed",
}
"""Events that took time. All others become events of the span that is current."""
_LAYERS = {"hit_exact": "exact", "hit_semantic": "semantic", "miss": "none"}
_TEXTS = frozenset({"layer", "guard", "outcome", "doing"})
"""Fields whose texts are known beforehand; so is `reason`, but where it quotes what somebody asked."""
_REASONED = frozenset({"miss", "certificate"})
"""Events whose `reason` is one of a few."""


class OTelMetricsHook:
    """A `metrics_hook` that records OpenTelemetry metrics and spans, under names that begin with `mneme.`.

    There are no semantic conventions for caches; names, units and `error.type` follow the general ones. What took time
    becomes a span of its own when it is over, with the times it had, under the span that is current: `mneme.lookup`,
    `mneme.embed` and `mneme.compute` lie side by side. Whatever else happens becomes an event of the current span.
    Queries and responses are never recorded.

    Args:
        meter_provider: By default the global one.
        tracer_provider: By default the global one.
        cache: The value of the attribute `mneme.cache`: which of several caches this is.
        namespaces: Those that the attribute `mneme.namespace` of a metric tells apart; all others are "other" together.
            By default none is, because there may be one for every user. Spans say the namespace either way.
        spans: Whether to make spans and span events.

    Raises:
        TypeError: An argument is of the wrong type.

    Thread safety: it may be called from any thread.
    """

    wants_seconds = True

    def __init__(
        self,
        *,
        meter_provider: metrics.MeterProvider | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        cache: str = "default",
        namespaces: Collection[str] = (),
        spans: bool = True,
    ) -> None:
        if not isinstance(cache, str):
            raise TypeError(f"cache must be a str, the value of an attribute, not {type(cache).__name__}")
        self._cache = cache
        self._namespaces = Namespaces(namespaces)
        self._gauges = Gauges(self._namespaces)
        self._certificates = Certificates(self._namespaces)
        self._spans = spans
        self._tracer = trace.get_tracer("mneme", __version__, tracer_provider)
        self._lock = threading.Lock()
        self._set: dict[str, dict[tuple[str, str], float]] = {m.name: {} for m in METRICS if m.kind == "gauge"}
        self._watching = Watching(self._namespaces)
        self._record = self._instruments(metrics.get_meter("mneme", __version__, meter_provider))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cache!r}>"

    def _instruments(self, meter: metrics.Meter) -> dict[str, Any]:
        """For each metric that is not observed on collection, the function that takes its numbers."""
        record: dict[str, Any] = {}
        for metric in METRICS:
            common = (metric.name, metric.unit or "1", metric.help)
            if metric.kind == "counter":
                record[metric.name] = meter.create_counter(*common).add
            elif metric.kind == "histogram":
                histogram = meter.create_histogram(*common, explicit_bucket_boundaries_advisory=metric.buckets)
                record[metric.name] = histogram.record
            else:
                observe = partial(self._observe, metric.name, metric.label)
                meter.create_observable_gauge(metric.name, [observe], metric.unit or "1", metric.help)
        return record

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        namespace = self._namespaces.label(fields["namespace"])
        for point in measured(event, fields):
            self._note(point, namespace)
        if event in ABOUT_CERTIFICATES:
            for point in self._certificates.points(event, fields):
                self._note(point, namespace)
        if self._spans:
            self._trace(event, fields)

    def watch(self, cache: SemanticCache) -> None:
        """Ask *cache* for its sizes whenever metrics are collected, for as long as it lives and is open.

        An `AsyncSemanticCache` cannot be asked from there: `record(await cache.stats())` now and then.

        Raises:
            TypeError: It is no `SemanticCache`.
        """
        self._watching.add(cache)

    def record(self, stats: Stats) -> None:
        """Set the gauges to these sizes, of all namespaces or of one of those that are told apart.

        Of any other namespace nothing is set. For the entries of each, record those that are told apart first.
        """
        for point, namespace in self._gauges.points(stats):
            self._note(point, namespace)

    def _note(self, point: Point, namespace: str) -> None:
        metric = point.metric
        if metric.kind == "gauge":
            with self._lock:
                self._set[metric.name][namespace, point.label] = point.value
            return
        self._record[metric.name](point.value, self._attributes(namespace, metric.label, point.label))

    def _attributes(self, namespace: str, name: str, value: str) -> dict[str, str]:
        attributes = {"mneme.cache": self._cache}
        if namespace:
            attributes["mneme.namespace"] = namespace
        if name:
            attributes[f"mneme.{name}"] = value
        return attributes

    def _observe(self, name: str, label: str, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        if name == "mneme.entries":  # the first of those that a cache is asked for
            for stats in self._watching.stats():
                self.record(stats)
        with self._lock:
            values = dict(self._set[name])
        return [
            metrics.Observation(value, self._attributes(space, label, which))
            for (space, which), value in values.items()
        ]

    def _trace(self, event: str, fields: Mapping[str, Any]) -> None:
        attributes = {
            f"mneme.{name}": value
            for name, value in fields.items()
            if (isinstance(value, (int, float)) and name != "seconds")
            or name in _TEXTS
            or (name == "reason" and event in _REASONED)
        }
        attributes |= {"mneme.cache": self._cache, "mneme.namespace": fields["namespace"]}
        if "error" in fields:
            attributes["error.type"] = error_type(fields["error"])
        if event in _SPANS and "seconds" in fields:
            self._span(event, fields, attributes)
            return
        current = trace.get_current_span()
        if current.is_recording():
            current.add_event(f"mneme.{event}", attributes)

    def _span(self, event: str, fields: Mapping[str, Any], attributes: dict[str, Any]) -> None:
        ended = time.time_ns()
        if event in _LAYERS:
            attributes |= {"mneme.layer": _LAYERS[event], "mneme.hit": event != "miss"}
        span = self._tracer.start_span(
            _SPANS[event], attributes=attributes, start_time=ended - int(fields["seconds"] * 1e9)
        )
        if "error" in fields:
            span.set_status(trace.StatusCode.ERROR)
        span.end(ended)
