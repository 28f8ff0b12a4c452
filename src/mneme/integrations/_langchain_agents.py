"""What an agent of LangChain asks its model, and what is kept of an answer. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain.agents.structured_output import (
    AutoStrategy,
    OutputToolBinding,
    ProviderStrategy,
    ProviderStrategyBinding,
    ToolStrategy,
)
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, ToolMessage, message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from mneme import Hit
from mneme.integrations._chat import is_own_tool
from mneme.integrations._langchain import Asked, asked, generations, kept

__all__ = ["answer_of", "entry_of", "question_of"]

_MARK = "mneme"


def question_of(request: ModelRequest[Any]) -> Asked | None:
    """The query and scope of a request; `None` for what must not come from a cache."""
    model: Any = request.model
    if not isinstance(model, BaseChatModel):
        return None
    messages = [] if request.system_message is None else [request.system_message]
    try:
        told = [
            f"{type(model).__module__}.{type(model).__qualname__}",
            model._get_llm_string(**request.model_settings),  # noqa: SLF001 -- what LangChain's own cache goes by
            {} if model.is_lc_serializable() else _parameters(model),  # which such models need not say themselves
            [_tool(tool) for tool in request.tools],
            request.tool_choice,
            _format(request.response_format),
            (ensure_config().get("metadata") or {}).get("lc_agent_name"),  # who speaks, as each answer says
        ]
        return asked(dumps([*messages, *request.messages]), json.dumps(told, sort_keys=True))
    except (TypeError, ValueError):  # an object that is no JSON, or a tool that the provider runs
        return None


def _parameters(model: BaseChatModel) -> dict[str, Any]:
    fields = {name: getattr(model, name) for name in type(model).model_fields if name != "verbose"}
    return {name: one for name, one in fields.items() if isinstance(one, (str, int, float))}


def _tool(tool: BaseTool | dict[str, Any]) -> Any:
    """What a model is told of a tool. Raises `ValueError` for one that the provider runs."""
    if not isinstance(tool, Mapping):
        return [convert_to_openai_tool(tool), tool.extras]
    if not is_own_tool(tool):
        raise ValueError("the provider runs a tool")
    return tool


def _format(wanted: Any) -> Any:
    """What an answer has to look like, as JSON."""
    if wanted is None:
        return None
    told = [[spec.name if _is_named(spec) else None, spec.description, spec.json_schema] for spec in _specs(wanted)]
    strict = wanted.schema_spec.strict if isinstance(wanted, ProviderStrategy) else None
    said = wanted.tool_message_content if isinstance(wanted, ToolStrategy) else None
    return [type(wanted).__name__, told, strict, said]


def _specs(wanted: Any) -> list[Any]:
    if isinstance(wanted, ProviderStrategy):
        return [wanted.schema_spec]
    if isinstance(wanted, ToolStrategy):
        return list(wanted.schema_specs)
    return list(ToolStrategy(wanted.schema if isinstance(wanted, AutoStrategy) else wanted).schema_specs)


def _is_named(spec: Any) -> bool:
    """Whether its name is no chance: LangChain makes one up for a schema without a title."""
    return not isinstance(spec.schema, dict) or "title" in spec.schema


def entry_of(request: ModelRequest[Any], response: ModelResponse[Any]) -> dict[str, Any] | None:
    """What is stored of an answer, calls of tools and all; `None` for one that is not whole, or did not hold."""
    if not response.result:
        return None
    message, *results = response.result
    if not isinstance(message, AIMessage) or not all(isinstance(result, ToolMessage) for result in results):
        return None
    structured = response.structured_response is not None
    if not structured and (results or (request.response_format is not None and not message.tool_calls)):
        return None
    entry = kept([ChatGeneration(message=message)])
    if entry is None:
        return None
    return {**entry, "structured": structured, "results": [message_to_dict(result) for result in results]}


def answer_of(request: ModelRequest[Any], hit: Hit | None) -> ModelResponse[Any] | None:
    """The answer again; `None` for what somebody else stored, or what does not hold."""
    if hit is None or not isinstance(hit.response, dict) or "structured" not in hit.response:
        return None
    found = generations(hit.response)
    if not found or not isinstance(found[0], ChatGeneration) or not isinstance(found[0].message, AIMessage):
        return None
    # The graph replaces messages of equal ids: each time it is said it is a message of its own.
    message = found[0].message.model_copy(update={"id": None})
    results = [result.model_copy(update={"id": None}) for result in messages_from_dict(hit.response["results"])]
    structured = _structured(request, message, results) if hit.response["structured"] else None
    if hit.response["structured"] and structured is None:
        return None
    said = {_MARK: {"query": hit.query, "similarity": hit.similarity}}
    message.response_metadata = {**message.response_metadata, **said}
    usage: Any = {**message.usage_metadata, "total_cost": 0} if message.usage_metadata else None
    message.usage_metadata = usage
    return ModelResponse(result=[message, *results], structured_response=structured)


def _structured(request: ModelRequest[Any], message: AIMessage, results: list[Any]) -> Any:
    """The answer in the form that was wanted, read as LangChain reads it; `None` if it cannot be."""
    specs = [] if request.response_format is None else _specs(request.response_format)
    try:
        if not message.tool_calls:
            return ProviderStrategyBinding.from_schema_spec(specs[0]).parse(message)
        [call] = [call for call in message.tool_calls if call["id"] in [result.tool_call_id for result in results]]
        [spec] = specs if len(specs) == 1 else [spec for spec in specs if spec.name == call["name"]]
        return OutputToolBinding.from_schema_spec(spec).parse(call["args"])
    except Exception:  # noqa: BLE001 -- a validator of the caller's: the model is asked again
        return None
