"""What was certified of a cache's hits, for which decisions, and whether it still holds. No statistics here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["Certificate", "CertificateStatus", "Decisions", "Shortage", "Tried"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Decisions:
    """By what a cache decides whether a semantic candidate answers. A certificate is for these alone."""

    embedder_fingerprint: str
    score: str
    """What is compared with the threshold: "cosine", or "contrast" and the options of the value contrast."""
    guards: tuple[str, ...]
    """Names of the guards, in order of name."""
    normalize: str
    """"default", "none", or where the function is found."""
    confidence: str
    """"none", or the least confidence and where its function is found: a hit that is refused for it is no hit."""

    def differences(self, other: Decisions) -> list[str]:
        """A text for each thing in which they differ, with this one's value first."""
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return [f"{name} {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a replay came to at one threshold."""

    threshold: float
    hits: int
    """Semantic hits: one for every distinct query that got an answer from a stored one."""
    false_hits: int
    """Those of them whose answer was another than the label."""
    entries: int
    """How many were stored at the end."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """At this threshold at most *max_false_hit_rate* of the semantic hits are wrong, with this confidence.

    The rate is per hit, and the promise is for traffic like the labelled. Made by `mneme.tools.calibrate.certify`.
    """

    threshold: float
    max_false_hit_rate: float
    """The promise."""
    confidence: float
    """In how many of a hundred such certifications the promise is kept, at least, as a fraction."""
    requests: int
    """Labels used: distinct labelled queries, without those of the warm-up."""
    hits: int
    """Hits among them at this threshold."""
    false_hits: int
    """Wrong hits among those."""
    upper_bound: float
    """The Clopper-Pearson bound on the rate that the test of this threshold comes to; not above the promise."""
    entries: int
    """Entries in the cache at the end of the replay."""
    min_entries: int
    """The fewest entries of a namespace for which it holds."""
    max_entries: int
    """The most."""
    decisions: Decisions
    namespace: str | None
    """The namespace it is for; `None` for every one that has none of its own."""
    created_at: float
    """Seconds since the epoch."""
    valid_until: float | None
    """From this moment it has lapsed; `None` is never."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _check_share("threshold", self.threshold, 2)
        for name in ("max_false_hit_rate", "confidence", "upper_bound"):
            _check_share(name, getattr(self, name))
        for name in ("requests", "hits", "false_hits", "entries", "min_entries", "max_entries"):
            _check_count(name, getattr(self, name))
        if not self.false_hits <= self.hits <= self.requests:
            raise ValueError(
                f"a certificate with {self.false_hits} false of {self.hits} hits in {self.requests} requests is none"
            )
        for name, value in (("created_at", self.created_at), ("valid_until", self.valid_until)):
            if value is not None or name == "created_at":
                _check_moment(name, value)
        _check_parts(self.namespace, self.decisions)

    def to_json(self) -> str:
        """As a JSON text, which `from_json` reads."""
        return json.dumps({"mneme_certificate": _FORMAT, **asdict(self)}, ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """The certificate that `to_json` wrote.

        Raises:
            ValueError: It is no certificate, of a version that this one does not know, or says what cannot be.
            TypeError: A value in it is of the wrong type.
        """
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ValueError(f"no certificate: not JSON: {error}") from error
        if not isinstance(value, dict) or value.pop("mneme_certificate", None) != _FORMAT:
            raise ValueError(
                f"no certificate that this version of mneme knows: it has no 'mneme_certificate': {_FORMAT}"
            )
        parts = value.get("decisions")
        made: Certificate = _made(cls, {**value, "decisions": _made(Decisions, _with_guards(parts))})
        return made


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why nothing could be certified, and what is missing. A cache without a certificate stays exact-only."""

    reason: str
    """In words."""
    max_false_hit_rate: float
    confidence: float
    requests: int
    """Labels used."""
    tried: tuple[Tried, ...]
    """What the replay came to at each threshold that was tried, highest first."""
    missing_hits: int | None
    """How many more labelled hits are missing, if the best threshold goes on as it did. `None` if more of the same
    would not do: too many hits are wrong at every threshold, or there are none."""
    missing_requests: int | None
    """How many more labelled requests those take, at the rate of hits that was seen."""


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """What a certificate does for one namespace of a cache."""

    namespace: str
    usable: bool
    """Whether semantic hits are served by it, where the threshold is "certified"."""
    reason: str
    """`valid`; or why not: `none`, `expired`, `entries` (too few or too many), `decisions` (embedder, guards, score,
    `normalize` or confidence are others), or `voided`."""
    detail: str
    """The same in words."""
    threshold: float | None
    """What is served by, while usable."""
    certificate: Certificate | None
    """The one for the namespace, or the one for all."""
    entries: int
    """Entries in the namespace now."""
    decisions: Decisions | None
    """By what this cache decides; `None` without an embedder, when there are no semantic hits."""


def _check_share(name: str, value: Any, most: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number from 0 to {most}, not {type(value).__name__}")
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be from 0 to {most}, got {value!r}")


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, got {value}")


def _check_moment(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds since the epoch, not {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a moment, got {value!r}")


def _check_parts(namespace: Any, decisions: Any) -> None:
    if namespace is not None and (not isinstance(namespace, str) or not namespace.strip()):
        raise ValueError(f"the namespace of a certificate is a text or None, not {namespace!r}")
    if not isinstance(decisions, Decisions):
        raise TypeError(f"decisions must be Decisions, not {type(decisions).__name__}")
    for one in fields(Decisions):
        value = getattr(decisions, one.name)
        texts = value if one.name == "guards" else (value,)
        if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{one.name} of the decisions must be text, not {value!r}")


def _with_guards(parts: Any) -> Any:
    if not isinstance(parts, dict) or not isinstance(parts.get("guards"), list):
        return parts
    return {**parts, "guards": tuple(parts["guards"])}


def _made(kind: Any, values: Mapping[str, Any] | Any) -> Any:
    """One of *kind* from values by name: all of them, and no others."""
    names = [one.name for one in fields(kind)]
    if not isinstance(values, Mapping) or sorted(values) != sorted(names):
        raise ValueError(f"no certificate: {kind.__name__} has {', '.join(names)}, and nothing else")
    return kind(**values)
