"""What an agent of LangChain asks a tool, and what is kept of its result. No I/O."""

from __future__ import annotations

import json
from typing import Any

from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.types import Command

from mneme import Hit
from mneme.integrations._exact import digest, exactly
from mneme.integrations._langchain import Asked

__all__ = ["question_of", "result_of", "stored_of"]

_VERSION = 1
_MARK = "mneme"


def question_of(request: ToolCallRequest, argument: str | None) -> Asked | None:
    """The query and scope of a call; `None` where *argument*, which is searched by meaning, is no text."""
    name, arguments = request.tool_call["name"], dict(request.tool_call["args"])
    query = digest(_json(arguments)) if argument is None else arguments.pop(argument, None)
    if not isinstance(query, str) or not query or query.isspace():
        return None
    told = None if request.tool is None else convert_to_openai_tool(request.tool)
    described = {} if told is None else {"described": digest(_json(told))}
    return Asked(query, {"tool": name, "arguments": _json(None if argument is None else arguments), **described})


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def stored_of(result: ToolMessage | Command[Any]) -> dict[str, Any] | None:
    """What is stored of a result; `None` for one that failed, changes the state of the agent, or is no JSON."""
    if not isinstance(result, ToolMessage) or result.status != "success":
        return None
    try:
        kept = json.loads(json.dumps({"content": result.content, "artifact": result.artifact}))
    except (TypeError, ValueError):
        return None
    return {"langchain-tool": _VERSION, **kept}


def result_of(request: ToolCallRequest, argument: str | None, hit: Hit | None) -> ToolMessage | None:
    """The result again, for this call; `None` for what somebody else stored."""
    if hit is None or not isinstance(hit.response, dict) or hit.response.get("langchain-tool") != _VERSION:
        return None
    if argument is None and exactly(hit, digest(_json(request.tool_call["args"]))) is None:
        return None
    return ToolMessage(
        hit.response["content"],
        artifact=hit.response["artifact"],
        name=request.tool_call["name"],
        tool_call_id=request.tool_call["id"] or "",
        response_metadata={_MARK: {"query": hit.query, "similarity": hit.similarity}},
    )
