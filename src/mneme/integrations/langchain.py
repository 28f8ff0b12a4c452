"""A response cache for LangChain's models. Needs the extra `langchain`.

Pass it to one model (`cache=`) or set it for all (`langchain_core.globals.set_llm_cache`). LangChain asks it for
`invoke`, `ainvoke` and `batch`, inside chains and agents too, and never for `stream`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

from mneme import AsyncSemanticCache, SemanticCache
from mneme.log import log_fields

__all__ = ["AsyncLangChainCache", "LangChainCache"]

_BESIDE_THE_POINT = frozenset({"id", "response_metadata", "usage_metadata"})
"""Of a message of an earlier turn: what it cost and what it was called, which differs from run to run."""
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT_OFF = frozenset(
    {
        *("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "pause_turn"),
        *("content_filter", "content_filtered", "guardrail_intervened", "refusal"),
        *("blocklist", "malformed_function_call", "prohibited_content", "recitation", "safety", "spii"),
    }
)
"""Why a model stopped that leaves something out, as providers say it, in small letters."""
_VERSION = 1
_NOT_ASKED = "the cache could not be asked, and the model is: %s"
_NOT_KEPT = "an answer could not be stored: %s"

logger: logging.Logger = logging.getLogger("mneme")
_AWAITED = "an AsyncSemanticCache is awaited: use ainvoke, abatch and aclear, or LangChainCache"


class LangChainCache(BaseCache):
    """LangChain's cache on a `SemanticCache`.

    The text of the last human message is the query, or the prompt of a model that is no chat model; earlier messages
    word for word, the model, its parameters and its tools are the scope. A conversation that waits for the results of a
    tool, or ends with no human's text, is not cached; nor are answers that were cut off or filtered.

    A cache that fails, or cannot take the question or the answer, is passed by with a warning in the log.

    Args:
        cache: Stays yours to close.
        namespace: The tenant; `clear` clears it.
        ttl: As for `put`.
    """

    def __init__(self, cache: SemanticCache, *, namespace: str = "default", ttl: Any = None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        asked = _asked(prompt, llm_string)
        if asked is None:
            return None
        try:
            hit = self._cache.get(asked.query, scope=asked.scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="langchain")
            logger.warning(_NOT_ASKED, error, extra=extra)
            return None
        return None if hit is None else _generations(hit.response)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        asked = _asked(prompt, llm_string)
        kept = None if asked is None else _kept(return_val)
        if asked is not None and kept is not None:
            try:
                self._cache.put(asked.query, kept, scope=asked.scope, namespace=self._namespace, ttl=self._ttl)
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="langchain")
                logger.warning(_NOT_KEPT, error, extra=extra)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 -- part of the contract
        self._cache.clear_namespace(self._namespace)


class AsyncLangChainCache(BaseCache):
    """The same on an `AsyncSemanticCache`, for `ainvoke` and `abatch` alone; the blocking calls raise."""

    def __init__(self, cache: AsyncSemanticCache, *, namespace: str = "default", ttl: Any = None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        asked = _asked(prompt, llm_string)
        if asked is None:
            return None
        try:
            hit = await self._cache.get(asked.query, scope=asked.scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="langchain")
            logger.warning(_NOT_ASKED, error, extra=extra)
            return None
        return None if hit is None else _generations(hit.response)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        asked = _asked(prompt, llm_string)
        kept = None if asked is None else _kept(return_val)
        if asked is not None and kept is not None:
            try:
                await self._cache.put(asked.query, kept, scope=asked.scope, namespace=self._namespace, ttl=self._ttl)
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="langchain")
                logger.warning(_NOT_KEPT, error, extra=extra)

    async def aclear(self, **kwargs: Any) -> None:  # noqa: ARG002 -- part of the contract
        await self._cache.clear_namespace(self._namespace)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:  # noqa: ARG002 -- the contract's
        raise TypeError(_AWAITED)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)


class _Asked(NamedTuple):
    query: str
    scope: dict[str, str]


def _asked(prompt: str, llm_string: str) -> _Asked | None:
    """What is asked; `None` for what must not come from a cache.

    A chat model's prompt is a list of messages in LangChain's JSON.
    """
    messages = _messages(prompt)
    if not messages:
        return None if not prompt or prompt.isspace() else _Asked(prompt, {"model": _digest(llm_string)})
    *earlier, last = messages
    if last.get("type") != "human":
        return None
    texts, rest = _texts(last.get("content"))
    if not texts or texts.isspace():
        return None
    context = _digest(json.dumps([*earlier, {**last, "content": rest}], sort_keys=True, ensure_ascii=False))
    return _Asked(texts, {"model": _digest(llm_string), "context": context})


def _messages(prompt: str) -> list[dict[str, Any]]:
    """What the messages of a prompt say; none if it is a text."""
    try:
        value = json.loads(prompt)
    except ValueError:
        return []
    if not isinstance(value, list) or not all(
        isinstance(one, Mapping) and one.get("type") == "constructor" and "kwargs" in one for one in value
    ):
        return []
    return [{name: said for name, said in one["kwargs"].items() if name not in _BESIDE_THE_POINT} for one in value]


def _texts(content: Any) -> tuple[str, Any]:
    """The text of a message, and the content without it."""
    if isinstance(content, str):
        return content, None
    texts, rest = [], []
    for part in content if isinstance(content, list) else []:
        text = part if isinstance(part, str) else part.get("text") if part.get("type") == "text" else None
        if isinstance(text, str):
            texts.append(text)
            rest.append(None if isinstance(part, str) else {**part, "text": None})
        else:
            rest.append(part)
    return "\n".join(texts), rest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _kept(generations: Sequence[Generation]) -> dict[str, Any] | None:
    """What is stored of an answer, calls of tools and all; `None` for one that is not whole."""
    kept = []
    for generation in generations:
        message = generation.message if isinstance(generation, ChatGeneration) else None
        said = {**(generation.generation_info or {}), **(message.response_metadata if message is not None else {})}
        if any(str(said.get(name)).lower() in _CUT_OFF for name in _REASONS):
            return None
        if said.get("status") in ("incomplete", "failed", "cancelled"):  # of the Responses API
            return None
        if not generation.text and not (message is not None and getattr(message, "tool_calls", None)):
            return None
        kept.append(
            {
                "text": generation.text,
                "info": generation.generation_info,
                "message": None if message is None else message_to_dict(message),
            }
        )
    try:  # providers put all sorts of things into messages; and texts are of a class of LangChain's
        return json.loads(json.dumps({"langchain": _VERSION, "generations": kept})) if kept else None
    except (TypeError, ValueError):
        return None


def _generations(stored: Any) -> list[Generation] | None:
    """The answer again: a list, as LangChain takes anything else for a miss. `None` for what somebody else stored."""
    if not isinstance(stored, dict) or stored.get("langchain") != _VERSION:
        return None
    found: list[Generation] = []
    for one in stored["generations"]:
        if one["message"] is None:
            found.append(Generation(text=one["text"], generation_info=one["info"]))
        else:
            [message] = messages_from_dict([one["message"]])
            found.append(ChatGeneration(message=message, generation_info=one["info"]))
    return found
