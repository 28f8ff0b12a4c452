"""Chat requests of language models as queries of a cache: what is asked, and what has to be equal for an answer to hold.

Pure functions of requests and responses, as the APIs of OpenAI and Anthropic shape them; imports no client of either.
"""

from mneme.llm._answers import reason_not_to_keep
from mneme.llm._requests import ChatQuery, NotCacheableError, from_anthropic, from_openai, from_openai_responses

__all__ = [
    "ChatQuery",
    "NotCacheableError",
    "from_anthropic",
    "from_openai",
    "from_openai_responses",
    "reason_not_to_keep",
]
