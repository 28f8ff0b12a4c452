"""Verbs whose particle decides what they mean, wherever it stands: "turn the light off"."""

from __future__ import annotations

from mneme._rules.guards_reading import Reading, remembered, stem, words

__all__ = ["phrases"]

# Stems of verbs.
_SWITCHES = words("turn switch power put toggl flip take")
_DOORS = words("log sign check opt clock lock zoom phas fade move plug")
_WAYS = words("turn go move scal size scroll thumb ramp speed push pull roll")
_PARTICLES = frozenset({"on", "off", "in", "out", "up", "down"})
_REACH = 5
"""So many words may stand between a verb and its particle."""


@remembered
def phrases(text: Reading) -> frozenset[str]:
    """Such as "switch off", one spelling for verbs that mean the same."""
    if text.vocabulary.isdisjoint(_PARTICLES):
        return frozenset()
    found = set()
    words = text.lowers
    for position, word in enumerate(words):
        verb = stem(word)
        particles = (
            *(("on", "off") if verb in _SWITCHES else ()),
            *(("in", "out") if verb in _DOORS else ()),
            *(("up", "down") if verb in _WAYS else ()),
        )
        if not particles:
            continue
        for near in words[position + 1 : position + 2 + _REACH]:
            if near in particles:
                kind = "switch" if near in ("on", "off") else "go" if near in ("up", "down") else verb
                found.add(f"{kind} {near}")
                break
    return frozenset(found)
