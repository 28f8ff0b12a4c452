"""Chat requests of language models as queries of a cache: what is asked, and what must be equal for an answer to hold.

Pure functions of requests and responses, as the APIs of OpenAI and Anthropic shape them; imports no client of either.
"""

from mneme.llm._answers import Event, events_of, reason_not_to_keep, reason_not_to_keep_stream
from mneme.llm._requests import (
    Api,
    ChatQuery,
    NotCacheableError,
    from_anthropic,
    from_openai,
    from_openai_responses,
    from_request,
)

__all__ = [
    "Api",
    "ChatQuery",
    "Event",
    "NotCacheableError",
    "events_of",
    "from_anthropic",
    "from_openai",
    "from_openai_responses",
    "from_request",
    "reason_not_to_keep",
    "reason_not_to_keep_stream",
]
