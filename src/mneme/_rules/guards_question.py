"""What is asked for: a time, a place, a reason, a quantity."""

from __future__ import annotations

import re

from mneme._rules.guards_reading import Reading, remembered

__all__ = ["asked_for", "asked_for_differs"]

# What makes a question of "when", "where" and "why", which else begin a clause: "when I leave, ...".
_ASKS = (
    r"(?:'s|'re|'d|'ll| (?:is|are|am|was|were|do|does|did|will|would|can|could|should|shall|may|might|must|has|have|had"
    r"|to|not|on|in|exactly|else)\b)"
)
_QUESTION = re.compile(
    r"\b(?:(?P<span>how many (?:more )?(?:minute|hour|day|week|month|year|time)s)"
    r"|(?P<time>how (?:long|soon|quickly|fast|much (?:longer|time))|(?:what|which) (?:time|date|day|year|month)"
    rf"|what's the (?:date|time)|when{_ASKS})"
    r"|(?P<amount>how (?:much|many))|(?P<frequency>how often)"
    rf"|(?P<reason>how come|what(?:'s| is| are) the reasons?|why{_ASKS})"
    rf"|(?P<place>(?:what|which) (?:place|city|country|location)|where{_ASKS})"
    r"|(?P<other>who|whom|whose|what|which|how))\b"
)
_MORE = re.compile(r"\b(?:and|or|&) (?:who|whom|whose|what|which|how|when|where|why)\b|/(?:when|where|why|how|what)\b")


@remembered
def asked_for(text: Reading) -> str | None:
    """What the first question word of *text* asks for; `None` for what can be anything. English only."""
    if not text.english:
        return None
    match = _QUESTION.search(text.folded)
    if match is None or match.lastgroup == "other" or _MORE.search(text.folded):
        return None
    # A span of time may be an amount as well: "how many days of leave".
    kind = match.lastgroup
    return None if kind == "span" else kind


def asked_for_differs(asked: Reading, stored: Reading) -> str | None:
    """Whether both texts say what they ask for, and it is not the same."""
    one, other = asked_for(asked), asked_for(stored)
    if one is None or other is None or one == other:
        return None
    return f"they ask for different things: {one} / {other}"
