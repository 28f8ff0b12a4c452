"""What the cache gives back: frozen, slotted, safe to keep. Nothing in them is shared with the cache."""

from __future__ import annotations

from dataclasses import dataclass, fields
from reprlib import Repr
from typing import Any, Literal, TypeAlias

__all__ = [
    "CacheInfo",
    "Candidate",
    "Checkpoint",
    "Entry",
    "Explanation",
    "Forgotten",
    "Health",
    "Hit",
    "Labels",
    "Layer",
    "ReembedProgress",
    "ReembedReport",
    "Repair",
    "RepairReport",
    "Salvaged",
    "Stats",
    "Watch",
]

Layer: TypeAlias = Literal["exact", "semantic"]


class _Shown:
    """What notebooks show as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={_short(value)}' for name, value in _said(self).items())})"

    def _repr_html_(self) -> str:
        return f"<p><b>{type(self).__name__}</b></p>{_table([(name, value) for name, value in _said(self).items()])}"


def _short(value: Any) -> str:
    """As `repr`, save that of a long text or collection the beginning and the end are shown."""
    if isinstance(value, tuple) and value and all(isinstance(one, _Shown) for one in value):
        return f"({', '.join(map(repr, value))},)" if len(value) == 1 else f"({', '.join(map(repr, value))})"
    return _SHORT.repr(value)


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 10


def _said(shown: Any) -> dict[str, Any]:
    return {field.name: getattr(shown, field.name) for field in fields(shown)}


def _table(rows: list[tuple[Any, ...]]) -> str:
    lines = ["".join(f'<td style="text-align:left">{_cell(value)}</td>' for value in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(value: Any) -> str:
    """Several results of one kind are a table of their own; of a long text the beginning is shown."""
    if isinstance(value, tuple) and value and all(isinstance(one, _Shown) for one in value):
        return _table([tuple(_said(value[0])), *(tuple(_said(one).values()) for one in value)])
    from html import escape  # noqa: PLC0415 -- its table of entities is needed in notebooks alone

    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return escape(text if len(text) <= 500 else f"{text[:500]}…")


@dataclass(frozen=True, slots=True, repr=False)
class Hit(_Shown):
    """A stored response that answers a query."""

    response: Any
    similarity: float
    """Cosine similarity of the two queries; 1.0 on the exact layer."""
    confidence: float
    """What `confidence_fn` made of similarity and age; the similarity itself by default."""
    age_seconds: float
    layer: Layer
    namespace: str
    metadata: dict[str, Any]
    query: str
    """The stored query that matched."""
    entry_id: int
    asked: str = ""
    """The query that was asked, of a hit on the semantic layer; empty on the exact layer, where it is equal."""
    score: float = 1.0
    """What was compared with the threshold: the similarity, or with value contrast how much nearer the entry is than
    the best one with a different answer. There `get` looks no further than the threshold needs: then this is the lesser
    of what `explain` says, and the larger of threshold and similarity."""


@dataclass(frozen=True, slots=True, repr=False)
class Entry(_Shown):
    """A stored entry as `entries` lists it. Times are seconds since the epoch."""

    entry_id: int
    namespace: str
    scope: Any
    query: str
    response: Any
    """Decoded; the encoded bytes if a codec that this cache was not given encoded it, see `codec`."""
    codec: str
    """`text`, `bytes`, `json`, or `codec:` and the name of a caller's codec."""
    metadata: dict[str, Any]
    tags: tuple[str, ...]
    created_at: float
    accessed_at: float
    expires_at: float | None
    compute_seconds: float
    cost: float = 0.0
    """What it was said to have cost when it was put; 0.0 if nothing was."""


@dataclass(frozen=True, slots=True, repr=False)
class Candidate(_Shown):
    """One entry that `explain` considered, and the verdict on it."""

    entry_id: int
    query: str
    similarity: float
    confidence: float
    age_seconds: float
    accepted: bool
    reason: str
    """`accepted`, `below_threshold`, `expired`, `rejected` (by the validator), `low_confidence`, `denied` (the pair was
    rejected, see `SemanticCache.reject`), `guarded`, `uncertified` (no certificate holds), or `not_reached`: it would
    do, but a better one answers."""
    score: float = 1.0
    """What is compared with the threshold; the similarity, unless there is value contrast."""
    rival: float | None = None
    """With value contrast the best similarity of an entry with a different answer, or the floor."""
    detail: str = ""
    """Which guard refused it, and why; empty for other reasons."""


@dataclass(frozen=True, slots=True)
class Checkpoint(_Shown):
    """What an archive holds that `dumps` wrote."""

    entries: int
    namespaces: tuple[str, ...]
    """Of the entries, in order."""
    bytes: int
    """How long the archive is."""


@dataclass(frozen=True, slots=True, repr=False)
class Explanation(_Shown):
    """What `get` would do with a query, and why."""

    query: str
    normalized: str
    namespace: str
    scope: Any
    similarity_threshold: float
    layer: Layer | None
    """Which layer would answer; `None` for a miss."""
    reason: str
    """`hit_exact`, `hit_semantic`, or why it would miss, as in the event `miss`."""
    candidates: tuple[Candidate, ...]
    """An entry of the same query first, then the nearest, best first."""


