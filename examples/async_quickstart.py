"""The async face: a hundred tasks ask, three questions are computed."""

import asyncio
import time

from mneme import AsyncSemanticCache
from mneme.embedders import LocalEmbedder

QUESTIONS = ("How long does delivery take?", "Can I pay by invoice?", "Where is my parcel?")


async def ask_model(question: str) -> str:
    """Stand in for an awaited call of a model."""
    print("  computing", repr(question))
    await asyncio.sleep(0.5)
    return f"An answer to {question!r}"


async def main() -> None:
    """Ask from many tasks at once, then again."""
    async with AsyncSemanticCache("async.db", LocalEmbedder()) as cache:
        for attempt in ("first", "second"):
            started = time.perf_counter()
            waiting = [cache.get_or_compute(QUESTIONS[n % 3], ask_model) for n in range(100)]
            answers = await asyncio.gather(*waiting)
            print(f"{attempt}: {len(answers)} answers in {1000 * (time.perf_counter() - started):.1f} ms")

        hit = await cache.get("How many days does delivery take?")
        print("a paraphrase:", hit and (hit.layer, round(hit.similarity, 3), hit.query))


asyncio.run(main())
