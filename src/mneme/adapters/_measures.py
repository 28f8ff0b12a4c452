"""What is measured, and by which events: one table for every metrics system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

__all__ = ["METRICS", "Fields", "Metric", "Point", "error_type", "measured"]

_LATENCIES = (1e-6, 1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""From an exact hit in memory, a microsecond or two, to a model that takes its time."""
_COMPUTING = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0)


class Metric(NamedTuple):
    """One thing that is measured."""

    name: str
    """As OpenTelemetry writes it."""
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    label: str = ""
    """By what it is told apart beside cache and namespace, if by anything."""
    unit: str = ""
    """In UCUM: "s", "By", or an annotation."""
    buckets: tuple[float, ...] = ()
    known: tuple[str, ...] = ()
    """Values of the label that are there from the start, at 0: a rate of nothing is no number in a sum."""
    total: bool = False
    """Whether a gauge is summed over processes; of any other the latest counts."""

    @property
    def prometheus(self) -> str:
        """The name as Prometheus writes it, without the `_total` of a counter."""
        ending = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        return self.name.replace(".", "_") + ending


class Point(NamedTuple):
    """A number for a metric: to add to a counter, to observe in a histogram, to set a gauge to."""

    metric: Metric
    value: float
    label: str = ""


HITS = Metric("mneme.hits", "counter", "Lookups that were answered.", "layer", "{lookup}", (), ("exact", "semantic"))
MISSES = Metric("mneme.misses", "counter", "Lookups that were not answered.", "reason", "{lookup}", (), ("no_match",))
STALE = Metric("mneme.stale", "counter", "Expired entries that were served while another computed.", "", "{lookup}")
LOOKUP = Metric(
    "mneme.lookup.duration", "histogram", "Time of a lookup; layer none for a miss.", "layer", "s", _LATENCIES
)
SIMILARITY = Metric("mneme.similarity", "histogram", "Similarity of semantic hits.", "", "1", _SIMILARITIES)
SECONDS_SAVED = Metric("mneme.saved", "counter", "Computing time that hits made unnecessary.", "", "s")
COST_SAVED = Metric("mneme.saved.cost", "counter", "What answers had cost that hits gave again.", "", "{cost}")
COMPUTE = Metric("mneme.compute.duration", "histogram", "Time that computing took.", "outcome", "s", _COMPUTING)
EMBED = Metric("mneme.embed.duration", "histogram", "Time that a call of the embedder took.", "", "s", _LATENCIES)
EMBEDDED = Metric("mneme.embedded", "counter", "Texts that were embedded.", "", "{text}")
PUTS = Metric("mneme.puts", "counter", "Entries that were stored.", "", "{entry}")
PUT_BYTES = Metric("mneme.put", "counter", "Encoded responses that were stored.", "", "By")
REJECTED = Metric("mneme.rejected.puts", "counter", "Responses that were not stored.", "cause", "{entry}")
EVICTIONS = Metric("mneme.evictions", "counter", "Entries removed to meet a quota or the cap.", "", "{entry}")
EXPIRATIONS = Metric("mneme.expirations", "counter", "Expired entries that were removed.", "", "{entry}")
EMBEDDER_FAILURES = Metric("mneme.embedder.failures", "counter", "Calls of the embedder that failed.", "", "{failure}")
STORE_FAILURES = Metric("mneme.store.failures", "counter", "Failures of the store that nobody got as an exception.",
                        "doing", "{failure}")  # fmt: skip
REFUSALS = Metric("mneme.guard.refusals", "counter", "Candidates that a guard refused.", "guard", "{candidate}")
AUDITS = Metric("mneme.audits", "counter", "Hits that were computed again to be compared.", "outcome", "{hit}")
ALIASES = Metric("mneme.aliases", "counter", "Paraphrases that were stored without a vector.", "", "{entry}")
CONFLICTS = Metric("mneme.conflicts", "counter", "Near entries that turned out to have another answer.", "", "{entry}")
LABELS = Metric(
    "mneme.labels", "counter", "Near entries whose answer was compared with one that was put.", "verdict", "{pair}"
)
FEEDBACK = Metric("mneme.feedback", "counter", "Hits that users confirmed or rejected.", "verdict", "{hit}")
ALARMS = Metric("mneme.alarms", "counter", "Alarms of a rising rate of false hits.", "", "{alarm}")
CERTIFIED = Metric(
    "mneme.certificates", "gauge", "Namespaces by what their certificate is worth.", "state", "{namespace}"
)
CERTIFIED_THRESHOLD = Metric(
    "mneme.certificate.threshold", "gauge", "The lowest threshold that a valid certificate names."
)
ENTRIES = Metric("mneme.entries", "gauge", "Entries in the store.", "", "{entry}")
MEMORY = Metric("mneme.memory", "gauge", "Memory of index and hot layer in the process.", "", "By", total=True)
INDEX_MEMORY = Metric("mneme.index.memory", "gauge", "Memory of the index in the process.", "", "By", total=True)
TOMBSTONES = Metric("mneme.index.tombstones", "gauge", "Rows of the index that wait to be tidied up.", "", "{row}")

