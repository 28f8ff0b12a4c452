"""An agent of LangChain's for two tenants: answers are kept for each, and a search is not made twice.

The model in this script looks things up and then repeats what was found. Put a real one in its place.
"""

from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.integrations.langchain_agents import ResponseCacheMiddleware, ToolCacheMiddleware

embedder = LocalEmbedder()
HANDBOOK = (
    "Parcels arrive within two to four working days.",
    "Unused goods can be returned within thirty days.",
    "Batteries are covered by a warranty of one year.",
)
QUESTIONS = (
    ("acme", "How long does delivery of a parcel take?"),
    ("acme", "How long will the delivery of a parcel take?"),  # as good as the one before
    ("globex", "How long does delivery of a parcel take?"),  # another tenant: the model is asked, the search is known
)


@dataclass
class Caller:
    """What the agent is called with."""

    tenant: str


class Model(BaseChatModel):
    """Searches for what it is asked, and says what was found."""

    @property
    def _llm_type(self) -> str:
        return "example"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: ARG002 -- it has one tool, and knows it
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        print(f"    (the model is asked after a {last.type} message)")
        if isinstance(last, HumanMessage):
            call = ToolCall(name="search", args={"query": last.text}, id="1")
            answer = AIMessage("", tool_calls=[call])
        else:
            answer = AIMessage(str(last.text))
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def search(query: str) -> str:
    """Search the handbook."""
    print("    (the handbook is searched)")
    asked = embedder.embed(query)
    return max(HANDBOOK, key=lambda one: float(embedder.embed(one) @ asked))


with SemanticCache(":memory:", embedder) as cache:
    middleware = [
        ResponseCacheMiddleware(cache, namespace=lambda request: request.runtime.context.tenant),
        ToolCacheMiddleware(cache, {"search": "query"}, namespace="handbook"),
    ]
    agent = create_agent(Model(), [search], middleware=middleware, context_schema=Caller)
    for tenant, question in QUESTIONS:
        print(f"{tenant}: {question}")
        state = agent.invoke({"messages": [HumanMessage(question)]}, context=Caller(tenant))
        print("   ", state["messages"][-1].text)
        assert any(isinstance(message, ToolMessage) for message in state["messages"])
    for namespace in cache.list_namespaces():
        stats = cache.stats(namespace)
        print(f"{namespace}: {stats.entries} kept, {stats.hits_exact + stats.hits_semantic} from the cache")
