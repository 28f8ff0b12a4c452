"""Metrics for Prometheus. Needs prometheus_client: `pip install "mneme-cache[prometheus]"`."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from mneme import SemanticCache, Stats
from mneme.adapters._measures import METRICS, Metric, Point, measured
from mneme.adapters._states import ABOUT_CERTIFICATES, Certificates, Gauges, Namespaces
from mneme.adapters._watching import Watching

try:
    import prometheus_client as client
    from prometheus_client.registry import Collector
except ImportError as _missing:  # said here: a hook that fails later would fail in somebody's lookup
    raise ImportError(
        'PrometheusMetricsHook needs prometheus_client: pip install "mneme-cache[prometheus]"'
    ) from _missing

__all__ = ["PrometheusMetricsHook"]

_Family: TypeAlias = "client.Counter | client.Gauge | client.Histogram"


class PrometheusMetricsHook:
    """A `metrics_hook` that counts in a Prometheus registry, under names that begin with `mneme_`.

    Any number of hooks may share a registry, and any number of caches a hook. Every series has the labels `cache` and
    `namespace`; the latter is empty, which Prometheus takes for absent, unless *namespaces* says otherwise.

    Args:
        registry: Where to count; by default the registry of the process.
        cache: The value of the label `cache`: which of several caches this is.
        namespaces: Those that are told apart; all others are "other" together. By default none is, because there may
            be one for every user.
        wants_seconds: Measure how long lookups, computing and embedding take.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The registry has metrics of these names that are not mneme's.

    Thread safety: it may be called from any thread.
    """

    def __init__(
        self,
        *,
        registry: client.CollectorRegistry | None = None,
        cache: str = "default",
        namespaces: Collection[str] = (),
        wants_seconds: bool = True,
    ) -> None:
        if not isinstance(cache, str):
            raise TypeError(f"cache must be a str, the value of a label, not {type(cache).__name__}")
        self.wants_seconds = wants_seconds
        self._cache = cache
        self._namespaces = Namespaces(namespaces)
        self._gauges = Gauges(self._namespaces)
        self._certificates = Certificates(self._namespaces)
        self._watching = Watching(self._namespaces)
        self._families = _families_of(client.REGISTRY if registry is None else registry)
        self._children: dict[tuple[str, str, str], Any] = {}
        for metric in METRICS:
            if metric.kind == "counter":
                for namespace in self._namespaces.labels():
                    for label in metric.known if metric.label else ("",):
                        self._child(metric, namespace, label)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cache!r}>"

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        namespace = self._namespaces.label(fields["namespace"])
        for point in measured(event, fields):
            self._note(point, namespace)
        if event in ABOUT_CERTIFICATES:
            for point in self._certificates.points(event, fields):
                self._note(point, namespace)

    def watch(self, cache: SemanticCache) -> None:
        """Ask *cache* for its sizes whenever the registry is scraped, for as long as it lives and is open.

        An `AsyncSemanticCache` cannot be asked from a scrape: `record(await cache.stats())` now and then. The same goes
        for Prometheus' multiprocess mode, in which a scrape asks nobody.

        Raises:
            TypeError: It is no `SemanticCache`.
        """
        self._watching.add(cache)
        self._families.hooks.add(self)

    def record(self, stats: Stats) -> None:
        """Set the gauges to these sizes, of all namespaces or of one of those that are told apart.

        Of any other namespace nothing is set. For the entries of each, record those that are told apart first.
        """
        for point, namespace in self._gauges.points(stats):
            self._note(point, namespace)

    def refresh(self) -> None:
        """`record` what the caches that are watched say of themselves now; every scrape does."""
        for stats in self._watching.stats():
            self.record(stats)

    def _note(self, point: Point, namespace: str) -> None:
        metric = point.metric
        child = self._children.get((metric.name, namespace, point.label))
        if child is None:
            child = self._child(metric, namespace, point.label)
        if metric.kind == "counter":
            child.inc(point.value)
        elif metric.kind == "histogram":
            child.observe(point.value)
        else:
            child.set(point.value)

    def _child(self, metric: Metric, namespace: str, label: str) -> Any:
        """The series, which is there from now on."""
        labels = (self._cache, namespace, label) if metric.label else (self._cache, namespace)
        child = self._children[metric.name, namespace, label] = self._families.by_name[metric.name].labels(*labels)
        return child


class _Families(Collector):
    """The metrics in one registry. Collected before them, it has their gauges brought up to date."""

    def __init__(self, registry: client.CollectorRegistry) -> None:
        self.hooks: WeakSet[PrometheusMetricsHook] = WeakSet()
        registry.register(self)
        made: list[_Family] = []
        try:
            made.extend(_family(metric, registry) for metric in METRICS)
        except ValueError:
            for each in (self, *made):
                registry.unregister(each)
            raise
        self.by_name: dict[str, Any] = {metric.name: family for metric, family in zip(METRICS, made, strict=True)}

    def describe(self) -> Iterable[client.Metric]:
        return ()

    def collect(self) -> Iterable[client.Metric]:
        for hook in list(self.hooks):
            hook.refresh()
        return ()


_known: WeakKeyDictionary[client.CollectorRegistry, _Families] = WeakKeyDictionary()
_known_lock = threading.Lock()


def _families_of(registry: client.CollectorRegistry) -> _Families:
    with _known_lock:
        families = _known.get(registry)
        if families is None:
            families = _known[registry] = _Families(registry)
        return families


def _family(metric: Metric, registry: client.CollectorRegistry) -> _Family:
    labels = ("cache", "namespace", metric.label) if metric.label else ("cache", "namespace")
    if metric.kind == "counter":
        return client.Counter(metric.prometheus, metric.help, labels, registry=registry)
    if metric.kind == "histogram":
        return client.Histogram(metric.prometheus, metric.help, labels, registry=registry, buckets=metric.buckets)
    return client.Gauge(
        metric.prometheus,
        metric.help,
        labels,
        registry=registry,
        multiprocess_mode="livesum" if metric.total else "mostrecent",
    )