@dataclass(frozen=True, slots=True)
class Stats(_Shown):
    """Counters and sizes, of one namespace or of all (`namespace` is `None`). Counters survive a restart."""

    namespace: str | None
    entries: int
    hits_exact: int
    hits_semantic: int
    misses: int
    evictions: int
    expirations: int
    embedder_fingerprint: str | None
    vector_dtype: str
    memory_bytes_estimate: int
    """In-process memory of the index and the hot layer, of all namespaces."""
    index_memory_bytes: int
    index_tombstone_count: int
    seconds_saved: float
    """Compute time, as measured by `get_or_compute` and `memoize`, that hits made unnecessary."""
    cost_saved: float = 0.0
    """The same of what entries were said to have cost, by `put(cost=)` and its like."""

    @property
    def hit_rate(self) -> float:
        """Hits among all lookups, 0.0 when there were none."""
        hits = self.hits_exact + self.hits_semantic
        lookups = hits + self.misses
        return hits / lookups if lookups else 0.0


@dataclass(frozen=True, slots=True)
class Health(_Shown):
    """Whether the cache is fit to serve, and on what it stands."""

    healthy: bool
    schema_version: int
    integrity_ok: bool
    """Whether store and index agree on what they hold. `check` reads everything and says more."""
    embedder_fingerprint_match: bool
    entries: int
    namespaces: int
    oldest_entry_age_seconds: float | None
    index_backend: str
    store_backend: str
    vector_dtype: str
    multi_process_mode: str


@dataclass(frozen=True, slots=True)
class Repair(_Shown):
    """One thing that was wrong, and what was done about it, or would be."""

    problem: str
    remedy: str
    lost: int = 0
    """How many entries it costs: they are moved out, not deleted."""
    possible: bool = True
    """Whether it can be repaired here; if not, *remedy* says where."""


@dataclass(frozen=True, slots=True)
class RepairReport(_Shown):
    """What `repair` did, or would do."""

    applied: bool
    """Whether it was done; if not, nothing was altered."""
    repairs: tuple[Repair, ...]
    """In order; empty if nothing was wrong."""
    problems: tuple[str, ...]
    """What `check` says afterwards; without *applied*, what it says now."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong any more."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Salvaged(_Shown):
    """What `mneme.stores.salvage` could copy out of a damaged file."""

    entries: int
    vectors: int
    """Entries that have their vector; the others answer on the exact layer alone."""
    lost: int
    """Entries that are known to have been there and could not be read."""
    problems: tuple[str, ...]
    """What could not be read, a sentence each."""


@dataclass(frozen=True, slots=True)
class Forgotten(_Shown):
    """What `forget` removed, and what it could not."""

    entries: int
    """How many were removed."""
    remains: tuple[str, ...]
    """Where bytes of removed entries may still be, and how to finish: a sentence each; empty if nowhere."""

    @property
    def clean(self) -> bool:
        """Whether nothing is left of them in any file of the cache."""
        return not self.remains


@dataclass(frozen=True, slots=True)
class CacheInfo(_Shown):
    """Calls of one memoized function since it was decorated."""

    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class ReembedProgress(_Shown):
    """How far a re-embedding has come."""

    done: int
    """Entries dealt with, those of earlier runs included."""
    total: int
    """Entries there are, as far as is known; entries written meanwhile are added as they are met."""
    seconds: float
    """Since this run began."""
    seconds_left: float | None
    """For the rest, at the pace of this run so far; `None` before anything is known."""


@dataclass(frozen=True, slots=True)
class ReembedReport(_Shown):
    """What a re-embedding came to. What earlier runs did that it resumed is part of `entries` alone."""

    entries: int
    """Entries there are now."""
    embedded: int
    """Vectors that this run made."""
    too_long: int
    """Texts too long for the embedder, in this run: their entries answer on the exact layer alone."""
    skipped: int
    """Entries left behind because they had expired."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Labels(_Shown):
    """What computed misses said of their nearest neighbours, for one hundredth of similarity."""

    similarity: float
    """The lower end of the class."""
    same: int
    """How often the neighbour had the same answer."""
    different: int


@dataclass(frozen=True, slots=True)
class Watch(_Shown):
    """What is known of how right the answers of one namespace are."""

    namespace: str
    audits: int
    """Hits on the semantic layer that were computed again, since the beginning, the last alarm or the last reset."""
    wrong: int
    """Of these, how many had another answer."""
    failed: int
    """Besides: those whose computing raised, which say nothing."""
    evidence: float
    """Against the answers being right often enough; 0.0 without `max_false_hit_rate`."""
    alarm_at: float
    """The evidence at which the alarm is raised."""
    max_false_hit_rate: float | None
    alarms: int
    """How many were ever raised."""
    alarmed_at: float | None
    """When the last one was, in seconds since the epoch; `None` if there was none, or it was reset."""
    raised_to: float | None
    """The threshold that requests get at least because of it; `None` if it was not raised."""
    rejected: int
    confirmed: int
    """How often users said so; no evidence."""
    labels: tuple[Labels, ...]
    """By similarity, highest first: what lies below the threshold."""
