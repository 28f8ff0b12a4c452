"""An agent of PydanticAI's behind a cache: what it is asked twice, however it is worded, reaches the model once.

The model in this script knows three capitals, and at first gets one wrong. Put the name of a real one in its place.
"""

import asyncio

from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.integrations.pydantic_ai import CachedModel

CAPITALS = {"Norway": ["Oslo"], "Sweden": ["Stockholm"], "Australia": ["Sydney", "Canberra"]}
QUESTIONS = (
    "What is the capital of Norway?",
    "What's the capital city of Norway?",  # as good as the one before
    "What is the capital of Sweden?",  # looks like it, and is another question
    "What is the capital of Australia?",  # sent back once: the wrong answer does not stay in the cache
    "What's the capital city of Australia?",  # second attempts are not kept, so the model is asked, and this is
    "What is Australia's capital city?",
)


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:  # noqa: ARG001 -- what PydanticAI calls
    question = next(part.content for part in messages[0].parts if isinstance(part, UserPromptPart))
    country = next(name for name in CAPITALS if name in question)
    answers = CAPITALS[country]
    print(f"    (the model is asked about {country})")
    return ModelResponse([TextPart(answers.pop(0) if len(answers) > 1 else answers[0])])


async def main() -> None:
    with SemanticCache(":memory:", LocalEmbedder()) as cache:
        agent = Agent(CachedModel(FunctionModel(model), cache), instructions="Answer with one word.")

        @agent.output_validator
        def check(answer: str) -> str:
            if answer == "Sydney":
                raise ModelRetry("That is the largest city.")
            return answer

        for question in QUESTIONS:
            print(question)
            print("   ", (await agent.run(question)).output)
        stats = cache.stats()
        print(f"{stats.hits_semantic} from the cache, {stats.entries} kept")


asyncio.run(main())
