"""What a request of LiteLLM's asks, and what is kept of its answer. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from mneme.integrations._chat import counting_headers
from mneme.llm import ChatQuery, NotCacheableError, from_openai, from_openai_responses, reason_not_to_keep

__all__ = ["PASSED", "Asked", "asked", "beside", "kept", "stored_answer"]

PASSED = "mneme-passed"
"""The key of a request that no cache may answer."""
_VERSION = 1

_PROMPTS = frozenset({"input", "messages", "prompt"})
_ON_THE_WAY = frozenset({"extra_headers", "headers", "timeout"})
# LiteLLM counts these among its own, and leaves them out of its key: where the model is, and what becomes of a prompt.
_WHERE = frozenset(
    {
        *("api_base", "api_version", "azure", "base_url", "custom_llm_provider", "github_copilot_host"),
        *("hf_model_name", "litellm_credential_name", "region_name", "use_litellm_proxy"),
    }
)
_OWN_BUT_COUNT = _WHERE | {
    *("assistant_continue_message", "user_continue_message", "ensure_alternating_roles", "litellm_system_prompt"),
    *("prompt_environment", "prompt_id", "prompt_label", "prompt_variables", "prompt_version"),
    *("bos_token", "custom_prompt_dict", "eos_token", "final_prompt_value", "initial_prompt_value", "roles"),
    *("enable_json_schema_validation", "guardrails", "merge_reasoning_content_in_choices"),
    *("allowed_openai_params", "disable_add_transform_inline_image_block", "model_alias_map"),
    *("supports_system_message", "use_chat_completions_api"),
}
_REFUSED_FOR = ("background", "conversation", "modalities", "previous_response_id", "tools", "web_search_options")
"""Parameters on which it depends whether a request may be answered from a cache at all."""


class Asked(NamedTuple):
    query: str
    scope: dict[str, str]


def beside(request: Mapping[str, Any], is_own: Callable[[str], bool]) -> str | None:
    """A digest of all parameters but the prompt; `None` if one is of a kind of which nobody knows what it equals."""
    routed = _is_routed(request)
    apart = _PROMPTS | _ON_THE_WAY | (_WHERE if routed else frozenset())
    counts = {
        name: value
        for name, value in request.items()
        if name not in apart and (name in _OWN_BUT_COUNT or not is_own(name)) and value is not None
    }
    client = None if routed else getattr(request.get("client"), "base_url", None)  # a client has an address of its own
    if client is not None:
        counts["client"] = str(client)
    headers = counting_headers(request.get("headers"), request.get("extra_headers"))
    try:
        text = json.dumps([_plain(counts), _plain(headers)], sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_routed(request: Mapping[str, Any]) -> bool:
    """Whether a router chose among deployments that stand for one model: LiteLLM's key has the name of that one."""
    about = (request.get("metadata"), request.get("litellm_metadata"))
    return any(isinstance(one, Mapping) and one.get("model_group") for one in about)


def asked(key: str, request: Mapping[str, Any]) -> Asked | None:
    """The query and scope of a request; `None` for what must not come from a cache.

    Of a blocking request LiteLLM tells no more than the messages: all else is in the key.
    """
    if key.endswith(PASSED):
        return None
    chat = _chat(request, ())
    return None if chat is None else Asked(chat.query, {**chat.scope, "litellm": key})


def kept(value: Any, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is stored of an answer, calls of tools and all; `None` for one that is not whole."""
    try:
        response = value["response"]
        response = json.loads(response) if isinstance(response, str) else response
        if not isinstance(response, dict) or reason_not_to_keep(response) is not None:
            return None
        if _chat(request, _REFUSED_FOR) is None or not _complete(response, request):
            return None
        return {"litellm": _VERSION, "timestamp": float(value["timestamp"]), "response": response}
    except (AttributeError, KeyError, TypeError, ValueError):  # of no shape that is known
        return None


def stored_answer(stored: Any) -> dict[str, Any] | None:
    """The answer in LiteLLM's form; `None` for what somebody else stored."""
    if not isinstance(stored, dict) or stored.get("litellm") != _VERSION:
        return None
    return {"timestamp": stored["timestamp"], "response": stored["response"]}


def _complete(response: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Whether LiteLLM lost nothing of it: of a stream it puts together, it forgets the log probabilities."""
    choices = response.get("choices")
    if choices is None:
        return True
    if request.get("logprobs") and not all(choice.get("logprobs") for choice in choices):
        return False
    return len(choices) == (request.get("n") or 1)


def _chat(request: Mapping[str, Any], names: Iterable[str]) -> ChatQuery | None:
    """The question in the messages or the input, seen with the parameters of these *names*."""
    about = {name: request[name] for name in names if name in request}
    try:
        if request.get("messages") is not None:
            return from_openai(_plain({**about, "messages": request["messages"]}))
        if request.get("input") is not None:
            return from_openai_responses(_plain({**about, "input": request["input"]}))
    except (NotCacheableError, TypeError, ValueError, RecursionError):
        return None
    return None


def _plain(value: Any) -> Any:
    """A parameter as JSON: a class of pydantic's, which says how an answer is to look, by its schema."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, type) and issubclass(value, BaseModel):
        return [value.__name__, value.model_json_schema()]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    raise TypeError(f"{type(value).__name__} is no JSON")
