"""What `explain` says in one word, in a sentence."""

from __future__ import annotations

__all__ = ["OUTCOMES", "VERDICTS"]

OUTCOMES: dict[str, str] = {
    "hit_exact": "An equal query is stored.",
    "hit_semantic": "A stored query is similar enough.",
    "no_match": "Nothing stored is similar enough.",
    "no_embedder": "No equal query is stored, and without an embedder nothing else can be found.",
    "uncertified": "No equal query is stored, and nothing else is certified.",
    "too_long": "No equal query is stored, and the embedder cannot tell this text from others.",
    "embedder_failure": "No equal query is stored, and the embedder failed.",
    "expired": "The entry that would answer has expired.",
    "rejected": "The validator refuses the entry that would answer.",
    "low_confidence": "The entry that would answer is not trusted enough.",
    "denied": "The entry that would answer was rejected for this query.",
    "guarded": "The entry that would answer is for a question that needs another answer.",
}
"""Why a query is a hit or a miss."""

VERDICTS: dict[str, str] = {
    "accepted": "answers",
    "below_threshold": "not similar enough",
    "expired": "has expired",
    "rejected": "refused by the validator",
    "low_confidence": "not trusted enough",
    "denied": "rejected for this query",
    "guarded": "another question",
    "uncertified": "not certified",
    "not_reached": "would do, a better one answers",
}
"""What is said of one candidate."""
