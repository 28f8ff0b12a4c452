"""Translation behind a cache: the pair of languages is the scope, and guards keep numbers and placeholders apart."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mneme import Candidate, SemanticCache
from mneme.types import Layer
from showcase.work.asking import Asks
from showcase.work.inputs import BadInputError, checked_text
from showcase.work.phrases import LANGUAGES, carried_over, phrases
from showcase.work.room import MOST_KEPT, make_room

__all__ = ["Kept", "Refused", "Translated", "Translator"]

MOST_TEXT = 300
THRESHOLD = 0.9
SHOWN_FROM = 0.8
"""Candidates less similar than that are of no interest."""
TABLE = "phrase table"
INSTRUCTION = "Translate the text from English to {language}. Reply with the translation alone."


@dataclass(frozen=True, slots=True)
class Refused:
    """A sentence in the cache that looks like the one asked for, and did not answer."""

    query: str
    translation: str
    similarity: float
    why: str


@dataclass(frozen=True, slots=True)
class Translated:
    """A translation, where it is from, and what it took."""

    text: str
    translation: str
    language: str
    by: str
    """The phrase table, or the name of a model."""
    layer: Layer | None
    """Which layer of the cache answered; `None` if it was translated now."""
    stored: str
    """The sentence that was translated."""
    similarity: float
    seconds: float
    kept: bool
    lost: tuple[str, ...]
    """Numbers and placeholders that the translation should have and has not; then it is not kept."""
    cut_off: bool
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A translation in the cache."""

    text: str
    translation: str
    language: str
    by: str


class Translator:
    """Translates for one person.

    Args:
        cache: Shared with others; its guards decide, and `PLACEHOLDERS` should be one of them.
        namespace: This person's.
        model: For what is not in the phrase table; `None` for nobody.

    Thread safety: all methods may be called from any thread.
    """

    def __init__(self, cache: SemanticCache, namespace: str, model: Asks | None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._model = model

    def scope(self, language: str) -> dict[str, str]:
        """What has to be equal for a translation to serve. An endpoint's model has no name before it is there."""
        return {"from": "en", "to": language, "model": self._model.name if self._model else ""}

    def translate(self, text: str, language: str) -> Translated:
        """The translation from the cache, else from the table, else from the model.

        Raises:
            BadInputError: The text is empty or too long, or the language is unknown; or nobody can translate it.
            Exception: Whatever the model raises; nothing was kept.
        """
        text = checked_text(text, "the text", MOST_TEXT)
        if language not in LANGUAGES:
            raise BadInputError(f"there is no language {language!r} here: choose {', '.join(LANGUAGES.values())}")
        begun = time.perf_counter()
        scope = self.scope(language)
        hit = self._cache.get(text, namespace=self._namespace, scope=scope, similarity_threshold=THRESHOLD)
        if hit is not None:
            return Translated(
                text=text,
                translation=hit.response["translation"],
                language=language,
                by=hit.response["by"],
                layer=hit.layer,
                stored=hit.query,
                similarity=hit.similarity,
                seconds=time.perf_counter() - begun,
                kept=True,
                lost=(),
                cut_off=False,
                refused=(),
            )
        translation, by, whole = self._work_out(text, language)
        seconds = time.perf_counter() - begun
        refused = self._refused(text, scope)  # before this one is stored, which would be the nearest of all
        lost = tuple(carried_over(text, translation))
        if whole and not lost:
            make_room(self._cache, self._namespace)
        kept = (whole and not lost) and self._cache.put(
            text,
            {"translation": translation, "by": by},
            namespace=self._namespace,
            scope=self.scope(language),  # as it is now: the model may have got its name meanwhile
        )
        return Translated(
            text=text,
            translation=translation,
            language=language,
            by=by,
            layer=None,
            stored=text,
            similarity=1.0,
            seconds=seconds,
            kept=kept,
            lost=lost,
            cut_off=not whole,
            refused=refused,
        )

    def kept(self) -> tuple[Kept, ...]:
        """The translations in the cache, in the order in which they were made."""
        entries = self._cache.entries(namespace=self._namespace, limit=2 * MOST_KEPT)
        return tuple(
            Kept(one.query, one.response["translation"], one.scope["to"], one.response["by"]) for one in entries
        )

    def clear(self) -> None:
        """Remove every translation."""
        self._cache.clear_namespace(self._namespace)

    def _work_out(self, text: str, language: str) -> tuple[str, str, bool]:
        for phrase in phrases():
            translation = phrase.translated(text, language)
            if translation is not None:
                return translation, TABLE, True
        if self._model is None:
            raise BadInputError(
                f"{text!r} is not in the phrase table, and there is no language model here: choose an example"
            )
        reply = self._model.ask(INSTRUCTION.format(language=LANGUAGES[language]), text)
        return reply.text, self._model.name, reply.whole

    def _refused(self, text: str, scope: dict[str, str]) -> tuple[Refused, ...]:
        why = self._cache.explain(text, k=3, namespace=self._namespace, scope=scope, similarity_threshold=THRESHOLD)
        near = [one for one in why.candidates if not one.accepted and one.similarity >= SHOWN_FROM]
        stored = {hit.entry_id: hit for hit in self._cache.lookup(text, k=3, namespace=self._namespace, scope=scope)}
        return tuple(
            Refused(one.query, stored[one.entry_id].response["translation"], one.similarity, _why(one))
            for one in near
            if one.entry_id in stored
        )


def _why(candidate: Candidate) -> str:
    if candidate.reason == "guarded":
        return candidate.detail
    if candidate.reason == "below_threshold":
        return f"less similar than {THRESHOLD:g}"
    return candidate.reason.replace("_", " ")
