"""A DSPy program before a real model, through a cache: `python dspy_cache.py http://localhost:11434 smollm2:135m`.

Any server will do that speaks the API of OpenAI below `/v1`: Ollama, llama.cpp, vLLM.
"""

import os
import sys
import time
from typing import Literal

import dspy

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.integrations.dspy import DSPyCache

Team = Literal["billing", "shipping"]


class Route(dspy.Signature):
    """Name the team that answers a customer's question."""

    question: str = dspy.InputField()
    team: Team = dspy.OutputField()


SCHEMA = {
    "type": "object",
    "properties": {"team": {"type": "string", "enum": ["billing", "shipping"]}},
    "required": ["team"],
}


def main(url: str, model: str) -> None:
    """Route questions, of which one is a paraphrase and one is asked with another parameter."""
    # A model this small keeps to a form only where the server makes it.
    form = {"type": "json_schema", "json_schema": {"name": "team", "schema": SCHEMA}}
    lm = dspy.LM(f"openai/{model}", api_base=f"{url}/v1", api_key="none", temperature=0, max_tokens=60)
    program = dspy.Predict(Route, response_format=form)
    with SemanticCache(":memory:", LocalEmbedder()) as cache:
        dspy.cache = DSPyCache(cache, ttl="30d")
        with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
            for question in ("Where is my parcel?", "Where is my parcel now?", "Why was my card charged twice?"):
                started = time.perf_counter()
                team = program(question=question).team
                print(f"{time.perf_counter() - started:6.3f} s  {team:8}  {question}")
            program(question="Where is my parcel?", config={"temperature": 0.1})
        stats = cache.stats()
        print(f"{stats.hits_semantic} answer from the cache, {stats.entries} entries")
        assert (stats.hits_semantic, stats.entries) == (1, 3)
    lm.close()


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        given[0] if given else os.environ.get("MNEME_LANGUAGE_MODEL_SERVER", "http://localhost:11434"),
        given[1] if len(given) > 1 else "smollm2",
    )
