"""A certificate: the lowest threshold whose rate of false hits is at most what was promised, with stated confidence."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from mneme import AsyncEmbedder, Certificate, Decisions, Embedder, SemanticCache, Shortage, Tried, ValueContrast
from mneme.calibration.pairs import checked_grid
from mneme.calibration.replay import RESERVED, Known, Labelled, checked_stream, replay
from mneme.calibration.selection import STARTS, Testing
from mneme.calibration.statistics import trials_needed_at, upper_bound
from mneme.calibration.vectors import Progress

CERTIFICATE_GRID = (0.995, *(step / 100 for step in range(99, 49, -1)))
"""The thresholds that are tried if none are given: 0.995, 0.99, 0.98, ... 0.5."""
CONTRAST_GRID = tuple(step / 100 for step in range(150, 58, -2))
"""The same with value contrast, whose scores go up to 2: 1.5, 1.48, ... 0.6."""


def certify(
    stream: Iterable[Labelled],
    embedder: Embedder | AsyncEmbedder,
    *,
    max_false_hit_rate: float = 0.02,
    confidence: float = 0.95,
    namespace: str | None = None,
    grid: Iterable[float] | None = None,
    warmup: int = 0,
    entries: tuple[int, int] | None = None,
    valid_for: float | timedelta | None = None,
    progress: Progress | None = None,
    now: float | None = None,
    **options: Any,
) -> Certificate | Shortage:
    """The lowest threshold at which at most *max_false_hit_rate* of the semantic hits are wrong, or what is missing.

    The stream is replayed through a real `SemanticCache` that begins empty: every query is looked up, a miss is stored
    with its label as the answer, a hit is wrong if it brings another answer than the label. So neighbours are those
    that would really be found, guards and all. That is done anew for every threshold, because what is stored depends on
    it. Repeats of a query, as the cache normalises it, are left out: hits on the exact layer are not counted.

    The promise holds in finite samples: in at most `1 - confidence` of all certifications is the rate of the threshold
    returned above the promise. That needs hits that are right or wrong independently of each other, and traffic later
    that is exchangeable with the stream; it says nothing about traffic of another kind or time. Label your most recent
    traffic, in its order. The grid, the rate, the confidence and the options must be chosen before the labels are
    looked at. (Learn then Test, arXiv 2110.01052; see `mneme.calibration.selection`.)

    Args:
        stream: Queries and their right answers, in the order in which they came: pairs, or mappings with `text`,
            `answer` and perhaps `embedding`.
        embedder: The cache's, of either kind. Asked once for each distinct query.
        max_false_hit_rate: The promise: wrong answers among semantic hits.
        confidence: How sure the promise is.
        namespace: Whose traffic it is; `None` for a certificate for every namespace that has none of its own.
        grid: The thresholds to try; if not given 0.995, 0.99, 0.98, ... 0.5, or with value contrast 1.5, 1.48, ... 0.6.
        warmup: So many queries at the beginning fill the cache, and are not counted.
        entries: From how many to how many entries of a namespace it holds; half to twice of what the replay ended
            with if not given.
        valid_for: How long it holds: seconds or a timedelta; `None` for ever.
        progress: Called now and then with how much is done, and of how much: first texts, then thresholds.
        now: The time of its making, in seconds since the epoch; the wall clock's if not given.
        options: Options of `SemanticCache` that decide: guards, value contrast, `value_eq`, `normalize`,
            `confidence_fn`, `min_confidence`, `validator`, `codec` and so on. The same as those of the cache that is to
            use it.

    Returns:
        A `Certificate`, for `use_certificate`; or a `Shortage`, which says how many labelled hits are missing and why.

    Raises:
        TypeError, ValueError: An argument is of the wrong type, empty or out of range.
        Exception: Whatever the embedder raises, except that queries too long for it are left out.
    """
    _check(max_false_hit_rate, confidence, warmup, entries, options)
    thresholds = _thresholds(grid, options.get("value_contrast"))
    lasts = math.inf if valid_for is None else _seconds(valid_for)
    name = "default" if namespace is None else namespace
    known = Known(embedder)
    decisions = _decisions(known, name, options)
    asked = checked_stream(stream, embedder, options, progress)
    if warmup >= len(asked):
        raise ValueError(f"warmup={warmup} leaves nothing of {len(asked)} distinct queries to count")
    testing = Testing(max_false_hit_rate, confidence)
    tried: list[Tried] = []
    for done, threshold in enumerate(thresholds, start=1):
        tried.append(replay(asked, threshold, known, namespace=name, warmup=warmup, options=options))
        testing.take(tried[-1])
        if progress is not None:
            progress(done, len(thresholds))
        if testing.over:
            break
    requests = len(asked) - warmup
    best = testing.certified
    if best is None:
        return _shortage(tried, requests, testing, confidence)
    made = time.time() if now is None else now
    fewest, most = (best.entries // 2, best.entries * 2) if entries is None else entries
    return Certificate(
        threshold=best.threshold,
        max_false_hit_rate=max_false_hit_rate,
        confidence=confidence,
        requests=requests,
        hits=best.hits,
        false_hits=best.false_hits,
        upper_bound=upper_bound(best.false_hits, best.hits, 1 - testing.level),
        entries=best.entries,
        min_entries=fewest,
        max_entries=most,
        decisions=decisions,
        namespace=namespace,
        created_at=made,
        valid_until=None if math.isinf(lasts) else made + lasts,
    )


def _thresholds(grid: Iterable[float] | None, contrast: Any) -> tuple[float, ...]:
    """From the highest to the lowest."""
    if not contrast:
        return CERTIFICATE_GRID if grid is None else checked_grid(grid)[::-1]
    highest = (contrast if isinstance(contrast, ValueContrast) else ValueContrast()).highest
    if grid is None:
        return tuple(threshold for threshold in CONTRAST_GRID if threshold <= highest)
    return checked_grid(grid, highest)[::-1]


def _decisions(known: Known, namespace: str, options: Any) -> Decisions:
    """By what a cache with these options decides; also checks them, before anything is embedded."""
    with SemanticCache(":memory:", known, **options) as cache:
        decisions = cache.certificate(namespace).decisions
    assert decisions is not None  # noqa: S101 -- a cache with an embedder has them
    return decisions


def _shortage(tried: Sequence[Tried], requests: int, testing: Testing, confidence: float) -> Shortage:
    rate = testing.rate
    missing: tuple[int, int, Tried] | None = None
    for one in tried:
        needed = trials_needed_at(one.false_hits / one.hits, rate, 1 - testing.level) if one.hits else None
        if needed is not None:
            # No sequence of tests begins with fewer.
            needed = max(needed, math.ceil(STARTS[0] * math.log(testing.level) / math.log1p(-rate)), one.hits + 1)
            more = math.ceil(requests * needed / one.hits) - requests
            if missing is None or more < missing[1]:
                missing = (needed - one.hits, more, one)
    return Shortage(
        reason=_why(tried, rate, missing),
        max_false_hit_rate=rate,
        confidence=confidence,
        requests=requests,
        tried=tuple(tried),
        missing_hits=None if missing is None else missing[0],
        missing_requests=None if missing is None else missing[1],
    )


def _why(tried: Sequence[Tried], rate: float, missing: tuple[int, int, Tried] | None) -> str:
    if missing is not None:
        hits, requests, at = missing
        return (
            f"too few labelled hits: at {at.threshold:g}, {at.false_hits} of {at.hits} were wrong, and about {hits} "
            f"more hits ({requests} more requests) that go on like these are needed to show that it is at most {rate:g}"
        )
    if not any(one.hits for one in tried):
        return f"no hit at any threshold from {tried[0].threshold:g} to {tried[-1].threshold:g}"
    best = min((one for one in tried if one.hits), key=lambda one: one.false_hits / one.hits)
    return (
        f"too many hits are wrong: {best.false_hits} of {best.hits} at {best.threshold:g}, where fewest are, and "
        f"{rate:g} was asked for; more labels of the same will not do. Guards, value contrast or another embedder may"
    )


def _check(rate: Any, confidence: Any, warmup: Any, entries: tuple[int, int] | None, options: dict[str, Any]) -> None:
    for what, value in (("max_false_hit_rate", rate), ("confidence", confidence)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{what} must be a number between 0 and 1, not {type(value).__name__}")
        if not 0 < value < 1:
            raise ValueError(f"{what} must be above 0 and below 1, got {value!r}")
    if isinstance(warmup, bool) or not isinstance(warmup, int):
        raise TypeError(f"warmup must be a number of queries, not {type(warmup).__name__}")
    if warmup < 0:
        raise ValueError(f"warmup must be 0 or more, got {warmup}")
    if entries is not None:
        fewest, most = entries
        if not 0 <= fewest <= most:
            raise ValueError(f"entries must be the fewest and the most, like (0, 20_000), got {entries!r}")
    if wrong := sorted(RESERVED & options.keys()):
        raise TypeError(f"{wrong[0]} is no option of a replay, which has a memory store and thresholds of its own")


def _seconds(span: Any) -> float:
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"valid_for must be seconds or a timedelta, not {type(span).__name__}")
    if not seconds > 0:
        raise ValueError(f"valid_for must be more than 0 seconds, got {span!r}")
    return float(seconds)
