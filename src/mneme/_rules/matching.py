"""Whether a stored entry may answer: fresh, near, valid, confident, in that order."""

from __future__ import annotations

import logging
from typing import Any, Literal, NamedTuple, TypeAlias

from mneme._rules.expiry import is_expired
from mneme._rules.options import Options
from mneme._rules.similarity import RESOLUTION
from mneme.log import log_fields
from mneme.ports import Record

Reason: TypeAlias = Literal[
    "accepted", "below_threshold", "expired", "rejected", "low_confidence", "denied", "uncertified"
]

logger = logging.getLogger("mneme")


class Verdict(NamedTuple):
    """What was decided about one entry."""

    reason: Reason
    confidence: float
    age_seconds: float
    stale: bool = False
    """Expired, but still kept for callers who accept a stale answer."""
    remove: bool = False
    """It can never answer anyone again."""


def age_of(record: Record, now: float) -> float:
    """Never negative: another host's clock may run ahead of ours."""
    return max(0.0, now - record.created_at)


def judge(
    record: Record,
    response: Any,
    *,
    similarity: float,
    threshold: float,
    now: float,
    options: Options,
    score: float | None = None,
) -> Verdict:
    """The verdict on one entry; a validator or confidence function that raises counts against the entry.

    The *score* is what must reach the threshold, the similarity where there is none.
    """
    age = age_of(record, now)
    stale = is_expired(record.expires_at, now)
    if is_expired(record.removable_at, now):
        return Verdict("expired", similarity, age, remove=True)
    if (similarity if score is None else score) < threshold - RESOLUTION or (
        score is not None
        and options.value_contrast is not None
        and similarity < options.value_contrast.least_similarity - RESOLUTION
    ):
        return Verdict("below_threshold", similarity, age, stale)
    try:
        valid = options.validator(response)
    except Exception as error:
        # On a write the same exception reaches the caller; a reader has somebody else's entry before it, and keeps it.
        extra = log_fields("validator_failure", error=error)
        logger.warning("the validator raised on a stored response, which is passed over", exc_info=True, extra=extra)
        return Verdict("rejected", similarity, age)
    if not valid:
        return Verdict("rejected", similarity, age, remove=True)
    confidence = confidence_of(similarity, age, options)
    if options.min_confidence is not None and not confidence >= options.min_confidence:
        return Verdict("low_confidence", confidence, age, stale)
    return Verdict("expired" if stale else "accepted", confidence, age, stale)


def confidence_of(similarity: float, age_seconds: float, options: Options) -> float:
    """By default the similarity itself."""
    if options.confidence_fn is None:
        return similarity
    try:
        return float(options.confidence_fn(similarity, age_seconds))
    except Exception as error:
        extra = log_fields("confidence_failure", error=error)
        logger.warning("confidence_fn raised; the confidence is taken as 0", exc_info=True, extra=extra)
        return 0.0
