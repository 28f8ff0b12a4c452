"""The async face: a hundred tasks ask, three questions are computed.

What is awaited is a real program: another Python is started for each question, and looks it up in its own help.
"""

import asyncio
import sys
import time

from mneme import AsyncSemanticCache
from mneme.embedders import LocalEmbedder

TOPICS = {"How do I write a loop?": "for", "How do I define a function?": "def", "What is a class?": "class"}


async def look_up(question: str) -> str:
    """What `help()` of another process says; this is where your awaited call of a model would be."""
    print("  computing", repr(question))
    topic = TOPICS[question]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pydoc", topic, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    return text.decode()


async def main() -> None:
    """Ask from many tasks at once, then again."""
    questions = list(TOPICS)
    async with AsyncSemanticCache("async.db", LocalEmbedder()) as cache:
        for attempt in ("first", "second"):
            started = time.perf_counter()
            waiting = [cache.get_or_compute(questions[n % 3], look_up) for n in range(100)]
            answers = await asyncio.gather(*waiting)
            print(f"{attempt}: {len(answers)} answers in {1000 * (time.perf_counter() - started):.1f} ms")
            assert len(set(answers)) == 3

        hit = await cache.get("How can I define a function?")
        print("a paraphrase:", hit and (hit.layer, round(hit.similarity, 3), hit.query))


asyncio.run(main())
