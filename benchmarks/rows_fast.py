"""What the extra `fast` spares: the same searches of int8 rows with NumKong and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import made
from contenders import THRESHOLD, Mneme
from data import questions
from harness import Row
from panel import Contender, Panel
from rows_search import FLOOR, floor_contender, rounds_of
from truth import Question
from workshop import Workshop, topic

from mneme import SemanticCache
from mneme.indexes import _fast
from mneme.indexes._view import View
from mneme.ports import VectorDType

LOW = 0.7
"""A threshold at which rows are read by the hundred or thousand."""
WITHOUT, WITH, FLOAT32 = "without NumKong", "with NumKong", "float32"


@topic("fast", on_request=True)
def fast(shop: Workshop) -> Iterator[Row]:
    if _fast.kernels() is None:
        yield Row.missing("fast", "numkong is not installed")
        return
    try:
        for dim in (384, 768):
            yield from _caches(shop, dim)
            yield from _worst(shop, dim)
    finally:
        View.coding_error = _CODING


def _caches(shop: Workshop, dim: int) -> Iterator[Row]:
    kinds = shop.questions(dim, shop.entries, THRESHOLD).kinds
    # The file beside a cache holds int8 rows whatever the dtype.
    for name, dtype, reopened in (("int8", "int8", False), ("float32, opened from its file", "float32", True)):
        pair = [_opened(shop, dim, dtype, reopened=reopened) for _ in range(2)]
        yield from _calls(shop, pair, kinds, f"{shop.entries:,} x {dim}, {name}")
        for cache in pair:
            cache.close()


def _opened(shop: Workshop, dim: int, dtype: VectorDType, *, reopened: bool) -> SemanticCache:
    path = shop.copy_of(shop.filled(dim))
    options: dict[str, Any] = {} if reopened else {"index_options": {"path": None}}
    if reopened:
        shop.open(path, dim, vector_dtype=dtype).close()  # which writes the file beside it
    return shop.open(path, dim, vector_dtype=dtype, similarity_threshold=THRESHOLD, hot_bytes=0, **options)


def _calls(
    shop: Workshop, pair: Sequence[SemanticCache], kinds: dict[str, list[Question]], title: str
) -> Iterator[Row]:
    ways: dict[str, tuple[str, Callable[[SemanticCache, Question], Any]]] = {
        "get, hit": ("hit", lambda cache, one: cache.get(one.text, embedding=one.vector)),
        "get, miss": ("miss", lambda cache, one: cache.get(one.text, embedding=one.vector)),
        f"get at {LOW}": (
            "miss",
            lambda cache, one: cache.get(one.text, embedding=one.vector, similarity_threshold=LOW),
        ),
        "lookup(k=5)": ("miss", lambda cache, one: cache.lookup(one.text, k=5, embedding=one.vector)),
    }
    _settle(pair, kinds["miss"])
    for way, (kind, call) in ways.items():
        contenders = [
            Contender(name, _using(name, partial(call, cache)), _anything)
            for name, cache in zip((WITHOUT, WITH), pair, strict=True)
        ]
        for one in kinds[kind][:20]:
            without, with_it = (_told(contender.call(one)) for contender in contenders)
            assert with_it == without, f"{with_it} is not {without}"
        panel = Panel(contenders).run(rounds_of(shop, kinds[kind], 60, 5), together=20)
        yield panel.row(f"{way}, {title}", WITH, floor=WITHOUT)


def _settle(pair: Sequence[SemanticCache], asked: Sequence[Question]) -> None:
    """Search until all rows have sketches: a cache that was not opened from a file makes some with every search."""
    for name, cache in zip((WITHOUT, WITH), pair, strict=True):
        search = _using(name, lambda one, cache=cache: cache.get(one.text, embedding=one.vector))  # type: ignore[misc]
        for one in asked[:500]:
            search(one)


def _told(answer: Any) -> list[Any]:
    """What a call answered, and how near it is to the last bit."""
    hits = answer if isinstance(answer, list) else [answer]
    return [(hit.entry_id, hit.similarity) if hasattr(hit, "entry_id") else str(hit) for hit in hits]


def _worst(shop: Workshop, dim: int) -> Iterator[Row]:
    matrix = made.isotropic(shop.entries, dim)
    asked = made.isotropic(40, dim)  # which are rows, as chance is the same: each finds itself
    wanted = questions(matrix, [f"noise {number}" for number in range(len(asked))], asked, THRESHOLD, enough=0)
    engines = {WITHOUT: Mneme("int8", dim), WITH: Mneme("int8", dim), FLOAT32: Mneme("float32", dim)}
    for engine in engines.values():
        engine.grow(matrix)
    contenders = [floor_contender(matrix)] + [
        Contender(name, _using(name, lambda question, engine=engine: engine.search(question.vector)), engine.check)  # type: ignore[misc]
        for name, engine in engines.items()
    ]
    panel = Panel(contenders).run(rounds_of(shop, wanted.hits, 20, 5))
    title = f"worst case: isotropic, {shop.entries:,} x {dim}"
    yield panel.row(f"{title}, int8", WITH, floor=WITHOUT)
    for name in engines:
        yield panel.row(f"{title}, {'' if name == FLOAT32 else 'int8 '}{name}", name, floor=FLOOR)


_CODING = View.__dict__["coding_error"]


def _using(name: str, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same call, with NumKong or without. Of what is called without, no view may have been called with it."""
    coding = _CODING if name == WITH else 0.0

    def run(argument: Any) -> Any:
        View.coding_error = coding
        return call(argument)

    return run


def _anything(_question: Question, _answer: object) -> None:
    """Answers were compared before: here the same calls are timed."""
