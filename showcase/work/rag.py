"""Answers from documents behind a cache: an answer is kept with its sources until one of their documents changes.

Retrieval is a real search by embeddings, and the answer a real model's. Both are done once for all wordings of a
question. The entry is tagged with the documents that it holds passages of, which is known only after retrieving.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from mneme import Hit, InputTooLongError, SemanticCache
from mneme.types import Layer
from showcase.work.asking import Asks, Reply
from showcase.work.inputs import BadInputError, checked_text
from showcase.work.passages import Library, Passage
from showcase.work.room import MOST_KEPT, make_room

__all__ = ["Answered", "Desk", "Edited", "Kept", "Source"]

MOST_QUESTION, MOST_PASSAGE = 500, 1500
PASSAGES = 3
THRESHOLD = 0.85
TTL = "1h"
INSTRUCTION = "Answer the question in one or two short sentences, from the text alone. Write no code."
# A very small model has forgotten the question by the end of the text, so it hears it twice.
PROMPT = "Question: {question}\n\nText:\n{text}\n\nAnswer the question: {question}"


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that an answer was made from, as it was then."""

    number: int
    document: str
    heading: str
    text: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, where it is from, and what it took."""

    question: str
    answer: str
    model: str
    sources: tuple[Source, ...]
    layer: Layer | None
    """Which layer of the cache answered; `None` if it was worked out now."""
    stored: str
    """The question that it was worked out for."""
    similarity: float
    seconds: float
    kept: bool
    """Whether it is in the cache now."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer in the cache."""

    question: str
    answer: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edited:
    """What changing a passage did to the cache."""

    passage: Passage
    version: int
    removed: tuple[Kept, ...]
    """Answers that held its document."""
    stayed: tuple[Kept, ...]


class Desk:
    """Where one person asks. Their documents and their namespace of the cache are theirs alone.

    Args:
        cache: Shared with others.
        namespace: This person's.
        library: This person's copy of the documents.
        model: Who answers; with `None` the nearest passage stands for the answer.

    Thread safety: all methods may be called from any thread.
    """

    def __init__(self, cache: SemanticCache, namespace: str, library: Library, model: Asks | None) -> None:
        self.library = library
        self._cache = cache
        self._namespace = namespace
        self._model = model

    @property
    def scope(self) -> dict[str, Any]:
        """What has to be equal for an answer to serve. A model behind an endpoint has no name before it is there."""
        model = self._model.name if self._model else None
        return {"model": model, "passages": PASSAGES, "prompt": INSTRUCTION + PROMPT}

    def ask(self, question: str) -> Answered:
        """The answer from the cache, or else worked out: retrieve, ask the model, keep.

        Raises:
            BadInputError: The question is empty, too long, or in letters that the embedder does not know.
            Exception: Whatever the model raises; nothing was kept.
        """
        question = checked_text(question, "the question", MOST_QUESTION)
        begun = time.perf_counter()
        hit = self._cache.get(question, namespace=self._namespace, scope=self.scope, similarity_threshold=THRESHOLD)
        if hit is not None:
            return _answered(question, hit.response, hit, time.perf_counter() - begun, kept=True)
        versions = self.library.versions
        sources = self.sources(question)
        reply = self._work_out(question, sources)
        worked_out = {
            "answer": reply.text,
            "model": self._model.name if self._model else "",
            "sources": [asdict(source) for source in sources],
        }
        seconds = time.perf_counter() - begun
        documents = sorted({source.document for source in sources})

        def fresh() -> bool:
            return all(self.library.versions[document] == versions[document] for document in documents)

        kept = False
        # Somebody may have changed a document while the model was busy: then this answer is old already.
        if reply.whole and fresh():
            make_room(self._cache, self._namespace)
            kept = self._cache.put(
                question,
                worked_out,
                namespace=self._namespace,
                scope=self.scope,  # as it is now: the model may have got its name meanwhile
                tags=documents,
                ttl=TTL,
                metadata={"seconds": seconds},
            )
            if not fresh():  # changed after that look, and what it invalidated was not there yet
                self._cache.invalidate(tags=documents, namespace=self._namespace)
                kept = False
        return _answered(question, worked_out, None, seconds, kept=kept)

    def sources(self, question: str) -> tuple[Source, ...]:
        """What is nearest to the question in the documents as they are now."""
        try:
            vector = self.library.shelf.embedder.embed(question)
        except InputTooLongError as error:
            raise BadInputError(f"the question cannot be looked up: {error}") from error
        return tuple(
            Source(
                found.passage.number,
                found.passage.document,
                found.passage.heading,
                found.passage.text,
                found.similarity,
            )
            for found in self.library.nearest(vector, PASSAGES)
        )

    def edit(self, number: int, text: str) -> Edited:
        """Rewrite a passage, and remove the answers that were made from its document.

        Raises:
            BadInputError: The text is empty, too long or cannot be embedded; nothing was changed.
            KeyError: There is no such passage.
        """
        text = checked_text(text, "the passage", MOST_PASSAGE)
        try:
            passage = self.library.rewrite(number, text)
        except InputTooLongError as error:
            raise BadInputError(f"the passage cannot be embedded: {error}") from error
        before = {kept.question: kept for kept in self.kept()}
        self._cache.invalidate(tags=[passage.document], namespace=self._namespace)
        stayed = self.kept()
        left = {kept.question for kept in stayed}
        removed = tuple(kept for question, kept in before.items() if question not in left)
        return Edited(passage, self.library.versions[passage.document], removed, stayed)

    def kept(self) -> tuple[Kept, ...]:
        """The answers in the cache, in the order in which they were first asked for."""
        entries = self._cache.entries(namespace=self._namespace, limit=2 * MOST_KEPT)
        return tuple(Kept(entry.query, entry.response["answer"], entry.tags) for entry in entries)

    def clear(self) -> None:
        """Remove every answer."""
        self._cache.clear_namespace(self._namespace)

    def _work_out(self, question: str, sources: tuple[Source, ...]) -> Reply:
        if self._model is None:
            return Reply(sources[0].text)
        text = "\n\n".join(source.text for source in sources)
        return self._model.ask(INSTRUCTION, PROMPT.format(question=question, text=text))


def _answered(question: str, response: Any, hit: Hit | None, seconds: float, *, kept: bool) -> Answered:
    return Answered(
        question=question,
        answer=response["answer"],
        model=response["model"],
        sources=tuple(Source(**source) for source in response["sources"]),
        layer=None if hit is None else hit.layer,
        stored=question if hit is None else hit.query,
        similarity=1.0 if hit is None else hit.similarity,
        seconds=seconds,
        kept=kept,
    )
