"""Vectors of another embedder for many texts: in batches, several at a time, tried again when it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mneme._engine.embedding import embed_texts
from mneme._rules.arguments import check_callable, check_count, check_parts, check_seconds, check_text
from mneme._runtime.contract import Runtime
from mneme.errors import MnemeError, ReembeddingError
from mneme.ports import AsyncEmbedder, Clock, Embedder, Vector
from mneme.types import ReembedProgress, ReembedReport

_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How the work is to be done, checked."""

    clock: Clock
    runtime: Runtime
    batch_size: int
    concurrency: int
    retries: int
    retry_seconds: float
    progress: Callable[[ReembedProgress], object] | None


def plan(
    runtime: Runtime,
    clock: Clock,
    *,
    batch_size: Any,
    concurrency: Any,
    retries: Any,
    retry_seconds: Any,
    progress: Any,
) -> Plan:
    """The plan, if what callers passed holds; raises `TypeError` or `ValueError` if not."""
    check_callable(progress, "progress")
    check_parts(clock, "clock", "now")
    return Plan(
        clock=clock,
        runtime=runtime,
        batch_size=check_count(batch_size, "batch_size", 1),
        concurrency=check_count(concurrency, "concurrency", 1),
        retries=check_count(retries, "retries", 0),
        retry_seconds=check_seconds(retry_seconds, "retry_seconds"),
        progress=progress,
    )


class Pace:
    """Tells how far it has come and how long the rest will take, by what this run has done so far."""

    def __init__(self, plan: Plan, total: int, *, done: int = 0) -> None:
        self._plan = plan
        self._started = plan.clock.now()
        self._before = self.done = max(done, 0)
        self.total = max(total, self.done)

    def advance(self, count: int) -> None:
        self.done += count
        self.total = max(self.total, self.done)
        if self._plan.progress is None:
            return
        seconds, here = self._plan.clock.now() - self._started, self.done - self._before
        left = seconds / here * (self.total - self.done) if here else None
        self._plan.progress(ReembedProgress(self.done, self.total, seconds, left))


class Embedding:
    """The new embedder at work, and what it came to in this run."""

    def __init__(self, embedder: Embedder | AsyncEmbedder, plan: Plan) -> None:
        if embedder is None:
            raise TypeError("embedder must be the new embedder, not None")
        check_parts(embedder, "embedder", "dim", "fingerprint", "embed")
        self.fingerprint = check_text(embedder.fingerprint, "the embedder's fingerprint", 4096)
        self.dim = check_count(embedder.dim, "the embedder's dim", 1)
        self.embedder: AsyncEmbedder = plan.runtime.embedder(embedder)
        self.plan = plan
        self.pace = Pace(plan, 0)
        self.embedded = self.too_long = self.skipped = 0

    async def vectors(self, texts: Sequence[str]) -> list[Vector | None]:
        """A unit vector for every text; `None` for one that is too long.

        Raises:
            ReembeddingError: The embedder failed more often in a row than it is tried again.
        """
        size = self.plan.batch_size
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        made = await self.plan.runtime.together([self._batch(batch) for batch in batches])
        vectors = [vector for batch in made for vector in batch]
        missing = sum(vector is None for vector in vectors)
        self.embedded += len(vectors) - missing
        self.too_long += missing
        return vectors

    async def _batch(self, texts: Sequence[str]) -> list[Vector | None]:
        failures = 0
        while True:
            try:
                return await embed_texts(self.embedder, texts)
            except MnemeError:
                raise  # not a failure that passes
            except Exception as error:
                failures += 1
                if failures > self.plan.retries:
                    raise ReembeddingError(
                        f"the embedder failed {failures} times in a row, at last with {error!r}; {self.pace.done} of "
                        f"{self.pace.total} entries are done and kept: call it again with the same arguments to go on"
                    ) from error
            await self.plan.runtime.pause(min(self.plan.retry_seconds * 2 ** (failures - 1), _LONGEST_WAIT))

    def report(self, *, entries: int, seconds: float) -> ReembedReport:
        return ReembedReport(entries, self.embedded, self.too_long, self.skipped, seconds)
