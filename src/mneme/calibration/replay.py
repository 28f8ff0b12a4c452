"""A labelled stream, and what a real cache makes of it at one threshold."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mneme import AsyncEmbedder, Embedder, InputTooLongError, SemanticCache, Tried
from mneme.calibration.vectors import Progress, blocking, embed_all, unit
from mneme.log import log_fields
from mneme.ports import Matrix, Vector

Labelled: TypeAlias = "tuple[str, Any] | Mapping[str, Any]"
"""A query and its right answer: a pair, or a mapping with `text`, `answer` and perhaps `embedding`."""

RESERVED = frozenset({"path", "store", "embedder", "similarity_threshold", "metrics_hook", "multi_process_mode"})
"""Options of a cache that are the replay's own affair."""

logger: logging.Logger = logging.getLogger("mneme")


class Known:
    """Stands in for the embedder in a replay, in which every vector is known."""

    def __init__(self, embedder: Embedder | AsyncEmbedder) -> None:
        self.dim: int = embedder.dim
        self.fingerprint: str = embedder.fingerprint

    def embed(self, text: str) -> Vector:
        raise RuntimeError(f"every vector of a replay is known, and that of {text!r} was asked for")


@dataclass(frozen=True, slots=True)
class Stream:
    """Distinct queries in order, with their answers and vectors."""

    texts: Sequence[str]
    answers: Sequence[Any]
    vectors: Matrix
    repeats: int
    """Queries that were left out because an equal one came before."""
    too_long: int
    """Queries that were left out because they are too long for the embedder: they never meet the semantic layer."""

    def __len__(self) -> int:
        return len(self.texts)


def checked_stream(
    stream: Iterable[Labelled],
    embedder: Embedder | AsyncEmbedder,
    options: Mapping[str, Any],
    progress: Progress | None = None,
) -> Stream:
    """The stream without repeats of a normalised query, embedded.

    Raises:
        TypeError, ValueError: An item is none; the message says which.
    """
    texts, answers, given, repeats = _distinct([_item(n, one) for n, one in enumerate(stream)], embedder, options)
    if not texts:
        raise ValueError("the stream is empty; it needs labelled queries")
    vectors, kept = _vectors(texts, given, embedder, progress)
    return Stream(
        [texts[row] for row in kept], [answers[row] for row in kept], vectors, repeats, len(texts) - len(kept)
    )


def replay(
    stream: Stream,
    threshold: float,
    known: Embedder,
    *,
    namespace: str,
    warmup: int,
    options: Mapping[str, Any],
) -> Tried:
    """Ask a new cache for every query in order; a miss is stored, a hit is compared with the label.

    The first *warmup* queries are not counted.
    """
    equal = options.get("value_eq") or operator.eq
    hits = false_hits = 0
    with SemanticCache(":memory:", known, similarity_threshold=threshold, **options) as cache:
        for row, (text, answer) in enumerate(zip(stream.texts, stream.answers, strict=True)):
            vector = stream.vectors[row]
            hit = cache.get(text, embedding=vector, namespace=namespace)
            if hit is None:
                cache.put(text, answer, embedding=vector, namespace=namespace)
            elif row >= warmup and hit.layer == "semantic":
                hits += 1
                false_hits += not _are_equal(equal, hit.response, answer)
        entries = cache.stats(namespace).entries
    return Tried(threshold, hits, false_hits, entries)


def _are_equal(equal: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    try:
        return bool(equal(one, other))
    except Exception as error:
        extra = log_fields("value_eq_failure", error=error)
        logger.warning("value_eq raised; the two responses count as different answers", exc_info=True, extra=extra)
        return False


def _item(number: int, item: Any) -> tuple[str, Any, Any]:
    if isinstance(item, Mapping):
        if missing := {"text", "answer"} - item.keys():
            raise ValueError(f"item {number} of the stream lacks {min(missing)!r}")
        text, answer, embedding = item["text"], item["answer"], item.get("embedding")
    elif isinstance(item, (tuple, list)) and len(item) == 2:
        (text, answer), embedding = item, None
    else:
        raise TypeError(f"item {number} of the stream must be a (text, answer) pair or a mapping, not {item!r}")
    if not isinstance(text, str):
        raise TypeError(f"the text of item {number} must be a str, not {type(text).__name__}")
    if not text.strip():
        raise ValueError(f"the text of item {number} is empty")
    return text, answer, embedding


def _distinct(
    items: Sequence[tuple[str, Any, Any]], embedder: Embedder | AsyncEmbedder, options: Mapping[str, Any]
) -> tuple[list[str], list[Any], list[Any], int]:
    """The first of each that is equal after normalisation, as the cache itself normalises."""
    texts, answers, given = [], [], []
    seen: set[str] = set()
    anywhere = np.eye(1, embedder.dim, dtype=np.float32)[0]
    with SemanticCache(":memory:", Known(embedder), **options) as empty:
        for text, answer, embedding in items:
            normalized = empty.explain(text, embedding=anywhere).normalized
            if normalized not in seen:
                seen.add(normalized)
                texts.append(text)
                answers.append(answer)
                given.append(embedding)
    return texts, answers, given, len(items) - len(texts)


def _vectors(
    texts: Sequence[str], given: Sequence[Any], embedder: Embedder | AsyncEmbedder, progress: Progress | None
) -> tuple[Matrix, list[int]]:
    """The vectors there are, and the rows they belong to."""
    matrix = np.zeros((len(texts), embedder.dim), np.float32)
    kept = np.ones(len(texts), bool)
    rows = [row for row, embedding in enumerate(given) if embedding is not None]
    if rows:
        matrix[rows] = unit([given[row] for row in rows], (len(rows), embedder.dim))
    missing = [row for row, embedding in enumerate(given) if embedding is None]
    if missing:
        wanted = [texts[row] for row in missing]
        with blocking(embedder) as ready:
            try:
                matrix[missing] = embed_all(wanted, ready, progress)
            except InputTooLongError:  # which of them is not said
                for row, text in zip(missing, wanted, strict=True):
                    vector = _vector_or_none(text, ready)
                    kept[row] = vector is not None
                    if vector is not None:
                        matrix[row] = vector
    return np.ascontiguousarray(matrix[kept]), np.flatnonzero(kept).tolist()


def _vector_or_none(text: str, embedder: Embedder) -> Vector | None:
    try:
        vector: Vector = embed_all([text], embedder)[0]
    except InputTooLongError:
        return None
    return vector
