"""What the guards cost: one pair of questions, and a whole hit on the semantic layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from contenders import THRESHOLD
from data import near_copies
from harness import Row, measure
from workshop import Workshop, answer, topic

from mneme import Hit, SemanticCache
from mneme._rules.guards_reading import Reading
from mneme.guards import DEFAULT_GUARDS as GUARDS

PAIRS = 2_000
ROUNDS = 5
SMALL = 10_000
AT_ONCE = 200


@topic("guards")
def guards(shop: Workshop) -> Iterator[Row]:
    """Pairs that no guard refuses, so that all of them are asked: the dearest case, and the usual one."""
    sentences = shop.stored[:PAIRS]
    pairs = [(f"Please tell me {text}", text) for text in sentences]
    pairs = [pair for pair in pairs if _refusal(pair) is None]
    assert len(pairs) > PAIRS * 0.9
    yield measure(
        f"guards, all defaults, one pair ({_words(sentences):.0f} words each)",
        floor=("both texts split into words", lambda pair: (pair[0].split(), pair[1].split())),
        operation=_refusal,
        rounds=[pairs] * shop.rounds(ROUNDS),
        check=_no_refusal,
        floor_check=_split,
    )
    matrix = shop.stored_vectors(384)[:SMALL]
    path = shop.filled(384, SMALL)
    near = dict(zip(sentences, near_copies(matrix[: len(sentences)]), strict=True))
    questions = [(asked, near[stored]) for asked, stored in pairs[:AT_ONCE]]
    options: dict[str, Any] = {"similarity_threshold": THRESHOLD, "hot_bytes": 0}
    plain, guarded = (shop.open(shop.copy_of(path), 384, guards=chosen, **options) for chosen in ((), GUARDS))
    with plain, guarded:
        yield measure(
            f"semantic hit, {SMALL:,} x 384, with guards",
            floor=("the same without", lambda question: _get(plain, question)),
            operation=lambda question: _get(guarded, question),
            rounds=[questions] * shop.rounds(ROUNDS),
            check=_all_semantic,
            floor_check=_all_semantic,
        )


def _refusal(pair: tuple[str, str]) -> str | None:
    """As the cache asks: the texts are read anew for each pair, once for all guards."""
    asked, stored = map(Reading.of, pair)
    return next((why for guard in GUARDS if (why := guard.check(asked, stored, similarity=1.0, response=None))), None)


def _no_refusal(results: Sequence[str | None]) -> None:
    assert not any(results)


def _split(results: Sequence[tuple[list[str], list[str]]]) -> None:
    assert all(first and second for first, second in results)


def _get(cache: SemanticCache, question: tuple[str, Any]) -> Hit | None:
    return cache.get(question[0], embedding=question[1])


def _all_semantic(results: Sequence[Hit | None]) -> None:
    assert all(hit is not None and hit.layer == "semantic" and hit.response == answer(hit.query) for hit in results)


def _words(sentences: Sequence[str]) -> float:
    return sum(len(sentence.split()) for sentence in sentences) / len(sentences)