METRICS: tuple[Metric, ...] = (
    *(HITS, MISSES, STALE, LOOKUP, SIMILARITY, SECONDS_SAVED, COST_SAVED, COMPUTE, EMBED, EMBEDDED, PUTS, PUT_BYTES),
    *(REJECTED, EVICTIONS, EXPIRATIONS, EMBEDDER_FAILURES, STORE_FAILURES, REFUSALS, ALIASES, AUDITS, CONFLICTS),
    *(LABELS, FEEDBACK, ALARMS, CERTIFIED, CERTIFIED_THRESHOLD, ENTRIES, MEMORY, INDEX_MEMORY, TOMBSTONES),
)

Fields = Mapping[str, Any]


def measured(event: str, fields: Fields) -> Iterator[Point]:
    """What an event says in numbers. Events that are not known say nothing."""
    found = _EVENTS.get(event)
    return iter(()) if found is None else found(fields)


def error_type(error: object) -> str:
    """The class of an error that is known by its `repr`: few, where messages may be many."""
    return str(error).partition("(")[0][:64]


def _hit(layer: str) -> Callable[[Fields], Iterator[Point]]:
    def points(fields: Fields) -> Iterator[Point]:
        yield Point(HITS, 1, layer)
        if "seconds" in fields:
            yield Point(LOOKUP, fields["seconds"], layer)
        if layer == "semantic":
            yield Point(SIMILARITY, fields["similarity"])
        if fields.get("seconds_saved"):
            yield Point(SECONDS_SAVED, fields["seconds_saved"])
        if fields.get("cost_saved"):
            yield Point(COST_SAVED, fields["cost_saved"])

    return points


def _miss(fields: Fields) -> Iterator[Point]:
    yield Point(MISSES, 1, fields["reason"])
    if "seconds" in fields:
        yield Point(LOOKUP, fields["seconds"], "none")


def _compute(fields: Fields) -> Iterator[Point]:
    yield Point(COMPUTE, fields["seconds"], "error" if "error" in fields else "ok")


def _embed(fields: Fields) -> Iterator[Point]:
    yield Point(EMBED, fields["seconds"])
    yield Point(EMBEDDED, fields["count"])


def _put(fields: Fields) -> Iterator[Point]:
    yield Point(PUTS, 1)
    yield Point(PUT_BYTES, fields["bytes"])


def _one(metric: Metric, field: str = "", other: str = "") -> Callable[[Fields], Iterator[Point]]:
    """One more of *metric*, told apart by a field, where that is there."""

    def points(fields: Fields) -> Iterator[Point]:
        yield Point(metric, 1, str(fields.get(field, other)) if field else other)

    return points


_EVENTS: dict[str, Callable[[Fields], Iterator[Point]]] = {
    "hit_exact": _hit("exact"),
    "hit_semantic": _hit("semantic"),
    "miss": _miss,
    "stale": _one(STALE),
    "compute": _compute,
    "embed": _embed,
    "put": _put,
    "put_rejected": lambda fields: iter((Point(REJECTED, 1, "error" if "error" in fields else "validator"),)),
    "evict": lambda fields: iter((Point(EVICTIONS, fields["count"]),)),
    "expire": lambda fields: iter((Point(EXPIRATIONS, fields["count"]),)),
    "embedder_failure": _one(EMBEDDER_FAILURES),
    "store_failure": _one(STORE_FAILURES, "doing", "unknown"),
    "guard_refusal": _one(REFUSALS, "guard", "unknown"),
    "audit": _one(AUDITS, "outcome", "unknown"),
    "alias": _one(ALIASES),
    "conflict": _one(CONFLICTS),
    "confirm": _one(FEEDBACK, other="confirmed"),
    "reject": _one(FEEDBACK, other="rejected"),
    "label": lambda fields: iter((Point(LABELS, 1, "same" if fields["same"] else "different"),)),
    "alarm": _one(ALARMS),
}
